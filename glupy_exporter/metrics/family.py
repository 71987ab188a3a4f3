"""What a metric family is called and means, declared once for /metrics and docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Union

from prometheus_client.utils import INF, floatToGoString

UNITS = ("seconds", "bytes")


def _edge(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Histogram:
    """The value of one histogram: observations a bucket, not cumulative, and their sum."""

    buckets: Sequence[int]
    sum: float


@dataclass(frozen=True, eq=False)  # hashed by identity, often
class Family:
    """A metric family; ``labels`` are those after the ``volume`` and ``brick`` of its brick.

    ``name`` is the one in the text format: a counter's ends with ``_total``.
    """

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, the infinite last one left out."""
    parts: tuple[str, ...] = ()
    """Values of the last label, if a row has a value for each of them and so lacks that label."""
    of_brick: bool = True

    @property
    def base(self) -> str:
        """The name without a counter's suffix."""
        return self.name[: -len("_total")] if self.type == "counter" else self.name

    @property
    def unit(self) -> str:
        """``seconds``, ``bytes`` or nothing, as OpenMetrics takes it from the name."""
        return next((unit for unit in UNITS if self.base.endswith(f"_{unit}")), "")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Every label but ``le``."""
        return ("volume", "brick", *self.labels) if self.of_brick else self.labels

    @property
    def edges(self) -> list[str]:
        """The values of a histogram's label ``le``."""
        return [_edge(bound) for bound in (*self.bounds, INF)]


Value = Union[float, Histogram, tuple[float, ...]]
"""Finite. A tuple has a value for each of the family's parts."""
Labels = tuple[str, ...]
"""Values of labels; none holds a NUL."""


class Block(NamedTuple):
    """Rows of one brick, as two columns: families of the same rows share the first."""

    family: Family
    labels: Sequence[Labels]
    """The values of the family's own labels, without ``volume`` and ``brick``."""
    values: Sequence[Value]


def single(family: Family, value: Value, *labels: str) -> Block:
    """A family of which the brick has one row."""
    return Block(family, (labels,), (value,))


@dataclass(frozen=True)
class Exposed:
    """A family and its rows in one scrape; an object a row would be most of a scrape's cost."""

    family: Family
    blocks: Sequence[tuple[Labels, Block]]
    """Each with the values of ``volume`` and ``brick``, if the family is of bricks."""

    @classmethod
    def of_node(cls, family: Family, rows: Mapping[Labels, Value]) -> Exposed:
        """A family that is of no brick."""
        return cls(family, [((), Block(family, list(rows), list(rows.values())))])
