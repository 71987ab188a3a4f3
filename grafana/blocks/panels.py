"""The kinds of panels. Widths are 24ths of the page, heights Grafana's units of 30 pixels.

Pages have to be read on a screen of 1280 pixels beside Grafana's menu, which leaves PAGE of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple, Union

from grafanalib import core
from grafanalib.formatunits import DATE_TIME_FROM_NOW, SECONDS

from grafana.blocks.colors import FOPS, UNKNOWN, WORK
from grafana.blocks.form import Json, Panel, Query
from grafana.blocks.links import Link
from grafana.blocks.queries import with_cluster

PAGE = 980
_GRAPH_HEIGHT = 9
PER_SECOND = "suffix:/s"
"""The unit of rates of what is neither a fop nor a byte."""
_NUMBER = 92  # pixels at least of a column of numbers
_LETTER, _MARGIN = 7, 22  # pixels of a letter of its title, and around that
_SIGN = 16  # pixels of the arrow beside the title of the column by which the rows are sorted
# Pixels of the columns of labels whose values are short; the others share what is left.
_WIDTHS = {
    "cluster": 110,
    "volume": 110,
    "type": 80,
    "host": 160,
    "set": 50,
    "subvolume": 95,
    "pid": 70,
    "fop": 100,
    "device": 100,
    "daemon": 110,
    "status": 110,
    "crawl": 130,
    "peer": 200,
    "alertname": 230,
    "glusterfs_version": 145,
    "xlator_version": 120,
    "version": 120,
}
_BOLD = 25  # pixels that the longest of them, a host's, needs in addition if it is a link
# The least pixels of columns of names, which have any length.
_NAMES = {"brick": 235, "path": 300}
_NAME = 150
_AGO = 118  # pixels of a column that says how long ago
_TEXT = 20  # pixels of the letters of a name
_NUMBER = 28  # and of those of a number
_SHORT, _LONG = 190, 255  # pixels of a legend beside its graph

Series = tuple[str, str]  # name and expression
AnyLink = Union[Link, core.DataLink]


class Column(NamedTuple):
    """A column of numbers in a table."""

    title: str
    expr: str
    unit: str
    words: dict[int, tuple[str, str]] | None = None
    """The text and the colour in which a panel shows some values."""


def thresholds(*steps: tuple[float, str]) -> Json:
    """A colour from each value on; grey below the first, and if there is no value."""
    colors = [{"color": UNKNOWN, "value": None}]
    colors += [{"color": color, "value": value} for value, color in steps]
    return {"mode": "absolute", "steps": colors}


_PLAIN = thresholds((0, "text"))


def _queries(series: Iterable[Series]) -> list[Query]:
    return [
        Query(refId=letter, expr=expr, legendFormat=name)
        for letter, (name, expr) in zip(ascii_uppercase, series)
    ]


def _size(width: int, height: int) -> core.GridPos:
    return core.GridPos(h=height, w=width, x=0, y=0)


def _override(name: str, kind: str = "byName", **properties: Any) -> Json:
    """`properties` of the field called `name`; `custom_x` is `custom.x`."""
    return {
        "matcher": {"id": kind, "options": name},
        "properties": [
            {"id": key.replace("custom_", "custom."), "value": value}
            for key, value in properties.items()
        ],
    }


_LEADS_NOWHERE = _override("/^(none|not known)( |$)/", "byRegexp", links=[])
"""For series that stand for nothing, which has no page."""


def _color(color: str) -> Json:
    return {"fixedColor": color, "mode": "fixed"}


def _colors(series: Sequence[Series]) -> list[Json]:
    """Fixed colours of fops, or of kinds of work, by the names of their series."""
    if any(re.search(r"by \(fop[,)]", expr) for _, expr in series):
        return [_override(name, color=_color(color)) for name, color in FOPS.items()]
    found = [_override(f"/^{name}( |$)/", "byRegexp", color=_color(c)) for name, c in WORK.items()]
    dashes = {"dash": [8, 6], "fill": "dash"}
    return [*found, _override("/ (mean|median)$/", "byRegexp", custom_lineStyle=dashes)]


def heading(title: str, repeat: str = "") -> Panel:
    """The line above a row of panels, which folds them away."""
    more = {"collapsed": False, "panels": [], **({"repeat": repeat} if repeat else {})}
    return Panel(type="row", title=title, gridPos=_size(24, 1), more=more)


def text(content: str) -> Panel:
    """A line of Markdown across the page."""
    options = {"content": content, "mode": "markdown"}
    return Panel(
        type="text", gridPos=_size(24, 2), options=options, more={"title": "", "transparent": True}
    )


def stat(
    title: str,
    expr: str,
    unit: str,
    description: str,
    *,
    levels: Json = _PLAIN,
    width: int = 4,
    legend: str = "",
    none: str = "unknown",
    links: Sequence[AnyLink] = (),
) -> Panel:
    """One number of now; `none` is shown if there is none.

    It is asked for at the end of the time range only: over time the latest number that there was
    would be shown, however old. With a `legend`, the name of the series is shown instead.
    """
    return Panel(
        type="stat",
        title=title,
        description=description,
        gridPos=_size(width, 3),
        targets=[Query(refId="A", expr=expr, legendFormat=legend, instant=True)],
        defaults={
            "color": {"mode": "thresholds"},
            "links": list(links),
            "noValue": none,
            "thresholds": levels,
            "unit": unit,
        },
        options={
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            # All numbers of a row in one size, not each as large as its tile allows.
            "text": {"titleSize": _TEXT, "valueSize": _TEXT} if legend else {"valueSize": _NUMBER},
            "textMode": "name" if legend else "auto",
        },
    )


def lines(
    title: str,
    series: Sequence[Series],
    unit: str,
    description: str,
    *,
    width: int = 0,
    height: int = _GRAPH_HEIGHT,
    links: Sequence[AnyLink] = (),
    custom: Json | None = None,
) -> Panel:
    """Lines over time and a legend with their values, which is beside them if they may be many.

    Latencies have a logarithmic axis, like the buckets that they come from. A graph is half a page
    wide, or a whole one if a long legend is beside it.
    """
    labels = [name for name, _ in series if "{{" in name]
    many = len(labels) > 1 or any("{{name}}" in name for name in labels)
    latency = any(re.search("duration|fop", expr) for _, expr in series)
    logarithmic = unit == SECONDS and latency and not custom
    long = labels != ["{{name}}"] or any("by (host, brick)" in expr for _, expr in series)
    return Panel(
        type="timeseries",
        title=title,
        description=description,
        gridPos=_size(width or (24 if many and long else 12), height),
        targets=_queries(series),
        defaults={
            "color": {"mode": "palette-classic"},
            "custom": {
                "drawStyle": "line",
                # Only parts of a whole are areas: one colour over another is a third.
                "fillOpacity": 0,
                "lineWidth": 1,
                # A sample between gaps is a point.
                "showPoints": "auto",
                "spanNulls": False,
                "stacking": {"group": "A", "mode": "none"},
                **({"scaleDistribution": {"log": 10, "type": "log"}} if logarithmic else {}),
                **(custom or {}),
            },
            "links": list(links),
            **({} if logarithmic else {"min": 0}),
            "unit": unit,
        },
        overrides=[*_colors(series), *([_LEADS_NOWHERE] if links else [])],
        options={
            "legend": {
                "calcs": ["mean"] if many else ["mean", "max"],
                "displayMode": "table",
                "placement": "right" if many else "bottom",
                "showLegend": True,
                "sortBy": "Mean",
                "sortDesc": True,
                **({"width": _LONG if long else _SHORT} if many else {}),
            },
            "tooltip": {"maxHeight": 400, "mode": "multi", "sort": "desc"},
        },
    )


def areas(
    title: str, series: Sequence[Series], unit: str, description: str, **options: Any
) -> Panel:
    """Parts of a whole over time, as stacked areas; every rate is such a part."""
    stacked = {"fillOpacity": 50, "stacking": {"group": "A", "mode": "normal"}}
    return lines(title, series, unit, description, custom=stacked, **options)


def gauges(
    title: str,
    expr: str,
    unit: str,
    description: str,
    *,
    width: int = 12,
    height: int = 10,
    links: Sequence[AnyLink] = (),
) -> Panel:
    """One bar with its value for each fop, in their order; the expression is evaluated once."""
    return Panel(
        type="bargauge",
        title=title,
        description=description,
        gridPos=_size(width, height),
        targets=[Query(refId="A", expr=expr, legendFormat="{{fop}}", instant=True)],
        defaults={
            "color": {"mode": "palette-classic"},
            "links": list(links),
            "min": 0,
            "thresholds": _PLAIN,
            "unit": unit,
        },
        overrides=_colors([("", "by (fop)")]),
        options={
            "displayMode": "basic",
            "minVizHeight": 16,
            "minVizWidth": 8,
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": False,
            "valueMode": "text",
        },
    )


def heatmap(
    title: str, expr: str, unit: str, description: str, *, width: int = 12, height: int = 9
) -> Panel:
    """The counts of a histogram's buckets over time; `expr` leaves no label but le."""
    return Panel(
        type="heatmap",
        title=title,
        description=description,
        gridPos=_size(width, height),
        targets=[Query(refId="A", expr=expr, legendFormat="{{le}}", format="heatmap")],
        defaults={
            "custom": {
                "hideFrom": {"legend": False, "tooltip": False, "viz": False},
                "scaleDistribution": {"type": "linear"},
            },
            "unit": "ops",
        },
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            # Rounding leaves tiny counts where there were none.
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"show": True, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
    )


def _of_label(label: str, link: AnyLink | None, hidden: bool, sized: str) -> Json:
    # A process id is no quantity. Without "-", an empty cell would show the table's `none`.
    properties: Json = {"unit": "none", "noValue": "-"}
    if hidden:
        properties["custom_hidden"] = True
    elif label in _WIDTHS:
        properties[sized] = _WIDTHS[label] + (_BOLD if link and label == "host" else 0)
    else:
        properties["custom_minWidth"] = _NAMES.get(label, _NAME)
        # A value that is longer than its column can be opened in a window.
        properties["custom_inspect"] = True
    if link:
        properties["links"] = [link]
    return properties


def table(
    title: str,
    columns: Sequence[Column],
    labels: str,
    description: str,
    *,
    width: int = 24,
    height: int = 9,
    links: dict[str, AnyLink] | None = None,
    hidden: Sequence[str] = (),
    none: str = "nothing is known",
) -> Panel:
    """A row for each set of `labels`, in falling order of the first column.

    Every column has to have these labels and no others. `links` has links by the label on whose
    cells they are. Columns in `hidden` are not shown, but links use them. An empty table says
    `none`. Names of any length take the room that columns of known widths leave; if there are none
    of them, all columns share it.
    """
    links = links or {}
    names = [f"Value #{letter}" for letter, _ in zip(ascii_uppercase, columns)]
    titles = dict(
        zip(names if len(columns) > 1 else ["Value"], (column.title for column in columns))
    )
    keys = labels.split(", ")
    named = any(key not in (*hidden, *_WIDTHS) for key in keys)
    sized = "custom_width" if named else "custom_minWidth"
    overrides = [
        _override(key, **_of_label(key, links.get(key), key in hidden, sized)) for key in keys
    ]
    for column in columns:
        sign = _SIGN if column is columns[0] else 0
        room = max(_NUMBER, len(column.title) * _LETTER + _MARGIN + sign)
        pixels = _AGO if column.unit == DATE_TIME_FROM_NOW else room
        properties: Json = {"unit": column.unit, sized: pixels, "noValue": "-"}
        if column.words:
            said = {f"{value}": {"color": c, "text": t} for value, (t, c) in column.words.items()}
            properties["mappings"] = [{"options": said, "type": "value"}]
            properties["custom_cellOptions"] = {"type": "color-text"}
        overrides.append(_override(column.title, **properties))
    return Panel(
        type="table",
        title=title,
        description=description,
        gridPos=_size(width, height),
        targets=[
            Query(refId=letter, expr=with_cluster(column.expr), format="table", instant=True)
            for letter, column in zip(ascii_uppercase, columns)
        ],
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "indexByName": {name: place for place, name in enumerate([*keys, *titles])},
                    "renameByName": titles,
                },
            },
        ],
        defaults={
            "color": {"mode": "thresholds"},
            "custom": {"align": "auto", "filterable": False, "inspect": False, "minWidth": 60},
            "links": [],
            "noValue": none,
            "thresholds": _PLAIN,
            "unit": "short",
        },
        overrides=overrides,
        options={
            "cellHeight": "sm",
            "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False},
            "showHeader": True,
            "sortBy": [{"desc": True, "displayName": columns[0].title}],
        },
    )
