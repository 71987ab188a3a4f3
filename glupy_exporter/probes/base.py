"""The base class of probes, and the families that a probe may have."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

ROWS_MAX = 1000
"""The most rows of a family. A further row takes the place of the one with the lowest value."""

PREFIX = "glupy_probe_"
"""The beginning of the names of all families of probes in /metrics."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


class Record(Protocol):
    """A fop that came back, as a probe gets it. A text is empty if its fact is not known."""

    @property
    def time(self) -> float:
        """When it came back, in seconds since the epoch."""

    @property
    def volume(self) -> str:
        """Its volume."""

    @property
    def brick(self) -> str:
        """The path of its brick."""

    @property
    def fop(self) -> str:
        """Its name, such as ``write``."""

    @property
    def seconds(self) -> float:
        """The time that it took in the brick, in seconds."""

    @property
    def error(self) -> str:
        """The name of its errno, such as ``ENOENT``."""

    @property
    def gfid(self) -> str:
        """GlusterFS's id of its file."""

    @property
    def path(self) -> str:
        """The path of its file, as the privacy options show it."""

    @property
    def client(self) -> str:
        """The address of its client's host."""

    @property
    def process(self) -> str:
        """The process of its client, with the volume option client-detail."""

    @property
    def uid(self) -> str:
        """The id of its user, as the privacy options show it."""

    @property
    def gid(self) -> str:
        """The id of its user's group, as the privacy options show it."""

    @property
    def pid(self) -> int:
        """The process id on its client's host."""

    @property
    def offset(self) -> int:
        """The offset in the file at which it reads or writes, in bytes."""

    @property
    def size(self) -> int:
        """The bytes of data that it moves."""

    @property
    def cause(self) -> str:
        """Why it was recorded: ``slow``, ``sampled`` or ``traced``, or several of these."""


class _Family:
    type = ""

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a family")
        for label in labels:
            if not _NAME.fullmatch(label):
                raise ValueError(f"{label!r} cannot be a label")
        if len({*labels}) < len(labels):
            raise ValueError(f"{name} has a label twice: {', '.join(labels)}")
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.rows: dict[tuple[str, ...], float] = {}
        """The values, by the values of the labels."""

    def _key(self, labels: Sequence[str]) -> tuple[str, ...]:
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels) or 'none'}")
        return tuple(map(str, labels))

    def _put(self, key: tuple[str, ...], value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(f"{self.name} cannot be {value}")
        if key not in self.rows and len(self.rows) >= ROWS_MAX:
            del self.rows[min(self.rows, key=self.rows.__getitem__)]
        self.rows[key] = value


class Counter(_Family):
    """A number that only grows; its name ends with ``_total``."""

    type = "counter"

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, help, labels)
        if not name.endswith("_total"):
            raise ValueError(f"the name of a counter ends with _total: {name}_total")

    def add(self, *labels: str, by: float = 1) -> None:
        """Add ``by`` to the row with these values of the labels."""
        if by < 0:
            raise ValueError(f"{self.name} only grows")
        key = self._key(labels)
        self._put(key, self.rows.get(key, 0.0) + by)


class Gauge(_Family):
    """A number that may fall."""

    type = "gauge"

    def set(self, *labels: str, to: float) -> None:
        """Set the row with these values of the labels."""
        self._put(self._key(labels), to)


class Probe:
    """An observer of fops. A subclass has its families in its body, or sets them in ``__init__``,
    which takes no arguments; it counts in :meth:`record`.
    """

    def __new__(cls) -> Probe:
        """A probe with families of its own: those of the class body are copied."""
        probe = super().__new__(cls)
        for name in dir(cls):
            family = getattr(cls, name)
            if isinstance(family, _Family):
                setattr(probe, name, copy.deepcopy(family))
        return probe

    def record(self, batch: Sequence[Any]) -> None:
        """Take some records (:class:`Record`), in the order in which the fops came back."""
        raise NotImplementedError

    def families(self) -> list[_Family]:
        """The families of this probe, by name."""
        found = {
            each.name: each
            for name in dir(self)
            if not name.startswith("__") and isinstance(each := getattr(self, name), _Family)
        }
        return [found[name] for name in sorted(found)]

    def lines(self) -> Iterator[str]:
        """The values of all families, one a line, highest first."""
        for family in self.families():
            rows = sorted(family.rows.items(), key=lambda row: -row[1])
            for labels, value in rows:
                pairs = ", ".join(f"{n}={v}" for n, v in zip(family.labels, labels))
                yield f"{value:>14g}  {family.name}  {pairs}".rstrip()
