"""Metric families, declared once for /metrics and docs/metrics.md, and their rows in a scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, Union

from prometheus_client.utils import INF, floatToGoString

UNITS = ("seconds", "bytes")


def _edge(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


class Exemplar(NamedTuple):
    """One observation of a bucket."""

    labels: tuple[tuple[str, str], ...]
    """Names and values, of at most 128 characters in all, as OpenMetrics demands."""
    value: float
    timestamp: float
    """When it was observed, in seconds since the epoch."""


class Histogram(NamedTuple):
    """The value of a histogram: observations by bucket, not cumulative, and the sum of them, which
    is in nanoseconds if the family says so."""

    buckets: Sequence[int]
    sum: float
    exemplars: Mapping[int, Exemplar] = MappingProxyType({})
    """Exemplars by the index of their bucket."""

    def served(self, places: Sequence[int]) -> dict[int, Exemplar]:
        """The latest exemplar of each classic bucket, by its index in ``places``, which are those
        of :attr:`Family.places`."""
        found: dict[int, Exemplar] = {}
        for bucket, exemplar in self.exemplars.items():
            index = bisect_left(places, bucket)
            if index not in found or found[index].timestamp < exemplar.timestamp:
                found[index] = exemplar
        return found


@dataclass(frozen=True, eq=False)  # hashed by identity, often
class Family:
    """A metric family. A counter's ``name`` ends with ``_total``, as in the text format."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    """Names of its labels without ``volume`` and ``brick``."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without the last, infinite one."""
    served: tuple[float, ...] | None = None
    """Those of the bounds that have a classic bucket, which is a series; None: all of them."""
    native: bool = False
    """Whether each bound is twice the one before and a power of two, so that the buckets are those
    of a native histogram with schema 0, whose zero bucket is the first one. The last bucket then
    stands for the one that ends at twice the last bound."""
    parts: tuple[str, ...] = ()
    """The values that the last label may have, if they are declared."""
    of_brick: bool = True
    """Whether it has the labels ``volume`` and ``brick``."""
    nanoseconds: bool = False
    """Whether its values, or the sums of its histograms, are whole nanoseconds, none below 0. They
    are shown in seconds: to write a float as text takes several times as long."""

    @property
    def base(self) -> str:
        """The name without a counter's suffix."""
        return self.name[: -len("_total")] if self.type == "counter" else self.name

    @property
    def unit(self) -> str:
        """``seconds``, ``bytes`` or empty: the suffix of the base name, as OpenMetrics wants it."""
        return next((unit for unit in UNITS if self.base.endswith(f"_{unit}")), "")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Every label but ``le``."""
        return ("volume", "brick", *self.labels) if self.of_brick else self.labels

    @property
    def places(self) -> list[int]:
        """The index of each classic bucket's bound in ``bounds``; that of the infinite one last."""
        served = self.bounds if self.served is None else self.served
        return [*map(self.bounds.index, served), len(self.bounds)]

    @property
    def edges(self) -> list[str]:
        """The values of a histogram's label ``le``."""
        bounds = (*self.bounds, INF)
        return [_edge(bounds[place]) for place in self.places]


Value = Union[float, Histogram]
"""A finite number or a histogram."""
Labels = tuple[str, ...]
"""Values of labels, without NUL."""


Started = Union[None, float, Sequence[float]]
"""A time for all rows or for each, in seconds since the epoch; None, or 0 for a row, if it is not
known. Only counters and histograms have one."""


class Block(NamedTuple):
    """Rows of one brick, as two columns. Families with the same rows share the first column."""

    family: Family
    labels: Sequence[Labels]
    """The values of the family's own labels, without ``volume`` and ``brick``."""
    values: Sequence[Value]
    started: Started = None
    """When the counts of the rows began at 0."""

    @property
    def starts(self) -> Sequence[float]:
        """That of each row, 0 if it is not known."""
        if isinstance(self.started, Sequence):
            return self.started
        return [self.started or 0.0] * len(self.labels)


def single(family: Family, value: Value, *labels: str) -> Block:
    """The block of a family that has one row in the brick."""
    return Block(family, (labels,), (value,))


@dataclass(frozen=True)
class Exposed:
    """A family and its rows in one scrape, in columns: an object for each row would cost most of
    the scrape's time."""

    family: Family
    blocks: Sequence[tuple[Labels, Block]]
    """Blocks, each with the values of ``volume`` and ``brick`` if the family has these labels."""

    @classmethod
    def of_node(
        cls, family: Family, rows: Mapping[Labels, Value], started: Started = None
    ) -> Exposed:
        """A family that belongs to no brick, with its value by labels."""
        return cls(family, [((), Block(family, list(rows), list(rows.values()), started))])

    def check(self) -> None:
        """Make sure that an encoder can write the texts.

        Raises:
            UnicodeEncodeError: UTF-8 has no bytes for one of them.
        """
        self.family.help.encode()
        for key, block in self.blocks:
            "".join(chain(key, *block.labels)).encode()
