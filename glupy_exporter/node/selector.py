"""Finds the busiest rows of a brick's file or client table, of those that have lasted."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, islice, zip_longest
from operator import gt, ne
from typing import NamedTuple

FORGET = 300.0
"""Seconds after which a table that nobody asked for is forgotten."""

_EXPONENT_MAX = 256.0  # 2 to this power times a 64-bit count is still far below a float's maximum

_CHUNK = 64  # slots: few rows change between two scrapes, so whole chunks are compared first

Column = Sequence[int]
"""A number for each slot."""
Totals = Callable[[Sequence[int]], Sequence[tuple[int, ...]]]
"""Gives the totals of each of some slots, one for each order."""
Lasted = Callable[[Sequence[int]], Sequence[bool]]
"""Tells of each of some slots whether its row has lasted long enough to be among the busiest."""


@dataclass
class _State:
    """The memory of one brick's table; times are those passed to ``select``.

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
    """The busiest slots at the last scrape, by order, unsorted. Every other slot that had
    lasted had a lower score then."""
    lasted: bytearray
    """By slot: 1 if its row has lasted."""
    exponent: float = 0.0
    """A count that is added now weighs 2 to this power."""
    added: list[tuple[int, int]] = field(default_factory=list)
    """Slots that changed at the last scrape, each with what its row's first total had gained."""

    def add(
        self,
        tags: Column,
        stamps: Column,
        totals: Totals,
        lasted: Lasted,
        half_lives: float,
        limit: int,
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
        # What has lasted has lasted for as long as it has the slot.
        young = [slot for slot in slots if slot in fresh or not self.lasted[slot]]
        for slot, long_enough in zip(young, lasted(young)):
            self.lasted[slot] = long_enough
        self.added = [
            (slot, now[0] - (0 if slot in fresh else before[0]))
            for slot, before, now in zip(slots, befores, nows)
        ]
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

    def sorted(self, place: int) -> list[int]:
        """The busiest slots of an order, best first."""
        counted, scores = self.totals[place], self.scores[place]
        # Counts and tags break the ties between rows that have long been idle.
        return sorted(
            self.busiest[place],
            key=lambda slot: (scores[slot], counted[slot], self.tags[slot]),
            reverse=True,
        )

    def _candidates(
        self, place: int, changed: Iterable[int], fresh: set[int], limit: int
    ) -> Iterable[int] | None:
        """The slots among which the busiest are now; None if the busiest are still the same."""
        busiest, counted, scores = self.busiest[place], self.totals[place], self.scores[place]
        if not fresh.isdisjoint(busiest):
            return range(len(scores))  # any row may have moved up into the place of a fresh one
        if len(busiest) == limit:
            least = min(map(scores.__getitem__, busiest))
            rivals = {slot for slot in changed if scores[slot] >= least and self.lasted[slot]}
        else:
            rivals = {slot for slot in changed if counted[slot] and self.lasted[slot]}
        return None if rivals.issubset(busiest) else rivals.union(busiest)

    def _busiest(self, place: int, slots: Iterable[int], limit: int) -> list[int]:
        tags, counted, scores = self.tags, self.totals[place], self.scores[place]
        rows = ((scores[slot], counted[slot], tags[slot], slot) for slot in slots)
        used = (row for row in rows if row[1] and row[2] and self.lasted[row[3]])
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
        lasted=bytearray(slots),
    )


class Ranking(NamedTuple):
    """The busiest rows of a table, and what happened in it."""

    slots: list[int]
    """Best first, at most the limit."""
    added: Sequence[tuple[int, int]]
    """Slots that changed since the last call, each with what its row's first total has gained;
    none at the first call."""
    lasted: Sequence[int]
    """By slot: 1 if its row has lasted."""


class Selector:
    """Remembers between scrapes how busy each row of each brick's table was of late."""

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
        lasted: Lasted,
        half_life: float,
        now: float,
    ) -> Ranking:
        """The busiest rows of those that have lasted: the best by each of the orders, then the
        second by each, and so on, up to ``limit`` rows.

        ``key`` tells one brick's table from another's. A slot whose tag is 0 is not selected.
        ``totals`` only grow. They are asked for only where tag or stamp has changed, and so is
        ``lasted``. The writer stamps a row after it has added to it. If a copy has only one of the
        two, the addition is noticed at the next stamp.

        A row's score is its total, in which an addition of ``half_life`` seconds ago weighs half.
        All that a row has when it is first seen counts as added then. Rows whose total in an order
        is 0 are not among its busiest. ``now`` is in seconds on a monotonic clock. Tables that were
        not asked for in FORGET seconds are forgotten.
        """
        state = self._states.pop(key, None)
        self._states = {k: s for k, s in self._states.items() if now - s.seen <= FORGET}
        first = state is None or len(state.tags) != len(tags)
        if state is None or first:
            state = _unknown(now, len(tags), self._orders)
        self._states[key] = state
        half_lives = (now - state.seen) / half_life
        state.add(tags, stamps, totals, lasted, half_lives, self._limit)
        state.seen = now
        places = chain.from_iterable(zip_longest(*map(state.sorted, range(self._orders))))
        slots = dict.fromkeys(slot for slot in places if slot is not None)
        return Ranking(list(islice(slots, self._limit)), [] if first else state.added, state.lasted)
