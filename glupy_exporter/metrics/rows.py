"""What collectors of the busiest rows have in common: settings, and columns of counts."""

from __future__ import annotations

from collections.abc import Sequence

from glupy_exporter import values
from glupy_exporter.metrics.family import Value
from glupy_exporter.schema.quantities import COUNTERS, DURATION
from glupy_exporter.segment.records import Activity, Counts
from glupy_exporter.values import Setting, Settings

MORE = """\
What was done a half-life (volume option `user.xlator.glupy.half-life`) ago weighs half. Those that
were among the busiest in the last five minutes stay as well, unless they lost their slot, up to
four times as many in all."""


def settings(limit: int) -> Settings:
    """Those of a collector that serves the busiest rows of a table, with its limit's default."""
    return {
        "limit": Setting(
            values.whole(1, 10_000),
            limit,
            "how many a brick are served by each order: fops, bytes read, bytes written, time",
            "N",
        )
    }


def columns(activities: Sequence[Activity] | Sequence[Counts]) -> dict[str, Sequence[Value]]:
    """Each quantity that the activities have, as /metrics shows it, in a column."""
    names = activities[0]._fields if activities else Activity._fields
    found: dict[str, Sequence[Value]] = {}
    for each in COUNTERS:
        if each.name not in names:
            continue
        column = [getattr(activity, each.name) for activity in activities]
        if each.kind == DURATION:
            column = [tuple([ns / 1e9 for ns in value]) for value in column]
        found[each.name] = column
    return found
