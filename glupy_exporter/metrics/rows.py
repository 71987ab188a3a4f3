"""Settings and columns of counts for the collectors of the busiest files and clients."""

from __future__ import annotations

from collections.abc import Sequence

from glupy_exporter import values
from glupy_exporter.metrics.family import Value
from glupy_exporter.schema.quantities import COUNTERS, DURATION
from glupy_exporter.segment.records import Activity, Counts
from glupy_exporter.values import Setting, Settings

MORE = """\
The busiest have the highest scores. In a score, what was done a half-life ago (volume option
`user.xlator.glupy.half-life`) weighs half. What was among the busiest in the last five minutes is
served as well, unless it lost its slot, up to four times the limit in all."""


def settings(limit: int) -> Settings:
    """The settings of a collector of the busiest rows; ``limit`` is the default of its limit."""
    return {
        "limit": Setting(
            values.whole(1, 10_000),
            limit,
            "how many of a brick to serve by each order: fops, bytes read, bytes written, time",
            "N",
        )
    }


def columns(activities: Sequence[Activity] | Sequence[Counts]) -> dict[str, Sequence[Value]]:
    """A column for each quantity that the activities have, by name; durations in seconds."""
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
