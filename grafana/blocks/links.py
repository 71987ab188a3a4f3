"""Links between pages, which keep the time range and the selection."""

from __future__ import annotations

from typing import Any

import attr
from grafanalib import core

from grafana.blocks.selectors import PAGES

TAG = "glupy"
RUNBOOKS = "https://github.com/glupy-exporter/glupy-exporter/blob/main/docs/runbooks"


def between_dashboards() -> core.DashboardLink:
    """The links to all other pages, at the top of every page."""
    return core.DashboardLink(
        asDropdown=True,
        title="Other pages",
        type="dashboards",
        tags=[TAG],
        includeVars=True,
        keepTime=True,
    )


def field_label(name: str) -> str:
    """The value of a label of the series that was clicked on."""
    return f"${{__field.labels.{name}:percentencode}}"


def column(name: str) -> str:
    """The value of a column of the row that was clicked on."""
    return f"${{__data.fields.{name}:percentencode}}"


@attr.s(auto_attribs=True, frozen=True)
class Link:
    """A link to a page, from any page."""

    page: str
    title: str
    values: dict[str, str]

    def on(self, source: str) -> core.DataLink:
        """The link as it is on the page `source`: it keeps the selectors that both pages have."""
        both = [name for name in PAGES[self.page] if name in PAGES[source]]
        kept = [name for name in ("datasource", *both) if name not in self.values]
        parameters = [
            "${__url_time_range}",
            *(f"${{{name}:queryparam}}" for name in kept),
            *(f"var-{name}={value}" for name, value in self.values.items()),
        ]
        url = f"/d/glupy-{self.page}?{'&'.join(parameters)}"
        return core.DataLink(title=self.title, linkUrl=url)


def to(page: str, title: str, **values: str) -> Link:
    """A link to a page that sets the selectors in `values` and keeps all others."""
    unknown = set(values) - set(PAGES[page])
    if unknown:
        raise ValueError(f"the page {page} has no selector {', '.join(sorted(unknown))}")
    return Link(page, title, values)


def resolved(said: Any, source: str) -> Any:
    """JSON with all links in it as they are on the page `source`."""
    if isinstance(said, Link):
        return said.on(source)
    if isinstance(said, dict):
        return {key: resolved(value, source) for key, value in said.items()}
    if isinstance(said, list):
        return [resolved(value, source) for value in said]
    return said
