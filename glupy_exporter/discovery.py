"""The nodes and volumes of a trusted pool, from what glusterd keeps on its disk.

glusterd is not asked: that would take its lock, or one of the whole cluster. Its files are root's.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from glupy_exporter import atomic, values
from glupy_exporter.errors import UserError
from glupy_exporter.nodestate import Volume
from glupy_exporter.segment.reader import escape
from glupy_exporter.values import Setting, Settings

GLUSTERD = Path("/var/lib/glusterd")
PORT = 9714
CLUSTER = "main"

SETTINGS: Settings = {
    "discovery.file": Setting(
        values.absolute,
        "/run/glupy-exporter/targets.json",
        "file with the pool's nodes for /sd, as `discover --file` writes it; without the file, "
        "glusterd's own are read, for which it takes root",
        "FILE",
    ),
    "discovery.cluster": Setting(
        values.text, CLUSTER, "what /sd calls the cluster when it reads them", "NAME"
    ),
    "discovery.port": Setting(
        values.whole(1, 65535), PORT, "where /sd then says that exporters listen", "PORT"
    ),
}

_PREFIX = "__meta_glusterfs_"

# Of enum glusterd_friend_sm_state (glusterd-sm.h): BEFRIENDED, REQ_ACCEPTED, REJECTED and
# CONNECTED_ACCEPTED. A node that was rejected holds bricks all the same.
_MEMBER_STATES = {"3", "4", "6", "10"}
_STARTED = "1"  # of enum glusterd_volume_status (glusterd.h)
_OPTION = "user.xlator.glupy"


class Node(NamedTuple):
    """One node of the pool."""

    uuid: str
    host: str
    """The name or address by which its bricks are known, or else it is known to its peers."""
    volumes: tuple[str, ...]
    """Those that have bricks on it."""


def _values(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of one of glusterd's files, as labels have them."""
    lines = map(escape, path.read_bytes().split(b"\n"))
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}


def _hosts_and_volumes(directory: Path) -> Iterator[tuple[str, str, str]]:
    """UUID of the node, host and volume of every brick."""
    for path in sorted(directory.glob("vols/*/bricks/*")):
        try:
            brick = _values(path)
        except FileNotFoundError:  # the volume has just been deleted
            continue
        yield brick.get("uuid", ""), brick.get("hostname", ""), path.parts[-3]


@contextmanager
def _readable() -> Iterator[None]:
    """Raise UserError if glusterd's files are not."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; run this where glusterd runs") from error
    except OSError as error:
        why = f"cannot read {error.filename}: {error.strerror}"
        raise UserError(f"{why}; run this as root") from error


def nodes(directory: Path = GLUSTERD) -> list[Node]:
    """All nodes of the pool that this node belongs to, itself included, by their hosts' names.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    with _readable():
        here = _values(directory / "glusterd.info").get("UUID", "")
        known = {here: socket.gethostname()}
        for path in directory.glob("peers/*"):
            peer = _values(path)
            if peer.get("state") in _MEMBER_STATES:
                known[peer.get("uuid", "")] = peer.get("hostname1", "")
        bricks = list(_hosts_and_volumes(directory))
    found = []
    for uuid, fallback in known.items():
        hosts = Counter(host for owner, host, _ in bricks if owner == uuid)
        host = hosts.most_common(1)[0][0] if hosts else fallback
        volumes = sorted({volume for owner, _, volume in bricks if owner == uuid})
        if host:
            found.append(Node(uuid, host, tuple(volumes)))
    return sorted(found, key=lambda node: node.host)


def volumes(directory: Path = GLUSTERD) -> dict[str, Volume | None]:
    """All volumes of the pool by name, snapshots included; None for one that is being changed.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    with _readable():
        here = _values(directory / "glusterd.info").get("UUID", "")
        found = [*directory.glob("vols/*/info"), *directory.glob("snaps/*/*/info")]
        return {path.parent.name: _volume(path.parent, here) for path in sorted(found)}


def _volume(directory: Path, here: str) -> Volume | None:
    try:
        info = _values(directory / "info")
        names = [info[f"brick-{number}"] for number in range(int(info["count"]))]
        bricks = [_values(directory / "bricks" / name) for name in names]
        on_node = frozenset(brick["path"] for brick in bricks if brick["uuid"] == here)
    except (FileNotFoundError, KeyError, ValueError):
        return None
    return Volume(on_node, info.get("status") == _STARTED, _OPTION in info)


def groups(found: Sequence[Node], cluster: str, port: int) -> list[dict[str, Any]]:
    """The nodes as groups of targets in the format of ``http_sd_config`` and ``file_sd_config``.

    Labels begin with ``__meta_glusterfs_``: cluster, host, node (its UUID), and volumes, a list
    with a comma before, between and after its items.
    """
    return [
        {
            "targets": [f"[{node.host}]:{port}" if ":" in node.host else f"{node.host}:{port}"],
            "labels": {
                f"{_PREFIX}cluster": cluster,
                f"{_PREFIX}host": node.host,
                f"{_PREFIX}node": node.uuid,
                f"{_PREFIX}volumes": f",{','.join(node.volumes)}," if node.volumes else "",
            },
        }
        for node in found
    ]


def render(found: Sequence[Mapping[str, Any]]) -> bytes:
    """Groups of targets as JSON."""
    return json.dumps(found, indent=2).encode() + b"\n"


def write(path: Path, content: bytes) -> None:
    """Replace a file for others to read; a reader sees the old content or the new one.

    Raises:
        UserError: it cannot be written.
    """
    try:
        atomic.replace(path, content, 0o644)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def read(path: Path) -> list[dict[str, Any]]:
    """The groups of targets that :func:`write` has put into a file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, list) or not all(
        isinstance(group, dict) and isinstance(group.get("targets"), list) for group in found
    ):
        raise UserError(f"{path} holds no groups of targets; `glupy-exporter discover` writes them")
    return found
