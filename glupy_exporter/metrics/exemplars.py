"""Finds an example of a fop, with file and client, for each bucket of a latency histogram."""

from __future__ import annotations

import time
from bisect import bisect_left

from glupy_exporter.metrics.family import Exemplar
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.memory import Memory
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Names
from glupy_exporter.schema import layout
from glupy_exporter.segment import recorder
from glupy_exporter.segment.recorder import Fop

CHARACTERS_MAX = 128
"""The most characters that OpenMetrics allows for the labels of an exemplar, names and values."""

_RECORDS = 256  # the latest of each ring: a scrape has no time for more
_REMEMBERED = 128  # files of each brick: the exporter would have no memory for all of a few hours


class _Known:
    """The exemplars of a brick so far."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        """In each ring, where the next look begins."""
        self.names: Names | None = None
        self.exemplars: dict[str, dict[int, Exemplar]] = {}
        """By fop and bucket, the latest."""


class Exemplars:
    """Finds exemplars in the rings of bricks, and remembers the latest ones."""

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy
        self._memory: Memory[_Known] = Memory(lambda _: _Known())

    def of(self, brick: OpenBrick) -> dict[str, dict[int, Exemplar]]:
        """The latest exemplar of each bucket that has one, by fop and index of the bucket.

        Fops on files that may not be shown are left out.

        Raises:
            SegmentError: the segment cannot be read.
        """
        known = self._memory.of(brick.identity, time.monotonic())
        latest: dict[tuple[int, int], Fop] = {}
        for ring in recorder.RINGS:
            position = brick.segment.position(ring)
            since = max(known.positions.get(ring, 0), position - _RECORDS)
            if since < position:
                batch = brick.segment.recorded(since, ring)
                known.positions[ring] = batch.next
                for fop in batch.fops:
                    place = fop.fop, bisect_left(layout.LATENCY_BOUNDS, fop.ns / 1e9)
                    if place not in latest or latest[place].ended < fop.ended:
                        latest[place] = fop
        if latest:
            if known.names is None:
                known.names = Names(brick, self._privacy, _REMEMBERED)
            known.names.look_at(brick)
            for (_, bucket), fop in latest.items():
                row = known.names.recorded(fop)
                if row is not None:
                    labels = _fitting(("gfid", row.gfid), ("client", row.client))
                    if labels:
                        exemplar = Exemplar(labels, row.seconds, row.time)
                        known.exemplars.setdefault(row.fop, {})[bucket] = exemplar
        return known.exemplars


def _fitting(*labels: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The first of those labels that have a value, as many as OpenMetrics allows."""
    left = CHARACTERS_MAX
    fit = []
    for name, value in labels:
        size = len(name) + len(value)
        if value and size <= left:
            fit.append((name, value))
            left -= size
    return tuple(fit)
