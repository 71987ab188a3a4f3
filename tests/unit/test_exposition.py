"""The exporter's own encoders, against prometheus_client's and its parsers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from glupy_exporter.metrics import exposition
from glupy_exporter.metrics.family import Block, Exposed, Family, Histogram, Labels, Value

HOSTILE = (
    "",
    "a b",
    'say "hi"',
    "back\\slash",
    "\\n",
    "two\nlines",
    "%s {} $x",
    "\u00fc\u2028\U0001f600",
)
HELP = 'A help text with "quotes", a back\\slash and\na second line.'
COUNTER = Family("glupy_bytes_total", "counter", HELP, ("path", "kind"))
GAUGE = Family("glupy_seconds", "gauge", HELP, of_brick=False)
ZED = Family("glupy_zed", "histogram", HELP, ("fop", "zed"), (1e-06, 0.5, 1.0, 1e6))
FOP = Family("glupy_fop", "histogram", HELP, ("fop",), (1.0, 2.0), of_brick=False)
FLOATS = (0.0, -0.0, 1e-9, 0.1, 1234567.5, 1e300, -2.5)
WHOLE = (0, 1, -7, 10**7, 2**53 + 1, 2**64 - 1)


def lines(exposed: Exposed) -> Iterator[Sample]:
    """What the lines of a family say."""
    name, names, edges = exposed.family.name, exposed.family.label_names, exposed.family.edges
    for values, value in (
        (key + own, value)
        for key, block in exposed.blocks
        for own, value in zip(block.labels, block.values)
    ):
        labels = dict(zip(names, values))
        if isinstance(value, Histogram):
            counts = list(accumulate(value.buckets))
            for edge, count in zip(edges, counts):
                yield Sample(f"{name}_bucket", {**labels, "le": edge}, count)
            yield Sample(f"{name}_count", labels, counts[-1])
            yield Sample(f"{name}_sum", labels, value.sum)
        else:
            yield Sample(name, labels, value)


def as_metric(exposed: Exposed | Metric) -> Metric:
    """What prometheus_client's encoders take."""
    if isinstance(exposed, Metric):
        return exposed
    family = exposed.family
    metric = Metric(family.base, family.help, family.type, family.unit)
    metric.samples = list(lines(exposed))
    return metric


class Source:
    def __init__(self, *metrics: Any) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Any]:
        return self._metrics


def of_bricks(family: Family, *bricks: tuple[Labels, Mapping[Labels, Value]]) -> Exposed:
    return Exposed(
        family, [(key, Block(family, list(rows), list(rows.values()))) for key, rows in bricks]
    )


ROWS = [(text,) for text in HOSTILE]
"""The same list in several blocks, as collectors have it."""
OTHER = Family("glupy_other", "gauge", HELP, ("other",))
ANOTHER = Family("glupy_another", "gauge", HELP, ("path",))
SOURCE = Source(
    *(
        Exposed(
            family,
            [((volume, "/b"), Block(family, ROWS, [value] * len(ROWS))) for volume in ("v", "w")],
        )
        for family, value in ((OTHER, 7), (ANOTHER, 8))
    ),
    of_bricks(
        COUNTER,
        *((("v", text), {(text, kind): n for kind in "ab"}) for n, text in enumerate(HOSTILE)),
    ),
    Exposed.of_node(GAUGE, {(): 1.5}),
    GaugeMetricFamily("other", "of prometheus_client's own", 3),
    of_bricks(
        ZED,
        *(((text, "/b"), {(text, "z"): Histogram((1, 0, 2, 3, 4), 0.25)}) for text in HOSTILE),
    ),
    Exposed.of_node(FOP, {("read",): Histogram((0, 0, 0), 0.0)}),
)
THEIRS = Source(*map(as_metric, SOURCE.collect()))


def series(encoded: bytes) -> list[tuple[str, list[str]]]:
    """Each line's part before the labels, and the labels."""
    lines = [line.rpartition(" ")[0] for line in encoded.decode().split("\n")]
    labels = re.compile(r'\w+="(?:[^"\\]|\\.)*"')
    return sorted((labels.sub("", line), sorted(labels.findall(line))) for line in lines)


FORMATS: list[tuple[Callable[..., Iterable[bytes]], Callable[..., bytes], Callable[..., Any]]] = [
    (exposition.text, generate_latest, parse_text),
    (exposition.openmetrics, generate_openmetrics, parse_openmetrics),
]


@pytest.mark.parametrize(("ours", "theirs", "parse"), FORMATS, ids=["text", "openmetrics"])
def test_as_prometheus_client_has_it(
    ours: Callable[[Any], Iterable[bytes]],
    theirs: Callable[[Any], bytes],
    parse: Callable[[str], Any],
) -> None:
    def parsed(encoded: bytes) -> list[Any]:
        return sorted(parse(encoded.decode()), key=lambda family: str(family.name))

    assert parsed(b"".join(ours(SOURCE))) == parsed(theirs(THEIRS))
    # The lines themselves are the same but for how numbers are written, and for orders.
    assert series(b"".join(ours(SOURCE))) == series(theirs(THEIRS))


ROW, OTHER_ROW = {("a", "%s"): 1}, {("b", "%s"): 2}
LATER: list[dict[str, Mapping[Labels, Value]]] = [
    {"/a": {**ROW, **OTHER_ROW}, "/b": ROW},
    {"/a": {("a", "%s"): 3, ("b", "%s"): 4}, "/b": {("a", "%s"): 5}},
    {"/a": {**OTHER_ROW, **ROW}, "/b": {("a", "%d"): 1}},
    {"/b": {**ROW, **OTHER_ROW}},
    {"/a": OTHER_ROW, "/b": {**ROW, **OTHER_ROW}},
]
"""Rows by brick: as before, with other numbers, in another order, without a brick, and so on."""


def test_later_scrapes() -> None:
    """What is kept of a scrape is right for the next one, whatever changes."""
    for rows in LATER:
        source = Source(of_bricks(COUNTER, *((("v", brick), of) for brick, of in rows.items())))
        theirs = Source(*map(as_metric, source.collect()))
        for ours, their, parse in FORMATS:
            encoded = b"".join(ours(source)).decode()
            assert list(parse(encoded)) == list(parse(their(theirs).decode()))


@pytest.mark.parametrize("value", [*FLOATS, *WHOLE])
def test_numbers(value: float) -> None:
    line = (
        b"".join(exposition.text(Source(Exposed.of_node(GAUGE, {(): value}))))
        .decode()
        .splitlines()[2]
    )
    number = line.split(" ")[1]
    assert repr(float(number)) == repr(float(value))
    if isinstance(value, int):
        assert int(number) == value


def test_openmetrics_ends_once() -> None:
    text = b"".join(exposition.openmetrics(SOURCE)).decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    assert "# UNIT glupy_bytes bytes\n" in text
