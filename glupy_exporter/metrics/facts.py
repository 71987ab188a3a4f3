"""The facts that the translator's maintenance thread learns: file system, index, process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.schema import quantities

FILESYSTEM = Declared(quantities.FILESYSTEM, quantities.BRICK, ("device", "fsid"))
PROCESS = Declared(quantities.PROCESS, quantities.BRICK, ("pid",))
CONDITION = Declared(quantities.CONDITION, quantities.BRICK)

_DEVICES = Path("/sys/dev/block")

_MORE = """\
The maintenance thread learns these facts every 5 seconds. It waits for the brick's disk, so with a
disk that hangs `glupy_brick_facts_timestamp_seconds` and
`glupy_segment_heartbeat_timestamp_seconds` stand still. Facts that it cannot learn are missing.

Several bricks of a node may share a file system; `fsid` tells file systems of a node apart. To
count each once, fold the bricks first:
`sum by (instance) (max by (instance, fsid) (glupy_brick_filesystem_size_bytes))`.
`device` is the kernel's name of the block device, as in node_exporter's `node_disk_` metrics, or
`major:minor` if there is none. Multiplexed bricks share a process, which `max by (instance, pid)`
counts once.

`glupy_brick_heal_pending_entries{index="xattrop"}` is what `gluster volume heal VOLUME statistics
heal-count` shows. Writes in flight are in the index for a moment, so an alert should look at the
least of some minutes. A fop waits in the queue of its priority while all I/O threads that this
priority may use are busy."""


def _device(number: int) -> str:
    """The kernel's name of a block device. Does not wait for the device."""
    major_minor = f"{os.major(number)}:{os.minor(number)}"
    try:
        return (_DEVICES / major_minor).readlink().name
    except OSError:
        return major_minor


class Facts(Collector):
    """One row of a brick in each family, or none."""

    name = "facts"
    help = "capacity, heal backlog, queues and process of each brick"
    families = (*FILESYSTEM.families, *PROCESS.families, *CONDITION.families)
    more = _MORE

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        about = brick.about
        if "filesystem_id" in about.facts and "filesystem_device" in about.facts:
            fsid = f"{int(about.facts['filesystem_id']):x}"
            device = _device(int(about.facts["filesystem_device"]))
            yield from FILESYSTEM.single(about.facts, device, fsid)
        yield from PROCESS.single(about.facts, str(about.pid))
        yield from CONDITION.single(about.facts)
