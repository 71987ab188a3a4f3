"""The work of GlusterFS's own clients on a brick: self-heal, rebalance and others."""

from __future__ import annotations

from collections.abc import Iterable

from glupy_exporter.metrics import rows
from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.schema import quantities

_MORE = """\
`glupy_file_` and `glupy_client_` metrics leave this traffic out; metrics of a whole brick include
it. An `origin` has rows from its first fop on."""

COUNTS = Declared(quantities.ACTIVITY, quantities.INTERNAL, ("origin",))


class Internal(Collector):
    """Traffic that no application caused."""

    name = "internal"
    help = "what GlusterFS's own clients (self-heal, rebalance, ...) do on each brick"
    families = COUNTS.families
    more = _MORE

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        seen = brick.segment.internal()
        origins = [(origin,) for origin in seen]
        columns = rows.columns(list(seen.values()))
        return COUNTS.rows(origins, columns, [brick.about.created] * len(seen), {})
