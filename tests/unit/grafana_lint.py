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
PAGE = 980
"""Pixels that Grafana's menu leaves of a screen of 1280."""
LETTER, MARGIN = 7, 22
"""Pixels of a letter in the head of a table, and around a title there."""
LINKED_HOST = 180
"""Pixels of a host's name, of twenty letters, as a link, which is bold."""
LINES = 160
"""Letters of three lines on a phone."""
PANELS = {"bargauge", "heatmap", "stat", "table", "text", "timeseries"}
BUILTIN = {"__range", "__rate_interval", "__url_time_range"}
RUNBOOKS = "/glupy-exporter/glupy-exporter/blob/main/docs/runbooks/"
GREY = "#8E8E8E"
RATES = {"ops", "suffix:/s", "binBps"}
FEW = {"kind", "direction", "collector", "origin", "daemon"}
"""Labels of which there are never more values than a legend has room for."""
SAMPLED = {"glupy_fops_in_flight"}
"""Gauges of what has come and gone between two scrapes."""
COARSE = 60
"""Points at most of a graph of raw buckets."""
OBEYED = 4
"""Panels at least that a selector has to be good for."""

_VARIABLE = re.compile(r"\$\{?(\w+)")
_MATCHER = re.compile(r"\w+[=!]~`(?:\$\{\w+:regex\})+`")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_QUERY_RESULT = re.compile(r"query_result\((.+)\)")
_NOTHING = re.compile(r', "(none|not known)", ')
"""The labels that or_zero gives to what stands for no series."""
_FIELD = re.compile(r"\$\{__(?:field\.labels|data\.fields)\.(\w+):percentencode\}")
_KEPT = re.compile(r"\$\{(\w+):queryparam\}")
_NEW = re.compile(r"var-(\w+)=(.+)")
_WITHOUT_NAME = re.compile(
    r"(?:1 - |label_replace|sort_desc|topk(?: by \([^)]*\) )?|\(|\d+, )*(?:sum|min|max|count) by"
)
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


def panels(dashboard: Json) -> list[Json]:
    """All panels that ask for something."""
    return [panel for panel in dashboard["panels"] if panel["type"] not in ("row", "text")]


def variables(dashboard: Json) -> dict[str, Json]:
    """A dashboard's selectors by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def overrides(panel: Json) -> dict[str, Json]:
    """The properties of a panel's fields by the fields' names."""
    found = panel["fieldConfig"]["overrides"]
    return {
        rule["matcher"]["options"]: {said["id"]: said["value"] for said in rule["properties"]}
        for rule in found
    }


def links(panel: Json) -> list[str]:
    """The URLs of a panel's data links."""
    found = [*panel["fieldConfig"]["defaults"].get("links", [])]
    for said in overrides(panel).values():
        found += said.get("links", [])
    return [link["url"] for link in found]


def lint(dashboards: list[Json]) -> list[str]:
    """What is wrong with the dashboards, each taken by itself and as the targets of links."""
    by_uid = {dashboard["uid"]: dashboard for dashboard in dashboards}
    wrong = list(_twice("uid", [dashboard["uid"] for dashboard in dashboards]))
    for dashboard in dashboards:
        found = [
            *_of_page(dashboard),
            *_of_rows(dashboard),
            *_of_grid(dashboard),
            *_of_variables(dashboard),
        ]
        for panel in panels(dashboard):
            checks = [_of_looks(panel), _of_queries(panel, dashboard)]
            checks += [_of_type[panel["type"]](panel)] if panel["type"] in _of_type else []
            checks += [_of_link(url, panel, dashboard, by_uid) for url in links(panel)]
            found += (f"{panel['title']}: {problem}" for check in checks for problem in check)
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
    first = dashboard["panels"][0]
    if first["type"] != "text":
        yield "no line at the top that says what the page answers"
    elif len(first["options"]["content"]) > LINES:
        yield "a line at the top that has no room on a phone"
    for link in dashboard["links"]:
        if not link["keepTime"] or not link["includeVars"]:
            yield "a link at the top forgets what was chosen"
        if not link["asDropdown"]:
            yield "links at the top that are not in a drop-down"
    annotations = dashboard["annotations"]["list"]
    if not any("ALERTS" in annotation["expr"] for annotation in annotations):
        yield "no annotations of alerts"
    for annotation in annotations:
        yield from _of_expression(annotation["expr"], variables(dashboard), {"__interval"})


def _of_rows(dashboard: Json) -> Iterator[str]:
    repeated = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            repeated = panel.get("repeat", "")
            if repeated and not variables(dashboard).get(repeated, {}).get("includeAll"):
                yield f"{panel['title']}: repeated for {repeated}, of which there are not several"
        elif repeated and any(f"${{{repeated}:" not in t["expr"] for t in panel["targets"]):
            yield f"{panel['title']}: the same each time that its row is repeated"


def _of_grid(dashboard: Json) -> Iterator[str]:
    taken: set[tuple[int, int]] = set()
    widths: Counter[int] = Counter()
    for panel in dashboard["panels"]:
        widths[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
    for y, width in widths.items():
        if width < COLUMNS:
            yield f"a hole in the page at {y}"
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
    source = known.get("datasource", {})
    if source.get("type") != "datasource":
        yield "no variable for the data source"
    elif source.get("current", {}).get("value") != "default":
        yield "variable datasource: not Grafana's default one"
    if next(iter(known), "") == "datasource":
        yield "variable datasource: first, where what is chosen most should be"
    for name, variable in known.items():
        if variable["type"] != "datasource":
            yield from (f"variable {name}: {why}" for why in _of_variable(variable, dashboard))


def _of_variable(variable: Json, dashboard: Json) -> Iterator[str]:
    name, query = variable["name"], variable["query"]["query"]
    if variable["multi"] != variable["includeAll"]:
        yield "neither one value nor any number of them"
    if variable["includeAll"] and variable["allValue"] != ".*":
        yield "All is not .*"
    if not variable["multi"] and variable["refresh"] != 1:
        yield "a refresh would replace what a link chose"
    if variable["datasource"] != DATASOURCE:
        yield "not from the chosen data source"
    if values := _LABEL_VALUES.fullmatch(query):
        query = values[1]
        if not all(values[2] in promql.KNOWN[m] for m in promql.names(query).metrics):
            yield f"nothing has a label {values[2]}"
    elif result := _QUERY_RESULT.fullmatch(query):
        query = result[1]
        groups = re.findall(r"\(\?<(\w+)>", variable["regex"])
        if groups != ["value", "text"]:
            yield "no value and text in its results"
    else:
        yield "neither label_values nor query_result"
        return
    yield from _of_expression(query, {other for other in variables(dashboard) if other != name})
    obeying = sum(
        f"${{{name}:regex}}" in "".join(target["expr"] for target in panel["targets"])
        for panel in panels(dashboard)
    )
    if obeying < OBEYED:
        yield f"only {obeying} panels obey it"


def _of_looks(panel: Json) -> Iterator[str]:
    if panel["type"] not in PANELS:
        yield f"a panel of type {panel['type']}"
    if not panel.get("description"):
        yield "no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "no unit"
    # Letters of 7.4 pixels, beside the sign of the description and the frame.
    room = panel["gridPos"]["w"] / COLUMNS * (PAGE - 8) - 72
    if len(panel["title"]) * 7.4 > room:
        yield "the title does not fit"


def _of_stat(panel: Json) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["thresholds"]["steps"][0]["color"] != GREY:
        yield "what is unknown is not grey"
    if not defaults.get("noValue"):
        yield "what is unknown does not say so"
    if not all(target["instant"] for target in panel["targets"]):
        yield "the latest number that there was, however old"


def _of_graph(panel: Json) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    custom, legend = defaults["custom"], panel["options"]["legend"]
    if not legend.get("calcs"):
        yield "a legend without values"
    if custom["drawStyle"] != "line":
        yield "not drawn as lines"
    if custom["showPoints"] == "never":
        yield "a sample between gaps is not drawn"
    if defaults["unit"] in RATES and custom["stacking"]["mode"] != "normal":
        yield "rates that are not stacked"
    if custom["stacking"]["mode"] == "none" and custom["fillOpacity"]:
        yield "areas over each other"
    latencies = defaults["unit"] == "s" and custom["stacking"]["mode"] == "none"
    latencies &= any(re.search("duration|fop", target["expr"]) for target in panel["targets"])
    if latencies and custom.get("scaleDistribution", {}).get("type") != "log":
        yield "latencies of which the slowest hides all others"
    for name in _NOTHING.findall("".join(target["expr"] for target in panel["targets"])):
        if defaults.get("links") and not any(
            re.search(pattern.strip("/"), name) and said.get("links") == []
            for pattern, said in overrides(panel).items()
        ):
            yield f"a link to a page about {name}"
    pixels = panel["gridPos"]["w"] / COLUMNS * PAGE
    if legend.get("placement") == "right" and pixels - legend["width"] < 240:
        yield "a legend that leaves no room for the graph"
    for target in panel["targets"]:
        labels = set(_LEGEND.findall(target["legendFormat"]))
        few = any(f"by ({label})" in target["expr"] for label in FEW)
        one = "gfid=~`" in target["expr"]
        if labels - FEW and "topk(" not in target["expr"] and not (one or few):
            yield f"any number of lines, one for each {', '.join(sorted(labels - FEW))}"
        if "name" in labels and (legend["placement"] != "right" or len(legend["calcs"]) > 1):
            yield "a long legend below the graph, or with more than one number"
        for metric in promql.names(target["expr"]).metrics:
            if "gfid" in promql.KNOWN.get(metric, frozenset()) and not one:
                yield "a graph of the series of all files"
            if metric in SAMPLED:
                yield f"a graph of {metric}, which scrapes hardly ever meet"
    fixed = [said["color"]["fixedColor"] for said in overrides(panel).values() if "color" in said]
    yield from _twice("colour", fixed)
    for rule in panel["fieldConfig"]["overrides"]:
        # Without slashes Grafana looks for the whole name.
        if rule["matcher"]["id"] == "byRegexp" and not rule["matcher"]["options"].startswith("/"):
            yield "a regular expression that is none"


def _of_table(panel: Json) -> Iterator[str]:
    defaults, fields = panel["fieldConfig"]["defaults"], overrides(panel)
    if not defaults.get("noValue"):
        yield "what is not there does not say so"
    for name, said in fields.items():
        if said.get("noValue") != "-":
            yield f"column {name}: an empty cell would say that the table is empty"
    for target in panel["targets"]:
        if not _WITHOUT_NAME.match(target["expr"]):
            yield f"{target['refId']} keeps the metric's name, which makes a column"
    if defaults["custom"]["filterable"]:
        yield "signs of filters over names"
    room = panel["gridPos"]["w"] / COLUMNS * (PAGE - 8) - 24
    (order,) = (t["options"] for t in panel["transformations"] if t["id"] == "organize")
    titles = [order["renameByName"].get(name, name) for name in order["indexByName"]]
    widths, shares = [], False
    for title in titles:
        said = fields.get(title, {})
        if said.get("custom.hidden"):
            continue
        width = said.get("custom.width") or said.get("custom.minWidth")
        shares |= "custom.minWidth" in said
        if not width:
            yield f"column {title}: no width"
            continue
        if title == "host" and "links" in said and width < LINKED_HOST:
            yield f"column {title}: names that are links do not fit"
        if len(title) * LETTER + MARGIN > width:
            yield f"column {title}: the title does not fit"
        widths.append(width)
    if not shares:
        yield "no column takes the room that is left"
    if sum(widths) > room:
        yield f"columns of {sum(widths)} pixels, for which there are {room:.0f}"


def _of_heatmap(panel: Json) -> Iterator[str]:
    (target,) = panel["targets"]
    if panel["options"]["yAxis"]["unit"] == "bytes" and '"1024", "le"' not in target["expr"]:
        yield "sizes that read 1023 B"


_of_type = {
    "stat": _of_stat,
    "timeseries": _of_graph,
    "table": _of_table,
    "heatmap": _of_heatmap,
}


def _of_queries(panel: Json, dashboard: Json) -> Iterator[str]:
    if not panel.get("targets"):
        yield "no query"
    yield from _twice("query", [target["refId"] for target in panel.get("targets", [])])
    for asking in [panel, *panel.get("targets", [])]:
        if asking["datasource"] != DATASOURCE:
            yield "not from the chosen data source"
    for target in panel.get("targets", []):
        yield from _of_expression(target["expr"], variables(dashboard))
    asked = "".join(target["expr"] for target in panel.get("targets", []))
    drawn = "".join(target["expr"] for target in panel.get("targets", []) if target["range"])
    fine = panel.get("maxDataPoints", COARSE + 1) > COARSE
    if fine and re.search(r"rate\(\w+_bucket\b", drawn):
        yield "raw buckets for each pixel of a graph"
    for target in panel.get("targets", []):
        buckets = "rate(glupy_fop_duration_seconds_bucket" in target["expr"]
        if target.get("exemplar", False) != (buckets and target["range"]):
            yield "exemplars where there are none, or none where there are"
    for name in variables(dashboard):
        said = panel.get("description", "").partition("Not narrowed by: ")[2]
        if name != "datasource" and f"${{{name}:regex}}" not in asked and name not in said:
            yield f"does not obey the selector {name} and does not say so"


def _of_expression(
    expr: str, chosen: dict[str, Json] | set[str], builtin: set[str] = BUILTIN
) -> Iterator[str]:
    """What is wrong with an expression, or a selector, that may use these variables."""
    yield from promql.problems(expr)
    for name in _VARIABLE.findall(expr):
        if not name.isdigit() and name not in {*chosen, *builtin}:
            yield f"no variable {name}"
    if set(_VARIABLE.findall(_MATCHER.sub("", expr))) & set(chosen):
        yield "a variable that some names would break out of"
    if "vector(0)" in expr:
        yield "0 where nothing is known"
    if re.search(r"avg_over_time\(\w+:\w+:(p\d+|mean|ratio)_", expr):
        yield "a mean of what is no number while nothing is done"
    if re.search(r"\[\d\w*\]", expr):
        yield "a range that is not the page's"


def _of_link(url: str, panel: Json, source: Json, by_uid: dict[str, Json]) -> Iterator[str]:
    yield from _of_fields(url, panel)
    parts = urlsplit(url)
    if parts.netloc == "github.com" and parts.path.startswith(RUNBOOKS):
        return
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
    for name in sorted(both - kept - new):
        yield f"a link that forgets {name}"


def _of_fields(url: str, panel: Json) -> Iterator[str]:
    """A link names labels of what was clicked on: all series of the panel have to have them."""
    for label in _FIELD.findall(url):
        for target in panel["targets"]:
            named = promql.names(target["expr"])
            added = re.search(rf', "{label}", ', target["expr"])
            own = all(label in promql.KNOWN.get(metric, ()) for metric in named.metrics)
            if label not in named.grouped and not added and not own:
                yield f"a link with {label}, which {target['refId']} does not have"
