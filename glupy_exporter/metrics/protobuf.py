"""Writes a scrape in Prometheus's protobuf format: messages ``MetricFamily`` of client_model
(``io/prometheus/client/metrics.proto``), each behind its length.

It is the only format with native histograms, and with start times that cost no series of their own.
docs/design.md says why no protobuf library writes it. Names in comments are those of the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, compress, repeat
from math import frexp, inf
from operator import sub
from struct import pack
from typing import cast

from prometheus_client.core import Metric

from glupy_exporter.metrics.exposition import Source
from glupy_exporter.metrics.family import Block, Exemplar, Exposed, Family, Histogram, Labels

_COUNTER, _GAUGE, _UNTYPED, _HISTOGRAM = 0, 1, 3, 4
_TYPES = {"counter": _COUNTER, "gauge": _GAUGE, "histogram": _HISTOGRAM}

_VALUES = {_COUNTER: b"\x1a", _GAUGE: b"\x12", _UNTYPED: b"\x2a", _HISTOGRAM: b"\x3a"}
"""The tag in a ``Metric`` of the value of each type."""

_MOST = 2**63 - 1
"""The most that all buckets of a histogram may hold: Prometheus drops the whole scrape for a native
histogram whose buckets do not fit 64 bits with a sign. Only a hostile segment has more."""


def _varint(number: int) -> bytes:
    """A number that is not negative, in groups of seven bits, the lowest first."""
    if number < len(_SMALL):
        return _SMALL[number]
    first, second, third = number & 127 | 128, number >> 7 & 127 | 128, number >> 14
    if third < 128:
        return bytes((first, second, third))
    return bytes((first, second, third & 127 | 128)) + _varint(number >> 21)


_SMALL = [bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80, n >> 7]) for n in range(0x800)]


def _message(tag: bytes, content: bytes) -> bytes:
    """A message or text as a field."""
    return tag + _varint(len(content)) + content


class _LabelPairs(dict[tuple[str, str], bytes]):
    """The field ``label`` of each name and value that were asked for in a scrape."""

    def __missing__(self, pair: tuple[str, str]) -> bytes:
        name, value = map(str.encode, pair)
        found = _message(b"\x0a", _message(b"\x0a", name) + _message(b"\x12", value))
        self[pair] = found
        return found

    def encode(self, names: Iterable[str], values: Iterable[str]) -> bytes:
        """The labels of a row."""
        return b"".join(map(self.__getitem__, zip(names, values)))


class _Rows:
    """The labels of rows, each made once in a scrape: families and bricks have many in common."""

    def __init__(self, pairs: _LabelPairs) -> None:
        self._encode = lru_cache(maxsize=None)(pairs.encode)
        self._of_blocks: dict[tuple[Labels, Labels, int], tuple[Sequence[Labels], list[bytes]]] = {}

    def labels(self, names: Labels, key: Labels, labels: Sequence[Labels]) -> list[bytes]:
        """The labels of each row: ``names``, with the values of ``key`` and of the row."""
        which = names, key, id(labels)
        if which not in self._of_blocks:
            start, own, encode = self._encode(names, key), names[len(key) :], self._encode
            encoded = [start + encode(own, values) for values in labels]
            self._of_blocks[which] = labels, encoded  # holding labels keeps their id from reuse
        return self._of_blocks[which][1]


@lru_cache(4096)  # rows of many families began at the same times, from scrape to scrape
def _timestamp(tag: bytes, seconds: float) -> bytes:
    """A time as a field; nothing for times before the epoch, which only a hostile segment has."""
    if not seconds > 0:
        return b""
    whole = int(seconds)
    nanos = int((seconds - whole) * 1e9)
    return _message(tag, b"\x08" + _varint(whole) + b"\x10" + _varint(nanos))


def _created(tag: bytes, block: Block) -> Iterable[bytes]:
    """The field ``created_timestamp`` of each row, which gauges do not have."""
    if block.started is None or block.family.type == "gauge":
        return repeat(b"")
    if isinstance(block.started, Sequence):
        return [_timestamp(tag, seconds) for seconds in block.started]
    return repeat(_timestamp(tag, block.started))


def _simple(kind: int, rows: Iterable[bytes], block: Block) -> Iterator[bytes]:
    """The messages ``Metric`` of counters or gauges."""
    tag = _VALUES[kind]
    values = cast(Sequence[float], block.values)
    if block.family.nanoseconds:
        values = [nanoseconds / 1e9 for nanoseconds in values]
    doubles = pack(f"<{len(values)}d", *values)
    numbers = [doubles[at : at + 8] for at in range(0, len(doubles), 8)]
    for labels, number, start in zip(rows, numbers, _created(b"\x1a", block)):
        size = _SMALL[len(start) + 9]
        length = _varint(len(labels) + len(start) + 11)
        yield b"".join((b'"', length, labels, tag, size, b"\x09", number, start))


def _exemplar(tag: bytes, exemplar: Exemplar) -> bytes:
    labels = b"".join(map(_LabelPairs().__getitem__, exemplar.labels))
    value = b"\x11" + pack("<d", exemplar.value)
    return _message(tag, labels + value + _timestamp(b"\x1a", exemplar.timestamp))


class _Histograms:
    """Encodes the rows of a family of histograms."""

    def __init__(self, family: Family) -> None:
        self._places = family.places
        bounds = (*family.bounds, inf)
        self._bounds = [b"\x11" + pack("<d", bounds[place]) for place in self._places]
        self._scale = 1e9 if family.nanoseconds else 1
        self._native = b""
        if family.native:
            threshold = family.bounds[0]
            # Bucket i ends at 2**(i + first), as frexp returns 2**e as 0.5 and e + 1.
            self._first = frexp(threshold)[1] - 1
            # schema, zero_threshold
            self._native = b"\x28\x00\x31" + pack("<d", threshold)

    def rows(self, rows: Iterable[bytes], block: Block) -> Iterator[bytes]:
        """The messages ``Metric``."""
        for labels, value, start in zip(rows, block.values, _created(b"\x7a", block)):
            assert isinstance(value, Histogram)
            yield _message(b'"', labels + _message(b"\x3a", self._histogram(value) + start))

    def _histogram(self, value: Histogram) -> bytes:
        buckets = value.buckets
        counts = list(accumulate(buckets))
        if counts[-1] > _MOST:
            buckets = [min(count, _MOST // len(buckets)) for count in buckets]
            counts = list(accumulate(buckets))
        parts = [b"\x08", _varint(counts[-1]), b"\x11", pack("<d", value.sum / self._scale)]
        if not value.exemplars:
            for place, bound in zip(self._places, self._bounds):
                count = _varint(counts[place])
                parts += (_BUCKETS[len(count)], count, bound)
        else:
            served = value.served(self._places)
            for index, (place, bound) in enumerate(zip(self._places, self._bounds)):
                bucket = b"\x08" + _varint(counts[place]) + bound
                if index in served:
                    bucket += _exemplar(b"\x1a", served[index])
                parts.append(_message(b"\x1a", bucket))
        if self._native:
            parts.append(self._native)
            self._sparse(buckets, parts)
            parts += [_exemplar(b"\x82\x01", each) for each in value.exemplars.values()]
        return b"".join(parts)

    def _sparse(self, buckets: Sequence[int], parts: list[bytes]) -> None:
        """The fields ``zero_count``, ``positive_span`` and ``positive_delta``."""
        if buckets[0]:
            parts += (b"\x38", _varint(buckets[0]))
        positive = buckets[1:]
        filled = [*compress(range(1, len(buckets)), positive)]
        end = -self._first  # so that the offset of the first span is the index of its bucket
        while filled:
            begin = filled[0]
            length = 1
            while length < len(filled) and filled[length] == begin + length:
                length += 1
            parts.append(_span(begin - end, length))
            end = begin + length
            del filled[:length]
        counts = [*filter(None, positive)]
        deltas = [delta << 1 ^ delta >> 63 for delta in map(sub, counts, [0, *counts])]  # zigzag
        parts.append(b"\x68".join([b"", *map(_varint, deltas)]))


@lru_cache(1024)
def _span(offset: int, length: int) -> bytes:
    """The field ``positive_span``; its offset may be negative."""
    zigzag = offset << 1 ^ offset >> 31
    return _message(b"\x62", b"\x08" + _varint(zigzag) + b"\x10" + _varint(length))


_BUCKETS = [b"\x1a" + _SMALL[length + 10] + b"\x08" for length in range(11)]
"""The start of the field ``bucket`` for each length of the count that follows."""


def _family(name: str, help_text: str, kind: int, unit: str, metrics: Iterable[bytes]) -> bytes:
    """A message ``MetricFamily`` behind its length."""
    head = _message(b"\x0a", name.encode()) + _message(b"\x12", help_text.encode())
    tail = _message(b"\x2a", unit.encode()) if unit else b""
    pieces = [head, b"\x18", _varint(kind), *metrics, tail]
    return b"".join([_varint(sum(map(len, pieces))), *pieces])


def _own(exposed: Exposed, labels: _Rows) -> bytes:
    """A family of this exporter."""
    family = exposed.family
    kind = _TYPES[family.type]
    names = family.label_names
    histograms = _Histograms(family) if kind == _HISTOGRAM else None

    def metrics() -> Iterator[bytes]:
        for key, block in exposed.blocks:
            rows = labels.labels(names, key, block.labels)
            if histograms:
                yield from histograms.rows(rows, block)
            else:
                yield from _simple(kind, rows, block)

    return _family(family.name, family.help, kind, family.unit, metrics())


def _other(metric: Metric, pairs: _LabelPairs) -> Iterator[bytes]:
    """A metric of one of prometheus_client's collectors, which have counters and gauges: a family
    for each name that its samples have, as in the text format."""
    samples: dict[str, list[tuple[Labels, Labels, float]]] = {}
    for sample in metric.samples:
        labels = tuple(sample.labels), tuple(sample.labels.values())
        samples.setdefault(sample.name, []).append((*labels, sample.value))
    for name, of_name in samples.items():
        if metric.type == "counter" and name.endswith("_total"):
            kind = _COUNTER
        else:
            kind = _GAUGE if metric.type in ("counter", "gauge", "info") else _UNTYPED
        rows = [pairs.encode(names, values) for names, values, _ in of_name]
        column = [value for _, _, value in of_name]
        family = Family(name, "gauge", metric.documentation)
        block = Block(family, [()] * len(rows), column)
        yield _family(name, metric.documentation, kind, "", _simple(kind, rows, block))


def protobuf(source: Source) -> Iterator[bytes]:
    """One scrape in the protobuf format, as pieces."""
    pairs = _LabelPairs()
    rows = _Rows(pairs)
    for metric in source.collect():
        if isinstance(metric, Exposed):
            yield _own(metric, rows)
        else:
            yield from _other(metric, pairs)
