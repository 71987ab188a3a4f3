"""Decides which rows of a brick's file or client table are worth a series."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import ne

KEEP = 300.0
"""Seconds for which a row stays exported after it was last among the busiest, so that rate() has
its samples and series do not flap."""

CROWD = 4
"""How many times ``limit`` rows are exported at most. Where new files are the busiest all the time,
as in a mail spool, all that were in KEEP seconds would be thousands."""

_EXPONENT_MAX = 256.0  # a count of 64 bits times 2 to this power is still far from a float's limits


_CHUNK = 64  # of slots: as few rows change between two scrapes, most are compared by the chunk

Column = Sequence[int]
Order = Sequence[Column]
"""What rows can be busiest by: the sum of these counters, each by slot."""


@dataclass
class _State:
    """What is remembered of one brick's table; times are those passed to ``select``.

    Scores do not decay: what is added weighs more the later it comes (Cormode et al.: Forward
    Decay, 2009). So a row that was idle since the last scrape costs nothing.
    """

    seen: float
    tags: array[int]
    orders: list[list[array[int]]]
    scores: list[array[float]]
    busiest: list[list[int]]
    """By order, as of the last scrape: all others are less busy, unless they have changed since."""
    exponent: float = 0.0
    """Of 2: what a count added now weighs."""
    busy: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Slot to tag and the time when the row was last among the busiest."""

    def add(self, tags: Column, orders: Sequence[Order], half_lives: float, limit: int) -> None:
        """Bring scores and the busiest up to what the table says now, ``half_lives`` later."""
        self.exponent += half_lives
        if self.exponent > _EXPONENT_MAX:
            factor = 2.0**-self.exponent
            for place, scores in enumerate(self.scores):
                self.scores[place] = array("d", [score * factor for score in scores])
            self.exponent = 0.0
        new_tags = array("Q", tags)
        new_orders = [[array("Q", column) for column in order] for order in orders]
        # By order, the slots where anything is another now, what was counted there, and what is.
        changes = []
        for old, new in zip(self.orders, new_orders):
            slots = _changed(old, new)
            changes.append(list(zip(slots, _sums(old, slots), _sums(new, slots))))
        others = set(_changed([self.tags], [new_tags]))
        others.update(slot for change in changes for slot, before, now in change if now < before)
        weight = 2.0**self.exponent
        for place, (change, order, scores) in enumerate(zip(changes, new_orders, self.scores)):
            for slot, before, now in change:
                scores[slot] += (now - before) * weight
            for slot, count in zip(others, _sums(order, others)):
                scores[slot] = count * weight
            self.busiest[place] = _busiest(
                limit,
                self._candidates(place, [slot for slot, _, _ in change], others, limit),
                new_tags,
                order,
                scores,
            )
        self.tags, self.orders = new_tags, new_orders

    def _candidates(
        self, place: int, changed: Iterable[int], others: set[int], limit: int
    ) -> Iterable[int]:
        """The slots among which the busiest are now."""
        busiest, scores = self.busiest[place], self.scores[place]
        if not others.isdisjoint(busiest):
            return range(len(scores))  # somebody whom nobody has looked at may follow
        if len(busiest) == limit:
            least = min(map(scores.__getitem__, busiest))
            changed = [slot for slot in changed if scores[slot] >= least]
        return {*busiest, *changed, *others}


def _sums(order: Order, slots: Iterable[int]) -> Iterator[int]:
    """What is counted in each of the slots."""
    return map(sum, zip(*(map(column.__getitem__, slots) for column in order)))


def _changed(old: Order, new: Order) -> list[int]:
    """The slots where a column is another than it was."""
    found: set[int] = set()
    for before, now in zip(old, new):
        for first in range(0, len(now), _CHUNK):
            a, b = before[first : first + _CHUNK], now[first : first + _CHUNK]
            if a != b:
                found.update(compress(range(first, first + len(b)), map(ne, a, b)))
    return list(found)


def _busiest(
    limit: int, slots: Iterable[int], tags: Column, order: Order, scores: Sequence[float]
) -> list[int]:
    used = [slot for slot in slots if tags[slot]]
    # Counts and tags break the ties between rows that have long been idle.
    rows = zip(map(scores.__getitem__, used), _sums(order, used), map(tags.__getitem__, used), used)
    return [slot for _, _, _, slot in heapq.nlargest(limit, (row for row in rows if row[1]))]


def _unknown(now: float, slots: int, columns: Sequence[int]) -> _State:
    """The state of a table of which nothing is known, with so many columns in each order."""
    none = array("Q", bytes(8 * slots))
    return _State(
        seen=now,
        tags=none,
        orders=[[none] * count for count in columns],
        scores=[array("d", bytes(8 * slots)) for _ in columns],
        busiest=[[] for _ in columns],
    )


class Selector:
    """Remembers, between scrapes, how busy each row of each brick's table was of late."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: dict[Hashable, _State] = {}

    def select(
        self,
        key: Hashable,
        tags: Column,
        orders: Sequence[Order],
        half_life: float,
        now: float,
    ) -> list[int]:
        """The slots to export: the busiest ``limit`` by each order, and who was in the last KEEP
        seconds, at most CROWD times ``limit`` together: those who were last.

        ``key`` tells one brick's table from another's. ``tags`` and the columns of ``orders``,
        counts that only grow, are by slot; a slot whose tag is 0 is not selected. A row's score is
        its count, of which what was added ``half_life`` seconds ago weighs half; a row seen for the
        first time brings all it has counted. Rows that count nothing in an order are not among its
        busiest. ``now`` is in seconds on a monotonic clock. Tables that nobody asked for in KEEP
        seconds are forgotten.
        """
        state = self._states.pop(key, None)
        self._states = {k: s for k, s in self._states.items() if now - s.seen <= KEEP}
        if state is None or len(state.tags) != len(tags):
            state = _unknown(now, len(tags), [len(order) for order in orders])
        self._states[key] = state
        state.add(tags, orders, (now - state.seen) / half_life, self._limit)
        state.seen = now
        for slots in state.busiest:
            state.busy.update((slot, (tags[slot], now)) for slot in slots)
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
