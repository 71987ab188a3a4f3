"""Keeps what collectors remember of a brick from one scrape to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.selector import FORGET

_T = TypeVar("_T")


class Memory(Generic[_T]):
    """One value for each segment; values that were not asked for in FORGET seconds are dropped."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._values: dict[tuple[str, str, float], tuple[float, _T]] = {}

    def of(self, brick: OpenBrick, now: float) -> _T:
        """The value of the brick's segment, made anew the first time.

        ``now`` is in seconds on a monotonic clock.
        """
        key = (*brick.key, brick.about.created)
        value = self._values[key][1] if key in self._values else self._make()
        self._values = {k: v for k, v in self._values.items() if now - v[0] <= FORGET}
        self._values[key] = now, value
        return value
