"""Writes a scrape as text, in Prometheus's format or in OpenMetrics.

prometheus_client's encoders want an object and a dictionary of labels for each line, and check
every label's name. With the tens of thousands of lines of a full node, that took two thirds of a
scrape. This exporter's own families need little of the formats: the lines of a row are one
template, filled in. Tests compare the output with what prometheus_client writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from glupy_exporter.metrics.family import Exposed, Family, Histogram, Labels, Value


class Source(Protocol):
    """A source of the metrics of a scrape."""

    def collect(self) -> Iterable[Exposed | Metric]:
        """Every metric of one scrape."""


_PLACE = "\0"  # marks where in a template the labels go that differ from row to row


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _pairs(names: Iterable[str], values: Iterable[str]) -> str:
    """Labels as text for a template; each ``%`` is doubled, as the template is formatted later."""
    pairs = []
    for name, value in zip(names, values):
        escaped = _escape(value).replace('"', '\\"').replace("%", "%%")
        pairs.append(f'{name}="{escaped}"')
    return ",".join(pairs)


def _template(family: Family) -> str:
    """The lines of a row, with a place for their common labels and one for each number."""
    shared = bool(family.label_names)

    def line(suffix: str, last: str = "") -> str:
        labels = ",".join(filter(None, (_PLACE * shared, last)))
        return f"{family.name}{suffix}{{{labels}}} %s\n".replace("{}", "")

    if family.type == "histogram":
        buckets = [line("_bucket", f'le="{edge}"') for edge in family.edges]
        return "".join([*buckets, line("_count"), line("_sum")])
    return line("")


def _numbers(values: Iterable[Value], places: Sequence[int]) -> Iterator[tuple[float, ...]]:
    """The numbers in the lines of each histogram; ``places`` are those of its classic buckets."""
    for value in values:
        assert isinstance(value, Histogram)
        counts = list(accumulate(value.buckets))
        yield (*[counts[place] for place in places], counts[-1], value.sum)


class _Texts:
    """Texts of labels for templates, each made once: families and bricks have many in common."""

    def __init__(self) -> None:
        self._own: dict[tuple[Labels, Labels], str] = {}
        self._of_blocks: dict[tuple[Labels, Labels, int], tuple[Sequence[Labels], list[str]]] = {}

    def of_rows(self, names: Labels, key: Labels, labels: Sequence[Labels]) -> list[str]:
        """The text of each row's labels: ``names``, with the values of ``key`` and of the row."""
        which = names, key, id(labels)
        if which not in self._of_blocks:
            of_brick, own = _pairs(names, key), names[len(key) :]
            separator = "," if of_brick and own else ""
            texts = [f"{of_brick}{separator}{self._pairs(own, values)}" for values in labels]
            self._of_blocks[which] = labels, texts  # holding labels keeps their id from reuse
        return self._of_blocks[which][1]

    def _pairs(self, names: Labels, values: Labels) -> str:
        if (names, values) not in self._own:
            self._own[names, values] = _pairs(names, values)
        return self._own[names, values]


def _lines(exposed: Exposed, texts: _Texts) -> Iterator[str]:
    """The lines of a family, one text for each brick."""
    family = exposed.family
    template = _template(family)
    names = family.label_names
    places = family.places if family.type == "histogram" else []
    for key, block in exposed.blocks:
        numbers = _numbers(block.values, places) if places else block.values
        rows = zip(texts.of_rows(names, key, block.labels), numbers)
        yield "".join([template.replace(_PLACE, text) % number for text, number in rows])


def _text_head(family: Family) -> str:
    return f"# HELP {family.name} {_escape(family.help)}\n# TYPE {family.name} {family.type}\n"


def _openmetrics_head(family: Family) -> str:
    unit = f"# UNIT {family.base} {family.unit}\n" if family.unit else ""
    documentation = _escape(family.help).replace('"', '\\"')
    return f"# HELP {family.base} {documentation}\n# TYPE {family.base} {family.type}\n{unit}"


class _Others:
    """A source of the metrics of prometheus_client's collectors, for that library's encoders."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """All of them."""
        return self._metrics


def _render(
    source: Source, head: Callable[[Family], str], encode: Callable[[_Others], bytes]
) -> Iterator[bytes]:
    texts = _Texts()
    others: list[Metric] = []
    for metric in source.collect():
        if isinstance(metric, Exposed):
            yield head(metric.family).encode()
            for lines in _lines(metric, texts):
                yield lines.encode()
        else:
            others.append(metric)
    yield encode(_Others(others))


def text(source: Source) -> Iterator[bytes]:
    """One scrape in Prometheus's text format 0.0.4, as pieces in UTF-8."""
    return _render(source, _text_head, generate_latest)


def openmetrics(source: Source) -> Iterator[bytes]:
    """One scrape in OpenMetrics 1.0.0, as pieces in UTF-8."""
    return _render(source, _openmetrics_head, generate_openmetrics)
