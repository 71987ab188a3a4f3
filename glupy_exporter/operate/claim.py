"""One command at a time works on a volume, on whichever nodes they run.

Two at once would each take down a brick that the other counts on. glusterd's locks do not last for
as long as a command. So each command claims the volume on its own node, by a lock on a file, which
the kernel releases when the process ends, and then asks all nodes for claims. If two commands begin
at once, at least one sees the other. If both do, the one on the node with the lesser UUID goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence

from glupy_exporter.errors import UserError
from glupy_exporter.operate import gluster, peer

_WITHDRAW_SECONDS = 10.0
_ASKED_SECONDS = 2.0


@contextlib.contextmanager
def held(volume: str) -> Iterator[None]:
    """Claim the volume for the block.

    If a node has no peer script, no node can be asked; then only commands on this node are kept
    apart.

    Raises:
        UserError: a command works on it already, here or on another node, or one on another node
            has not brought it back.
    """
    with _held_here(volume):
        with contextlib.suppress(peer.NoScriptError):
            _claim(volume)
        yield


def _claim(volume: str) -> None:
    here = gluster.this_node()
    deadline = time.monotonic() + _WITHDRAW_SECONDS
    while True:
        nodes = peer.nodes()
        mine = nodes.pop(here, None)
        if mine and volume not in mine.busy:
            raise UserError(
                "this node's peer script is of an older release, so other nodes cannot see "
                "commands that run here; run `glupy-exporter xlator install` here"
            )
        busy = [uuid for uuid, node in nodes.items() if volume in node.busy]
        if not busy:
            break
        if min(busy) < here or time.monotonic() > deadline:
            raise _refused(volume, _hosts(busy))
        time.sleep(1)
    for uuid, node in nodes.items():
        if volume in node.unfinished:
            raise UserError(
                f"`xlator {node.unfinished[volume]} {volume}` on {_hosts([uuid])[0]} did not end; "
                "run it there again before anything else is done to the volume"
            )


def _hosts(uuids: Sequence[str]) -> list[str]:
    """glusterd's names of the nodes."""
    pool = gluster.pool()
    return sorted(pool[uuid].host if uuid in pool else uuid for uuid in uuids)


def _refused(volume: str, hosts: list[str]) -> UserError:
    return UserError(
        f"another `glupy-exporter xlator` works on {volume}, on {', '.join(hosts)}; "
        "wait until it has ended"
    )


@contextlib.contextmanager
def _held_here(volume: str) -> Iterator[None]:
    path = peer.STATE / f"{volume}.lock"
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; run this as root") from error
    try:
        deadline = time.monotonic() + _ASKED_SECONDS
        while not _locked(descriptor):
            # The peer script locks the file for a moment to see whether it is locked.
            if time.monotonic() > deadline:
                raise _refused(volume, ["this node"])
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
