"""Pairs of clients that wait for each other's locks on a file, as far as fops tell."""

from __future__ import annotations

from collections.abc import Sequence

from glupy_exporter.probes import Counter, Probe
from glupy_exporter.probes.base import Record

LONG = 0.1  # seconds: a lock that nobody has is granted at once
_LOCKS = frozenset(("inodelk", "finodelk", "entrylk", "fentrylk", "lk"))
_FILES = 10_000  # whose last clients are remembered


class LockContention(Probe):
    """Adds up waits for locks, by who waited and who had a lock on that file before."""

    waited = Counter(
        "lock_waits_total",
        "Requests for a lock that took 100 ms or longer, by the client that had a lock on the file "
        "before, of those that were recorded.",
        ("volume", "path", "waiter", "holder"),
    )
    seconds = Counter(
        "lock_wait_seconds_total",
        "Time of these requests, in seconds.",
        ("volume", "path", "waiter", "holder"),
    )

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], str] = {}

    def record(self, batch: Sequence[Record]) -> None:
        """Find the waits among the records."""
        for fop in batch:
            if fop.fop not in _LOCKS or fop.error:
                continue
            where = fop.brick, fop.gfid
            holder = self._last.pop(where, "")
            if fop.seconds >= LONG and holder != fop.client:
                pair = fop.volume, fop.path or fop.gfid, fop.client, holder
                self.waited.add(*pair)
                self.seconds.add(*pair, by=fop.seconds)
            if len(self._last) >= _FILES:
                del self._last[next(iter(self._last))]
            self._last[where] = fop.client
