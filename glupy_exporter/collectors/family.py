"""What a metric family is called and means, declared once for /metrics and docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Union

from prometheus_client.core import Metric
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

    def metric(self, samples: Iterable[tuple[tuple[str, ...], Value]]) -> Metric:
        """The family with its samples, each a tuple of label values and a value."""
        metric = Metric(self.base, self.help, self.type, self.unit)
        names = self.label_names
        edges = [_edge(bound) for bound in (*self.bounds, INF)]
        for values, value in samples:
            labels = dict(zip(names, values))
            if isinstance(value, Histogram):
                counts = list(accumulate(value.buckets))
                metric.samples += [
                    Line(f"{self.name}_bucket", {**labels, "le": edge}, count)
                    for edge, count in zip(edges, counts)
                ]
                metric.add_sample(f"{self.name}_count", labels, counts[-1])
                metric.add_sample(f"{self.name}_sum", labels, value.sum)
            else:
                metric.add_sample(self.name, labels, value)
        return metric


Value = Union[float, Histogram]
Sample = tuple[Family, tuple[str, ...], Value]
"""A family, the values of its own labels (without volume and brick) and the value."""
