"""The bricks of this node: identity and liveness."""

from __future__ import annotations

import time
from collections.abc import Iterable

from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block, Family, single
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.schema import quantities

UP = Family(
    "glupy_brick_up",
    "gauge",
    "1 if the brick's process runs and holds its segment open, 0 if it is gone.",
)
INFO = Family(
    "glupy_brick_info",
    "gauge",
    "Always 1; the labels describe the brick's process and give the index of its replica or "
    "disperse set (subvolume, empty if unknown).",
    ("hostname", "pid", "glusterfs_version", "xlator_version", "subvolume"),
)
CREATED = Family(
    "glupy_segment_created_timestamp_seconds",
    "gauge",
    "When the translator created the brick's segment and its counters began at 0, in seconds since "
    "the epoch.",
)
HEARTBEAT_AGE = Family(
    "glupy_segment_heartbeat_age_seconds",
    "gauge",
    "Time since the translator's maintenance thread last made its round in the brick, by the clock "
    "of the brick's node, in seconds.",
)
NUMBERS = Declared(quantities.NUMBERS, quantities.BRICK)

_MORE = """\
The maintenance thread makes its round each second. If `glupy_volume_bricks` exceeds the number of
`glupy_brick_info` of the volume on all nodes, some bricks run without the translator."""


class Bricks(Collector):
    """Identity and liveness; the only collector with rows of dead bricks."""

    name = "bricks"
    help = "identity and liveness of each brick"
    families = (UP, INFO, CREATED, *NUMBERS.families, HEARTBEAT_AGE)
    more = _MORE

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        yield from self._identity(brick)
        yield from NUMBERS.single(brick.about.numbers, started=brick.about.created)
        yield single(HEARTBEAT_AGE, max(0.0, time.time() - brick.about.heartbeat))

    def dead(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick whose process is gone but whose segment is not."""
        return self._identity(brick)

    @staticmethod
    def _identity(brick: OpenBrick) -> Iterable[Block]:
        about = brick.about
        subvolume = "" if about.subvolume is None else str(about.subvolume)
        labels = (
            about.host,
            str(about.pid),
            about.glusterfs_version,
            about.xlator_version,
            subvolume,
        )
        yield single(UP, int(about.alive))
        yield single(INFO, 1, *labels)
        yield single(CREATED, about.created)
