"""The layout of a segment: the one declaration that both the C core and the reader follow.

A segment is one file per brick. It starts with a :class:`Header`, which says where the catalog
is: an array of :class:`Entry`, one for each table. A reader finds tables by name, reads the fields
that it knows of each element, and ignores tables that it does not know. So a table may be added,
and a field at the end of an element or of the header, without a new version; see docs/design.md.

All integers are in the machine's own byte order, as a segment never leaves its machine. Every
``c_uint64`` that counts is naturally aligned, so that neither the writer's relaxed atomic adds nor
a reader's copy tears one.

A slot of a table of the busiest is in use when its tag is not 0. A file's tag is a hash of its gfid
and is the same in all segments. Two files may have the same tag, as clients may choose gfids. A
slot's seq is a seqlock over its name: odd while the writer changes the name. Counters, tags and
names are separate arrays, so a reader copies all counters at once and then only the names it wants.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple, Union

from glupy_exporter.schema.quantities import (
    ACTIVITY,
    COUNTERS,
    DIRECTIONS,
    FACTS,
    HEALTH,
    KINDS,
    METADATA,
    NUMBERS,
    READ,
    UNKNOWN,
    WRITE,
    Quantity,
)

__all__ = ["DIRECTIONS", "KINDS", "METADATA", "READ", "UNKNOWN", "WRITE"]

MAGIC = 0x4745535950554C47
"""``b"GLUPYSEG"`` read as a little-endian integer."""

VERSION = 2
"""Raised when a field is moved, removed or gets another meaning; not when one is added."""

DIRECTORY = "/run/gluster/glupy"
"""Where the translator puts segments and readers look for them, unless told otherwise."""

CACHE_LINE = 64
"""Bytes. Each table begins at a multiple of it."""

TABLES_MAX = 256
"""The most entries of a catalog that a reader accepts."""

NAME_SIZE = 32
"""Bytes for one fop's name, terminating NUL included."""

LATENCY_BUCKETS = 28
LATENCY_SHIFT = 20
"""Bucket ``i`` counts fops of at most ``2**(i - LATENCY_SHIFT)`` seconds (and more than the bucket
before), and the last one everything slower than 64 s. As the bounds are powers of two of a second,
the buckets are those of a native histogram of Prometheus with schema 0.

Bucket ``i`` of version 1 counts fops of at most ``2**i`` microseconds, which is 4.9 % more. Readers
take it for the same bucket, so a quantile of latencies of version 1 is up to 4.6 % too low."""

LATENCY_BOUNDS = tuple(2.0 ** (i - LATENCY_SHIFT) for i in range(LATENCY_BUCKETS - 1))
"""Seconds: the upper bounds of all buckets but the last, which has none."""

SIZE_BUCKETS = 32
"""Bucket ``i`` counts I/Os of ``2**i`` to ``2**(i+1) - 1`` bytes, the block sizes of
``gluster volume profile``; the last one also counts everything larger."""

ERRNOS = 160
"""Errnos from 1 to ``ERRNOS - 1`` are counted one by one; Linux's highest is 133."""

LANES_MAX = 16
"""A lane is what the threads on one CPU add to; a brick's counts are the sums over its lanes."""

WAYS = 8
"""Slots of a set in the file and client tables; the eight tags of a set fill one cache line."""

FILE_SLOTS_MIN = 8
FILE_SLOTS_DEFAULT = 4096
FILE_SLOTS_MAX = 1 << 16
CLIENT_SLOTS_MIN = 8
CLIENT_SLOTS_DEFAULT = 512
CLIENT_SLOTS_MAX = 1 << 16
"""As many as the exporter can read with the memory that its systemd unit allows."""
FOPS_MAX = 256

RECORDS_MIN = 8
SLOW_RECORDS_DEFAULT = 2048
TRACE_RECORDS_DEFAULT = 8192
RECORDS_MAX = 1 << 18
"""The most records of a ring."""

FLIGHTS_MIN = 8
FLIGHTS_DEFAULT = 1024
FLIGHTS_MAX = 1 << 15
"""The most fops that are listed while they are in flight."""

HELD_LOCKS_MIN = 8
HELD_LOCKS_DEFAULT = 1024
HELD_LOCKS_MAX = 1 << 15
"""The most granted locks that are listed."""

TRACERS = 8
"""The most tracers of a brick at once."""

TRACER_LEASE = 5_000_000_000
"""Nanoseconds after which a trace ends whose tracer has not renewed its heartbeat."""

HALF_LIFE_MIN = 1
HALF_LIFE_DEFAULT = 60
HALF_LIFE_MAX = 3600
"""Seconds; for the volume option ``half-life``."""

ORIGINS = (
    "other",
    "geo-replication",
    "hadoop",
    "rebalance",
    "no-root-squash",
    "quota",
    "self-heal",
    "heal-info",
    "bitrot",
    "scrub",
    "tier",
    "trash",
    "add-replica",
    "utime",
)
"""GlusterFS's own clients. The index is the client's process id, negated (``enum _gf_special_pid``
in ``common-utils.h``); index 0 stands for ids without a name here."""

NO_ROOT_SQUASH = 4
"""The index of mounts with ``no-root-squash``, which count as applications."""

PATH_SIZE = 600
"""Bytes for a path; a longer one is cut on a UTF-8 boundary and flagged."""

CLIENT_SIZE = 64
"""Bytes for a client's address; a longer one is cut."""

FILE_TYPES = ("", "file", "directory", "symlink", "block", "char", "fifo", "socket")
"""Names for :attr:`FileName.type`, GlusterFS's ``ia_type_t``; empty while it is not known."""

FILE_PATH_TRUNCATED = 1
"""Flag in :attr:`FileName.flags`: the path was longer than ``PATH_SIZE``."""

FILE_UNLINKED = 2
"""Flag in :attr:`FileName.flags`: the file is deleted, and the path is the last name it had."""

CAUSE_SLOW, CAUSE_SAMPLED, CAUSE_TRACED = 1, 2, 4
CAUSES = ("slow", "sampled", "traced")
"""Why the brick recorded a fop. Bit ``1 << i`` of :attr:`Record.cause` stands for entry ``i``."""

LOCK_KINDS = ("", "inodelk", "entrylk", "lk", "lease")
"""Names for :attr:`Flight.lock_kind` and :attr:`HeldLock.kind`."""

LOCK_TYPES = ("", "read", "write", "unlock")
"""Names for the type of a lock, in :attr:`Flight.lock_type` and :attr:`HeldLock.lock_type`."""

MARK_WRITING, MARK_USED, MARK_STATES = 1, 2, 4
"""States in the low bits of a :attr:`Flight.mark` or a :attr:`HeldLock.mark`; 0: it is free."""

TRACE_CLIENT, TRACE_UID, TRACE_GFID, TRACE_ERRNO = 1, 2, 4, 8
"""Bits of :attr:`Tracer.filters`, which say by what fields a fop has to pass."""

GFID_SIZE = 16
"""Bytes of a gfid."""

RECORD_TEXT = 46
FLIGHT_TEXT = 48
"""Bytes of a text, in which a fop on a directory's entry has the gfid of the directory and the
entry's name, and a fop about a lock the lock's domain. A longer name or domain is cut."""

DOMAIN_SIZE = 48
"""Bytes of :attr:`HeldLock.domain`; a longer domain is cut."""

_u8, _u16, _u32, _u64, _i32 = (
    ctypes.c_uint8,
    ctypes.c_uint16,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_int32,
)


def _fields(quantities: Iterable[Quantity]) -> list[tuple[str, Any]]:
    """The fields of a structure that holds the quantities."""
    return [(each.name, _u64 * each.size if each.parts else _u64) for each in quantities]


def _lines(quantities: Iterable[Quantity]) -> list[tuple[str, Any]]:
    """The same fields, padded to whole cache lines: two slots must not share one."""
    fields = _fields(quantities)
    free = -sum(ctypes.sizeof(kind) for _, kind in fields) % CACHE_LINE
    return [*fields, ("reserved", ctypes.c_uint8 * free)] if free else fields


class Header(ctypes.Structure):
    """The start of a segment. Strings are NUL-terminated UTF-8, times are nanoseconds.

    From ``pid`` on it is as in version 1, and stays so: a reader of any version can tell which
    brick a segment is of.
    """

    _fields_ = [
        ("magic", _u64),
        ("version", _u32),
        ("header_size", _u32),
        ("total_size", _u64),
        ("catalog_offset", _u64),
        ("table_count", _u32),
        ("entry_size", _u32),
        ("reserved", _u64 * 13),
        ("pid", _u32),
        ("subvolume", _i32),  # index of the brick's replica or disperse set, -1 if unknown
        ("process_start", _u64),  # clock ticks after boot, field 22 of /proc/PID/stat
        ("created_realtime", _u64),
        ("created_monotonic", _u64),  # the same instant: turns monotonic times into wall time
        ("boot_id", ctypes.c_char * 40),
        ("glusterfs_version", ctypes.c_char * 32),
        ("xlator_version", ctypes.c_char * 32),
        ("volume", ctypes.c_char * 256),
        ("host", ctypes.c_char * 256),
        ("brick", ctypes.c_char * 1024),
    ]


class Entry(ctypes.Structure):
    """One table in the catalog."""

    _fields_ = [
        ("name", ctypes.c_char * 24),
        ("offset", _u64),
        ("element_size", _u32),
        ("count", _u32),
    ]


class Numbers(ctypes.Structure):
    """The numbers of the whole brick, on cache lines of their own."""

    _fields_ = _fields(NUMBERS)


class Facts(ctypes.Structure):
    """The facts that the maintenance thread last learned; :data:`UNKNOWN` for those not learned."""

    _fields_ = _fields(FACTS)


class FopName(ctypes.Structure):
    """A fop's name, NUL-terminated."""

    _fields_ = [("text", ctypes.c_char * NAME_SIZE)]


class FopCell(ctypes.Structure):
    """One fop in one lane. Fops in flight are ``started`` minus the sum of ``buckets``."""

    _fields_ = [
        ("started", _u64),
        ("errors", _u64),
        ("nanoseconds", _u64),
        ("reserved", _u64),
        ("buckets", _u64 * LATENCY_BUCKETS),
    ]


class IoCell(ctypes.Structure):
    """Successful reads or writes in one lane: bytes moved and I/Os by size."""

    _fields_ = [
        ("bytes", _u64),
        ("buckets", _u64 * SIZE_BUCKETS),
        ("padding", _u64 * 7),
    ]


class FopErrors(ctypes.Structure):
    """One fop's errors; index 0 is "any other errno"."""

    _fields_ = [("by_errno", _u64 * ERRNOS)]


class FopRecords(ctypes.Structure):
    """How often the recorder kept one fop, by :data:`CAUSES`; one call may have several causes."""

    _fields_ = [("by_cause", _u64 * len(CAUSES)), ("reserved", _u64 * 5)]


class Activity(ctypes.Structure):
    """The counters of one kind of GlusterFS's own clients."""

    _fields_ = _fields(ACTIVITY)


class Counters(ctypes.Structure):
    """The counters of one client or file. Times are monotonic nanoseconds."""

    _fields_ = _lines(COUNTERS)


class Health(ctypes.Structure):
    """The fill of a table of the busiest, and the fops that it could not count."""

    _fields_ = _fields(HEALTH)


class FileName(ctypes.Structure):
    """The file of a slot. ``path`` is bytes, begins at the volume's root and ends without NUL."""

    _fields_ = [
        ("gfid", ctypes.c_uint8 * 16),
        ("path_length", _u16),  # 0: not known yet
        ("flags", _u16),
        ("type", _u16),
        ("reserved", _u16 * 5),
        ("path", ctypes.c_uint8 * PATH_SIZE),
    ]


class ClientName(ctypes.Structure):
    """The client of a slot: its address as the RPC layer names it, without the port.

    ``process`` is its process id; 0 where the slot is the whole host's or the id is not known.
    """

    _fields_ = [
        ("length", _u32),
        ("process", _u32),
        ("address", ctypes.c_uint8 * CLIENT_SIZE),
    ]


class Ring(ctypes.Structure):
    """The head of a ring of records, on a cache line of its own.

    Writers take positions 0, 1, 2, ...; the record of position ``p`` is element ``p`` modulo the
    length of the ring. A writer that finds its record taken by a slower one drops what it has.
    """

    _fields_ = [
        ("position", _u64),  # the next one
        ("dropped", _u64),
        ("reserved", _u64 * 6),
    ]


class Record(ctypes.Structure):
    """A fop that came back. ``mark`` is twice its position plus 1 while it is written, then 2 more.

    ``size`` is the length of a lock's range, the bytes that a read or write moved, and otherwise
    what was asked for. See :data:`FLIGHT_TEXT` for ``text``.
    """

    _fields_ = [
        ("mark", _u64),
        ("ended", _u64),  # monotonic
        ("ns", _u64),
        ("client", _u64),  # its tag, 0: not known
        ("offset", _u64),
        ("size", _u64),
        ("gfid", _u8 * GFID_SIZE),
        ("uid", _u32),
        ("gid", _u32),
        ("pid", _i32),
        ("error", _u16),  # errno, 0: the fop succeeded
        ("fop", _u8),
        ("cause", _u8),  # bits of CAUSES
        ("tracers", _u8),  # bit i: it passed the filters of tracer i
        ("text_length", _u8),  # of the whole name or domain, at most 255; 0: there is none
        ("text", _u8 * RECORD_TEXT),
    ]


class Flight(ctypes.Structure):
    """A fop that is in flight. The fields up to ``size`` fill a cache line, which most fops need.

    The high bits of ``mark`` differ with each fop that the entry is for.
    """

    _fields_ = [
        ("mark", _u32),
        ("fop", _u8),
        ("lock_type", _u8),  # index into LOCK_TYPES
        ("text_length", _u8),  # as in Record
        ("lock_kind", _u8),  # index into LOCK_KINDS
        ("started", _u64),  # monotonic
        ("client", _u64),
        ("offset", _u64),  # of a lock: where it starts
        ("gfid", _u8 * GFID_SIZE),
        ("uid", _u32),
        ("gid", _u32),
        ("pid", _i32),
        ("size", _u32),  # bytes of data
        ("length", _u64),  # of a lock, 0: to the end
        ("owner", _u64),  # of a lock: a hash
        ("text", _u8 * FLIGHT_TEXT),
    ]


class HeldLock(ctypes.Structure):
    """A lock that was granted and not yet given back. ``mark`` is as in :class:`Flight`.

    A lock on entries of a directory has the hash of the entry's name in ``start``, which is 0 for
    all entries.
    """

    _fields_ = [
        ("mark", _u32),
        ("kind", _u8),  # index into LOCK_KINDS
        ("lock_type", _u8),  # index into LOCK_TYPES
        ("domain_length", _u8),
        ("reserved", _u8),
        ("granted", _u64),  # monotonic
        ("client", _u64),
        ("owner", _u64),
        ("gfid", _u8 * GFID_SIZE),
        ("start", _u64),
        ("length", _u64),  # 0: to the end
        ("uid", _u32),
        ("pid", _i32),
        ("domain", _u8 * DOMAIN_SIZE),
        ("padding", _u64),
    ]


class Control(ctypes.Structure):
    """A byte for each tracer says whether it traces: each can be written alone. Root writes it."""

    _fields_ = [
        ("active", _u8 * TRACERS),
        ("reserved", _u64 * 7),
    ]


class Tracer(ctypes.Structure):
    """The filters and the heartbeat of one tracer. Root writes them."""

    _fields_ = [
        ("heartbeat", _u64),  # monotonic; the trace ends TRACER_LEASE later
        ("fops", _u64 * (FOPS_MAX // 64)),  # bit i: fop i passes
        ("client", _u64),
        ("least_ns", _u64),  # faster fops do not pass
        ("gfid", _u8 * GFID_SIZE),
        ("uid", _u32),
        ("error", _i32),  # errno, -1: any
        ("one_in", _u32),  # passes at random, 0 and 1: each
        ("filters", _u32),  # bits TRACE_*: which of the fields before count
        ("owner", _u32),  # its process id, for people
        ("padding", _u32 * 9),
    ]


Dimension = Union[str, int]
"""A count, or one of :data:`DIMENSIONS`, whose count differs from segment to segment."""

DIMENSIONS = ("lanes", "fops", "files", "clients", "slow", "trace", "flights", "held_locks")


class Span(NamedTuple):
    """Where a table is in a segment, and what its elements are."""

    offset: int
    """Bytes from the start of the segment."""
    element: Any
    """The :mod:`ctypes` type that this release has for an element."""
    element_size: int
    """Bytes of an element in the segment, which may be fewer or more than the type has."""
    length: int
    """Number of elements."""

    @property
    def size(self) -> int:
        """Bytes of the whole table."""
        return self.element_size * self.length


class Table(NamedTuple):
    """A table of a segment, an array of elements."""

    name: str
    element: Any
    """The :mod:`ctypes` type."""
    shape: tuple[Dimension, ...] = ()
    """Its dimensions, the slowest first; empty for a single element."""

    def length(self, **dimensions: int) -> int:
        """The number of elements, given the counts of :data:`DIMENSIONS`."""
        return prod(dimensions[each] if isinstance(each, str) else each for each in self.shape)


def _busiest(rows: str, name: type[ctypes.Structure]) -> list[Table]:
    """The tables of the busiest files or clients: the health, and four arrays indexed by slot."""
    return [
        Table(f"{rows}_health", Health),
        Table(f"{rows}_tags", _u64, (rows,)),
        Table(f"{rows}_seqs", _u32, (rows,)),
        Table(f"{rows}_counters", Counters, (rows,)),
        Table(f"{rows}_names", name, (rows,)),
    ]


def _ring(name: str) -> list[Table]:
    """The tables of a ring of records."""
    return [Table(f"{name}_ring", Ring), Table(f"{name}_records", Record, (name,))]


TABLES = (
    Table("numbers", Numbers),
    Table("facts", Facts),
    Table("fop_names", FopName, ("fops",)),
    Table("cells", FopCell, ("lanes", "fops")),
    Table("io", IoCell, ("lanes", len(DIRECTIONS))),
    Table("errors", FopErrors, ("fops",)),
    Table("recorded", FopRecords, ("fops",)),
    Table("internal", Activity, (len(ORIGINS),)),
    *_busiest("files", FileName),
    *_busiest("clients", ClientName),
    Table("control", Control),
    Table("tracers", Tracer, (TRACERS,)),
    *_ring("slow"),
    *_ring("trace"),
    Table("flights", Flight, ("flights",)),
    Table("held_locks", HeldLock, ("held_locks",)),
)
"""The tables in the order in which they lie in the file."""

STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Header,
    Entry,
    Numbers,
    Facts,
    FopName,
    FopCell,
    IoCell,
    FopErrors,
    FopRecords,
    Activity,
    Counters,
    Health,
    FileName,
    ClientName,
    Control,
    Tracer,
    Ring,
    Record,
    Flight,
    HeldLock,
)
