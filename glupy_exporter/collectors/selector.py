"""Decides which rows of a brick's file or client table are worth a series."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field

from glupy_exporter.segment.reader import Row

HALF_LIFE = 60.0
"""Seconds after which a fop weighs half in a row's score."""

KEEP = 300.0
"""Seconds for which a row stays exported after it was last among the busiest, so that rate() has
its samples and series do not flap."""


# Score, fops, tag of a row: fops before the tag, to break ties between rows that are idle.
_Score = tuple[float, int, int]


@dataclass
class _State:
    """What is remembered of one brick's table; times are those passed to ``select``."""

    seen: float
    scores: dict[int, _Score] = field(default_factory=dict)
    busy: dict[int, tuple[int, float]] = field(default_factory=dict)  # slot: tag, last among them


class Selector:
    """Remembers, between scrapes, how busy each row of each brick's table was of late."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: dict[Hashable, _State] = {}

    def select(self, key: Hashable, rows: list[Row], now: float) -> list[Row]:
        """The rows to export: the busiest ``limit``, and those that were in the last KEEP seconds.

        ``key`` tells one brick's table from another's, ``now`` is in seconds on a monotonic clock.
        A row's score is its fops, decayed; one seen for the first time brings all it has counted.
        Tables that nobody asked for in KEEP seconds are forgotten.
        """
        state = self._states.pop(key, None) or _State(now)
        self._states = {k: s for k, s in self._states.items() if now - s.seen <= KEEP}
        self._states[key] = state
        decay = 0.5 ** ((now - state.seen) / HALF_LIFE)
        before = state.scores
        scores: dict[int, _Score] = {}
        for slot, tag, fops in rows:
            score, counted, known = before.get(slot, (0.0, 0, tag))
            same = known == tag and counted <= fops
            scores[slot] = (score * decay + fops - counted if same else fops, fops, tag)
        for slot in heapq.nlargest(self._limit, scores, key=scores.__getitem__):
            state.busy[slot] = (scores[slot][-1], now)
        state.busy = {
            slot: (tag, last)
            for slot, (tag, last) in state.busy.items()
            if now - last <= KEEP and slot in scores and scores[slot][-1] == tag
        }
        state.scores = scores
        state.seen = now
        return [row for row in rows if row[0] in state.busy]
