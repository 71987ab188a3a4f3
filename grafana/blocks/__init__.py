"""The blocks of the dashboards: queries, panels, links, selectors, and the page around them."""
