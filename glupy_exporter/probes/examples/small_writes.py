"""Files that are appended to in tiny pieces: each piece costs a round trip to every replica."""

from __future__ import annotations

from collections.abc import Sequence

from glupy_exporter.probes import Counter, Probe
from glupy_exporter.probes.base import Record

TINY = 4096  # bytes
_FILES = 10_000  # whose ends are remembered


class SmallWrites(Probe):
    """Counts writes of less than 4 KiB that begin where the write before ended."""

    appended = Counter(
        "small_appends_total",
        "Writes of less than 4 KiB at the end of the write before, of those that were recorded.",
        ("volume", "path", "client"),
    )

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], int] = {}

    def record(self, batch: Sequence[Record]) -> None:
        """Count the small writes among the records."""
        for fop in batch:
            if fop.fop != "write" or fop.error:
                continue
            where = fop.brick, fop.gfid
            if fop.size < TINY and self._ends.pop(where, None) == fop.offset:
                self.appended.add(fop.volume, fop.path or fop.gfid, fop.client)
            if len(self._ends) >= _FILES:
                del self._ends[next(iter(self._ends))]
            self._ends[where] = fop.offset + fop.size
