"""Keeps what collectors remember of a brick from one scrape to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from glupy_exporter.node.selector import FORGET

LIVES = 3 * 3600.0
"""Seconds for which series of a brick that is gone may be in Prometheus's memory."""

_T = TypeVar("_T")


class Memory(Generic[_T]):
    """One value for each key; values that were not asked for in ``seconds`` are dropped.

    A key is a segment's (:attr:`~glupy_exporter.node.bricks.OpenBrick.identity`), or one that
    outlives restarts of the brick (:attr:`~glupy_exporter.node.bricks.OpenBrick.key`).
    """

    def __init__(self, make: Callable[[float], _T], seconds: float = FORGET) -> None:
        self._make = make
        self._seconds = seconds
        # That asked for last comes last.
        self._values: dict[Hashable, tuple[float, _T]] = {}

    def of(self, key: Hashable, now: float) -> _T:
        """The value of the key, made anew the first time.

        ``now`` is in seconds on a monotonic clock, and is passed to what makes a value.
        """
        kept = self._values.pop(key, None)
        value = kept[1] if kept else self._make(now)
        while self._values and now - next(iter(self._values.values()))[0] > self._seconds:
            del self._values[next(iter(self._values))]
        self._values[key] = now, value
        return value
