"""Learns the state of this node: each part by itself, so that one that fails costs no other."""

from __future__ import annotations

import time
from pathlib import Path

from glupy_exporter.node.nodestate import VERSION, NodeState
from glupy_exporter.state import records, volumes


def learn(directory: Path | None = None, run: Path | None = None) -> NodeState:
    """What is on record now. Nothing here waits for glusterd, a peer or a brick's disk.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    now, started = time.time(), time.monotonic()
    found = records.load(directory, run)
    known = volumes.volumes(found)
    peers = volumes.peers(found)
    members = sum(peer.state in volumes.MEMBERS for peer in peers)
    changing = ", ".join(name for name, volume in known.items() if volume is None)
    parts = {"volumes": f"files of {changing} are incomplete" if changing else "", "peers": ""}
    state = NodeState(now, known, VERSION, parts=parts, nodes=members + 1, peers=peers)
    return state._replace(seconds=time.monotonic() - started)
