"""Metric families, declared once for /metrics and docs/metrics.md, and their rows in a scrape."""

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
    """The value of a histogram: observations by bucket, not cumulative, and the sum of them."""

    buckets: Sequence[int]
    sum: float


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
    parts: tuple[str, ...] = ()
    """The values that the last label may have, if they are declared."""
    of_brick: bool = True
    """Whether it has the labels ``volume`` and ``brick``."""

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


class Block(NamedTuple):
    """Rows of one brick, as two columns. Families with the same rows share the first column."""

    family: Family
    labels: Sequence[Labels]
    """The values of the family's own labels, without ``volume`` and ``brick``."""
    values: Sequence[Value]


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
    def of_node(cls, family: Family, rows: Mapping[Labels, Value]) -> Exposed:
        """A family that belongs to no brick, with its value by labels."""
        return cls(family, [((), Block(family, list(rows), list(rows.values())))])
