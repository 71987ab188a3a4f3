"""What GlusterFS's own clients do on a brick: self-heal, rebalance and the like."""

from __future__ import annotations

from collections.abc import Iterable

from glupy_exporter.metrics import rows
from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.schema import quantities

_WHICH = (
    "The glupy_file_ and glupy_client_ metrics leave this traffic out, those of whole bricks have "
    "it. origin is only there once it was seen."
)

COUNTS = Declared(quantities.ACTIVITY, quantities.INTERNAL, ("origin",), _WHICH)


class Internal(Collector):
    """Traffic that no application caused."""

    name = "internal"
    help = "what GlusterFS's own clients (self-heal, rebalance, ...) do on each brick"
    families = COUNTS.families

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """Rows of a brick that runs."""
        seen = brick.segment.internal()
        origins = [(origin,) for origin in seen]
        return COUNTS.rows(origins, rows.columns(list(seen.values())))
