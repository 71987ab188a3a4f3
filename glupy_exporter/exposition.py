"""A scrape as text, in Prometheus's format or in OpenMetrics.

prometheus_client's encoders want an object and a dictionary of labels for each line, and look at
every label's name: of the tens of thousands of lines of a full node that was two thirds of a
scrape. What this exporter's own families need of the formats is little; tests compare it with what
prometheus_client writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from math import isfinite
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.utils import floatToGoString

from glupy_exporter.collectors.family import Exposed, Family, Histogram


class Source(Protocol):
    """What gives the metrics of a scrape."""

    def collect(self) -> Iterable[Exposed | Metric]:
        """Every metric."""


class _Escaped(dict[str, str]):
    """Values of labels as they stand between quotes; most come again and again."""

    def __missing__(self, value: str) -> str:
        escaped = _escape(value).replace('"', '\\"')
        self[value] = escaped
        return escaped


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if type(value) is int:  # as short as can be, and exact above 2^53
        return str(value)
    return repr(value) if isfinite(value) else str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _template(family: Family, names: Sequence[str]) -> str:
    """The lines of a row that is no histogram, with places for labels and numbers."""
    last = family.label_names[-1] if family.parts else None
    lines = []
    for part in family.parts or ("",):
        pairs = [f'{name}="{part}"' if name == last else f'{name}="%s"' for name in names]
        labels = f"{{{','.join(pairs)}}}" if pairs else ""
        lines.append(f"{family.name}{labels} %s\n")
    return "".join(lines)


def _lines(exposed: Exposed, escaped: _Escaped) -> Iterator[str]:
    family = exposed.family
    every = sorted(family.label_names)
    of_row = family.label_names[: -1 if family.parts else None]
    names = [name for name in every if name in of_row]
    places = [of_row.index(name) for name in names]
    template = _template(family, every)
    for values, value in exposed.rows:
        labels = [escaped[values[place]] for place in places]
        if isinstance(value, Histogram):
            yield from _histogram(family, names, labels, value)
        elif isinstance(value, tuple):
            yield template % (*chain.from_iterable((*labels, _number(part)) for part in value),)
        else:
            yield template % (*labels, _number(value))


def _histogram(
    family: Family, names: Sequence[str], values: Sequence[str], histogram: Histogram
) -> Iterator[str]:
    pairs = [f'{name}="{value}"' for name, value in zip(names, values)]
    first = sum(name < "le" for name in names)
    head = f'{family.name}_bucket{{{"".join(f"{pair}," for pair in pairs[:first])}le="'
    tail = f'"{"".join(f",{pair}" for pair in pairs[first:])}}} '
    counts = list(accumulate(histogram.buckets))
    for edge, count in zip(family.edges, counts):
        yield f"{head}{edge}{tail}{count}\n"
    labels = ",".join(pairs)
    yield f"{family.name}_count{{{labels}}} {counts[-1]}\n"
    yield f"{family.name}_sum{{{labels}}} {_number(histogram.sum)}\n"


def _text_head(family: Family) -> str:
    return f"# HELP {family.name} {_escape(family.help)}\n# TYPE {family.name} {family.type}\n"


def _openmetrics_head(family: Family) -> str:
    unit = f"# UNIT {family.base} {family.unit}\n" if family.unit else ""
    documentation = _escape(family.help).replace('"', '\\"')
    return f"# HELP {family.base} {documentation}\n# TYPE {family.base} {family.type}\n{unit}"


class _Others:
    """What prometheus_client's own collectors gave, for its own encoders."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """All of it."""
        return self._metrics


def _render(
    source: Source, head: Callable[[Family], str], encode: Callable[[_Others], bytes]
) -> Iterator[bytes]:
    escaped = _Escaped()
    others: list[Metric] = []
    for metric in source.collect():
        if isinstance(metric, Exposed):
            yield f"{head(metric.family)}{''.join(_lines(metric, escaped))}".encode()
        else:
            others.append(metric)
    yield encode(_Others(others))


def text(source: Source) -> Iterator[bytes]:
    """One scrape in Prometheus's text format 0.0.4, piece by piece."""
    return _render(source, _text_head, generate_latest)


def openmetrics(source: Source) -> Iterator[bytes]:
    """One scrape in OpenMetrics 1.0.0, piece by piece."""
    return _render(source, _openmetrics_head, generate_openmetrics)
