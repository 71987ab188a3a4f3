"""Fops of a brick: latency, errors, I/O sizes, fops in flight."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from glupy_exporter import values
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.exemplars import Exemplars
from glupy_exporter.metrics.family import Block, Family, Histogram, Labels
from glupy_exporter.node import errnos
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.memory import Memory
from glupy_exporter.schema import layout
from glupy_exporter.segment import reader
from glupy_exporter.values import Setting, Settings

DURATION = Family(
    "glupy_fop_duration_seconds",
    "histogram",
    "Time from the arrival of a fop at the translator until its answer came back through it, "
    "without network and client, in seconds.",
    ("fop",),
    layout.LATENCY_BOUNDS,
    served=layout.LATENCY_BOUNDS[4:25:2],
    native=True,
    nanoseconds=True,
)
ERRORS = Family(
    "glupy_fop_errors_total",
    "counter",
    "Fops that came back through the translator with an error, ENOENT of a lookup included; errno "
    'is "other" for errnos without a name.',
    ("fop", "errno"),
)
IN_FLIGHT = Family(
    "glupy_fops_in_flight",
    "gauge",
    "Fops that passed the translator and have not come back.",
    ("fop",),
)
IO_BYTES = Family(
    "glupy_io_bytes_total",
    "counter",
    "Bytes of file data that reads returned and writes stored, copy_file_range included.",
    ("direction",),
)
IO_SIZE = Family(
    "glupy_io_size_bytes",
    "histogram",
    "Sizes of successful reads and writes, in bytes.",
    ("direction",),
    tuple(float(2 ** (i + 1) - 1) for i in range(layout.SIZE_BUCKETS - 1)),
    served=tuple(float(2**k - 1) for k in (9, 12, 13, 14, 16, 17, 18, 20)),
)

_MORE = """\
A fop's duration is the time below the translator in the brick's graph, down to the disk. Every fop
that was ever called has a row. `glupy_io_bytes_total` counts copies that the brick makes by itself
(copy_file_range) as writes; `gluster volume profile` has no bytes of those.

The buckets that are served by default have bounds from 2^-16 s (15 us) to 2^4 s (16 s), each four
times the one before, and sizes just below those that programs and protocols use: 512 bytes, 4, 8,
16, 64, 128 and 256 KiB, and 1 MiB. An I/O of exactly 4 KiB is in the bucket with `le` 8191. With
`--collector.fops.buckets=all`, latencies have bounds from 2^-20 s (1 us) to 2^6 s (64 s), each
twice the one before, and the buckets of sizes are the block sizes of `gluster volume profile`.

In OpenMetrics and protobuf, buckets of latencies have exemplars. An exemplar names the file, by its
gfid, and the client of the latest fop in the bucket that the brick has recorded, because it was
slow, sampled or traced. Prometheus keeps exemplars with `--enable-feature=exemplar-storage`. Files
that may not be shown have none.

While a brick runs a translator with layout version 1, quantiles of its durations are up to 4.6 %
too low: the bounds of its buckets are powers of two of a microsecond, 4.9 % more than the bounds
that `le` names."""


class Fops(Collector):
    """Fops of the whole brick."""

    name = "fops"
    help = "fops of each brick: latency, errors, I/O sizes, in flight"
    families = (DURATION, ERRORS, IN_FLIGHT, IO_BYTES, IO_SIZE)
    more = _MORE
    settings: ClassVar[Settings] = {
        "buckets": Setting(
            values.one_of(("few", "all")),
            "few",
            "the classic buckets of latencies and I/O sizes to serve, of which each is a series: "
            "few or all",
            "WHICH",
        ),
        "exemplars": Setting(
            values.switch,
            True,
            "give latency buckets exemplars, with gfid and client of a fop that the brick has "
            "recorded, in the formats that have them (OpenMetrics, protobuf)",
        ),
    }

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._exemplars = Exemplars(self.privacy) if self.setting("exemplars") else None
        self._known_errors: Memory[dict[str, tuple[int, Counter[Labels]]]] = Memory(lambda _: {})
        self._duration, self._io_size = DURATION, IO_SIZE
        if self.setting("buckets") == "all":
            self._duration, self._io_size = (
                replace(family, served=None) for family in (DURATION, IO_SIZE)
            )
            self.families = (self._duration, ERRORS, IN_FLIGHT, IO_BYTES, self._io_size)

    def _errors(self, brick: OpenBrick) -> dict[Labels, int]:
        """Errors by fop and errno. Most are as they were at the last scrape."""
        known = self._known_errors.of(brick.identity, time.monotonic())
        errors: dict[Labels, int] = {}
        for name, row in brick.segment.errno_rows():
            version = hash(row)  # has 64 bits and a random seed: no need to keep the row
            if name not in known or known[name][0] != version:
                counts: Counter[Labels] = Counter()
                for number, count in reader.counted(row):
                    counts[name, errnos.NAMES.get(number, "other")] += count
                known[name] = version, counts
            errors.update(known[name][1])
        return errors

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        fops = brick.fops
        names = [(fop.name,) for fop in fops]
        exemplars = self._exemplars.of(brick) if self._exemplars else {}
        durations = [
            Histogram(fop.buckets, fop.nanoseconds, exemplars.get(fop.name, {})) for fop in fops
        ]
        created = brick.about.created
        yield Block(self._duration, names, durations, created)
        yield Block(IN_FLIGHT, names, [fop.in_flight for fop in fops])
        errors = self._errors(brick)
        yield Block(ERRORS, list(errors), list(errors.values()), created)
        moved = brick.segment.io()
        directions = [(direction,) for direction in moved]
        yield Block(IO_BYTES, directions, [io.bytes for io in moved.values()], created)
        sizes = [Histogram(io.buckets, io.bytes) for io in moved.values()]
        yield Block(self._io_size, directions, sizes, created)
