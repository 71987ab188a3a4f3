"""The state file: the state of this node by glusterd's files and the bricks' disks.

`state` runs as root and writes the file once a minute for the exporter. If the file is missing, old
or malformed, the exporter judges bricks by their segments alone.

Version 1 of the file, which no release wrote, had the time and the first three fields of a volume.
Fields that it lacks get their defaults.
"""

from __future__ import annotations

import collections.abc
import json
import math
import os
import re
import stat
import time
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

from glupy_exporter import values
from glupy_exporter.values import Setting, Settings

SETTINGS: Settings = {
    "state.file": Setting(
        values.absolute,
        "/run/glupy-exporter/state.json",
        "file with the state of this node, as `state --file` writes it: volumes, peers and more; "
        "it also tells a brick that was removed from a brick that is down",
        "FILE",
    ),
}

VERSION = 2
MAX_AGE = 600.0
"""Seconds after which a state is too old to be used."""
MAX_SIZE = 4 * 2**20
"""The most bytes of the file."""
# Fields that are left out of a file that would be too long, in this order.
_EXPENDABLE = ("quotas", "blames", "peers", "geo_replication")
GROUP = "gluster"
"""The group that may read the file, as it may the segments (GLUPY_READERS in core/glupy.h)."""
MODE = 0o640
"""The mode of the file: only root and the group may read the paths in it."""

VOLUME_NAME = re.compile(r"[\w.-]{1,255}", re.ASCII)
"""The names that volumes may have."""
_UNFIT = re.compile("[\0\ud800-\udfff]")  # in labels: NUL, and halves of characters


OPTIONS = {
    "shard": "features.shard",
    "quota": "features.quota",
    "bitrot": "features.bitrot",
    "uss": "features.uss",
    "read_only": "features.read-only",
    "worm": "features.worm",
    "client_ssl": "client.ssl",
    "server_ssl": "server.ssl",
    "quorum_type": "cluster.quorum-type",
    "quorum_count": "cluster.quorum-count",
    "server_quorum": "cluster.server-quorum-type",
    "self_heal": "cluster.self-heal-daemon",
    "brick_multiplex": "cluster.brick-multiplex",
}
"""The options of a volume, or of the pool, that are in the state, by their labels. Others stay out:
glusterd's file of a volume also has passwords, and the names of the hosts that may mount it."""

BEFRIENDED = "befriended"
"""The state of a peer with which all is well."""


class Brick(NamedTuple):
    """A brick on this node."""

    path: str
    """Escaped as labels are."""
    host: str
    """This node's name in the volume."""
    port: int
    """0: glusterd has none on record."""
    set: int
    """Index of its replica or disperse set; a set is one brick if the volume has neither."""
    place: int
    """Its place in the set."""
    online: bool
    """Whether the process that glusterd has on record for it ran."""


class Volume(NamedTuple):
    """A volume of the pool, as this node's glusterd knows it."""

    bricks: frozenset[str]
    """Paths of its bricks on this node, escaped as labels are."""
    started: bool
    translator: bool
    """Whether it has the option that puts the translator into its bricks."""
    type: str = ""
    """The type by `gluster volume info`; empty in a state of version 1, which has nothing more."""
    id: str = ""
    transport: str = ""
    distribute: int = 0
    """Number of sets."""
    replica: int = 0
    """Bricks of a set that hold the same files, arbiters included; 0 if it is not replicated."""
    arbiter: int = 0
    disperse: int = 0
    redundancy: int = 0
    quorum: int = 0
    """Bricks of a set that have to run so that clients can use the set."""
    options: Mapping[str, str] = {}
    """By the labels of :data:`OPTIONS`; empty if it was not set. No other option is in here."""
    here: tuple[Brick, ...] = ()
    """Its bricks on this node."""

    @property
    def set_bricks(self) -> int:
        """The number of bricks of each set."""
        return self.disperse or self.replica or 1


class Peer(NamedTuple):
    """Another node of the pool."""

    name: str
    """The first of the names that glusterd has for it."""
    state: str
    """glusterd's state of the friendship, such as `befriended`."""


class Daemon(NamedTuple):
    """A daemon of GlusterFS on this node."""

    name: str
    volume: str
    """Empty for a daemon of all volumes."""
    up: bool
    cpu: float = 0.0
    """Seconds of processor time since it started."""
    resident: int = 0
    """Bytes of memory."""
    started: float = 0.0
    """Seconds since the epoch; 0 if it does not run."""


class Rebalance(NamedTuple):
    """The last rebalance of a volume, as far as this node did it."""

    status: str
    """The status by `gluster volume rebalance status`."""
    files: int = 0
    """Files that were moved."""
    bytes: int = 0
    scanned: int = 0
    failures: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def running(self) -> bool:
        """Whether it is in progress, so that there are no figures."""
        return self.status.endswith("in progress")


class Snapshots(NamedTuple):
    """The snapshots of a volume."""

    total: int
    active: int
    oldest: int
    """Seconds since the epoch."""
    limit: int
    """Number at which glusterd refuses another one."""
    soft_limit: int


class Worker(NamedTuple):
    """The geo-replication worker of one brick of this node."""

    brick: str
    status: str
    crawl: str = ""
    synced: float = 0.0
    """Time up to which changes are on the secondary, in seconds since the epoch; 0 if unknown."""
    entry: int = 0
    data: int = 0
    meta: int = 0
    failures: int = 0


class GeoReplication(NamedTuple):
    """A geo-replication session of a volume with bricks here."""

    volume: str
    secondary: str
    """HOST::VOLUME."""
    status: str
    """The state that was ordered, such as `Started`."""
    workers: tuple[Worker, ...] = ()


class Quota(NamedTuple):
    """A directory with a quota, on one set of which a brick is here."""

    volume: str
    gfid: str
    path: str
    """On the volume, escaped as labels are."""
    set: int
    limit: int
    """Bytes; -1 if there is no limit of bytes."""
    soft_limit: int
    object_limit: int
    """Files and directories; -1 if there is no limit of them."""
    used: int
    """Bytes on this set."""
    files: int
    """On this set."""
    directories: int
    """All of them: each set has every directory."""


class Blame(NamedTuple):
    """An entry for which a brick here has operations pending on another brick of its set."""

    volume: str
    brick: str
    set: int
    gfid: str
    kind: str
    """data, metadata or entry."""
    blamed: int
    """The other brick's place in the set."""


class ThinPool(NamedTuple):
    """A thin pool of LVM that bricks here are on."""

    vg: str
    name: str
    size: int
    """Bytes, as all the following."""
    used: int
    metadata_size: int
    metadata_used: int
    bricks: tuple[tuple[str, str], ...]
    """Volumes and paths."""


class NodeState(NamedTuple):
    """The state of a node at one time."""

    time: float
    """Seconds since the epoch, taken before the record was read."""
    volumes: Mapping[str, Optional[Volume]]  # noqa: UP045 (Python 3.9 evaluates it)
    """Volumes by name; None for a volume that glusterd was changing."""
    version: int = 1
    seconds: float = 0.0
    """Time that it took to learn all this."""
    parts: Mapping[str, str] = {}
    """The fault of each part that was looked at; empty if there was none."""
    nodes: int = 0
    """Nodes of the pool, this one included."""
    peers: tuple[Peer, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    rebalances: Mapping[str, Rebalance] = {}
    snapshots: Mapping[str, Snapshots] = {}
    geo_replication: tuple[GeoReplication, ...] = ()
    quotas: tuple[Quota, ...] = ()
    blames: tuple[Blame, ...] = ()
    thin_pools: tuple[ThinPool, ...] = ()

    def obsolete(self, volume: str, brick: str, ended: float) -> bool:
        """Whether the segment of a brick that ended at ``ended`` is of no use any more.

        That is so if the brick was removed from this node, or the translator from its volume.
        ``ended`` is in seconds since the epoch.
        """
        known = self.volumes.get(volume, Volume(frozenset(), False, False))
        if known is None or self.time <= ended:
            return False
        return brick not in known.bricks or not known.translator

    @property
    def counted(self) -> list[str]:
        """The names of the volumes of which bricks here should run the translator."""
        return [
            name
            for name, volume in self.volumes.items()
            if volume and volume.bricks and volume.started and volume.translator
        ]

    @property
    def here(self) -> dict[str, Volume]:
        """The volumes that have bricks on this node, by name."""
        volumes = self.volumes.items()
        return {name: volume for name, volume in volumes if volume and volume.bricks}


class Known(NamedTuple):
    """The state in the state file."""

    state: NodeState | None
    """None if there is no state, or it is too old or from the future."""
    time: float | None
    """The time of the state in the file, however old; None if there is none."""


def render(state: NodeState) -> bytes:
    """The state as JSON, in at most :data:`MAX_SIZE` bytes.

    A reader ignores keys that it does not know. If all of it is too long, parts are left out and
    named in ``parts``.
    """
    content = _json(state)
    for part in _EXPENDABLE:
        if len(content) <= MAX_SIZE:
            break
        parts = {**state.parts, part: "too long for the state file"}
        state = state._replace(parts=parts, **{part: NodeState._field_defaults[part]})
        content = _json(state)
    return content


def _json(state: NodeState) -> bytes:
    return json.dumps(_plain(state), separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    """``value`` in JSON's types."""
    if hasattr(value, "_asdict"):
        return {key: _plain(each) for key, each in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


# The state in each file, with the marks by which a new file is noticed: it changes once a minute.
_seen: dict[Path, tuple[tuple[int, ...], NodeState | None]] = {}


def look(path: Path) -> Known:
    """The state in the state file. Parses the file only if it was replaced since the last look."""
    try:
        with open(path, "rb", opener=_opened) as file:
            status = os.fstat(file.fileno())
            marks = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            seen = _seen.get(path)
            if not seen or seen[0] != marks:
                seen = _seen[path] = marks, _parsed(file, status)
    except OSError:
        return Known(None, None)
    state = seen[1]
    if state is None:
        return Known(None, None)
    return Known(state if 0 <= time.time() - state.time <= MAX_AGE else None, state.time)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO must not hold up the scrape


def read(path: Path) -> NodeState | None:
    """The state in a file; None if it is missing, too old, from the future, or not a state."""
    return look(path).state


def _parsed(file: typing.IO[bytes], status: os.stat_result) -> NodeState | None:
    try:
        if not stat.S_ISREG(status.st_mode):
            return None
        content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            return None
        # float: an int of a million digits would take long to parse.
        state: NodeState = _checked(NodeState, json.loads(content, parse_int=float))
    except (ValueError, RecursionError):
        return None
    return state if all(map(VOLUME_NAME.fullmatch, state.volumes)) else None


_RECORDS = (
    *(NodeState, Volume, Brick, Peer, Daemon, Rebalance, Snapshots, GeoReplication, Worker),
    *(Quota, Blame, ThinPool),
)
_HINTS = {each: typing.get_type_hints(each) for each in _RECORDS}


def _checked(kind: Any, value: Any) -> Any:
    """``value``, which comes from JSON, as a value of the type ``kind``.

    Raises:
        ValueError: it is something else.
    """
    if kind in _HINTS:
        _of(dict, value)
        hints = _HINTS[kind]
        missing = hints.keys() - value.keys() - kind._field_defaults.keys()
        if missing:
            raise ValueError(f"no {', '.join(sorted(missing))}")
        return kind(
            **{key: _checked(hints[key], value[key]) for key in hints.keys() & value.keys()}
        )
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return None if value is None else _checked(inner[0], value)
    if origin is collections.abc.Mapping:
        found = _of(dict, value).items()
        return {_checked(str, key): _checked(inner[1], each) for key, each in found}
    if origin is tuple and inner[1:] != (Ellipsis,):
        each = _of(list, value)
        if len(each) != len(inner):
            raise ValueError(f"{len(each)} items where {len(inner)} have to be")
        return tuple(map(_checked, inner, each))
    if origin in (tuple, frozenset):
        return origin(_checked(inner[0], each) for each in _of(list, value))
    if kind is int:
        number = _of(float, value)
        if not number.is_integer() or abs(number) >= 2**63:
            raise ValueError(f"{number!r} is no whole number")
        return int(number)
    if kind is float and not math.isfinite(_of(float, value)):
        raise ValueError(f"{value!r} is no number")
    if kind is str and _UNFIT.search(_of(str, value)):
        raise ValueError(f"{value!r:.60} is not a text for labels")
    return _of(kind, value)


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r:.60} where a {kind.__name__} has to be")
    return value
