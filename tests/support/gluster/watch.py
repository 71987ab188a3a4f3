"""What ends a test that a file system does not let go of.

pytest-timeout interrupts a test at its limit, but nothing interrupts a system call that waits for
FUSE, and what comes after it, the teardown, has no limit. An end of the mount ends both.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

from tests.support.mounts import abandon, mounts

_GRACE = 0.05
"""How much later than pytest-timeout the watch acts, as a share of the limit."""
_INTERVAL = 10.0


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
