"""The other nodes of the trusted pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import Metric

from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.family import Exposed, Family, Labels, Value
from glupy_exporter.node.labels import fitting
from glupy_exporter.node.nodestate import BEFRIENDED, NodeState

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
UNSETTLED = Family(
    "glupy_pool_peer_unsettled",
    "gauge",
    "Always 1; a peer that is not befriended, and the state of the friendship.",
    ("peer", "state"),
    of_brick=False,
)

_MORE = """\
From the state file, up to a minute old. The state of a friendship is that of joining and leaving;
it stays `befriended` while a peer is down. Every node has a row for each of its peers only if
something is wrong with them, since a row for each would be as many as the square of the nodes."""


class Pool(Collector):
    """Nodes and peers by glusterd's record."""

    name = "pool"
    help = "the nodes of the trusted pool"
    families = (NODES, PEERS, UNSETTLED)
    more = _MORE

    def node(self, state: NodeState | None) -> Iterable[Exposed | Metric]:
        """The families of the pool."""
        if not state or not state.nodes:
            return
        yield Exposed.of_node(NODES, {(): state.nodes})
        states = {BEFRIENDED: 0, **Counter(peer.state for peer in state.peers)}
        yield Exposed.of_node(PEERS, {(each,): number for each, number in states.items()})
        unsettled = [peer for peer in state.peers if peer.state != BEFRIENDED]
        if unsettled:
            rows: dict[Labels, Value] = {(fitting(peer.name), peer.state): 1 for peer in unsettled}
            yield Exposed.of_node(UNSETTLED, rows)
