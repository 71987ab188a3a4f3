"""The busiest clients of a brick."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from glupy_exporter.metrics import rows
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block, Family, single
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.memory import Memory
from glupy_exporter.schema import quantities
from glupy_exporter.segment.records import Client, ClientIdentity
from glupy_exporter.segment.table import Known, Row

AWAY = 900.0
"""Seconds after its last fop for which a client without a connection is exported."""

LIMIT, AN_HOUR = 10, 5
"""Defaults of the settings: docs/scale.md counts the series that follow."""

_WHICH = "Only the brick's busiest clients have it."
_MORE = f"""\
`client` is the address of the client's host. All mounts and programs of a host are one client and
`process` is empty, unless the volume option `user.xlator.glupy.client-detail` is `process`: then
`process` is the client's process id on its host. A client that has had no connection and no fop for
{AWAY / 60:.0f} minutes is left out."""
COUNTS = Declared(quantities.COUNTERS, quantities.CLIENT, ("client", "process"), _WHICH)
HEALTH = rows.Health(quantities.CLIENT)
CONNECTED = Family(
    "glupy_clients_connected",
    "gauge",
    "Tracked clients that have a connection to the brick open.",
)


class Clients(rows.Busiest[Client]):
    """The busiest clients, selected as the busiest files are."""

    name = "clients"
    help = "the busiest clients of each brick"
    families = (*COUNTS.families, CONNECTED, *HEALTH.families)
    settings = rows.settings(quantities.CLIENT, LIMIT, AN_HOUR)
    more = f"{rows.MORE}\n\n{_MORE}"

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._known: Memory[Known[ClientIdentity]] = Memory(lambda _: {})

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        table = brick.clients
        connections, last_seen = table.connections, table.last_seen
        yield single(CONNECTED, sum(map(bool, connections)))
        horizon = time.monotonic_ns() - AWAY * 1e9
        now = time.monotonic()
        known = self._known.of(brick.identity, now)

        def read(slots: Sequence[int]) -> Iterable[tuple[Row, Client]]:
            here = [slot for slot in slots if connections[slot] or last_seen[slot] >= horizon]
            return table.records(here, known)

        history = self.histories.of(brick.key, now)
        clients = self.selected(brick, table, table.tags, history, now, read)
        yield from HEALTH.of(brick, table, clients, history.unexported)
        labels = [(client.address, client.process) for client in clients]
        columns = rows.columns([client.activity for client in clients])
        yield from COUNTS.rows(labels, columns, columns["first_seen"], history.rows)
