"""What the collectors of the busiest files and clients share."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Union

from glupy_exporter import values
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block, Family, single
from glupy_exporter.node import activity
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.selector import Selector
from glupy_exporter.schema import quantities
from glupy_exporter.schema.quantities import COUNTERS, DURATION, Subject
from glupy_exporter.segment.records import Activity, Client, Counts, File
from glupy_exporter.segment.table import ClientTable, FileTable
from glupy_exporter.values import Setting, Settings

Table = Union[FileTable, ClientTable]

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


def columns(activities: Sequence[Activity] | Sequence[Counts]) -> dict[str, Sequence[Any]]:
    """A column for each quantity that the activities have, by name; durations in seconds."""
    names = activities[0]._fields if activities else Activity._fields
    found: dict[str, Sequence[Any]] = {}
    for each in COUNTERS:
        if each.name not in names:
            continue
        column = [getattr(activity, each.name) for activity in activities]
        if each.kind == DURATION:
            column = [tuple([ns / 1e9 for ns in value]) for value in column]
        found[each.name] = column
    return found


class Health:
    """The families of how full a table is, and of what its counts may lack."""

    def __init__(self, subject: Subject) -> None:
        self._declared = Declared(quantities.HEALTH, subject)
        self._rows = subject.rows
        self._slots = Family(
            subject.say("glupy_{rows}_slots"),
            "gauge",
            subject.say("Slots in the brick's {name} table, used or free."),
        )
        self._error_bound = Family(
            subject.say("glupy_{name}_count_error_bound"),
            "gauge",
            subject.say(
                "The most fops by which any exported glupy_{name}_fops_total of the brick may be "
                "too low, as fops before {row} got its slot are not counted."
            ),
        )
        self.families = (*self._declared.families, self._slots, self._error_bound)

    def of(
        self, brick: OpenBrick, table: Table, served: Sequence[File] | Sequence[Client]
    ) -> Iterable[Block]:
        """The rows of a brick, of whose table the rows ``served`` are exported."""
        yield from self._declared.single(
            brick.segment.health(self._rows), started=brick.about.created
        )
        yield single(self._slots, len(table.tags))
        bound = max((row.activity.error_bound for row in served), default=0)
        yield single(self._error_bound, bound)


class Busiest(Collector):
    """A collector that selects its rows, from one scrape to the next."""

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._selector = Selector(self.setting("limit"), activity.ORDERS)

    def selected(self, brick: OpenBrick, table: Table, tags: array[int], now: float) -> list[int]:
        """The slots to serve, of those whose tag in ``tags`` is not 0.

        ``now`` is in seconds on a monotonic clock.
        """
        totals = partial(activity.totals, table)
        half_life = brick.segment.half_life
        return self._selector.select(brick.key, tags, table.last_seen, totals, half_life, now)
