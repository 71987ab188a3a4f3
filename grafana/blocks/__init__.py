"""What the dashboards are built of: queries, panels, links, selectors, and the page around them."""
