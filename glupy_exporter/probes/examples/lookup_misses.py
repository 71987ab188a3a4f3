"""Lookups of names that do not exist, by directory: programs that search along a path of them."""

from __future__ import annotations

from collections.abc import Sequence

from glupy_exporter.probes import Counter, Probe
from glupy_exporter.probes.base import Record


class LookupMisses(Probe):
    """Counts lookups that failed with ENOENT."""

    misses = Counter(
        "lookup_misses_total",
        "Lookups of names that do not exist, of those that were recorded.",
        ("volume", "directory", "client"),
    )

    def record(self, batch: Sequence[Record]) -> None:
        """Count the lookups among the records."""
        for fop in batch:
            if fop.fop == "lookup" and fop.error == "ENOENT":
                directory = fop.path.rpartition("/")[0] or "/"
                self.misses.add(fop.volume, directory, fop.client)
