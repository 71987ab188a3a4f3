"""The busiest clients of a brick."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from glupy_exporter.collectors import activity
from glupy_exporter.collectors.base import Collector, OpenBrick, Options
from glupy_exporter.collectors.family import Block, Family, single
from glupy_exporter.collectors.memory import Memory
from glupy_exporter.collectors.selector import Selector
from glupy_exporter.schema import layout
from glupy_exporter.segment.reader import ClientIdentity, Known

AWAY = 900.0
"""Seconds after a client's last fop until it is no longer exported, if it has no connection."""

_WHICH = (
    "Only for the busiest clients of the brick, by address; several mounts of a host are one and "
    "process is empty, unless the volume option user.xlator.glupy.client-detail is process: then "
    "process is the client's process id on its host. "
    f"Without a connection and a fop for {AWAY / 60:.0f} minutes a client is no longer served."
)
_LABELS = ("client", "process")

FOPS = Family(
    "glupy_client_fops_total",
    "counter",
    "Fops a client asked for that came back through the translator, failed ones included. "
    + _WHICH,
    (*_LABELS, "kind"),
    parts=layout.KINDS,
)
IO_BYTES = Family(
    "glupy_client_io_bytes_total",
    "counter",
    f"Bytes that a client's reads returned and its writes stored, at the translator. {_WHICH}",
    (*_LABELS, "direction"),
    parts=layout.DIRECTIONS,
)
SECONDS = Family(
    "glupy_client_fop_seconds_total",
    "counter",
    f"Time that a client's fops spent below the translator in the brick. {_WHICH}",
    (*_LABELS, "kind"),
    parts=layout.KINDS,
)
ERRORS = Family(
    "glupy_client_fop_errors_total",
    "counter",
    f"Fops of a client that came back with an error, ENOENT of a lookup included. {_WHICH}",
    _LABELS,
)
CONNECTIONS = Family(
    "glupy_client_connections",
    "gauge",
    f"Connections that a client has open to the brick. {_WHICH}",
    _LABELS,
)
FIRST_SEEN = Family(
    "glupy_client_first_seen_timestamp_seconds",
    "gauge",
    f"When a client got its slot, which is when its counters began at 0. {_WHICH}",
    _LABELS,
)
LAST_SEEN = Family(
    "glupy_client_last_seen_timestamp_seconds",
    "gauge",
    f"When a client's last fop came back. {_WHICH}",
    _LABELS,
)
CONNECTED = Family(
    "glupy_clients_connected",
    "gauge",
    "Tracked clients that have a connection to the brick open.",
)
TRACKED = Family(
    "glupy_clients_tracked", "gauge", "Clients that have a slot in the brick's client table."
)
SLOTS = Family("glupy_clients_slots", "gauge", "Slots in the brick's client table, used or free.")
EVICTED = Family(
    "glupy_clients_evicted_total", "counter", "Clients that lost their slot to a busier one."
)
UNTRACKED = Family(
    "glupy_client_untracked_fops_total",
    "counter",
    "Fops of clients that found no slot in the brick's client table; glupy_client_ metrics miss "
    "them.",
)
ERROR_BOUND = Family(
    "glupy_client_count_error_bound",
    "gauge",
    "The most fops by which any exported glupy_client_fops_total of the brick may be too low: a "
    "client is counted from when it gets its slot, and may have been at work before.",
)


class Clients(Collector):
    """The busiest clients, chosen as the busiest files are."""

    name = "clients"
    help = "the busiest clients of each brick"
    families = (
        *(FOPS, IO_BYTES, SECONDS, ERRORS, CONNECTIONS, FIRST_SEEN, LAST_SEEN),
        *(CONNECTED, TRACKED, SLOTS, EVICTED, UNTRACKED, ERROR_BOUND),
    )
    settings = activity.settings(100)
    more = activity.MORE

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._selector = Selector(self.setting("limit"), activity.ORDERS)
        self._known: Memory[Known[ClientIdentity]] = Memory(dict)

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """Rows of a brick that runs."""
        segment = brick.segment
        health = segment.client_health()
        yield single(TRACKED, health.tracked)
        yield single(SLOTS, health.slots)
        yield single(EVICTED, health.evicted)
        yield single(UNTRACKED, health.untracked_fops)
        table = segment.client_table()
        connections, last_seen = table.connections, table.last_seen
        yield single(CONNECTED, sum(map(bool, connections)))
        horizon = time.monotonic_ns() - AWAY * 1e9
        now = time.monotonic()
        totals = partial(activity.totals, table)
        slots = self._selector.select(
            brick.key, table.tags, last_seen, totals, segment.half_life, now
        )
        here = [slot for slot in slots if connections[slot] or last_seen[slot] >= horizon]
        found = segment.clients(table, here, self._known.of(brick, now))
        clients = activity.merge_clients(client for _, client in found)
        yield single(ERROR_BOUND, max((client.error_bound for client in clients), default=0))
        labels = [(client.address, client.process) for client in clients]
        activities = [client.activity for client in clients]
        yield from activity.blocks(labels, activities, FOPS, IO_BYTES, SECONDS)
        yield Block(ERRORS, labels, [done.errors for done in activities])
        yield Block(CONNECTIONS, labels, [client.connections for client in clients])
        yield Block(FIRST_SEEN, labels, [done.first_seen for done in activities])
        yield Block(LAST_SEEN, labels, [done.last_seen for done in activities])
