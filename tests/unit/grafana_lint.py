"""A lint of Grafana dashboards: what Grafana takes without a word and an operator trips over."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.unit import promql

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
PANELS = {"bargauge", "barchart", "heatmap", "stat", "table", "timeseries"}
BUILTIN = {"__range", "__url_time_range"}

_VARIABLE = re.compile(r"\$\{?(\w+)")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_FIELD = re.compile(r"\$\{__(?:field\.labels|data\.fields)\.(\w+):percentencode\}")
_KEPT = re.compile(r"\$\{(\w+):queryparam\}")
_NEW = re.compile(r"var-(\w+)=(.+)")


def panels(dashboard: Json) -> list[Json]:
    """All panels but the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: Json) -> dict[str, Json]:
    """A dashboard's selectors by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def links(panel: Json) -> list[str]:
    """The URLs of a panel's data links."""
    field = panel["fieldConfig"]
    found = [*field["defaults"].get("links", [])]
    for override in field["overrides"]:
        for said in override["properties"]:
            found += said["value"] if said["id"] == "links" else []
    return [link["url"] for link in found]


def lint(dashboards: list[Json]) -> list[str]:
    """What is wrong with the dashboards, each taken by itself and as the targets of links."""
    by_uid = {dashboard["uid"]: dashboard for dashboard in dashboards}
    wrong = list(_twice("uid", [dashboard["uid"] for dashboard in dashboards]))
    for dashboard in dashboards:
        found = [*_of_page(dashboard), *_of_grid(dashboard), *_of_variables(dashboard)]
        for panel in panels(dashboard):
            found += (
                f"{panel['title']}: {problem}"
                for check in (_of_looks(panel), _of_queries(panel, dashboard))
                for problem in check
            )
            for url in links(panel):
                found += (f"{panel['title']}: {why}" for why in _of_link(url, dashboard, by_uid))
                found += (f"{panel['title']}: {why}" for why in _of_fields(url, panel))
        wrong += [f"{dashboard['uid']}: {problem}" for problem in found]
    return wrong


def _twice(what: str, values: list[Any]) -> Iterator[str]:
    return (f"{what} {value} twice" for value, times in Counter(values).items() if times > 1)


def _of_page(dashboard: Json) -> Iterator[str]:
    yield from _twice("id", [panel["id"] for panel in dashboard["panels"]])
    yield from _twice("title", [panel["title"] for panel in panels(dashboard)])
    if not dashboard["uid"].startswith("glupy-") or "glupy" not in dashboard["tags"]:
        yield "is not marked as one of ours"
    if not dashboard["description"]:
        yield "no description"
    for link in dashboard["links"]:
        if not link["keepTime"] or not link["includeVars"]:
            yield "a link at the top forgets what was chosen"


def _of_grid(dashboard: Json) -> Iterator[str]:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > COLUMNS:
            yield f"{panel['title']}: beyond the page"
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if cells & taken:
            yield f"{panel['title']}: over another panel"
        taken |= cells


def _of_variables(dashboard: Json) -> Iterator[str]:
    known = variables(dashboard)
    yield from _twice(
        "variable", [variable["name"] for variable in dashboard["templating"]["list"]]
    )
    if known.get("datasource", {}).get("type") != "datasource":
        yield "no variable for the data source"
    for name, variable in known.items():
        if variable["type"] == "datasource":
            continue
        if not (variable["multi"] and variable["includeAll"] and variable["allValue"] == ".*"):
            yield f"variable {name}: not any number of values"
        if variable["datasource"] != DATASOURCE:
            yield f"variable {name}: not from the chosen data source"
        query = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        if not query:
            yield f"variable {name}: no label_values"
            continue
        yield from (f"variable {name}: {why}" for why in promql.problems(query[1]))
        if not all(query[2] in promql.KNOWN[m] for m in promql.names(query[1]).metrics):
            yield f"variable {name}: nothing has a label {query[2]}"
        before = list(known)[: list(known).index(name)]
        for used in _VARIABLE.findall(query[1]):
            if used not in before:
                yield f"variable {name}: asks for {used}, which comes later"


def _of_looks(panel: Json) -> Iterator[str]:
    if panel["type"] not in PANELS:
        yield f"a panel of type {panel['type']}"
    if not panel.get("description"):
        yield "no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "no unit"
    if panel["type"] == "timeseries" and not panel["options"]["legend"].get("calcs"):
        yield "a legend without values"


def _of_queries(panel: Json, dashboard: Json) -> Iterator[str]:
    if not panel.get("targets"):
        yield "no query"
    yield from _twice("query", [target["refId"] for target in panel.get("targets", [])])
    for asking in [panel, *panel.get("targets", [])]:
        if asking["datasource"] != DATASOURCE:
            yield "not from the chosen data source"
    for target in panel.get("targets", []):
        yield from promql.problems(target["expr"])
        for used in _VARIABLE.findall(target["expr"]):
            if used not in {*variables(dashboard), *BUILTIN}:
                yield f"no variable {used}"


def _of_link(url: str, source: Json, by_uid: dict[str, Json]) -> Iterator[str]:
    parts = urlsplit(url)
    target = by_uid.get(parts.path.removeprefix("/d/"))
    if not target:
        yield f"a link to {parts.path}, which does not exist"
        return
    said = parts.query.split("&")
    if "${__url_time_range}" not in said:
        yield "a link that forgets the time range"
    kept = {found[1] for word in said if (found := _KEPT.fullmatch(word))}
    new = {found[1] for word in said if (found := _NEW.fullmatch(word))}
    for name in sorted(kept - set(variables(source))):
        yield f"a link that passes {name}, which is not here"
    for name in sorted((kept | new) - set(variables(target))):
        yield f"a link that passes {name}, which is not there"
    both = {name for name in variables(source) if name in variables(target)}
    for name in sorted(both - kept - new - {"path", "gfid"}):
        yield f"a link that forgets {name}"


def _of_fields(url: str, panel: Json) -> Iterator[str]:
    """A link names labels of what was clicked on: all series of the panel have to have them."""
    for label in _FIELD.findall(url):
        for target in panel["targets"]:
            added = re.search(rf'label_replace\(.*, "{label}", ', target["expr"])
            if label not in promql.names(target["expr"]).grouped and not added:
                yield f"a link with {label}, which {target['refId']} does not have"
