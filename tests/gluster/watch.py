"""What ends a test that a file system does not let go of.

pytest-timeout interrupts a test at its limit, but nothing interrupts a system call that waits for
FUSE, and what comes after it, the teardown, has no limit. An end of the mount ends both.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_FORCE, _MNT_DETACH = 1, 2
_GRACE = 0.05
"""How much later than pytest-timeout the watch acts, as a share of the limit."""
_INTERVAL = 10.0


def mounts(prefix: str) -> list[str]:
    """The mount points of GlusterFS whose path begins so, in whatever state their volumes are."""
    found = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [
        words[4] for words in found if "fuse.glusterfs" in words and words[4].startswith(prefix)
    ]


def abandon(mount_point: str) -> None:
    """Unmount by force: all calls that wait for this file system fail.

    Not by umount(8), since a child of a process with files there may hang before it becomes that
    program, when it closes those files.
    """
    if _LIBC.umount2(os.fsencode(mount_point), _MNT_FORCE | _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), mount_point)


@contextlib.contextmanager
def watch(limit: float, prefix: str) -> Iterator[None]:
    """Abandon the mounts whose path begins with ``prefix`` if the body outlasts ``limit`` seconds,
    then those that are made later.
    """
    over = threading.Event()

    def run() -> None:
        seconds = limit * (1 + _GRACE)
        while not over.wait(seconds):
            for mount_point in mounts(prefix):
                text = f"watch: over the limit of {limit:g} s; {mount_point} is abandoned"
                print(text, file=sys.stderr, flush=True)  # now, to be in that test's report
                with contextlib.suppress(OSError):  # unmounted meanwhile
                    abandon(mount_point)
            seconds = _INTERVAL

    thread = threading.Thread(target=run, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_INTERVAL)
