"""Finds the busiest rows of a brick's file or client table, of those that have lasted."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, compress, islice, repeat, zip_longest
from operator import itemgetter, le, lt, ne, not_, sub
from typing import NamedTuple, TypeVar

FORGET = 300.0
"""Seconds after which a table that nobody asked for is forgotten."""

_EXPONENT_MAX = 256.0  # 2 to this power times a 64-bit count is still far below a float's maximum

_CHUNK = 8  # slots: few rows change between two scrapes, so whole chunks are compared first

_N = TypeVar("_N", int, float)
Column = Sequence[int]
"""A number for each slot."""
Totals = Callable[[Sequence[int]], Sequence[Column]]
"""Gives the totals of some slots: a column for each order, with a number for each of the slots."""
Lasted = Callable[[Sequence[int]], Sequence[bool]]
"""Tells of each of some slots whether its row has lasted long enough to be among the busiest."""
Recent = Callable[[Sequence[int]], Sequence[float]]
"""Tells of each of some slots what share of its row's totals weighs as if it were added now."""


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
    """The busiest slots at the last scrape, by order, best first. Every other slot that had
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
        recent: Recent | None,
        half_lives: float,
        limit: int,
    ) -> None:
        """Update scores and the busiest to the table's present content, ``half_lives`` later.

        Without ``recent`` all that was added since is recent.
        """
        self.exponent += half_lives
        if self.exponent > _EXPONENT_MAX:
            factor = 2.0**-self.exponent
            for place, scores in enumerate(self.scores):
                self.scores[place] = array("d", [score * factor for score in scores])
            self.exponent = 0.0
        new_tags, new_stamps = array("Q", tags), array("Q", stamps)
        fresh = set(_changed(self.tags, new_tags))
        slots = list(fresh.union(_changed(self.stamps, new_stamps)))
        self.tags, self.stamps = new_tags, new_stamps
        self.added = []
        if not slots:
            return
        pick = _picker(slots)
        columns = totals(slots)
        self._clear(fresh)
        for counted, column in zip(self.totals, columns):
            shrunk = [*compress(slots, map(lt, column, pick(counted)))]
            fresh.update(shrunk)
            self._clear(shrunk)
        # What has lasted has lasted for as long as it has the slot.
        young = [*compress(slots, map(not_, pick(self.lasted)))]
        for slot, long_enough in zip(young, lasted(young)):
            self.lasted[slot] = long_enough
        self.added = [*zip(slots, map(sub, columns[0], pick(self.totals[0])))]
        weights = recent(slots) if recent else [self.one] * len(slots)
        for place, (counted, scores, column) in enumerate(zip(self.totals, self.scores, columns)):
            for slot, now, before, weight in zip(slots, column, pick(counted), weights):
                if now != before:
                    scores[slot] += (now - before) * weight
                    counted[slot] = now
            if fresh.isdisjoint(self.busiest[place]):
                candidates = self._candidates(place, slots, pick(scores), limit)
            else:  # any row may have moved up into the place of a fresh one
                candidates = range(len(scores))
            if candidates:
                self.busiest[place] = self._busiest(place, candidates, limit)

    @property
    def one(self) -> float:
        """The weight of a count that is added now."""
        return float(2.0**self.exponent)

    @property
    def at_work(self) -> list[list[int]]:
        """Those of the busiest of whose additions more than one is left, by order."""
        least = self.one
        return [
            [slot for slot in busiest if scores[slot] > least]
            for busiest, scores in zip(self.busiest, self.scores)
        ]

    def _clear(self, slots: Collection[int]) -> None:
        """Forget what is known of rows that have lost these slots."""
        for slot in slots:
            self.lasted[slot] = 0
        for counted, scores in zip(self.totals, self.scores):
            for slot in slots:
                counted[slot], scores[slot] = 0, 0.0

    def _candidates(
        self, place: int, changed: Iterable[int], theirs: Iterable[float], limit: int
    ) -> Sequence[int]:
        """The slots among which the busiest are now, if none of them has lost its row; none if
        they and their order are the same.

        ``theirs`` are the scores of those that changed.
        """
        busiest, scores = self.busiest[place], self.scores[place]
        least = min(map(scores.__getitem__, busiest)) if len(busiest) == limit else 0.0
        rivals = {*compress(changed, map(le, repeat(least), theirs))}
        if not rivals:
            return []
        return [*busiest, *rivals.difference(busiest)]  # almost in order already

    def _busiest(self, place: int, slots: Iterable[int], limit: int) -> list[int]:
        tags, counted, scores = self.tags, self.totals[place], self.scores[place]
        lasted = self.lasted
        # Counts and tags break the ties between rows that have long been idle.
        used = [
            (scores[slot], counted[slot], tags[slot], slot)
            for slot in slots
            if lasted[slot] and counted[slot] and tags[slot]
        ]
        used.sort(reverse=True)
        return [slot for _, _, _, slot in used[:limit]]


def _picker(slots: Sequence[int]) -> Callable[[Sequence[_N]], Sequence[_N]]:
    """A function that gives the numbers of these slots in a column."""
    if len(slots) > 1:
        return itemgetter(*slots)
    return lambda column: [column[slot] for slot in slots]


@lru_cache(maxsize=8)
def _chunks(slots: int) -> tuple[struct.Struct, range]:
    """How to cut a column into chunks, and the first slot of each."""
    whole, rest = divmod(slots, _CHUNK)
    sizes = f"{8 * _CHUNK}s" * whole + f"{8 * rest}s" * bool(rest)
    return struct.Struct(sizes), range(0, slots, _CHUNK)


def _changed(before: array[int], now: array[int]) -> list[int]:
    """The slots whose number differs between the two columns."""
    if before == now:
        return []
    chunks, starts = _chunks(len(now))
    cut = chunks.unpack(before), chunks.unpack(now)
    differ = [*map(ne, *cut)]
    # Only these are compared slot by slot, all at once.
    a, b = (array("Q", b"".join(compress(column, differ))) for column in cut)
    slots = chain.from_iterable(
        [range(start, start + _CHUNK) for start in compress(starts, differ)]
    )
    return [*compress(slots, map(ne, a, b))]


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
        self._states: dict[Hashable, _State] = {}  # that asked for last comes last

    def select(
        self,
        key: Hashable,
        tags: Column,
        stamps: Column,
        totals: Totals,
        lasted: Lasted,
        recent: Recent,
        half_life: float,
        now: float,
    ) -> Ranking:
        """The busiest rows of those that have lasted: the best by each of the orders, then the
        second by each, and so on, up to ``limit`` rows. Rows that are idle in an order come last.

        ``key`` tells one brick's table from another's. A slot whose tag is 0 is not selected.
        ``totals`` only grow. They are asked for only where tag or stamp has changed, and so is
        ``lasted``. The writer stamps a row after it has added to it. If a copy has only one of the
        two, the addition is noticed at the next stamp.

        A row's score is its total, in which an addition of ``half_life`` seconds ago weighs half.
        A row is idle in an order if one addition or less is left of its score. If its total is 0,
        it is not among the busiest at all.

        When a table is first seen, nobody knows when its totals were added, so ``recent`` is asked.
        All that a later row has when it is first seen counts as added then. ``now`` is in seconds
        on a monotonic clock. Tables that were not asked for in FORGET seconds are forgotten.
        """
        state = self._states.pop(key, None)
        while self._states and now - next(iter(self._states.values())).seen > FORGET:
            del self._states[next(iter(self._states))]
        first = state is None or len(state.tags) != len(tags)
        if state is None or first:
            state = _unknown(now, len(tags), self._orders)
        self._states[key] = state
        half_lives = (now - state.seen) / half_life
        state.seen = now
        asked = recent if first else None
        state.add(tags, stamps, totals, lasted, asked, half_lives, self._limit)
        turns = chain(zip_longest(*state.at_work), zip_longest(*state.busiest))
        slots = dict.fromkeys(slot for slot in chain.from_iterable(turns) if slot is not None)
        return Ranking(list(islice(slots, self._limit)), [] if first else state.added, state.lasted)
