"""Writes a scrape as text, in Prometheus's format or in OpenMetrics.

prometheus_client's encoders want an object and a dictionary of labels for each line, and check
every label's name. With the tens of thousands of lines of a full node, that took two thirds of a
scrape. This exporter's own families need little of the formats: the lines of a row are one
template, filled in. Tests compare the output with what prometheus_client writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Any, AnyStr, Generic, NamedTuple, Protocol

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from glupy_exporter import values
from glupy_exporter.metrics.family import Exemplar, Exposed, Family, Histogram, Labels, Value
from glupy_exporter.values import Setting, Settings

SETTINGS: Settings = {
    "openmetrics.created": Setting(
        values.switch,
        False,
        "add `_created` samples with the start times of counters and histograms to OpenMetrics "
        "text; a Prometheus that does not know their meaning keeps each as a series",
    )
}


class Source(Protocol):
    """A source of the metrics of a scrape."""

    def collect(self) -> Iterable[Exposed | Metric]:
        """Every metric of one scrape."""


_KNOWN = 2**14
"""Texts of labels that are kept between scrapes: those of the rows of 50 busy bricks."""

_PLACE = "\0"  # marks where in a template the labels go that differ from row to row


def _escape(text: str, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped


@lru_cache(maxsize=_KNOWN)
def _pairs(names: Labels, values: Labels) -> str:
    """Labels as text for a template; each ``%`` is doubled, as the template is formatted later.

    Most rows of a scrape were in the one before.
    """
    pairs = []
    for name, value in zip(names, values):
        escaped = _escape(value, quotes=True).replace("%", "%%")
        pairs.append(f'{name}="{escaped}"')
    return ",".join(pairs)


def _template(family: Family, created: bool) -> str:
    """The lines of a row, with a place for their common labels and one for each number."""
    shared = bool(family.label_names)

    def line(name: str, last: str = "") -> str:
        labels = ",".join(filter(None, (_PLACE * shared, last)))
        return f"{name}{{{labels}}} %s\n".replace("{}", "")

    lines = [line(family.name)]
    if family.type == "histogram":
        lines = [line(f"{family.name}_bucket", f'le="{edge}"') for edge in family.edges]
        lines += [line(f"{family.name}_count"), line(f"{family.name}_sum")]
    if created:
        lines.append(line(f"{family.base}_created"))
    return "".join(lines)


def _numbers(
    values: Iterable[Value], places: Sequence[int], exemplars: bool
) -> Iterator[tuple[float | str, ...]]:
    """The numbers in the lines of each histogram; ``places`` are those of its classic buckets."""
    for value in values:
        assert isinstance(value, Histogram)
        counts = list(accumulate(value.buckets))
        buckets: list[float | str] = [counts[place] for place in places]
        if exemplars and value.exemplars:
            for index, exemplar in value.served(places).items():
                buckets[index] = f"{buckets[index]} {_exemplar(exemplar)}"
        yield (*buckets, counts[-1], value.sum)


def _exemplar(exemplar: Exemplar) -> str:
    """The exemplar that follows the count of a bucket in OpenMetrics."""
    pairs = ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in exemplar.labels)
    return f"# {{{pairs}}} {exemplar.value} {exemplar.timestamp}"


class LabelCache(Generic[AnyStr]):
    """Encoded labels, each made once in a scrape: families and bricks have many in common.

    ``encode`` encodes the labels of some names and values, and ``separator`` goes between them.
    """

    def __init__(self, encode: Callable[[Labels, Labels], AnyStr], separator: AnyStr) -> None:
        self._encode: Callable[[Labels, Labels], AnyStr] = encode
        self._separator: AnyStr = separator
        self._of_blocks: dict[
            tuple[Labels, Labels, int], tuple[Sequence[Labels], list[AnyStr]]
        ] = {}

    def of_rows(self, names: Labels, key: Labels, labels: Sequence[Labels]) -> list[AnyStr]:
        """The labels of each row: ``names``, with the values of ``key`` and of the row."""
        which = names, key, id(labels)
        if which not in self._of_blocks:
            start, own = self._encode(names, key), names[len(key) :]
            if start and own:
                start += self._separator
            encode = self._encode
            encoded = [start + encode(own, values) for values in labels]
            self._of_blocks[which] = labels, encoded  # holding labels keeps their id from reuse
        return self._of_blocks[which][1]


def _lines(exposed: Exposed, cache: LabelCache[str], style: _Style) -> Iterator[str]:
    """The lines of a family, one text for each brick."""
    family = exposed.family
    without = _template(family, created=False)
    created = style.created and family.type != "gauge"
    with_created = _template(family, created=True) if created else ""
    names = family.label_names
    places = family.places if family.type == "histogram" else []
    for key, block in exposed.blocks:
        numbers: Iterable[Any] = block.values
        if places:
            numbers = _numbers(block.values, places, style.exemplars)
        template = without
        if created and block.started is not None:
            template = with_created
            starts = block.started if isinstance(block.started, Sequence) else repeat(block.started)
            numbers = (
                (*(number if places else (number,)), start)
                for number, start in zip(numbers, starts)
            )
        rows = zip(cache.of_rows(names, key, block.labels), numbers)
        yield "".join([template.replace(_PLACE, text) % number for text, number in rows])


def _text_head(family: Family) -> str:
    return f"# HELP {family.name} {_escape(family.help)}\n# TYPE {family.name} {family.type}\n"


def _openmetrics_head(family: Family) -> str:
    unit = f"# UNIT {family.base} {family.unit}\n" if family.unit else ""
    documentation = _escape(family.help, quotes=True)
    return f"# HELP {family.base} {documentation}\n# TYPE {family.base} {family.type}\n{unit}"


class _Others:
    """A source of the metrics of prometheus_client's collectors, for that library's encoders."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """All of them."""
        return self._metrics


class _Style(NamedTuple):
    """How the two text formats differ."""

    head: Callable[[Family], str]
    others: Callable[[_Others], bytes]
    exemplars: bool = False
    created: bool = False


def _render(source: Source, style: _Style) -> Iterator[bytes]:
    cache = LabelCache(_pairs, ",")
    others: list[Metric] = []
    for metric in source.collect():
        if isinstance(metric, Exposed):
            yield style.head(metric.family).encode()
            for lines in _lines(metric, cache, style):
                yield lines.encode()
        else:
            others.append(metric)
    yield style.others(_Others(others))


def text(source: Source) -> Iterator[bytes]:
    """One scrape in Prometheus's text format 0.0.4, as pieces in UTF-8."""
    return _render(source, _Style(_text_head, generate_latest))


def openmetrics(source: Source, created: bool = False) -> Iterator[bytes]:
    """One scrape in OpenMetrics 1.0.0, as pieces in UTF-8.

    ``created`` adds the start times of counters and histograms.
    """
    return _render(source, _Style(_openmetrics_head, generate_openmetrics, True, created))
