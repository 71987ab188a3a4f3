"""Volumes, their bricks and the pool's peers, from glusterd's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from glupy_exporter.node import discovery, glusterd
from glupy_exporter.node.nodestate import BEFRIENDED, OPTIONS, Brick, Peer, Volume
from glupy_exporter.schema import option_table
from glupy_exporter.segment.text import unescape
from glupy_exporter.state import processes
from glupy_exporter.state.records import Records

# Of enum gf1_cluster_type (cli1-xdr.x), glusterd_volume_status (glusterd.h), gf_transport_type
# (glusterd.h) and glusterd_friend_sm_state (glusterd-sm.h).
REPLICATED, DISPERSED = "2", "4"
STARTED = "1"
_TRANSPORTS = {"0": "tcp", "1": "rdma", "2": "tcp,rdma"}
_PEER_STATES = (
    "default",
    "request sent",
    "request received",
    BEFRIENDED,
    "request accepted",
    "request sent and received",
    "rejected",
    "unfriend sent",
    "probe received",
    "connected to peer",
    "connected and accepted",
)
MEMBERS = {_PEER_STATES[int(number)] for number in discovery.MEMBERS}
"""The states of peers that are nodes of the pool."""

_VALUE_MAX = 64  # characters of an option's value


def volumes(records: Records) -> dict[str, Volume | None]:
    """All volumes of the pool by name; None for a volume that glusterd is changing.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    with discovery.readable():
        return {name: _volume(records, name, info) for name, info in records.volumes.items()}


def _volume(records: Records, name: str, info: Mapping[str, str] | None) -> Volume | None:
    if info is None:
        return None
    try:
        files = enumerate(bricks(records, name, info))
        own = {place: each for place, each in files if each["uuid"] == records.here}
        on_node = frozenset(brick["path"] for brick in own.values())
        known = Volume(on_node, info.get("status") == STARTED, option_table.PREFIX in info)
        if "type" in info:
            known = _described(known, {**records.options, **info})
        return known._replace(here=_here(known, own, records.run / "vols" / name))
    except PermissionError:
        raise
    except (OSError, KeyError, ValueError):
        return None


def bricks(records: Records, name: str, info: Mapping[str, str]) -> list[dict[str, str]]:
    """glusterd's files of a volume's bricks, in the bricks' order.

    Raises:
        OSError, KeyError, ValueError: glusterd is changing the volume.
    """
    directory = records.volume(name) / "bricks"
    files = [_file_name(info[f"brick-{number}"]) for number in range(int(info["count"]))]
    return [glusterd.record(directory / file) for file in files]


def _file_name(name: str) -> str:
    """The name of a brick's file.

    Raises:
        ValueError: it would lead out of its directory.
    """
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(name)
    return os.fsdecode(unescape(name))


def _described(known: Volume, info: Mapping[str, str]) -> Volume:
    """The volume with its shape and options."""

    def number(key: str) -> int:
        return int(info.get(key) or "0")

    kind = info["type"]
    known = known._replace(
        replica=number("replica_count") if kind == REPLICATED else 0,
        arbiter=number("arbiter_count") if kind == REPLICATED else 0,
        disperse=number("disperse_count") if kind == DISPERSED else 0,
        redundancy=number("redundancy_count") if kind == DISPERSED else 0,
    )
    if known.redundancy >= known.set_bricks:
        raise ValueError(f"sets of {known.set_bricks} bricks with as many to spare")
    sets = number("count") // known.set_bricks
    single = {REPLICATED: "Replicate", DISPERSED: "Disperse"}.get(kind, "Distribute")
    return known._replace(
        type=f"Distributed-{single}" if sets > 1 and single != "Distribute" else single,
        id=info.get("volume-id", ""),
        transport=_TRANSPORTS.get(info.get("transport-type", ""), ""),
        distribute=sets,
        quorum=quorum(known, info),
        options={label: info.get(option, "")[:_VALUE_MAX] for label, option in OPTIONS.items()},
    )


def _here(volume: Volume, own: Mapping[int, Mapping[str, str]], run: Path) -> tuple[Brick, ...]:
    """This node's bricks; ``own`` has their files by their places in the volume."""
    return tuple(
        Brick(
            brick["path"],
            brick.get("hostname", ""),
            int(brick.get("listen-port") or "0"),
            place // volume.set_bricks,
            place % volume.set_bricks,
            _online(run, brick),
        )
        for place, brick in own.items()
    )


def quorum(volume: Volume, info: Mapping[str, str]) -> int:
    """The number of bricks of a set that have to run so that clients can use the set.

    The source are AFR's client quorum (afr-common.c, fix_quorum_options in afr.c) and EC's
    (ec_t.fragments, disperse.quorum-count). If a set with an even number of bricks needs half of
    them, AFR also wants its first brick among these; this number does not tell that.
    """
    if volume.disperse:
        least = volume.disperse - volume.redundancy
        return min(max(least, int(info.get("disperse.quorum-count") or "0")), volume.disperse)
    if not volume.replica:
        return 1
    kind = info.get("cluster.quorum-type") or ("auto" if volume.replica > 2 else "none")
    if kind == "auto":
        return (volume.replica + 1) // 2
    fixed = int(info.get("cluster.quorum-count") or "1") if kind == "fixed" else 1
    return min(max(fixed, 1), volume.replica)


def _online(directory: Path, brick: Mapping[str, str]) -> bool:
    """Whether the process of a brick runs, by the pid file that glusterd made for it."""
    path = unescape(brick["path"])
    dashed = os.fsdecode(path[1:].replace(b"/", b"-"))
    file = directory / f"{os.fsdecode(unescape(brick.get('hostname', '')))}-{dashed}.pid"
    process = processes.of_pid_file(file)
    # The arguments of a multiplexed process have the name of its first brick only.
    return bool(process and process.called("brick"))


def peers(records: Records) -> tuple[Peer, ...]:
    """All other nodes of the pool, sorted by name.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    with discovery.readable():
        found = discovery.peers(records.directory).items()
    return tuple(
        sorted(Peer(names[0] if names else uuid, _state(state)) for uuid, (state, names) in found)
    )


def _state(number: str) -> str:
    try:
        return _PEER_STATES[int(number)]
    except (ValueError, IndexError):
        return "unknown"
