"""Reads the flight recorder of a brick: fops that came back, fops in flight, granted locks.

The brick writes while this module reads. A record has a mark that tells its position and whether it
is complete; entries of the other tables have a mark that changes with their contents. The reader
copies the marks, then the data, then the marks again, and takes what had the same mark both times.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple, Protocol

from glupy_exporter.schema import layout
from glupy_exporter.schema.layout import Span
from glupy_exporter.schema.quantities import FOPS_OF_CLASS

SLOW, TRACE = RINGS = ("slow", "trace")
"""The rings: of slow fops, and of those that are sampled or traced."""

CAUSE_SLOW, CAUSE_SAMPLED, CAUSE_TRACED = (
    layout.CAUSE_SLOW,
    layout.CAUSE_SAMPLED,
    layout.CAUSE_TRACED,
)
"""Bits of :attr:`Fop.cause`."""

_RECORD = struct.Struct(f"=6Q16sIIiHBBBB{layout.RECORD_TEXT}s")
_FLIGHT = struct.Struct(f"=IBBBBQQQ16sIIiIQQ{layout.FLIGHT_TEXT}s")
_LOCK = struct.Struct(f"=IBBBBQQQ16sQQIi{layout.DOMAIN_SIZE}sQ")
_MARK = struct.Struct("=I")
_LOW_BYTE = 0 if sys.byteorder == "little" else _MARK.size - 1
_USED = bytes(byte % layout.MARK_STATES == layout.MARK_USED for byte in range(256))
"""By the low byte of a mark: 1 if its entry is in use."""
_NO_GFID = bytes(16)
_WAITS = 5  # for records that are being written
_WAIT = 0.001  # seconds; a writer needs less than a microsecond, unless it has lost its processor
_FRESH = 256  # the last positions of a ring, which may be being written
_PART = 2048  # records that are copied at a time: a ring may take more memory than a reader has


class Fop(NamedTuple):
    """A fop that came back."""

    position: int
    """Its position in the ring, which grows by one with each record."""
    ended: int
    """Nanoseconds on the monotonic clock; :meth:`Segment.realtime` turns it into wall time."""
    ns: int
    """Nanoseconds that it took."""
    fop: int
    """Index into :meth:`Segment.fop_names`."""
    errno: int
    """0: it succeeded."""
    gfid: bytes
    """16 bytes, zeros if the file is not known."""
    client: int
    """Tag of the client in the table of clients; 0: unknown."""
    uid: int
    gid: int
    pid: int
    """The process on the client; negative for GlusterFS's own clients."""
    offset: int
    size: int
    """Bytes of data that were moved; for a lock, its length."""
    cause: int
    """Bits: ``CAUSE_SLOW``, ``CAUSE_SAMPLED``, ``CAUSE_TRACED``."""
    tracers: int = 0
    """Bit ``i`` is set if it passed the filters of tracer ``i``."""
    parent: bytes = _NO_GFID
    """The directory in which ``name`` is; zeros if the fop named no entry."""
    name: bytes = b""
    """The entry that the fop named, or the domain of a lock; may be cut."""
    cut: bool = False
    """Whether ``name`` was longer."""


class Batch(NamedTuple):
    """The records that were read of a ring."""

    fops: list[Fop]
    next: int
    """The position to go on from."""
    lost: int
    """Records since the position asked for that were overwritten, or could not be written."""


class InFlight(NamedTuple):
    """A fop in flight. Fields are as in :class:`Fop`."""

    started: int
    """Nanoseconds on the monotonic clock."""
    fop: int
    gfid: bytes
    client: int
    uid: int
    gid: int
    pid: int
    offset: int
    """The start of a lock's range; for a lock on a directory's entries, a hash of the name."""
    size: int
    domain: bytes
    """The domain of a lock, which may be cut; empty for other fops."""
    type: int
    """Index into ``layout.LOCK_TYPES``, 0 if the fop is about no lock."""
    length: int
    """The length of a lock's range; 0: to the end."""
    owner: int
    """A hash of the lock's owner."""
    parent: bytes
    name: bytes
    """The entry that the fop named, which may be cut; empty for locks."""
    kind: int = 0
    """Index of the lock's kind in ``layout.LOCK_KINDS``; 0 if the fop is about no lock."""
    cut: bool = False
    """Whether ``name`` was longer."""


class HeldLock(NamedTuple):
    """A lock that was granted."""

    gfid: bytes
    domain: bytes
    """Cut at ``layout.DOMAIN_SIZE``; empty for locks of applications (``lk``)."""
    kind: int
    """Index into ``layout.LOCK_KINDS``."""
    client: int
    """Tag; 0: unknown, as for GlusterFS's own clients."""
    granted: int
    """Nanoseconds on the monotonic clock."""
    type: int
    """Index into ``layout.LOCK_TYPES``."""
    start: int
    """Start of the range; for a lock on entries of a directory a hash of the name, 0: all."""
    length: int
    """0: to the end."""
    owner: int
    """A hash of the lock's owner, as in :class:`InFlight`."""
    uid: int
    pid: int


class Tables(Protocol):
    """An open segment."""

    spans: Mapping[str, Span]

    def elements(self, table: str, first: int = 0, count: int | None = None) -> memoryview:
        """A copy of elements of a table."""


def recorded(segment: Tables, ring: str, since: int | None, names: Sequence[str]) -> Batch:
    """The records of a ring from ``since`` on. ``names`` are those of the fops, by index.

    A ``since`` that the brick has not reached yet is of an earlier segment: all records are new.
    """
    whole = kept(segment, ring)
    oldest, position = whole.start, whole.stop
    first = oldest if since is None or since > position else max(since, oldest)
    lost = 0 if since is None or since > position else first - since
    locks = _locks(names)
    found: list[Fop] = []
    waits = _WAITS
    while first < position:
        end = min(position, first + _PART)
        part = list(_read(segment, f"{ring}_records", first, end, locks))
        ready = len(part)
        if waits:
            fresh = range(max(0, position - _FRESH - first), ready)
            ready = next((index for index in fresh if part[index] is _UNWRITTEN), ready)
        good = [each for each in part[:ready] if isinstance(each, Fop) and each.fop < len(names)]
        found += good
        lost += ready - len(good)
        first += ready
        if first < end:
            waits -= 1
            time.sleep(_WAIT)
    return Batch(found, position, lost)


def latest(segment: Tables, ring: str, names: Sequence[str]) -> Iterator[Fop]:
    """The records of a ring, the latest first, without those that are not whole.

    It reads on as they are asked for, and ends where the brick has overwritten the rest.
    """
    whole = kept(segment, ring)
    locks = _locks(names)
    for end in range(whole.stop, whole.start, -_PART):
        first = max(whole.start, end - _PART)
        for each in reversed([*_read(segment, f"{ring}_records", first, end, locks)]):
            if isinstance(each, Fop) and each.fop < len(names):
                yield each


def kept(segment: Tables, ring: str) -> range:
    """The positions of the records that a ring still has."""
    head, records = (segment.spans.get(f"{ring}_{table}") for table in ("ring", "records"))
    if not head or not records or not head.length or not records.length:
        return range(0)
    position = position_of(segment, ring)
    return range(max(0, position - records.length), position)


def _locks(names: Sequence[str]) -> frozenset[int]:
    return frozenset(index for index, name in enumerate(names) if name in FOPS_OF_CLASS["lock"])


def position_of(segment: Tables, ring: str) -> int:
    """The position that the next record of a ring gets; 0 without the ring."""
    head = segment.elements(f"{ring}_ring")
    return int(layout.Ring.from_buffer_copy(head).position) if head else 0


_UNWRITTEN = object()
"""Stands for a record that has not been written yet."""


def _read(
    segment: Tables, table: str, first: int, end: int, locks: frozenset[int]
) -> Iterator[object]:
    """A Fop for each position from ``first`` to ``end``; otherwise ``_UNWRITTEN`` or None."""
    length = segment.spans[table].length
    while first < end:
        start = first % length
        count = min(end - first, length - start)
        before = segment.elements(table, start, count).cast("Q")[:: _RECORD.size // 8].tolist()
        copied = segment.elements(table, start, count)
        after = segment.elements(table, start, count).cast("Q")[:: _RECORD.size // 8].tolist()
        for position, old, new, fields in zip(
            range(first, first + count), before, after, _RECORD.iter_unpack(copied)
        ):
            wanted = 2 * position + 2
            if old == new == wanted:
                yield _fop(position, fields, locks)
            else:
                yield _UNWRITTEN if new <= wanted else None
        first += count


def _fop(position: int, fields: tuple[Any, ...], locks: frozenset[int]) -> Fop:
    (_, ended, ns, client, offset, size, gfid) = fields[:7]
    (uid, gid, pid, error, fop, cause, tracers, length, text) = fields[7:]
    parent, name = _text(text, length, fop in locks)
    return Fop(
        *(position, ended, ns, fop, error, gfid, client, uid, gid, pid, offset, size),
        *(cause, tracers, parent, name),
        cut=length > len(name),
    )


def _text(text: bytes, length: int, lock: bool) -> tuple[bytes, bytes]:
    """The directory and the name in a text, or no directory and the domain of a lock."""
    if not length:
        return _NO_GFID, b""
    if lock:
        return _NO_GFID, text[:length]
    return text[: layout.GFID_SIZE], text[layout.GFID_SIZE :][:length]


def _used(segment: Tables, table: str, fields: struct.Struct) -> Iterator[tuple[Any, ...]]:
    """The entries of a table that are in use and did not change while they were copied."""
    span = segment.spans.get(table)
    if not span or not span.length:
        return
    before = segment.elements(table)
    # Few of the entries are in use at most times, so the others are not looked at.
    states = before[_LOW_BYTE :: fields.size].tobytes().translate(_USED)
    used = [*compress(range(0, len(before), fields.size), states)]
    if not used:
        return
    copied = segment.elements(table)
    after = segment.elements(table)
    for at in used:
        entry = fields.unpack_from(copied, at)
        if _MARK.unpack_from(before, at) == _MARK.unpack_from(after, at) == entry[:1]:
            yield entry


def in_flight(segment: Tables, fops: int) -> list[InFlight]:
    """The fops in flight, the oldest first. ``fops`` is the number of fops that have names."""
    found = []
    for entry in _used(segment, "flights", _FLIGHT):
        (_, fop, lock_type, text_length, kind, started, client, offset, gfid) = entry[:9]
        (uid, gid, pid, size, length, owner, text) = entry[9:]
        if fop >= fops or lock_type >= len(layout.LOCK_TYPES) or kind >= len(layout.LOCK_KINDS):
            continue
        parent, name = _text(text, text_length, kind > 0)
        lock = (name, lock_type, length, owner, _NO_GFID, b"", kind, False)
        other = (b"", 0, 0, 0, parent, name, 0, text_length > len(name))
        found.append(
            InFlight(
                *(started, fop, gfid, client, uid, gid, pid, offset, size),
                *(lock if kind else other),
            )
        )
    return sorted(found)


def held_locks(segment: Tables) -> list[HeldLock]:
    """The granted locks, the oldest first."""
    found = []
    for entry in _used(segment, "held_locks", _LOCK):
        (_, kind, lock_type, domain_length, _, granted, client, owner, gfid) = entry[:9]
        (start, length, uid, pid, domain, _) = entry[9:]
        if 0 < kind < len(layout.LOCK_KINDS) and 0 < lock_type < len(layout.LOCK_TYPES):
            found.append(
                HeldLock(
                    *(gfid, domain[:domain_length], kind, client, granted, lock_type),
                    *(start, length, owner, uid, pid),
                )
            )
    return sorted(found, key=lambda lock: lock.granted)
