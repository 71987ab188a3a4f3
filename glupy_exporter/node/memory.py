"""Keeps what collectors remember of a brick from one scrape to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from glupy_exporter.node.bricks import Identity, OpenBrick
from glupy_exporter.node.selector import FORGET

_T = TypeVar("_T")


class Memory(Generic[_T]):
    """One value for each segment; values that were not asked for in FORGET seconds are dropped."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        # That asked for last comes last.
        self._values: dict[Identity, tuple[float, _T]] = {}

    def of(self, brick: OpenBrick, now: float) -> _T:
        """The value of the brick's segment, made anew the first time.

        ``now`` is in seconds on a monotonic clock.
        """
        key = brick.identity
        kept = self._values.pop(key, None)
        value = kept[1] if kept else self._make()
        while self._values and now - next(iter(self._values.values()))[0] > FORGET:
            del self._values[next(iter(self._values))]
        self._values[key] = now, value
        return value
