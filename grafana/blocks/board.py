"""A dashboard from its rows of panels."""

from __future__ import annotations

import re

import attr
from grafanalib import core

from grafana.blocks.colors import GREY, ORANGE, SKY, VERMILLION
from grafana.blocks.form import DATASOURCE, SCHEMA_VERSION, Dashboard, Json, Panel
from grafana.blocks.links import TAG, between_dashboards, resolved
from grafana.blocks.panels import heading, text
from grafana.blocks.queries import expand
from grafana.blocks.selectors import PAGES, selectors

_COLUMNS = 24
# Points of a graph of raw buckets, of which a brick has hundreds: one a minute of the last hour.
# Others have one for each pixel.
_COARSE = 60
Row = list[Panel]


def row(title: str, *panels: Panel, repeat: str = "") -> Row:
    """Panels below a heading, from left to right and then downwards.

    Grafana draws the row once for each chosen value of the selector `repeat`. It asks for a row's
    data when somebody scrolls there.
    """
    return [heading(title, repeat), *panels]


def _laid_out(panels: list[Panel]) -> list[Panel]:
    """The panels with their places; a line of panels is as high as the highest of them.

    The last panel of a line takes all the room that is left.
    """
    placed: list[Panel] = []
    x = y = line = 0
    for panel in panels:
        width, height = panel.gridPos.w, panel.gridPos.h
        if x + width > _COLUMNS or panel.type == "row":
            if placed:
                placed[-1].gridPos.w += _COLUMNS - x
            x, y, line = 0, y + line, 0
        placed.append(attr.evolve(panel, gridPos=core.GridPos(h=height, w=width, x=x, y=y)))
        x, line = x + width, max(line, height)
    placed[-1].gridPos.w += _COLUMNS - x
    return placed


def _on_page(panel: Panel, page: str) -> Panel:
    """The panel with the page's selectors in its queries and links.

    Its description names the selectors that do not narrow it.
    """
    if not panel.targets:
        return panel
    targets = [
        attr.evolve(
            target,
            expr=expand(target.expr, PAGES[page]),
            # Recorded series have none.
            exemplar="rate(glupy_fop_duration_seconds_bucket" in target.expr and not target.instant,
        )
        for target in panel.targets
    ]
    asked = "".join(target.expr for target in targets if not target.instant)
    coarse = {"maxDataPoints": _COARSE} if re.search(r"rate\(\w+_bucket\b", asked) else {}
    asked = "".join(target.expr for target in targets)
    deaf = [name for name in PAGES[page] if f"${{{name}:regex}}" not in asked]
    said = f" Not narrowed by: {', '.join(deaf)}." if deaf else ""
    return attr.evolve(
        panel,
        targets=targets,
        description=panel.description + said,
        more={**panel.more, **coarse},
        defaults=resolved(panel.defaults, page),
        overrides=resolved(panel.overrides, page),
    )


def _annotation(name: str, color: str, page: str, expr: str, title: str, about: str) -> Json:
    """Marks of events in all graphs; `about` is shown below the `title` of a mark."""
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expand(expr, PAGES[page]),
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "60s",
        "textFormat": about,
        "titleFormat": title,
    }


def _annotations(page: str) -> core.Annotations:
    start = {"useValueForTime": True}
    configured = "max by (cluster, volume) (glupy_volume_translator_configured{$*}"
    return core.Annotations(
        [
            _annotation(
                "Alerts",
                VERMILLION,
                page,
                'ALERTS{$*,alertname=~"Glupy.*",alertstate="firing"}',
                "{{alertname}}",
                "{{severity}} {{volume}} {{host}} {{brick}}",
            ),
            {
                **_annotation(
                    "Brick starts",
                    ORANGE,
                    page,
                    "glupy_segment_created_timestamp_seconds{$*} * 1000",
                    "Brick started",
                    "{{host}}:{{brick}}",
                ),
                **start,
            },
            {
                **_annotation(
                    "Exporter starts",
                    GREY,
                    page,
                    'process_start_time_seconds{$*,job="glupy"} * 1000',
                    "Exporter started",
                    "{{host}}",
                ),
                **start,
            },
            _annotation(
                "Volumes enabled",
                SKY,
                page,
                f"{configured}) == 1 unless {configured} offset $__interval) == 1",
                "Translator enabled",
                "{{volume}}",
            ),
        ]
    )


def board(
    page: str, question: str, further: str, rows: list[Row], *, since: str = "now-1h"
) -> Dashboard:
    """The dashboard with uid glupy-`page`, which shows what was `since` then.

    The line at its top has the `question` that it answers, and `further`, where to go from there.
    """
    panels = [text(f"**{question}** {further}"), *(panel for panels in rows for panel in panels)]
    return Dashboard(
        uid=f"glupy-{page}",
        title=f"Glupy / {page.capitalize()}",
        description=question,
        annotations=_annotations(page),
        editable=True,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        links=[between_dashboards()],
        schemaVersion=SCHEMA_VERSION,
        tags=[TAG, "glusterfs"],
        templating=core.Templating(selectors(page)),
        panels=_laid_out([_on_page(panel, page) for panel in panels]),
        refresh="30s",
        time=core.Time(since, "now"),
        timezone="browser",
    ).auto_panel_ids()
