"""The selectors at the top of a dashboard."""

from __future__ import annotations

from grafanalib import core

from blocks.form import Variable
from blocks.queries import SELECTORS, expand

# Where a label's values are looked up.
_SOURCES = {
    "cluster": "glupy_brick_info",
    "volume": "glupy_brick_info",
    "host": "glupy_brick_info",
    "brick": "glupy_brick_info",
    "fop": "glupy_fop_duration_seconds_count",
    "client": "glupy_client_connections",
    "path": "cluster_volume_gfid:glupy_file:info",
    "gfid": "cluster_volume_gfid:glupy_file:info",
}
_LABELS = {"gfid": "GFID"}


def datasource() -> Variable:
    """The Prometheus to ask."""
    return Variable(name="datasource", label="Data source", type="datasource", query="prometheus")


def selector(label: str, narrowed_by: tuple[str, ...]) -> Variable:
    """A choice of a label's values that go with what is chosen in `narrowed_by`.

    All is ".*", which is short, and matches series without the label.
    """
    chosen = ",".join(f"${selector}" for selector in narrowed_by)
    source = expand(f"{_SOURCES[label]}{{{chosen}}}") if chosen else _SOURCES[label]
    return Variable(
        name=label,
        label=_LABELS.get(label, label.capitalize()),
        query=f"label_values({source}, {label})",
        allValue=".*",
        refresh=core.REFRESH_ON_TIME_RANGE_CHANGE,
    )


def selectors(*more: str) -> list[Variable]:
    """Those that every dashboard has, and `more`, each narrowed down by the one before it."""
    brick = SELECTORS[: SELECTORS.index("brick") + 1]
    found = [datasource()]
    found += [selector(label, brick[:place]) for place, label in enumerate(brick)]
    found += [selector(label, brick) for label in SELECTORS[len(brick) :]]
    found += [
        selector(label, ("cluster", "volume", *more[:place])) for place, label in enumerate(more)
    ]
    return found
