"""A dashboard from its rows of panels."""

from __future__ import annotations

import attr
from grafanalib import core

from blocks.form import Dashboard, Heading, Panel
from blocks.links import TAG, between_dashboards
from blocks.selectors import selectors

_COLUMNS = 24


def row(title: str, *panels: Panel) -> list[Panel | Heading]:
    """Panels below a heading, from left to right and then downwards."""
    heading = Heading(title=title, gridPos=core.GridPos(h=1, w=_COLUMNS, x=0, y=0))
    return [heading, *panels]


def _laid_out(rows: list[list[Panel | Heading]]) -> list[Panel | Heading]:
    """All panels with their places; a line of them is as high as its highest."""
    placed = []
    x = y = line = 0
    for panel in (panel for panels in rows for panel in panels):
        width, height = panel.gridPos.w, panel.gridPos.h
        if x + width > _COLUMNS or isinstance(panel, Heading):
            x, y, line = 0, y + line, 0
        placed.append(attr.evolve(panel, gridPos=core.GridPos(h=height, w=width, x=x, y=y)))
        x, line = x + width, max(line, height)
    return placed


def board(
    name: str, title: str, description: str, rows: list[list[Panel | Heading]], *more: str
) -> Dashboard:
    """The dashboard with uid glupy-`name`; `more` are selectors that the others do not have."""
    return Dashboard(
        uid=f"glupy-{name}",
        title=f"Glupy / {title}",
        description=description,
        tags=[TAG, "glusterfs"],
        links=[between_dashboards()],
        templating=core.Templating(selectors(*more)),
        panels=_laid_out(rows),
        refresh="30s",
        time=core.Time("now-1h", "now"),
    ).auto_panel_ids()
