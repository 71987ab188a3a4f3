"""The protobuf format, decoded by the protobuf library, against the text format."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    UntypedMetricFamily,
)
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter.metrics import COLLECTORS, exposition, protobuf
from glupy_exporter.metrics.family import Block, Exemplar, Exposed, Family, Histogram
from glupy_exporter.schema import layout
from tests.support import client_model, segments
from tests.support.exporters import ask, exporter
from tests.unit.test_exposition import SOURCE, Source

BOUNDS = layout.LATENCY_BOUNDS
NATIVE = Family("glupy_native_seconds", "histogram", "Help.", ("fop",), BOUNDS, native=True)
ROW = (("v", "/b"),)
THEIRS = Source(
    CounterMetricFamily("process_cpu_seconds", "Help.", 1.5),
    GaugeMetricFamily("process_open_fds", "Help \u00fc.", 7),
    InfoMetricFamily("python", "Help.", {"version": "3"}),
    UntypedMetricFamily("other", "Help.", 3),
)
NUL = "\0"
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)


def decoded(source: Any) -> list[Any]:
    families = client_model.decode(b"".join(protobuf.protobuf(source)))
    client_model.check(families)
    return families


def of_text(source: Any) -> list[tuple[str, client_model.Labels, float]]:
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in parse_text(b"".join(exposition.text(source)).decode())
        for sample in family.samples
    )


def of_protobuf(source: Any) -> list[tuple[str, client_model.Labels, float]]:
    return sorted(each for family in decoded(source) for each in client_model.samples(family))


@pytest.mark.parametrize("source", [SOURCE, THEIRS], ids=["own", "theirs"])
def test_says_what_the_text_format_says(source: Any) -> None:
    assert of_protobuf(source) == of_text(source)


def test_names_types_and_texts() -> None:
    family, *others = decoded(Source(*SOURCE.collect()))
    declared = next(iter(SOURCE.collect())).family
    assert (family.name, family.help, family.unit) == (declared.name, declared.help, "")
    by_name = {each.name: each for each in (family, *others)}
    assert by_name["glupy_bytes_total"].unit == "bytes"
    types = {name: client_model.TYPES[each.type] for name, each in by_name.items()}
    assert types["glupy_bytes_total"] == "COUNTER"
    assert types["glupy_zed"] == "HISTOGRAM" and types["glupy_seconds"] == "GAUGE"
    types = {each.name: client_model.TYPES[each.type] for each in decoded(THEIRS)}
    assert types == {
        "process_cpu_seconds_total": "COUNTER",
        "process_open_fds": "GAUGE",
        "python_info": "GAUGE",
        "other": "UNTYPED",
    }


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=NUL), max_size=300)
names = st.lists(st.sampled_from("abcdefgh"), max_size=4, unique=True).map(tuple)
floats = st.floats(allow_nan=False) | st.integers(0, 2**64 - 1)
times = st.none() | st.floats(1e-3, 2e10)
counts = st.integers(0, 2**20) | st.integers(0, 2**58)


@st.composite
def families(draw: Callable[[Any], Any], number: int) -> Exposed:
    """A family with any labels and values, under a name of its own."""
    kind = draw(st.sampled_from(["counter", "gauge", "histogram", "native"]))
    labels, of_brick = draw(names), draw(st.booleans())
    rows = draw(st.lists(st.tuples(*(texts for _ in labels)), max_size=5, unique=True))
    name = f"glupy_{number}_{draw(st.sampled_from(['', 'bytes_', 'seconds_']))}"
    bounds: tuple[float, ...] = ()
    served = None
    value = floats
    if kind in ("histogram", "native"):
        bounds = BOUNDS if kind == "native" else (0.5, 1.0, 7.0)
        served = tuple(sorted(draw(st.sets(st.sampled_from(bounds)))))
        each = st.lists(counts, min_size=len(bounds) + 1, max_size=len(bounds) + 1)
        value = st.builds(Histogram, each, st.floats(0, 1e20), st.just({}))
    family = Family(
        f"{name}total" if kind == "counter" else f"{name}x",
        "histogram" if kind == "native" else kind,
        draw(texts),
        labels,
        bounds,
        served,
        native=kind == "native",
        of_brick=of_brick,
    )
    values = [draw(value) for _ in rows]
    started = draw(times | st.lists(times.filter(bool), min_size=len(rows), max_size=len(rows)))
    key = (draw(texts), draw(texts)) if of_brick else ()
    return Exposed(family, [(key, Block(family, rows, values, started))])


sources = st.tuples(*(families(number) for number in range(3))).map(lambda each: Source(*each))


@given(sources)
def test_any_families_say_the_same(source: Source) -> None:
    theirs = [(name, labels, float(value)) for name, labels, value in of_text(source)]
    assert [(name, labels, float(value)) for name, labels, value in of_protobuf(source)] == theirs


buckets = st.lists(counts | st.just(0), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1)


@given(st.lists(buckets, min_size=1, max_size=4), st.booleans())
def test_native_buckets_are_the_classic_ones(rows: Sequence[list[int]], few: bool) -> None:
    served = BOUNDS[::2] if few else None
    family = Family("glupy_n", "histogram", "", ("fop",), BOUNDS, served, native=True)
    block = Block(family, [(str(n),) for n in range(len(rows))], [Histogram(b, 1.5) for b in rows])
    (decoded_family,) = decoded(Source(Exposed(family, [(("v", "/b"), block)])))
    edges = (*BOUNDS, 128.0)
    for metric, each in zip(decoded_family.metric, rows):
        histogram = metric.histogram
        assert histogram.zero_threshold == BOUNDS[0]
        observed = {edge: count for edge, count in zip(edges, each) if count}
        assert client_model.native(histogram) == observed
        cumulative = dict(zip((*BOUNDS, math.inf), accumulate(each)))
        for bucket in histogram.bucket:
            assert bucket.cumulative_count == cumulative[bucket.upper_bound]


def test_declared_native_families_have_powers_of_two() -> None:
    native = [each for collector in COLLECTORS for each in collector.families if each.native]
    assert [family.name for family in native] == ["glupy_fop_duration_seconds"]
    for family in native:
        exponents = [math.log2(bound) for bound in family.bounds]
        assert exponents == [exponents[0] + n for n in range(len(exponents))]
        assert exponents[0] == int(exponents[0])


def test_a_histogram_without_observations_is_native_too() -> None:
    empty = Histogram([0] * (len(BOUNDS) + 1), 0.0)
    (family,) = decoded(Source(Exposed.of_node(NATIVE_ALONE, {("read",): empty})))
    (metric,) = family.metric
    assert metric.histogram.zero_threshold == BOUNDS[0]
    assert not metric.histogram.positive_span and not metric.histogram.zero_count


NATIVE_ALONE = Family("glupy_a", "histogram", "", ("fop",), BOUNDS, native=True, of_brick=False)


def test_a_hostile_segments_counts_fit_64_bits() -> None:
    most = Histogram([2**64 - 1] * (len(BOUNDS) + 1), 1e30)
    (family,) = decoded(Source(Exposed.of_node(NATIVE_ALONE, {("read",): most})))
    (metric,) = family.metric
    assert 2**62 < metric.histogram.sample_count < 2**63


def seconds(timestamp: Any) -> float:
    return float(timestamp.seconds + timestamp.nanos / 1e9)


def test_start_times() -> None:
    counter = Family("glupy_c_total", "counter", "", ("file",), of_brick=False)
    gauge = Family("glupy_g", "gauge", "", ("file",), of_brick=False)
    rows = {("a",): 1, ("b",): 2, ("c",): 3}
    source = Source(
        Exposed.of_node(counter, rows, [1700000000.25, -5.0, 0.0]),
        Exposed.of_node(gauge, rows, 1700000000.0),
        Exposed.of_node(NATIVE_ALONE, {("read",): Histogram([1] * 28, 1.0)}, 1.5),
    )
    counters, gauges, histograms = decoded(source)
    first, *others = counters.metric
    assert seconds(first.counter.created_timestamp) == 1700000000.25
    assert not any(each.counter.HasField("created_timestamp") for each in others)
    assert [each.gauge.value for each in gauges.metric] == [1, 2, 3]
    assert seconds(histograms.metric[0].histogram.created_timestamp) == 1.5


def test_start_times_in_openmetrics_on_request() -> None:
    counter = Family("glupy_c_total", "counter", "", ("file",), of_brick=False)
    rows = {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4}
    source = Source(
        Exposed.of_node(counter, rows, [1700000000.25, 0.0, 3.0, -5.0]),
        Exposed.of_node(NATIVE_ALONE, {("read",): Histogram([1] * 28, 1.0)}, 1.5),
        Exposed.of_node(Family("glupy_g", "gauge", "", of_brick=False), {(): 1}, 2.5),
    )
    assert b"_created" not in b"".join(exposition.openmetrics(source))
    assert b"_created" not in b"".join(exposition.text(source))
    earlier = Source(Exposed.of_node(counter, rows, 3.0))  # of which the encoder keeps some
    assert b"".join(exposition.openmetrics(earlier, created=True)).count(b"glupy_c_created") == 4
    text = b"".join(exposition.openmetrics(source, created=True)).decode()
    assert [line for line in text.splitlines() if line.startswith("glupy_c_total")] == [
        *('glupy_c_total{file="a"} 1', 'glupy_c_total{file="b"} 2'),
        *('glupy_c_total{file="c"} 3', 'glupy_c_total{file="d"} 4'),
    ]
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse_openmetrics(text)
        for sample in family.samples
        if sample.name.endswith("_created")
    }
    assert found == {
        ("glupy_c_created", "a"): 1700000000.25,
        ("glupy_c_created", "c"): 3.0,
        ("glupy_a_created", "read"): 1.5,
    }


def test_exemplars() -> None:
    """Of the exemplars that share a classic bucket, the latest; native ones all."""
    early, late = (Exemplar((("gfid", f"\\{n}\u00fc"),), 0.1 * n, 100.0 + n) for n in (1, 2))
    slow = Exemplar((("gfid", "s"),), 99.0, 1e9)
    family = Family(
        "glupy_e", "histogram", "", (), BOUNDS, BOUNDS[1::2], native=True, of_brick=False
    )
    value = Histogram([1] * 28, 1.0, {4: early, 5: late, 27: slow})
    source = Source(Exposed.of_node(family, {(): value}))
    (decoded_family,) = decoded(source)
    histogram = decoded_family.metric[0].histogram
    of_buckets = {
        bucket.upper_bound: (client_model.labels(bucket.exemplar), bucket.exemplar.value)
        for bucket in histogram.bucket
        if bucket.HasField("exemplar")
    }
    assert of_buckets == {
        BOUNDS[5]: (late.labels, late.value),
        math.inf: (slow.labels, slow.value),
    }
    assert [seconds(each.timestamp) for each in histogram.exemplars] == [101.0, 102.0, 1e9]
    (parsed,) = parse_openmetrics(b"".join(exposition.openmetrics(source)).decode())
    exemplars = {
        float(sample.labels["le"]): (sample.exemplar.labels, sample.exemplar.value)
        for sample in parsed.samples
        if sample.exemplar
    }
    assert exemplars == {
        BOUNDS[5]: (dict(late.labels), late.value),
        math.inf: (dict(slow.labels), slow.value),
    }
    assert b"#" not in b"".join(exposition.text(source)).split(b"histogram\n")[1]


def test_over_http(tmp_path: Path) -> None:
    fops = {"read": segments.Fop({3: 7}, nanoseconds=10**6)}
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    with segments.Segment(fops=fops).live(tmp_path), exporter(*flags) as running:
        over_http(running.port())


def over_http(port: int) -> None:
    answer, body = ask(port, "/metrics", Accept=PROTOBUF)
    assert answer.headers["Content-Type"] == PROTOBUF.replace(";", "; ")
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    families = client_model.decode(body)
    client_model.check(families)
    by_name = {family.name: family for family in families}
    (metric,) = by_name["glupy_fop_duration_seconds"].metric
    assert client_model.native(metric.histogram) == {2**-17: 7}
    created = segments.CREATED_REALTIME // 10**9
    assert metric.histogram.created_timestamp.seconds == created
    assert by_name["process_cpu_seconds_total"].metric[0].counter.value > 0
    # Whatever the method and the compression, it is the same.
    answer, nothing = ask(port, "/metrics", method="HEAD", Accept=PROTOBUF)
    assert (answer.headers["Content-Type"], nothing) == (PROTOBUF.replace(";", "; "), b"")
    assert abs(int(answer.headers["Content-Length"]) - len(body)) < 100
    answer, packed = ask(port, "/metrics", Accept=PROTOBUF, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    again = {family.name for family in client_model.decode(gzip.decompress(packed))}
    assert again == by_name.keys()
