"""Decides which of a brick's busiest rows get series, so that churn costs Prometheus little.

Prometheus keeps a series in memory for up to three hours after its last sample. So the cost depends
on the number of different rows that are exported within hours, not on the number at one time. A row
has to last before it gets series, and a budget bounds how many rows get series for the first time.
docs/scale.md has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence, Set
from typing import NamedTuple

KEEP = 300.0
"""Seconds for which a row keeps its series after its last fop, so that rate() has its samples and
series do not come and go."""

YIELD = 60.0
"""Seconds after it was last among the busiest at which a row makes room for another one."""

SAVED_HOURS = 2.0
"""The hours whose budget can be saved up."""

RESERVE = 1 / 3
"""The share of the savings that is kept for sure candidates."""

SURE = 10.0
"""A candidate is sure if it has lasted this many times as long as required, and is among the busier
half."""


class Budget:
    """Bounds how many identities get series for the first time: ``an_hour``, saved up for
    SAVED_HOURS.

    At the start ``at_once`` more may. Identities that had series of late are free: the last
    ``1.5 * at_once`` of them are remembered. In any ``h`` hours at most
    ``at_once + an_hour * (SAVED_HOURS + h)`` identities are paid for.

    Times are in seconds on a monotonic clock, and do not go back.
    """

    def __init__(self, at_once: int, an_hour: float, now: float) -> None:
        self._most = an_hour * SAVED_HOURS
        self._a_second = an_hour / 3600
        self._tokens = at_once + self._most
        self._updated = now
        self._remembered = at_once + at_once // 2
        self._known: dict[Hashable, None] = {}  # in the order in which they were last seen

    def spend(self, identity: Hashable, now: float, sure: bool = True) -> bool:
        """Whether the identity may have series; it is then remembered."""
        if identity not in self._known:
            earned = (now - self._updated) * self._a_second
            if self._tokens < self._most:
                self._tokens = min(self._most, self._tokens + earned)
            self._updated = now
            if self._tokens < 1 + (0 if sure else RESERVE * self._most):
                return False
            self._tokens -= 1
        self.remember(identity)
        return True

    def remember(self, identity: Hashable) -> None:
        """Take note that the identity has series now."""
        self._known.pop(identity, None)
        self._known[identity] = None
        if len(self._known) > self._remembered:
            del self._known[next(iter(self._known))]


class Candidate(NamedTuple):
    """A row that is among the busiest and has lasted long enough."""

    identity: Hashable
    lasted: float
    """Seconds from the fop by which it got its slot to its last fop."""


class Admission:
    """Chooses the rows of one brick's table that have series.

    At most ``limit`` have series at a time, and ``an_hour`` get them for the first time. Every
    candidate has lasted ``lasting`` seconds or more.
    """

    def __init__(self, limit: int, an_hour: float, lasting: float, now: float) -> None:
        self._limit = limit
        self._sure = SURE * lasting
        self._budget = Budget(limit, an_hour, now)
        self._notes = Budget(limit, an_hour, now)
        self._served: dict[Hashable, float] = {}  # when each was last among the busiest
        self._worked: dict[Hashable, float] = {}  # when each was last at work
        self.refused: set[Hashable] = set()
        """The candidates of the last call for which there was no budget."""

    @property
    def served(self) -> Set[Hashable]:
        """The identities that have series."""
        return self._served.keys()

    def admit(
        self,
        candidates: Sequence[Candidate],
        present: Collection[Hashable],
        working: Collection[Hashable],
        now: float,
    ) -> Set[Hashable]:
        """The identities that have series now.

        ``candidates`` are the busiest rows, best first, each identity once. Identities that are not
        ``present`` lose their series. One that is no longer among the busiest keeps its own while
        it is ``working`` and nobody else takes its place: it costs nothing new. ``now`` is in
        seconds on a monotonic clock.
        """
        busiest = {each.identity for each in candidates}
        for identity in [*self._served]:
            if identity in busiest:
                self._served[identity] = now
            if identity in busiest or identity in working:
                self._worked[identity] = now
            if identity not in present or now - self._worked[identity] > KEEP:
                self._leave(identity)
        self.refused = set()
        for place, (identity, lasted) in enumerate(candidates):
            if identity in self._served:
                continue
            leaves = self._least_recent(now) if len(self._served) >= self._limit else None
            if leaves is None and len(self._served) >= self._limit:
                break
            sure = lasted >= self._sure and place < self._limit / 2
            if not self._budget.spend(identity, now, sure):
                self.refused.add(identity)
                continue
            if leaves is not None:
                self._leave(leaves)
            self._served[identity] = self._worked[identity] = now
        for identity in self._served:
            self._budget.remember(identity)
        return self.served

    def _leave(self, identity: Hashable) -> None:
        del self._served[identity], self._worked[identity]

    def rename(self, labels: Hashable, now: float) -> bool:
        """Whether a row that has series may have them under other labels."""
        return self._budget.spend(labels, now, sure=False)

    def note(self, labels: Hashable, now: float) -> bool:
        """Whether a row that has series may have an info series with these labels.

        Such series have a budget of their own.
        """
        return self._notes.spend(labels, now)

    def _least_recent(self, now: float) -> Hashable | None:
        """The identity whose last time among the busiest is longest ago; None if it need not go."""
        identity = min(self._served, key=self._served.__getitem__)
        return identity if now - self._served[identity] > YIELD else None
