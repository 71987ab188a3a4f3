"""Decides which rows of a brick's file or client table are worth a series."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

KEEP = 300.0
"""Seconds for which a row stays exported after it was last among the busiest, so that rate() has
its samples and series do not flap."""

CROWD = 4
"""How many times ``limit`` rows are exported at most. Where new files are the busiest all the time,
as in a mail spool, all that were in KEEP seconds would be thousands."""

_EXPONENT_MAX = 256.0  # a count of 64 bits times 2 to this power is still far from a float's limits


@dataclass
class _State:
    """What is remembered of one brick's table; times are those passed to ``select``.

    Scores do not decay: what is added weighs more the later it comes (Cormode et al.: Forward
    Decay, 2009). So a row that was idle since the last scrape costs nothing.
    """

    seen: float
    tags: list[int]
    counts: list[list[int]]
    scores: list[list[float]]
    exponent: float = 0.0
    """Of 2: what a count added now weighs."""
    busy: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Slot to tag and the time when the row was last among the busiest."""

    def add(self, tags: list[int], orders: Sequence[list[int]], half_lives: float) -> None:
        """Bring the scores up to what the table says now, ``half_lives`` later."""
        self.exponent += half_lives
        if self.exponent > _EXPONENT_MAX:
            factor = 2.0**-self.exponent
            self.scores = [[score * factor for score in scores] for scores in self.scores]
            self.exponent = 0.0
        changed = [_changed(old, new) for old, new in zip(self.counts, orders)]
        others = set(_changed(self.tags, tags))
        for old, new, slots in zip(self.counts, orders, changed):
            others.update(slot for slot in slots if new[slot] < old[slot])
        weight = 2.0**self.exponent
        for old, new, scores, slots in zip(self.counts, orders, self.scores, changed):
            for slot in slots:
                scores[slot] += (new[slot] - old[slot]) * weight
            for slot in others:
                scores[slot] = new[slot] * weight
        self.tags, self.counts = tags, list(orders)


def _changed(old: list[int], new: list[int]) -> list[int]:
    return [slot for slot, (a, b) in enumerate(zip(old, new)) if a != b]


class Selector:
    """Remembers, between scrapes, how busy each row of each brick's table was of late."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: dict[Hashable, _State] = {}

    def select(
        self,
        key: Hashable,
        tags: list[int],
        orders: Sequence[list[int]],
        half_life: float,
        now: float,
    ) -> list[int]:
        """The slots to export: the busiest ``limit`` by each order, and who was in the last KEEP
        seconds, at most CROWD times ``limit`` together: those who were last.

        ``key`` tells one brick's table from another's. ``tags`` and each of ``orders`` (counts that
        only grow) are by slot; a slot whose tag is 0 is not selected. A row's score is its count,
        of which what was added ``half_life`` seconds ago weighs half; a row seen for the first time
        brings all it has counted. Rows that count nothing in an order are not among its busiest.
        ``now`` is in seconds on a monotonic clock. Tables that nobody asked for in KEEP seconds are
        forgotten.
        """
        state = self._states.pop(key, None)
        self._states = {k: s for k, s in self._states.items() if now - s.seen <= KEEP}
        if state is None or len(state.tags) != len(tags):
            none = [0] * len(tags)
            state = _State(now, none, [none] * len(orders), [[0.0] * len(tags) for _ in orders])
        self._states[key] = state
        state.add(tags, orders, (now - state.seen) / half_life)
        state.seen = now
        for counts, scores in zip(orders, state.scores):
            # Counts and tags break the ties between rows that have long been idle.
            rows = zip(scores, counts, tags, range(len(tags)))
            counting = (row for row in rows if row[1] and row[2])
            for _, _, tag, slot in heapq.nlargest(self._limit, counting):
                state.busy[slot] = (tag, now)
        state.busy = {
            slot: (tag, last)
            for slot, (tag, last) in state.busy.items()
            if now - last <= KEEP and tags[slot] == tag
        }
        excess = len(state.busy) - self._limit * max(CROWD, len(orders))
        if excess > 0:
            for slot in heapq.nsmallest(excess, state.busy, key=lambda slot: state.busy[slot][1]):
                del state.busy[slot]
        return sorted(state.busy)
