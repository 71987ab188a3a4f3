"""The nodes and volumes of a trusted pool, read from the files that glusterd keeps on its disk.

Asking glusterd itself would take its lock, or a volume's lock on every peer. Only root can read its
files.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from glupy_exporter import atomic, values
from glupy_exporter.errors import UserError
from glupy_exporter.node import glusterd
from glupy_exporter.values import Setting, Settings

PORT = 9714
CLUSTER = "main"
ADDRESS = "*"

SETTINGS: Settings = {
    "discovery.file": Setting(
        values.absolute,
        "/run/glupy-exporter/targets.json",
        "file with the pool's nodes for /sd, as `state --targets` writes it; if it is missing, "
        "/sd reads glusterd's own files, which takes root",
        "FILE",
    ),
    "discovery.cluster": Setting(
        values.text, CLUSTER, "name of the cluster at /sd when it reads glusterd's files", "NAME"
    ),
    "discovery.port": Setting(
        values.whole(1, 65535),
        PORT,
        "port of the exporters at /sd when it reads glusterd's files",
        "PORT",
    ),
    "discovery.address": Setting(
        values.text,
        ADDRESS,
        "pattern for the address of a node at /sd when it reads glusterd's files: of the node's "
        "names that match, /sd takes the one that most of its bricks have",
        "GLOB",
    ),
}

_PREFIX = "__meta_glusterfs_"

# Of enum glusterd_friend_sm_state (glusterd-sm.h): BEFRIENDED, REQ_ACCEPTED, REJECTED and
# CONNECTED_ACCEPTED. A node that was rejected still holds bricks.
MEMBERS = {"3", "4", "6", "10"}


class Node(NamedTuple):
    """One node of the pool."""

    uuid: str
    names: tuple[str, ...]
    """Every name and address known of it, best first; Prometheus is given the first."""
    volumes: tuple[str, ...]
    """The volumes that have bricks on it."""

    @property
    def host(self) -> str:
        """The name or address at which Prometheus scrapes its exporter."""
        return self.names[0]


def _hosts_and_volumes(directory: Path) -> Iterator[tuple[str, str, str]]:
    """The node's UUID, the host and the volume of every brick."""
    for path in sorted(directory.glob("vols/*/bricks/*")):
        if path.name.endswith(glusterd.TEMPORARY):
            continue
        try:
            brick = glusterd.record(path)
        except FileNotFoundError:  # the volume has just been deleted
            continue
        yield brick.get("uuid", ""), brick.get("hostname", ""), path.parts[-3]


@contextmanager
def readable() -> Iterator[None]:
    """Raise UserError if reading glusterd's files fails."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; run this where glusterd runs") from error
    except OSError as error:
        why = f"cannot read {error.filename}: {error.strerror}"
        raise UserError(f"{why}; run this as root") from error


def own_uuid(directory: Path) -> str:
    """The UUID of this node's glusterd.

    Raises:
        OSError: glusterd's file cannot be read.
    """
    return glusterd.record(directory / "glusterd.info").get("UUID", "")


def peers(directory: Path) -> dict[str, tuple[str, list[str]]]:
    """The state and the names of every peer, by UUID; glusterd's own name for it comes first."""
    found = {}
    for path in directory.glob("peers/*"):
        if path.name.endswith(glusterd.TEMPORARY):
            continue
        try:
            peer = glusterd.record(path)
        except FileNotFoundError:  # the peer has just been detached
            continue
        names = [peer[key] for key in sorted(peer) if key.startswith("hostname") and peer[key]]
        found[peer.get("uuid", "")] = peer.get("state", ""), names
    return found


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _by_rank(hosts: Counter[str], others: Sequence[str], address: str) -> tuple[str, ...]:
    """All names, best first: those that match ``address``, then by the number of bricks that have
    the name, then names before addresses. All nodes that know the same names give the same order.
    """

    def rank(name: str) -> tuple[bool, int, bool, str]:
        return not fnmatchcase(name, address), -hosts[name], _is_address(name), name

    return tuple(sorted({*hosts, *others}, key=rank))


def nodes(directory: Path | None = None, address: str = ADDRESS) -> list[Node]:
    """All nodes of this node's pool, itself included, sorted by host.

    A node's host is the name that most of its bricks have, among its names that match the pattern
    ``address`` if any do. This node does not know what its peers call it. If it holds no bricks and
    others do, it is left out: the others list it, and a second name would make it two nodes.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    directory = directory or glusterd.working_directory()
    with readable():
        here = own_uuid(directory)
        others = peers(directory)
        bricks = list(_hosts_and_volumes(directory))
    owners = {owner for owner, _, _ in bricks if owner}
    # A peer that holds bricks is a node of the pool, even while it still joins or leaves.
    known = {u: names for u, (state, names) in others.items() if u in owners or state in MEMBERS}
    if here in owners or not owners:
        known[here] = [socket.gethostname()]
    found = []
    for uuid, names in known.items():
        hosts = Counter(host for owner, host, _ in bricks if owner == uuid and host)
        volumes = sorted({volume for owner, _, volume in bricks if owner == uuid})
        ranked = _by_rank(hosts, names, address)
        if ranked:
            found.append(Node(uuid, ranked, tuple(volumes)))
    return sorted(found, key=lambda node: node.host)


def _listed(items: Sequence[str]) -> str:
    return f",{','.join(items)}," if items else ""


def groups(found: Sequence[Node], cluster: str, port: int) -> list[dict[str, Any]]:
    """The nodes as groups of targets in the format of ``http_sd_config`` and ``file_sd_config``.

    The labels begin with ``__meta_glusterfs_``: cluster, host, node (the UUID), names and volumes.
    The last two are lists with a comma before, between and after their items.
    """
    return [
        {
            "targets": [f"[{node.host}]:{port}" if ":" in node.host else f"{node.host}:{port}"],
            "labels": {
                f"{_PREFIX}cluster": cluster,
                f"{_PREFIX}host": node.host,
                f"{_PREFIX}node": node.uuid,
                f"{_PREFIX}names": _listed(node.names),
                f"{_PREFIX}volumes": _listed(node.volumes),
            },
        }
        for node in found
    ]


def render(found: Sequence[Mapping[str, Any]]) -> bytes:
    """Groups of targets as JSON."""
    return json.dumps(found, indent=2).encode() + b"\n"


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file, which everybody may read unless ``mode`` says otherwise.

    A reader sees the old content or the new one.

    Raises:
        UserError: it cannot be written.
    """
    try:
        atomic.replace(path, content, mode)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def read(path: Path) -> list[dict[str, Any]]:
    """The groups of targets in a file that ``state`` wrote.

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
        raise UserError(f"{path} holds no groups of targets; `glupy-exporter state` writes them")
    return found
