"""Selects the rows of a brick's file or client table that get series."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import gt, ne

KEEP = 300.0
"""Seconds for which a row stays exported after it was last among the busiest, so that rate() has
its samples and series do not flap."""

CROWD = 4
"""At most ``limit`` times this many rows are exported. Where new files are the busiest all the
time, as in a mail spool, thousands would be among the busiest within KEEP seconds."""

_EXPONENT_MAX = 256.0  # 2 to this power times a 64-bit count is still far below a float's maximum

_CHUNK = 64  # slots: few rows change between two scrapes, so whole chunks are compared first

Column = Sequence[int]
"""A number for each slot."""
Totals = Callable[[Sequence[int]], Sequence[tuple[int, ...]]]
"""Gives the totals of each of some slots, one for each order."""


@dataclass
class _State:
    """What is remembered of one brick's table; times are those passed to ``select``.

    Scores do not decay. Instead, a later addition weighs more (Cormode et al.: Forward Decay,
    2009), so a row that was idle since the last scrape costs nothing.
    """

    seen: float
    tags: array[int]
    stamps: array[int]
    totals: list[array[int]]
    """By order and slot."""
    scores: list[array[float]]
    """By order and slot."""
    busiest: list[list[int]]
    """The busiest slots at the last scrape, by order. Every other slot had a lower score then."""
    exponent: float = 0.0
    """A count that is added now weighs 2 to this power."""
    busy: dict[int, tuple[int, float]] = field(default_factory=dict)
    """By slot: its tag, and the time when the row was last among the busiest."""

    def add(
        self, tags: Column, stamps: Column, totals: Totals, half_lives: float, limit: int
    ) -> None:
        """Update scores and the busiest to the table's present content, ``half_lives`` later."""
        self.exponent += half_lives
        if self.exponent > _EXPONENT_MAX:
            factor = 2.0**-self.exponent
            for place, scores in enumerate(self.scores):
                self.scores[place] = array("d", [score * factor for score in scores])
            self.exponent = 0.0
        new_tags, new_stamps = array("Q", tags), array("Q", stamps)
        fresh = set(_changed(self.tags, new_tags))
        slots = list(fresh.union(_changed(self.stamps, new_stamps)))
        befores = list(zip(*(map(order.__getitem__, slots) for order in self.totals)))
        nows = totals(slots)
        fresh.update(
            slot for slot, before, now in zip(slots, befores, nows) if any(map(gt, before, now))
        )
        weight = 2.0**self.exponent
        self.tags, self.stamps = new_tags, new_stamps
        for place, (counted, scores) in enumerate(zip(self.totals, self.scores)):
            for slot, before, now in zip(slots, befores, nows):
                added = now[place] - before[place]
                if slot in fresh:
                    scores[slot] = now[place] * weight
                elif added:
                    scores[slot] += added * weight
                else:
                    continue
                counted[slot] = now[place]
            candidates = self._candidates(place, slots, fresh, limit)
            if candidates is not None:
                self.busiest[place] = self._busiest(place, candidates, limit)

    def _candidates(
        self, place: int, changed: Iterable[int], fresh: set[int], limit: int
    ) -> Iterable[int] | None:
        """The slots among which the busiest are now; None if the busiest are still the same."""
        busiest, counted, scores = self.busiest[place], self.totals[place], self.scores[place]
        if not fresh.isdisjoint(busiest):
            return range(len(scores))  # any row may have moved up into the place of a fresh one
        if len(busiest) == limit:
            least = min(map(scores.__getitem__, busiest))
            rivals = {slot for slot in changed if scores[slot] >= least}
        else:
            rivals = {slot for slot in changed if counted[slot]}
        return None if rivals.issubset(busiest) else rivals.union(busiest)

    def _busiest(self, place: int, slots: Iterable[int], limit: int) -> list[int]:
        tags, counted, scores = self.tags, self.totals[place], self.scores[place]
        # Counts and tags break the ties between rows that have long been idle.
        rows = ((scores[slot], counted[slot], tags[slot], slot) for slot in slots)
        used = (row for row in rows if row[1] and row[2])
        return [slot for _, _, _, slot in heapq.nlargest(limit, used)]


def _changed(before: array[int], now: array[int]) -> list[int]:
    """The slots whose number differs between the two columns."""
    found: list[int] = []
    if before == now:
        return found
    for first in range(0, len(now), _CHUNK):
        a, b = before[first : first + _CHUNK], now[first : first + _CHUNK]
        if a != b:
            found.extend(compress(range(first, first + len(b)), map(ne, a, b)))
    return found


def _unknown(now: float, slots: int, orders: int) -> _State:
    """The state of a table before its first scrape."""
    none = array("Q", bytes(8 * slots))
    return _State(
        seen=now,
        tags=none,
        stamps=none,
        totals=[none[:] for _ in range(orders)],
        scores=[array("d", bytes(8 * slots)) for _ in range(orders)],
        busiest=[[] for _ in range(orders)],
    )


class Selector:
    """Remembers between scrapes how busy each row of each brick's table was of late.

    At most ``limit`` rows are the busiest in each of ``orders`` orders.
    """

    def __init__(self, limit: int, orders: int) -> None:
        self._limit = limit
        self._orders = orders
        self._states: dict[Hashable, _State] = {}

    def select(
        self,
        key: Hashable,
        tags: Column,
        stamps: Column,
        totals: Totals,
        half_life: float,
        now: float,
    ) -> list[int]:
        """The slots to export: the ``limit`` busiest by each order, and those that were among the
        busiest in the last KEEP seconds. Beyond CROWD times ``limit`` the least recent are dropped.

        ``key`` tells one brick's table from another's. A slot whose tag is 0 is not selected.
        ``totals`` only grow; they are asked for only where tag or stamp has changed. The writer
        stamps a row after it has added to it. If a copy has only one of the two, the addition is
        noticed at the next stamp.

        A row's score is its total, in which an addition of ``half_life`` seconds ago weighs half.
        All that a row has when it is first seen counts as added then. Rows whose total in an order
        is 0 are not among its busiest. ``now`` is in seconds on a monotonic clock. Tables that were
        not asked for in KEEP seconds are forgotten.
        """
        state = self._states.pop(key, None)
        self._states = {k: s for k, s in self._states.items() if now - s.seen <= KEEP}
        if state is None or len(state.tags) != len(tags):
            state = _unknown(now, len(tags), self._orders)
        self._states[key] = state
        state.add(tags, stamps, totals, (now - state.seen) / half_life, self._limit)
        state.seen = now
        for slots in state.busiest:
            state.busy.update((slot, (tags[slot], now)) for slot in slots)
        state.busy = {
            slot: (tag, last)
            for slot, (tag, last) in state.busy.items()
            if now - last <= KEEP and tags[slot] == tag
        }
        excess = len(state.busy) - self._limit * max(CROWD, self._orders)
        if excess > 0:
            for slot in heapq.nsmallest(excess, state.busy, key=lambda slot: state.busy[slot][1]):
                del state.busy[slot]
        return sorted(state.busy)
