"""What a metric family is called and means, declared once for /metrics and docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Union

from prometheus_client.samples import Sample as Line
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
    """A family and its rows in one scrape.

    It has what prometheus_client's encoders ask of a Metric, so that they take it as well; the
    exporter's own reads the columns, as an object for each sample would be most of a scrape's cost.
    """

    family: Family
    blocks: Sequence[tuple[Labels, Block]]
    """Each with the values of ``volume`` and ``brick``, if the family is of bricks."""

    @classmethod
    def of_node(cls, family: Family, rows: Mapping[Labels, Value]) -> Exposed:
        """A family that is of no brick."""
        return cls(family, [((), Block(family, list(rows), list(rows.values())))])

    @property
    def name(self) -> str:
        """As OpenMetrics has it."""
        return self.family.base

    @property
    def documentation(self) -> str:
        """The help text."""
        return self.family.help

    @property
    def type(self) -> str:
        """The kind of metric."""
        return self.family.type

    @property
    def unit(self) -> str:
        """The unit, empty if there is none."""
        return self.family.unit

    @property
    def samples(self) -> Iterator[Line]:
        """What a scrape's lines say."""
        name, names, edges = self.family.name, self.family.label_names, self.family.edges
        for values, value in (
            (key + own, value)
            for key, block in self.blocks
            for own, value in zip(block.labels, block.values)
        ):
            labels = dict(zip(names, values))
            if isinstance(value, Histogram):
                counts = list(accumulate(value.buckets))
                for edge, count in zip(edges, counts):
                    yield Line(f"{name}_bucket", {**labels, "le": edge}, count)
                yield Line(f"{name}_count", labels, counts[-1])
                yield Line(f"{name}_sum", labels, value.sum)
            elif isinstance(value, tuple):
                for part, number in zip(self.family.parts, value):
                    yield Line(name, {**labels, names[-1]: part}, number)
            else:
                yield Line(name, labels, value)
