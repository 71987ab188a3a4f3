"""The kinds of panels. Widths are 24ths of the page, heights Grafana's units of 30 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

from grafanalib import core

from blocks.form import Json, Panel, Query
from blocks.queries import expand, with_cluster

GOOD, BAD, ODD = "green", "red", "orange"
# The same kind of work has the same colour everywhere.
_COLORS = {"read": "blue", "write": "orange", "metadata": "purple"}
_GRAPH_HEIGHT = 8
# Pixels of the columns of labels whose values are short; the others share what is left.
_WIDTHS = {"cluster": 110, "volume": 150, "type": 90, "host": 160, "set": 60, "pid": 90}

Legend = tuple[str, str]  # what a series is called, and its expression


class Column(NamedTuple):
    """A column of numbers in a table."""

    title: str
    expr: str
    unit: str
    links: Sequence[core.DataLink] = ()


def thresholds(*steps: tuple[float, str], base: str = GOOD) -> Json:
    """Colours from certain values on, and `base` below them."""
    ordered = [{"color": base, "value": None}]
    ordered += [{"color": color, "value": value} for value, color in steps]
    return {"mode": "absolute", "steps": ordered}


def _queries(series: Iterable[Legend]) -> list[Query]:
    return [
        Query(refId=letter, expr=expand(expr), legendFormat=name)
        for letter, (name, expr) in zip(ascii_uppercase, series)
    ]


def _place(width: int, height: int) -> core.GridPos:
    return core.GridPos(h=height, w=width, x=0, y=0)


def _override(name: str, **properties: Any) -> Json:
    """`properties` of the field called `name`; `custom_x` is `custom.x`."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [
            {"id": key.replace("custom_", "custom."), "value": value}
            for key, value in properties.items()
        ],
    }


def _organized(titles: dict[str, str], labels: Sequence[str]) -> Json:
    """The transformation that orders columns, renames those of values and drops that of time."""
    return {
        "id": "organize",
        "options": {
            "excludeByName": {"Time": True},
            "indexByName": {name: place for place, name in enumerate([*labels, *titles])},
            "renameByName": titles,
        },
    }


def stat(
    title: str,
    expr: str,
    unit: str,
    description: str,
    *,
    levels: Json | None = None,
    width: int = 3,
    legend: str = "",
    none: str = "",
    text: str = "auto",
    links: Sequence[core.DataLink] = (),
) -> Panel:
    """One number, with its course behind it; `none` is shown if there is no number.

    `text` is what of it is shown: the value, or the "name" that `legend` gives it.
    """
    defaults = {
        "color": {"mode": "thresholds"},
        "links": list(links),
        "thresholds": levels or thresholds(base="text"),
        "unit": unit,
    }
    if none:
        defaults["noValue"] = none
    return Panel(
        type="stat",
        title=title,
        description=description,
        gridPos=_place(width, 4),
        # A name is that of now; over time it was another's too.
        targets=[
            Query(refId="A", expr=expand(expr), legendFormat=legend, instant=text == "name"),
        ],
        defaults=defaults,
        options={
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": text,
        },
    )


def lines(
    title: str,
    series: Sequence[Legend],
    unit: str,
    description: str,
    *,
    width: int = 12,
    height: int = _GRAPH_HEIGHT,
    links: Sequence[core.DataLink] = (),
    levels: Json | None = None,
    custom: Json | None = None,
) -> Panel:
    """Lines over time, with a legend that has their values."""
    own = {
        "drawStyle": "line",
        "fillOpacity": 5,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "none"},
        "thresholdsStyle": {"mode": "dashed" if levels else "off"},
        **(custom or {}),
    }
    defaults = {
        "color": {"mode": "palette-classic"},
        "custom": own,
        "links": list(links),
        "min": 0,
        "thresholds": levels or thresholds(),
        "unit": unit,
    }
    return Panel(
        type="timeseries",
        title=title,
        description=description,
        gridPos=_place(width, height),
        targets=_queries(series),
        defaults=defaults,
        overrides=[
            _override(name, color={"fixedColor": color, "mode": "fixed"})
            for name, color in _COLORS.items()
        ],
        options={
            "legend": {
                "calcs": ["lastNotNull", "mean", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "sortBy": "Mean",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def bars(
    title: str, series: Sequence[Legend], unit: str, description: str, **options: Any
) -> Panel:
    """Parts of a whole over time: lines, but as stacked bars."""
    stacked = {
        "drawStyle": "bars",
        "fillOpacity": 80,
        "lineWidth": 0,
        "stacking": {"group": "A", "mode": "normal"},
    }
    return lines(title, series, unit, description, custom=stacked, **options)


def gauges(
    title: str,
    legend: Legend,
    unit: str,
    description: str,
    *,
    width: int = 12,
    height: int = _GRAPH_HEIGHT,
    links: Sequence[core.DataLink] = (),
    levels: Json | None = None,
) -> Panel:
    """One bar with its value for each series, in their order; the expression is evaluated once."""
    return Panel(
        type="bargauge",
        title=title,
        description=description,
        gridPos=_place(width, height),
        targets=[
            Query(refId="A", expr=expand(legend[1]), legendFormat=legend[0], instant=True),
        ],
        defaults={
            "color": {"mode": "thresholds" if levels else "palette-classic"},
            "links": list(links),
            "min": 0,
            "thresholds": levels or thresholds(),
            "unit": unit,
        },
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


def columns(
    title: str,
    label: str,
    column: Column,
    description: str,
    *,
    width: int = 12,
    height: int = _GRAPH_HEIGHT,
) -> Panel:
    """One column with its value for each value of `label`; the expression is evaluated once."""
    return Panel(
        type="barchart",
        title=title,
        description=description,
        gridPos=_place(width, height),
        targets=[Query(refId="A", expr=expand(column.expr), format="table", instant=True)],
        transformations=[_organized({"Value": column.title}, [label])],
        defaults={
            "color": {"mode": "palette-classic"},
            "custom": {"axisPlacement": "auto", "fillOpacity": 80, "lineWidth": 0},
            "links": list(column.links),
            "min": 0,
            "unit": column.unit,
        },
        options={
            "barWidth": 0.9,
            "groupWidth": 0.7,
            "legend": {
                "calcs": [],
                "displayMode": "list",
                "placement": "bottom",
                "showLegend": False,
            },
            "orientation": "auto",
            "showValue": "always",
            "stacking": "none",
            "tooltip": {"mode": "single", "sort": "none"},
            "xField": label,
            "xTickLabelMaxLength": 0,
            "xTickLabelRotation": -45,
        },
    )


def heatmap(
    title: str, expr: str, unit: str, description: str, *, width: int = 12, height: int = 9
) -> Panel:
    """A histogram over time; `expr` has one series for each bucket's upper bound `le`."""
    return Panel(
        type="heatmap",
        title=title,
        description=description,
        gridPos=_place(width, height),
        targets=[Query(refId="A", expr=expand(expr), format="heatmap", legendFormat="{{le}}")],
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
            # Rounding leaves traces where there was nothing.
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"show": True, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
    )


def _of_label(label: str, link: core.DataLink | None) -> Json:
    # A process id is no quantity.
    properties: Json = {"unit": "none"}
    if label in _WIDTHS:
        properties["custom_width"] = _WIDTHS[label]
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
    links: dict[str, core.DataLink] | None = None,
    hidden: Sequence[str] = (),
    bars: bool = True,
) -> Panel:
    """A row for each set of `labels`, most of the first column first.

    Every column has to have these labels and no others. A link in `links` is on that label's cells;
    columns in `hidden` are not shown, but links know them.
    """
    links = links or {}
    named = {f"Value #{letter}": column for letter, column in zip(ascii_uppercase, columns)}
    if len(columns) == 1:
        named = {"Value": columns[0]}
    keys = labels.split(", ")
    overrides = [_override(label, **_of_label(label, links.get(label))) for label in keys]
    overrides += [_override(label, custom_hidden=True) for label in hidden]
    for column in columns:
        properties: dict[str, Any] = {"unit": column.unit, "custom_filterable": False}
        if bars:
            properties["custom_cellOptions"] = {"mode": "basic", "type": "gauge"}
            properties["min"] = 0
        overrides.append(_override(column.title, **properties))
    return Panel(
        type="table",
        title=title,
        description=description,
        gridPos=_place(width, height),
        targets=[
            Query(
                refId=letter, expr=expand(with_cluster(column.expr)), format="table", instant=True
            )
            for letter, column in zip(ascii_uppercase, columns)
        ],
        transformations=[
            {"id": "merge", "options": {}},
            _organized({name: column.title for name, column in named.items()}, keys),
        ],
        defaults={
            "color": {"mode": "continuous-BlPu"} if bars else {"mode": "thresholds"},
            "custom": {"align": "auto", "filterable": True, "inspect": False, "minWidth": 80},
            # Else Grafana would draw all columns on the scale of the largest number in any.
            **({"fieldMinMax": True} if bars else {}),
            "links": [],
            "thresholds": thresholds(base="text"),
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
