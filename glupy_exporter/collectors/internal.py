"""What GlusterFS's own clients do on a brick: self-heal, rebalance and the like."""

from __future__ import annotations

from collections.abc import Iterable

from glupy_exporter.collectors import activity
from glupy_exporter.collectors.base import Collector, OpenBrick
from glupy_exporter.collectors.family import Block, Family
from glupy_exporter.schema import layout

_WHICH = (
    "The glupy_file_ and glupy_client_ metrics leave this traffic out, those of whole bricks have "
    "it. origin is only there once it was seen."
)

FOPS = Family(
    "glupy_internal_fops_total",
    "counter",
    "Fops that GlusterFS's own clients asked for and that came back through the translator, failed "
    f"ones included. {_WHICH}",
    ("origin", "kind"),
    parts=layout.KINDS,
)
IO_BYTES = Family(
    "glupy_internal_io_bytes_total",
    "counter",
    f"Bytes that the reads of GlusterFS's own clients returned and their writes stored. {_WHICH}",
    ("origin", "direction"),
    parts=layout.DIRECTIONS,
)
SECONDS = Family(
    "glupy_internal_fop_seconds_total",
    "counter",
    "Time that the fops of GlusterFS's own clients spent below the translator in the brick. "
    + _WHICH,
    ("origin", "kind"),
    parts=layout.KINDS,
)


class Internal(Collector):
    """Traffic that no application caused."""

    name = "internal"
    help = "what GlusterFS's own clients (self-heal, rebalance, ...) do on each brick"
    families = (FOPS, IO_BYTES, SECONDS)

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """Rows of a brick that runs."""
        seen = brick.segment.internal()
        origins = [(origin,) for origin in seen]
        return activity.blocks(origins, list(seen.values()), FOPS, IO_BYTES, SECONDS)
