"""The selectors at the top of a page."""

from __future__ import annotations

from grafanalib import core

from grafana.blocks.form import DATASOURCE, Json
from grafana.blocks.queries import SELECTORS, SET, expand

PAGES = {
    "cluster": ("cluster",),
    "health": ("volume", "cluster"),
    "capacity": ("volume", "host", "cluster"),
    "volume": ("volume", "fop", "cluster"),
    "brick": ("brick", "host", "volume", "fop", "cluster"),
    "file": ("file", "volume", "cluster"),
    "client": ("client", "volume", "cluster"),
    "exporter": ("host", "cluster"),
}
"""The selectors of each page, in their order: those used most come first."""

# Where a label's values are looked up: also bricks without the translator, and on pages that are
# not about bricks also nodes without any that could be read.
_BRICKS = f"{SET}{{$*}}"
_EXPORTERS = 'up{$*,job="glupy"}'
_FOPS = "cluster_volume_fop:glupy_fops:rate5m{$*}"
# Where one value of many is chosen: the busiest come first, and one of them if none is named. The
# patterns match {gfid="...",path="..."} VALUE TIME and the like, in which nothing is escaped.
_BUSIEST = "query_result(sort_desc(topk(200, sum by ({}) ({}))))"
_ONE = {
    "file": (
        _BUSIEST.format("gfid, path", "cluster_volume_gfid_path_type:glupy_file_fops:rate5m{$*}"),
        r'/^\{gfid="(?<value>[^"]+)",path="(?<text>[^]*)"\} /',
    ),
    "client": (
        _BUSIEST.format("client", "cluster_volume_client_kind:glupy_client_fops:rate5m{$*}"),
        r'/^\{client="(?<value>(?<text>[^"]+))"\} /',
    ),
}


def _datasource() -> Json:
    """The choice of a Prometheus; Grafana's default one comes first."""
    return {
        "current": {"selected": True, "text": "default", "value": "default"},
        "hide": core.SHOW,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "query": "prometheus",
        "refresh": core.REFRESH_ON_DASHBOARD_LOAD,
        "type": "datasource",
    }


def _selector(name: str, page: tuple[str, ...]) -> Json:
    """A choice of the values that occur with what is chosen in the page's selectors before it.

    All is ".*", which is short and also matches series without the label.
    """
    names = list(SELECTORS)
    before = tuple(other for other in names[: names.index(name)] if other in page)
    label = SELECTORS[name]
    one, pattern = _ONE.get(name, ("", ""))
    if name == "cluster" or "volume" not in page:
        source = _EXPORTERS
    else:
        source = _FOPS if name == "fop" else _BRICKS
    query = expand(
        one or f"label_values({source}, {label})",
        tuple(other for other in before if other not in ("fop", "client")),
    )
    said = {
        "datasource": DATASOURCE,
        "definition": query,
        "hide": core.SHOW,
        "label": name.capitalize(),
        "name": name,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "sort": 0,
        "type": "query",
    }
    if one:
        # If the list were read again with each refresh of the page, it would replace a value that a
        # link names and that the list lacks.
        return {
            **said,
            "includeAll": False,
            "multi": False,
            "refresh": core.REFRESH_ON_DASHBOARD_LOAD,
            "regex": pattern,
        }
    return {
        **said,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "includeAll": True,
        "multi": True,
        "refresh": core.REFRESH_ON_TIME_RANGE_CHANGE,
        "sort": core.SORT_ALPHA_ASC,
    }


def selectors(page: str) -> list[Json]:
    """The selectors of a page, and last the data source."""
    return [*(_selector(name, PAGES[page]) for name in PAGES[page]), _datasource()]
