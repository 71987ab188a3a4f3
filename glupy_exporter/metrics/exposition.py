"""Writes a scrape as text, in Prometheus's format or in OpenMetrics.

prometheus_client's encoders want an object and a dictionary of labels for each line, and check
every label's name. With the tens of thousands of lines of a full node, that took two thirds of a
scrape. This exporter's own families need little of the formats: the lines of a brick in a family
are one template, filled in. It is kept for the next scrape, as most rows stay. Tests compare the
output with what prometheus_client writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import ClassVar, NamedTuple, Protocol, cast

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from glupy_exporter import values
from glupy_exporter.metrics.family import Block, Exemplar, Exposed, Family, Histogram, Labels, Value
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


_SHARED = 2048  # texts of labels that other bricks and families are likely to have as well

_SECOND = 10**9  # nanoseconds

_PLACE = "\0"  # marks where in a template the labels go that differ from row to row


def _escape(text: str, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped


def _pairs(names: Labels, values: Labels) -> str:
    """Labels as text for a template; each ``%`` is doubled, as the template is formatted later."""
    pairs = []
    for name, value in zip(names, values):
        escaped = _escape(value, quotes=True).replace("%", "%%")
        pairs.append(f'{name}="{escaped}"')
    return ",".join(pairs)


@lru_cache(maxsize=256)
def _template(family: Family, created: bool) -> str:
    """The lines of a row, with a place for their common labels and one for each number; for
    nanoseconds, places for the whole seconds and for the rest."""
    shared = bool(family.label_names)

    def line(name: str, last: str = "", number: str = "%s") -> str:
        labels = ",".join(filter(None, (_PLACE * shared, last)))
        return f"{name}{{{labels}}} {number}\n".replace("{}", "")

    number = "%d.%09d" if family.nanoseconds else "%s"
    lines = [line(family.name, number=number)]
    if family.type == "histogram":
        lines = [line(f"{family.name}_bucket", f'le="{edge}"') for edge in family.edges]
        lines += [line(f"{family.name}_count"), line(f"{family.name}_sum", number=number)]
    if created:
        lines.append(line(f"{family.base}_created"))
    return "".join(lines)


def _numbers(
    values: Iterable[Value], places: Sequence[int], exemplars: bool, nanoseconds: bool
) -> Iterator[tuple[float | str, ...]]:
    """The numbers in the lines of each histogram; ``places`` are those of its classic buckets."""
    pick = itemgetter(*places, -1)
    for value in values:
        assert isinstance(value, Histogram)
        counts: tuple[float | str, ...] = pick([*accumulate(value.buckets)])
        if exemplars and value.exemplars:
            buckets = [*counts]
            for index, exemplar in value.served(places).items():
                buckets[index] = f"{counts[index]} {_exemplar(exemplar)}"
            counts = (*buckets,)
        yield (*counts, *divmod(value.sum, _SECOND)) if nanoseconds else (*counts, value.sum)


def _exemplar(exemplar: Exemplar) -> str:
    """The exemplar that follows the count of a bucket in OpenMetrics."""
    pairs = ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in exemplar.labels)
    return f"# {{{pairs}}} {exemplar.value} {exemplar.timestamp}"


_Which = tuple[Family, Labels, bytes]
_Known = tuple[tuple[Labels, ...], str]


class _Templates:
    """The templates of the blocks of a scrape, each made by the labels of the block's rows.

    Those of the scrape before are used again where the labels are the same. Others are not kept, so
    all together are as long as an answer, whatever labels a hostile segment has.
    """

    _last: ClassVar[dict[_Which, _Known]] = {}

    def __init__(self) -> None:
        self._used: dict[_Which, _Known] = {}
        self._pairs = lru_cache(maxsize=_SHARED)(_pairs)

    def of(self, family: Family, key: Labels, block: Block, created: bytes) -> str:
        """The lines of a block, with a place for each number.

        ``created`` has a byte for each row: 1 for a start time. It is empty if no row has one.
        """
        which, labels = (family, key, created), tuple(block.labels)
        known = self._last.get(which)
        if known is None or known[0] != labels:
            names = family.label_names
            start, own = _pairs(names, key), names[len(key) :]
            if start and own:
                start += ","
            row, pairs = _template(family, False), self._pairs
            templates = [_template(family, bool(each)) for each in created] or repeat(row)
            rows = [
                row.replace(_PLACE, start + pairs(own, values))
                for row, values in zip(templates, labels)
            ]
            known = labels, "".join(rows)
        self._used[which] = known
        return known[1]

    def keep(self) -> None:
        """Keep what was used for the next scrape."""
        _Templates._last = self._used


def _lines(exposed: Exposed, templates: _Templates, style: _Style) -> Iterator[str]:
    """The lines of a family, one text for each brick."""
    family = exposed.family
    places = family.places if family.type == "histogram" else []
    dated = style.created and family.type != "gauge"
    for key, block in exposed.blocks:
        rows: Iterable[tuple[object, ...]] | None = None
        if places:
            rows = _numbers(block.values, places, style.exemplars, family.nanoseconds)
        elif family.nanoseconds:
            rows = map(divmod, cast(Sequence[int], block.values), repeat(_SECOND))
        created = b""
        if dated and block.started is not None:
            starts = block.starts
            created = bytes(start > 0 for start in starts)
            rows = (
                (*numbers, start) if start > 0 else tuple(numbers)
                for numbers, start in zip(zip(block.values) if rows is None else rows, starts)
            )
        numbers = block.values if rows is None else chain.from_iterable(rows)
        yield templates.of(family, key, block, created) % tuple(numbers)


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
    templates = _Templates()
    others: list[Metric] = []
    for metric in source.collect():
        if isinstance(metric, Exposed):
            yield style.head(metric.family).encode()
            for lines in _lines(metric, templates, style):
                yield lines.encode()
        else:
            others.append(metric)
    templates.keep()
    yield style.others(_Others(others))


def text(source: Source) -> Iterator[bytes]:
    """One scrape in Prometheus's text format 0.0.4, as pieces in UTF-8."""
    return _render(source, _Style(_text_head, generate_latest))


def openmetrics(source: Source, created: bool = False) -> Iterator[bytes]:
    """One scrape in OpenMetrics 1.0.0, as pieces in UTF-8.

    ``created`` adds the start times of counters and histograms.
    """
    return _render(source, _Style(_openmetrics_head, generate_openmetrics, True, created))
