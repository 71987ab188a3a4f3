"""The other nodes of the trusted pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

from prometheus_client.core import Metric

from glupy_exporter import values
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.family import Exposed, Family, Labels, Value
from glupy_exporter.node.labels import fitting
from glupy_exporter.node.nodestate import BEFRIENDED, NodeState
from glupy_exporter.node.reachability import Reachability
from glupy_exporter.values import Setting, Settings

NODES = Family(
    "glupy_pool_nodes",
    "gauge",
    "Number of nodes of the trusted pool by this node's glusterd, this node included.",
    of_brick=False,
)
PEERS = Family(
    "glupy_pool_peers",
    "gauge",
    "Number of other nodes that this node's glusterd has on record, by the state of the "
    "friendship.",
    ("state",),
    of_brick=False,
)
REACHABLE = Family(
    "glupy_pool_peer_reachable",
    "gauge",
    "1 if this node could lately connect to the port of the peer's glusterd, 0 if not.",
    ("peer",),
    of_brick=False,
)
UNSETTLED = Family(
    "glupy_pool_peer_unsettled",
    "gauge",
    "Always 1; a peer that is not befriended, and the state of the friendship.",
    ("peer", "state"),
    of_brick=False,
)

_MORE = """\
These metrics are from the state file, so they are up to a minute old; only for
`glupy_pool_peer_reachable` the exporter itself connects to the peers. The state of a friendship
changes when a node joins or leaves; it stays `befriended` while a peer is down. A peer has a row of
its own only if something is wrong with it. Otherwise a pool of 100 nodes would have 9900 rows, as
each node knows all others. `--collector.pool.reachability` makes a row for each peer, so it is for
small pools."""


class Pool(Collector):
    """Nodes and peers by glusterd's record."""

    name = "pool"
    help = "the nodes of the trusted pool"
    families = (NODES, PEERS, UNSETTLED, REACHABLE)
    more = _MORE
    settings: ClassVar[Settings] = {
        "reachability": Setting(
            values.switch,
            False,
            "connect to the port of each peer's glusterd every minute and say whether that works; "
            "connections are made in the background, and nothing is sent",
        )
    }

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._reachability = Reachability() if self.setting("reachability") else None

    def node(self, state: NodeState | None) -> Iterable[Exposed | Metric]:
        """The families of the pool."""
        if not state or not state.nodes:
            return
        yield Exposed.of_node(NODES, {(): state.nodes})
        states = {BEFRIENDED: 0, **Counter(peer.state for peer in state.peers)}
        yield Exposed.of_node(PEERS, {(each,): number for each, number in states.items()})
        if self._reachability:
            names = [peer.name for peer in state.peers]
            reached = self._reachability.reached(names)
            found: dict[Labels, Value] = {(fitting(name),): int(up) for name, up in reached.items()}
            yield Exposed.of_node(REACHABLE, found)
        unsettled = [peer for peer in state.peers if peer.state != BEFRIENDED]
        if unsettled:
            rows: dict[Labels, Value] = {(fitting(peer.name), peer.state): 1 for peer in unsettled}
            yield Exposed.of_node(UNSETTLED, rows)
