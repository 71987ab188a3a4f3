"""Learns the state of this node: each part by itself, so that one that fails costs no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional, TypeVar

from glupy_exporter.node.nodestate import VERSION, GeoReplication, NodeState, Rebalance, Volume
from glupy_exporter.segment.text import escape
from glupy_exporter.state import (
    daemons,
    disks,
    geo_replication,
    rebalances,
    records,
    snapshots,
    volumes,
)

_T = TypeVar("_T")
Volumes = Mapping[str, Optional[Volume]]


def learn(
    directory: Path | None = None,
    run: Path | None = None,
    locks: Path | None = None,
    ask_disks: bool = True,
) -> NodeState:
    """The state of this node now. Nothing here waits for glusterd or a peer, nor long for a disk.

    ``directory`` and ``run`` are glusterd's own if not given. ``locks`` is a directory for locks,
    by which one run knows what the runs before it still wait for. Without ``ask_disks`` the state
    lacks the parts that come from the bricks' disks and from LVM.

    Raises:
        UserError: glusterd's files of volumes and peers cannot be read.
    """
    now, started = time.time(), time.monotonic()
    parts: dict[str, str] = {}

    def part(name: str, look: Callable[[], _T], otherwise: _T) -> _T:
        parts[name] = ""
        try:
            return look()
        except (OSError, ValueError) as error:
            why = str(error)
        except Exception as error:  # a fault of our own in one part costs no other
            why = repr(error)
        parts[name] = escape(why.encode("utf-8", "surrogateescape"))[:200]
        return otherwise

    found = records.load(directory, run)
    known = volumes.volumes(found)
    peers = volumes.peers(found)
    members = sum(peer.state in volumes.MEMBERS for peer in peers)
    changing = ", ".join(name for name, volume in known.items() if volume is None)
    parts["volumes"] = f"files of {changing} are incomplete"[:200] if changing else ""
    parts["peers"] = ""
    moved: dict[str, Rebalance] = part("rebalances", lambda: rebalances.rebalances(found), {})
    sessions: tuple[GeoReplication, ...] = part(
        "geo_replication", lambda: geo_replication.sessions(found, known), ()
    )
    nothing = disks.Found((), (), (), {})
    on_disks = nothing
    if ask_disks:
        on_disks = part("disks", lambda: disks.look(found, known, locks), nothing)
        parts.update(on_disks.problems)
    state = NodeState(
        now,
        known,
        VERSION,
        nodes=members + 1,
        peers=peers,
        daemons=part("daemons", lambda: daemons.daemons(found, known, moved, sessions), ()),
        rebalances={name: each for name, each in moved.items() if _here(known, name)},
        snapshots=part("snapshots", lambda: snapshots.snapshots(found), {}),
        geo_replication=sessions,
        quotas=on_disks.quotas,
        blames=on_disks.blames,
        thin_pools=on_disks.thin_pools,
        parts=parts,
    )
    return state._replace(seconds=time.monotonic() - started)


def _here(known: Volumes, name: str) -> bool:
    """Whether a volume has bricks on this node."""
    volume = known.get(name)
    return bool(volume and volume.bricks)
