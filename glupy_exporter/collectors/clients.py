"""The busiest clients of a brick."""

from __future__ import annotations

import time
from collections.abc import Iterable

from glupy_exporter.collectors import activity
from glupy_exporter.collectors.base import Collector, OpenBrick
from glupy_exporter.collectors.family import Family, Sample
from glupy_exporter.collectors.selector import Selector
from glupy_exporter.segment.reader import Activity

_WHICH = "Only for the busiest clients of the brick, by address; several mounts of a host are one."

FOPS = Family(
    "glupy_client_fops_total",
    "counter",
    "Fops a client asked for that came back through the translator, failed ones included. "
    + _WHICH,
    ("client", "kind"),
)
IO_BYTES = Family(
    "glupy_client_io_bytes_total",
    "counter",
    f"Bytes that a client's reads returned and its writes stored, at the translator. {_WHICH}",
    ("client", "direction"),
)
SECONDS = Family(
    "glupy_client_fop_seconds_total",
    "counter",
    f"Time that a client's fops spent below the translator in the brick. {_WHICH}",
    ("client", "kind"),
)
CONNECTED = Family(
    "glupy_clients_connected",
    "gauge",
    "Tracked client hosts that have a connection to the brick open.",
)
TRACKED = Family(
    "glupy_clients_tracked", "gauge", "Client hosts that have a slot in the brick's client table."
)
SLOTS = Family("glupy_clients_slots", "gauge", "Slots in the brick's client table, used or free.")
EVICTED = Family(
    "glupy_clients_evicted_total", "counter", "Client hosts that lost their slot to a busier one."
)
UNTRACKED = Family(
    "glupy_client_untracked_fops_total",
    "counter",
    "Fops of clients that found no slot in the brick's client table; glupy_client_ metrics miss "
    "them.",
)


class Clients(Collector):
    """The busiest client hosts, chosen as the busiest files are."""

    name = "clients"
    help = "the busiest clients of each brick"
    families = (FOPS, IO_BYTES, SECONDS, CONNECTED, TRACKED, SLOTS, EVICTED, UNTRACKED)
    default_limit = 100

    def __init__(self, limit: int | None = None) -> None:
        super().__init__(limit)
        self._selector = Selector(self.limit)

    def live(self, brick: OpenBrick) -> Iterable[Sample]:
        """Samples of a brick that runs."""
        segment = brick.segment
        health = segment.client_health()
        yield TRACKED, (), health.tracked
        yield SLOTS, (), health.slots
        yield EVICTED, (), health.evicted
        yield UNTRACKED, (), health.untracked_fops
        table = segment.client_table()
        yield CONNECTED, (), sum(map(bool, table.column("connections")))
        clients: dict[str, Activity] = {}
        for row in self._selector.select(brick.key, table.rows, time.monotonic()):
            client = segment.client(table, row)
            if client is None:
                continue
            address = client.address or "unknown"
            same = clients.get(address)
            clients[address] = activity.add(same, client.activity) if same else client.activity
        yield from activity.samples(
            (((address,), done) for address, done in clients.items()), FOPS, IO_BYTES, SECONDS
        )
