"""Checks a segment before it is read: its version, the places of its tables, its file name."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from glupy_exporter.schema import layout, option_table, version1
from glupy_exporter.schema.layout import Span
from glupy_exporter.segment import naming
from glupy_exporter.segment.text import escape

REASONS = (
    "unreadable",
    "not_a_file",
    "truncated",
    "bad_magic",
    "bad_version",
    "bad_layout",
    "misnamed",
)
"""Every value of :attr:`SegmentError.reason`."""

VERSIONS = (version1.VERSION, layout.VERSION)
"""Versions of the layout that are read."""

Read = Callable[[int, int], memoryview]
"""``read(offset, size)`` gives a copy of ``size`` bytes of the file; raises SegmentError."""
Spans = Mapping[str, Span]
"""Spans by the names of their tables."""

_HEADER_MIN = layout.Header.brick.offset + layout.Header.brick.size
_SMALL = 1 << 16  # bytes: a table of up to this many is read, however large its elements are
_TABLES = {table.name: table for table in layout.TABLES}
_ALONE = frozenset(("recorded",))  # version 1 lacks it
# Tables that can be read only together.
_GROUPS = tuple(
    tuple(
        name for name, table in _TABLES.items() if dimension in table.shape and name not in _ALONE
    )
    for dimension in ("fops", "files", "clients")
)
# The volume options that bound the slots of a table.
_SLOTS = {
    rows: next(option for option in option_table.OPTIONS if option.key == f"{rows[:-1]}-slots")
    for rows in ("files", "clients")
}


# The most elements of the other tables, by their only dimension: a reader copies whole tables.
_FIXED_MAX = 256
_DIMENSIONS_MAX = {
    "slow": layout.RECORDS_MAX,
    "trace": layout.RECORDS_MAX,
    "flights": layout.FLIGHTS_MAX,
    "held_locks": layout.HELD_LOCKS_MAX,
}
_MOST = {
    table.name: _DIMENSIONS_MAX.get(str(table.shape[0]), _FIXED_MAX) if table.shape else 1
    for table in layout.TABLES
    if not {"lanes", "fops", "files", "clients"} & set(table.shape)
}


class SegmentError(Exception):
    """A segment that cannot be used; ``reason`` is one of :data:`REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _check(condition: object, what: str) -> None:
    if not condition:
        raise SegmentError("bad_layout", what)


def load(kind: Any, copied: memoryview, size: int) -> Any:
    """A structure of type ``kind`` from the first ``size`` bytes; fields beyond them are 0."""
    known = bytes(copied[: min(size, ctypes.sizeof(kind))])
    return kind.from_buffer_copy(known.ljust(ctypes.sizeof(kind), b"\0"))


def contents(read: Read, size: int) -> tuple[layout.Header, Spans]:
    """The header of a file of ``size`` bytes, and the spans of its tables.

    Tables that are missing, or not known here, have no span. All others lie within the file, are
    not too large to be read, and have as many elements as the tables that belong to them.

    Raises:
        SegmentError: the file is not a segment that can be read.
    """
    least = ctypes.sizeof(layout.Header)
    if size < least:
        raise SegmentError("truncated", f"{size} bytes are too few for a header")
    copied = read(0, least)
    header: layout.Header = load(layout.Header, copied, least)
    if header.magic != layout.MAGIC:
        raise SegmentError("bad_magic", "not a glupy segment")
    if header.version not in VERSIONS:
        raise SegmentError(
            "bad_version",
            f"segment layout {header.version}, this exporter reads "
            f"{' and '.join(map(str, VERSIONS))}: upgrade "
            + (
                "the exporter"
                if header.version > layout.VERSION
                else "the translator and restart the brick"
            ),
        )
    if size < header.total_size:
        raise SegmentError("truncated", f"{size} of {header.total_size} bytes")
    _check(size == header.total_size, "longer than its header says")
    if header.version == version1.VERSION:
        spans = _of_version1(read, size)
    else:
        _check(header.header_size >= _HEADER_MIN, f"a header of {header.header_size} bytes")
        header = load(layout.Header, copied, header.header_size)
        spans = _catalog(_entries(read, header), size)
    return header, spans


def _of_version1(read: Read, size: int) -> Spans:
    if size < version1.HEADER_SIZE:
        raise SegmentError("truncated", f"{size} bytes are too few for a header")
    copied = read(0, ctypes.sizeof(version1.Header))
    header = version1.Header.from_buffer_copy(copied)
    _check(header.header_size == version1.HEADER_SIZE, f"a header of {header.header_size} bytes")
    return _checked(version1.spans(header), size)


def _entries(read: Read, header: layout.Header) -> bytes:
    """A copy of the catalog, each entry as long as in this release."""
    count, size = header.table_count, header.entry_size
    _check(count <= layout.TABLES_MAX, f"{count} tables")
    known = ctypes.sizeof(layout.Entry)
    _check(known <= size <= _SMALL, f"catalog entries of {size} bytes")
    _check(
        header.catalog_offset + count * size <= header.total_size,
        "the catalog lies outside the file",
    )
    copied = read(header.catalog_offset, count * size)
    starts = range(0, count * size, size)
    return b"".join([copied[start : start + known] for start in starts])


@lru_cache(maxsize=64)  # bricks with the same options have the same catalog
def _catalog(entries: bytes, size: int) -> Spans:
    """The spans of a catalog, in a file of ``size`` bytes."""
    spans: dict[str, Span] = {}
    for start in range(0, len(entries), ctypes.sizeof(layout.Entry)):
        entry = layout.Entry.from_buffer_copy(entries, start)
        name = entry.name.decode("ascii", "replace")
        if name in _TABLES:
            _check(name not in spans, f"two tables {name}")
            spans[name] = Span(entry.offset, _TABLES[name].element, entry.element_size, entry.count)
    return _checked(spans, size)


def _checked(spans: dict[str, Span], size: int) -> Spans:
    """Those of the spans that can be read, in a file of ``size`` bytes."""
    for name, span in spans.items():
        _check_span(name, span, size)
    for group in _GROUPS:
        if not all(name in spans for name in group):
            for name in group:
                spans.pop(name, None)
    _check_counts(spans)
    return spans


def _check_span(name: str, span: Span, size: int) -> None:
    known = ctypes.sizeof(span.element)
    if issubclass(span.element, ctypes.Structure):
        _check(span.element_size > 0, f"table {name} has elements of no size")
        _check(
            span.size <= max(_SMALL, 2 * known * span.length),
            f"table {name} has elements of {span.element_size} bytes",
        )
    else:
        _check(span.element_size == known, f"table {name} is not of {known}-byte integers")
    _check(span.offset % 8 == 0, f"table {name} is not aligned")
    _check(span.offset + span.size <= size, f"table {name} lies outside the file")


def _check_counts(spans: Spans) -> None:
    """Raise SegmentError unless each table has an allowed number of elements."""

    def count(name: str) -> int:
        return spans[name].length if name in spans else 0

    fops, cells = count("fop_names"), count("cells")
    if "fop_names" in spans:
        _check(0 < fops <= layout.FOPS_MAX, f"{fops} fops")
        _check(count("errors") == fops, f"errors of {count('errors')} fops, not {fops}")
        recorded = count("recorded")
        _check(recorded in (0, fops), f"records of {recorded} fops, not {fops}")
        lanes, rest = divmod(cells, fops)
        _check(0 < lanes <= layout.LANES_MAX and not rest, f"{cells} cells of {fops} fops")
    directions = len(layout.DIRECTIONS)
    _check(
        count("io") % directions == 0 and count("io") <= layout.LANES_MAX * directions,
        f"{count('io')} cells of I/O",
    )
    for name, option in _SLOTS.items():
        arrays = [span for table, span in spans.items() if name in _TABLES[table].shape]
        if not arrays:
            continue
        slots = arrays[0].length
        what = f"{slots} {name[:-1]} slots"
        _check(all(span.length == slots for span in arrays), f"arrays of {name} of unequal length")
        _check(slots >= option.least, what)
        _check(
            slots <= option.most,
            f"{what}, more than the {option.most} that are read: set the volume option "
            f"{option.name} lower",
        )
    for name, most in _MOST.items():
        _check(count(name) <= most, f"table {name} has {count(name)} elements")


def check_name(path: Path, volume: bytes, brick: bytes) -> None:
    """Raise SegmentError unless the file is named after the brick that its header names.

    Otherwise a process that can write one brick's segment could take the place of another brick.
    """
    if path.name not in naming.names(os.fsdecode(volume), os.fsdecode(brick)):
        named = f"{escape(volume)}:{escape(brick)}"
        raise SegmentError("misnamed", f"its header names brick {named}, its file name does not")
