"""Tries in the background whether the peers' glusterd can be reached."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Mapping

PORT = 24007
"""The port of glusterd."""
EVERY = 60.0
"""Seconds between two rounds."""
SECONDS = 3.0
"""The time limit of one connection."""
AT_ONCE = 8
"""The number of peers that are tried at a time."""


class Reachability:
    """Tries to connect to peers, at most once in :data:`EVERY` seconds and only if asked.

    A caller never waits: it gets the results of the last round. A round runs in threads of its own.
    If the look-up of a name hangs, the round hangs, no other round begins, and the results expire.
    """

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self._known: Mapping[str, bool] = {}
        self._ended = 0.0  # when the last round ended; monotonic
        self._running = threading.Lock()

    def reached(self, names: Iterable[str]) -> Mapping[str, bool]:
        """Whether each of ``names`` could be reached lately; without those not yet tried."""
        wanted = list(names)
        now = time.monotonic()
        due = not self._ended or now - self._ended >= EVERY
        if wanted and due and self._running.acquire(blocking=False):
            threading.Thread(target=self._round, args=(wanted,), daemon=True).start()
        if now - self._ended > 3 * EVERY:
            return {}
        return {name: self._known[name] for name in wanted if name in self._known}

    def _round(self, names: list[str]) -> None:
        try:
            known: dict[str, bool] = {}
            waiting = list(names)

            def work() -> None:
                with contextlib.suppress(IndexError):  # until no name is left
                    while True:
                        name = waiting.pop()
                        known[name] = self._reaches(name)

            threads = [threading.Thread(target=work, daemon=True) for _ in range(AT_ONCE)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self._known = known
            self._ended = time.monotonic()
        finally:
            self._running.release()

    def _reaches(self, name: str) -> bool:
        try:
            socket.create_connection((name, self._port), SECONDS).close()
        except (OSError, UnicodeError):
            return False
        return True
