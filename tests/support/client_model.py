"""Decodes Prometheus's protobuf format with the protobuf library.

The messages are those of client_model's ``io/prometheus/client/metrics.proto``, as far as an
exporter can use them, said as tables: what the library's compiler makes of the file works with few
releases of the library.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.utils import floatToGoString

if os.environ.get("CI") != "true":
    pytest.importorskip("google.protobuf", reason="needs the protobuf library: make venv")
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "io.prometheus.client"
_MESSAGES = {
    "LabelPair": "1 string name, 2 string value",
    "Gauge": "1 double value",
    "Counter": "1 double value, 2 Exemplar exemplar, 3 Timestamp created_timestamp",
    "Quantile": "1 double quantile, 2 double value",
    "Summary": "1 uint64 sample_count, 2 double sample_sum, 3 Quantile quantile*, "
    "4 Timestamp created_timestamp",
    "Untyped": "1 double value",
    "Histogram": "1 uint64 sample_count, 4 double sample_count_float, 2 double sample_sum, "
    "3 Bucket bucket*, 15 Timestamp created_timestamp, 5 sint32 schema, 6 double zero_threshold, "
    "7 uint64 zero_count, 8 double zero_count_float, 9 BucketSpan negative_span*, "
    "10 sint64 negative_delta*, 11 double negative_count*, 12 BucketSpan positive_span*, "
    "13 sint64 positive_delta*, 14 double positive_count*, 16 Exemplar exemplars*",
    "Bucket": "1 uint64 cumulative_count, 4 double cumulative_count_float, 2 double upper_bound, "
    "3 Exemplar exemplar",
    "BucketSpan": "1 sint32 offset, 2 uint32 length",
    "Exemplar": "1 LabelPair label*, 2 double value, 3 Timestamp timestamp",
    "Metric": "1 LabelPair label*, 2 Gauge gauge, 3 Counter counter, 4 Summary summary, "
    "5 Untyped untyped, 7 Histogram histogram, 6 int64 timestamp_ms",
    "MetricFamily": "1 string name, 2 string help, 3 MetricType type, 4 Metric metric*, "
    "5 string unit",
}
TYPES = ("COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM")


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="metrics.proto",
        package=_PACKAGE,
        syntax="proto2",
        dependency=["google/protobuf/timestamp.proto"],
    )
    enum = file.enum_type.add(name="MetricType")
    for number, name in enumerate(TYPES):
        enum.value.add(name=name, number=number)
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for each in fields.split(", "):
            number, kind, name = each.split()
            field = described.field.add(name=name.rstrip("*"), number=int(number))
            field.label = _FIELD.LABEL_REPEATED if "*" in name else _FIELD.LABEL_OPTIONAL
            if kind == "Timestamp":
                field.type_name = ".google.protobuf.Timestamp"
            elif kind[0].isupper():
                field.type_name = f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(_FIELD, f"TYPE_{kind.upper()}")
    return file


def _family() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.MetricFamily")
    return message_factory.GetMessageClass(found)


MetricFamily = _family()


def decode(data: bytes) -> list[Any]:
    """The messages ``MetricFamily``; every byte has to belong to a field that is known."""
    families = []
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        assert at + length <= len(data), "cut"
        family = MetricFamily.FromString(data[at : at + length])
        at += length
        # What is not known is kept, and written again: bytes are the same if all is in order.
        known = MetricFamily()
        known.CopyFrom(family)
        known.DiscardUnknownFields()
        assert known == family, "unknown fields"
        families.append(family)
    return families


Labels = tuple[tuple[str, str], ...]


def labels(message: Any) -> Labels:
    """The labels of a ``Metric`` or ``Exemplar``."""
    return tuple(sorted((pair.name, pair.value) for pair in message.label))


def bound(edge: float) -> str:
    """The value of ``le``, as Prometheus makes it of an upper bound."""
    return str(floatToGoString(edge))


def samples(family: Any) -> Iterator[tuple[str, Labels, float]]:
    """Name, labels and value of each sample that the text format would have of the family."""
    for metric in family.metric:
        own = labels(metric)
        if family.type == TYPES.index("HISTOGRAM"):
            histogram = metric.histogram
            for bucket in histogram.bucket:
                edge = ("le", bound(bucket.upper_bound))
                yield f"{family.name}_bucket", tuple(sorted((*own, edge))), bucket.cumulative_count
            yield f"{family.name}_count", own, histogram.sample_count
            yield f"{family.name}_sum", own, histogram.sample_sum
        else:
            yield family.name, own, getattr(metric, TYPES[family.type].lower()).value


def native(histogram: Any) -> Mapping[float, int]:
    """The observations of a native histogram by the upper bound of their bucket, without empty
    buckets; those in the zero bucket have its threshold for a bound."""
    assert histogram.schema == 0 and not histogram.negative_span
    found: dict[float, int] = {}
    if histogram.zero_count:
        found[histogram.zero_threshold] = histogram.zero_count
    deltas = list(histogram.positive_delta)
    assert len(deltas) == sum(span.length for span in histogram.positive_span)
    index = count = 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += deltas.pop(0)
            edge = math.ldexp(1, index)
            assert edge > max(found, default=histogram.zero_threshold)
            found[edge] = count
            index += 1
    return found


def check(families: list[Any]) -> None:
    """What Prometheus demands, which drops a scrape where it is not so."""
    for family in families:
        histograms = [m.histogram for m in family.metric if m.HasField("histogram")]
        # Prometheus 2.42 takes a family for native if its first row is.
        assert len({histogram.zero_threshold > 0 for histogram in histograms}) <= 1
        for histogram in histograms:
            assert histogram.sample_count < 2**63
            counts = [bucket.cumulative_count for bucket in histogram.bucket]
            assert counts == sorted(counts) and counts[-1] == histogram.sample_count
            if histogram.zero_threshold:
                observed = native(histogram)
                assert all(count > 0 for count in observed.values())
                assert sum(observed.values()) == histogram.sample_count
