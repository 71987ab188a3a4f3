"""The flight recorder: slow fops, the oldest fops in flight, and what it could not record."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from operator import attrgetter
from typing import ClassVar

from glupy_exporter import values
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.family import Block, Family, Labels, single
from glupy_exporter.node import recorder
from glupy_exporter.node.admission import SURE, Budget
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.memory import LIVES, Memory
from glupy_exporter.schema import layout
from glupy_exporter.segment import recorder as rings
from glupy_exporter.values import Setting, Settings

KEPT = Family(
    "glupy_recorded_fops_total",
    "counter",
    "Fops that the flight recorder kept because they took at least the threshold of their class "
    "(`slow`; volume options slow-read, slow-write, slow-metadata and slow-lock), or because "
    "somebody traces them (`traced`).",
    ("fop", "cause"),
)
OLDEST = Family(
    "glupy_fops_in_flight_oldest_seconds",
    "gauge",
    "Age of the oldest fop that has not come back, missing if all have, in seconds.",
    ("fop",),
)
STUCK = Family(
    "glupy_fop_in_flight_seconds",
    "gauge",
    "Age of one of the oldest fops in flight, with its file, its client, and the client that holds "
    "the lock for which it waits, in seconds; only fops older than collector.recorder.age have a "
    "row, and new rows have a budget.",
    ("fop", "gfid", "path", "client", "process", "domain", "holder", "holder_process"),
)
OVERDUE = Family(
    "glupy_fops_in_flight_overdue",
    "gauge",
    "Fops in flight that are older than collector.recorder.age, with or without a row of "
    "glupy_fop_in_flight_seconds; missing if there are none.",
)
RECORDED = Family(
    "glupy_recorder_records_total",
    "counter",
    "Fops that the brick has put into the ring, which keeps the last of them (volume options "
    "slow-records and trace-records).",
    ("ring",),
)
DROPPED = Family(
    "glupy_recorder_dropped_total",
    "counter",
    "Records of the ring that could not be written, as a slower fop still wrote to their place.",
    ("ring",),
)

_MORE = """\
The ring `slow` has slow fops. The ring `trace` has a sample of all fops, and those that somebody
traces. `/api/v1/slow` and `/api/v1/inflight` show single fops, as do `glupy-exporter slow` and
`glupy-exporter inflight`. `holder` is empty if the fop waits for no lock, or for one of which the
brick does not know the holder. A fop that is both slow and traced counts for both causes. Sampled
fops are not counted by fop: they are one in 1024 of `glupy_fop_duration_seconds_count` (volume
option `sample`).

`new-per-hour` rows of a brick's `glupy_fop_in_flight_seconds` may be new in an hour, saved up for
two hours, and `limit` more after the exporter's start. The last third of that is kept for fops that
are ten times as old as `age`. `glupy_fops_in_flight_overdue` also counts the fops without a
row."""


class Recorder(Collector):
    """Slow fops and fops in flight."""

    name = "recorder"
    help = "the flight recorder of each brick: slow fops, and the oldest fops in flight"
    families = (KEPT, OLDEST, STUCK, OVERDUE, RECORDED, DROPPED)
    more = _MORE
    settings: ClassVar[Settings] = {
        "limit": Setting(
            values.whole(0, 1000),
            5,
            "how many of a brick's oldest fops in flight have a series with file and client",
            "N",
        ),
        "age": Setting(
            values.duration,
            "60s",
            "the age from which on a fop in flight may have a series with file and client",
            "DURATION",
        ),
        "new-per-hour": Setting(
            values.whole(0, 1_000_000),
            10,
            "how many fops in flight of a brick may get a series with file and client for the "
            "first time in an hour",
            "N",
        ),
    }

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        budget = partial(Budget, self.setting("limit"), self.setting("new-per-hour"))
        self._budgets: Memory[Budget] = Memory(budget, LIVES)

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        segment = brick.segment
        health = segment.recorder_health()
        if not health:
            return  # its translator has no recorder
        kept = {
            (fop.name, cause): count
            for fop in brick.fops
            for cause, count in zip(layout.CAUSES, fop.recorded)
            if count and cause != "sampled"
        }
        yield Block(KEPT, list(kept), list(kept.values()), brick.about.created)
        names = segment.fop_names()
        under_way = segment.in_flight()
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        oldest = {}
        for fop in reversed(under_way):
            oldest[names[fop.fop],] = max(0, now - fop.started) / 1e9
        yield Block(OLDEST, list(oldest), list(oldest.values()))
        age = self.setting("age") * 1e9
        overdue = sum(now - fop.started >= age for fop in under_way)
        if overdue:
            yield single(OVERDUE, overdue)
            yield self._stuck(brick)
        for family, number in ((RECORDED, "recorded"), (DROPPED, "dropped")):
            places = {(ring,): f"{ring}_{number}" for ring in rings.RINGS}
            counted = {row: health[place] for row, place in places.items() if place in health}
            yield Block(family, list(counted), list(counted.values()), brick.about.created)

    def _stuck(self, brick: OpenBrick) -> Block:
        # Fops with the same labels have one row, with the age of the oldest.
        oldest: dict[Labels, float] = {}
        for row in recorder.in_flight(brick, self.privacy):
            if len(oldest) >= self.setting("limit") or row.seconds < self.setting("age"):
                break
            oldest.setdefault(_WHO(row), row.seconds)
        now = time.monotonic()
        budget = self._budgets.of(brick.key, now)
        sure = SURE * self.setting("age")
        ages = {
            who: seconds
            for who, seconds in oldest.items()
            if budget.spend(who, now, seconds >= sure)
        }
        return Block(STUCK, list(ages), list(ages.values()))


_WHO = attrgetter(*STUCK.labels)
