"""One command at a time works on a volume, on whichever nodes they run.

Two at once would each take down a brick that the other counts on. No lock of glusterd lasts for as
long as that, so each command claims the volume on its own node, by a lock on a file that the kernel
lets go with the process, and then asks all nodes for claims. Of two that begin at once at least one
sees the other. Where both do, the node with the lesser UUID goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from glupy_exporter.errors import UserError
from glupy_exporter.xlator import gluster, peer

_WITHDRAW_SECONDS = 10.0
_ASKED_SECONDS = 2.0


@contextlib.contextmanager
def held(volume: str) -> Iterator[None]:
    """Work on the volume in the block, and nobody else does.

    Raises:
        UserError: a command works on it already, here or on another node.
    """
    with _held_here(volume):
        deadline = time.monotonic() + _WITHDRAW_SECONDS
        while others := _others(volume):
            if min(others) < gluster.this_node() or time.monotonic() > deadline:
                raise _refused(volume, sorted(others.values()))
            time.sleep(1)
        yield


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
            # A node that asks whether the file is locked locks it for a moment.
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


def _others(volume: str) -> dict[str, str]:
    """Hosts of the other nodes on which a command works on the volume, by UUID."""
    here = gluster.this_node()
    busy = {uuid for uuid, node in peer.nodes().items() if volume in node.busy and uuid != here}
    pool = gluster.pool() if busy else {}
    return {uuid: pool[uuid].host if uuid in pool else uuid for uuid in busy}
