"""Ways from one dashboard to another that keep the time range and what is selected."""

from __future__ import annotations

from grafanalib import core

from blocks.queries import SELECTORS

TAG = "glupy"


def between_dashboards() -> core.DashboardLink:
    """The links at the top of every dashboard, to all others."""
    return core.DashboardLink(
        title="glupy", type="dashboards", tags=[TAG], includeVars=True, keepTime=True
    )


def field_label(name: str) -> str:
    """The value of a label of the series that was clicked on."""
    return f"${{__field.labels.{name}:percentencode}}"


def column(name: str) -> str:
    """The value of a column of the row that was clicked on."""
    return f"${{__data.fields.{name}:percentencode}}"


def to(dashboard: str, title: str, **values: str) -> core.DataLink:
    """A link to a dashboard: `values` of its selectors are new, all others are kept."""
    kept = [name for name in ("datasource", *SELECTORS) if name not in values]
    parameters = [
        "${__url_time_range}",
        *(f"${{{name}:queryparam}}" for name in kept),
        *(f"var-{name}={value}" for name, value in values.items()),
    ]
    return core.DataLink(title=title, linkUrl=f"/d/glupy-{dashboard}?{'&'.join(parameters)}")
