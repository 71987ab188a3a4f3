"""Reads segments, treating every byte of them as hostile.

A segment is copied with ``pread``, never mapped: a mapped file that somebody truncates kills its
reader with SIGBUS, a copy only comes back short. Counters are naturally aligned 64-bit words, which
the kernel's copy does not tear; names are guarded by the seqlock described in ``layout``.

Whether the writer lives is asked of the kernel: the translator holds an open-file-description write
lock on its segment for as long as the brick process has it open (fcntl(2), F_OFD_GETLK). /proc is
not asked: where it is a container's, or hidden, a live brick must not look dead.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import stat
import struct
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, groupby
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from glupy_exporter.segment import layout, naming

SUFFIX = naming.SUFFIX

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

_FOP_NAME = re.compile(rb"[a-z][a-z0-9_]*")
_CONTROL = {
    code: "".join(f"\\x{byte:02x}" for byte in chr(code).encode())
    for code in (*range(0x20), *range(0x7F, 0xA0))
}
_CELL = struct.Struct(f"{ctypes.sizeof(layout.FopCell) // 8}Q")
_IDLE = bytes(_CELL.size)
_BUCKETS = layout.FopCell.buckets.offset // 8
_IO_WORDS = ctypes.sizeof(layout.IoCell) // 8
_IO_BUCKETS = layout.IoCell.buckets.offset // 8
_COUNTERS = struct.Struct(f"{layout.COUNTER_WORDS}Q")
_BATCH = 4096  # slots whose names are there at a time
_NAMES = 16  # slots whose names are read at a time: most are known, or nobody wants them
_NO_ERRORS = bytes(layout.ERRNO_SLOTS * 8)
_ATTEMPTS = 4  # a rename holds a slot's seqlock for less than a microsecond
_REOPENS = 4  # changes of options make a new segment each, not faster than glusterd hands them on
# struct flock as fcntl(2) takes it on 64-bit Linux: type, whence, start, len, pid.
_FLOCK = struct.Struct("hhqqi4x")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _words(field: str, structure: type[ctypes.Structure] = layout.FileCounters) -> slice:
    """Where a field is among the words of a slot's counters."""
    place = getattr(structure, field)
    return slice(place.offset // 8, (place.offset + place.size) // 8)


FOPS, NANOSECONDS, BYTES = map(_words, ("fops", "nanoseconds", "bytes"))
"""Where the elements of these are in :data:`Counters`."""
_ERRORS, _FIRST_SEEN, _LAST_SEEN, _ERROR_BOUND = (
    _words(field).start for field in ("errors", "first_seen", "last_seen", "error_bound")
)
_TOP_CLIENT, _TOP_CLIENT_LEAD = (_words(field).start for field in ("top_client", "top_client_lead"))
_CONNECTIONS = _words("connections", layout.ClientCounters).start

assert ctypes.sizeof(layout.FileCounters) == ctypes.sizeof(layout.ClientCounters)
for _shared in ("fops", "nanoseconds", "bytes", "errors", "first_seen", "last_seen", "error_bound"):
    assert _words(_shared) == _words(_shared, layout.ClientCounters)

Row = tuple[int, int, int]
"""Slot, tag and fops of a slot in use."""
Counters = tuple[int, ...]
"""The words of a slot's counters."""

_I = TypeVar("_I")
_S = TypeVar("_S", bound=ctypes.Structure)
_Version = tuple[int, int]  # seq and tag
Known = dict[int, tuple[_Version, _I]]
"""By slot, what a table's names were found to say, and the version of the slot that says so."""


class SegmentError(Exception):
    """A segment that cannot be used; ``reason`` is one of :data:`REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Brick:
    """Who wrote a segment. Times are seconds since the epoch."""

    volume: str
    brick: str
    host: str
    pid: int
    glusterfs_version: str
    xlator_version: str
    subvolume: int | None
    volume_bricks: int | None
    created: float
    heartbeat: float
    """For a dead brick, when it ended, about."""
    enabled: bool
    alive: bool
    """The writing process still holds the segment open."""


@dataclass(frozen=True)
class Fop:
    """One fop of a brick, summed over its shards."""

    name: str
    started: int
    errors: int
    nanoseconds: int
    buckets: tuple[int, ...]
    """Fops by latency, not cumulative; see :data:`layout.LATENCY_BUCKETS`."""

    @property
    def completed(self) -> int:
        """Calls that came back."""
        return sum(self.buckets)

    @property
    def in_flight(self) -> int:
        """Calls that have not come back yet."""
        return max(0, self.started - self.completed)


@dataclass(frozen=True)
class Io:
    """Reads or writes of a brick, summed over its shards."""

    bytes: int
    buckets: tuple[int, ...]
    """I/Os by size, not cumulative; see :data:`layout.SIZE_BUCKETS`."""


class Counts(NamedTuple):
    """What somebody did. Tuples follow :data:`layout.KINDS` and ``DIRECTIONS``."""

    fops: tuple[int, ...]
    nanoseconds: tuple[int, ...]
    bytes: tuple[int, ...]


class Activity(NamedTuple):
    """:class:`Counts`, and more, of one file or client since it has its slot.

    Times are seconds since the epoch.
    """

    fops: tuple[int, ...]
    nanoseconds: tuple[int, ...]
    bytes: tuple[int, ...]
    errors: int
    first_seen: float
    last_seen: float


class FileIdentity(NamedTuple):
    """Which file a slot stands for: what a file's slot keeps until its seq changes."""

    gfid: str
    path: str
    truncated: bool
    unlinked: bool
    type: str


class File(NamedTuple):
    """One tracked file. ``path`` is empty while the brick has not learned it."""

    gfid: str
    path: str
    truncated: bool
    unlinked: bool
    """``path`` is the last name that the file had."""
    type: str
    """One of :data:`layout.FILE_TYPES`, empty while the brick has not learned it."""
    activity: Activity
    error_bound: int
    """Fops the file may have done at most before it had its slot; ``activity`` lacks them."""
    top_client: int
    """Tag of the client that does most on the file, an estimate; 0 while there is none."""
    top_client_lead: int
    """By how many fops that client leads, about."""


class ClientIdentity(NamedTuple):
    """Which client a slot stands for."""

    address: str
    process: str


class Client(NamedTuple):
    """One tracked client: a host, or one process on it."""

    address: str
    process: str
    """Its process id there, empty for all of the host's."""
    activity: Activity
    error_bound: int
    """Fops the client may have done at most before it had its slot; ``activity`` lacks them."""
    connections: int

    @property
    def name(self) -> str:
        """Both in one, for people."""
        return f"{self.address} {self.process}" if self.process else self.address


@dataclass(frozen=True)
class TableHealth:
    """How full a bounded table is and what it had to leave out."""

    tracked: int
    evicted: int
    untracked_fops: int
    slots: int


def escape(raw: bytes) -> str:
    """``raw`` as text a label can hold, so that :func:`unescape` gives the same bytes back.

    Invalid UTF-8 and control characters become ``\\xNN``, a backslash becomes two.
    """
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace").translate(_CONTROL)


def unescape(text: str) -> bytes:
    """The bytes that :func:`escape` turned into ``text``."""
    return re.sub(
        rb"\\(?:\\|x([0-9a-f]{2}))",
        lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\",
        text.encode("utf-8"),
    )


def boot_id() -> str:
    """The boot id that /proc shows, empty if it shows none, as with systemd's ``ProcSubset=pid``.

    A container may be shown another one than its host.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


class Table(Generic[_I]):
    """The file or the client table of one segment, copied to see which of its rows matter.

    A row's copy counts if its seqlock and tag are still the same once its name was read too; else
    the row is read afresh.
    """

    def __init__(
        self,
        segment: Segment,
        prefix: str,
        count: int,
        name: type[ctypes.Structure],
        identify: Callable[[memoryview], _I],
    ) -> None:
        header = segment.header
        self._tags: int = getattr(header, f"{prefix}_tags_offset")
        self._seqs: int = getattr(header, f"{prefix}_seqs_offset")
        self._counters: int = getattr(header, f"{prefix}_counters_offset")
        self._names: int = getattr(header, f"{prefix}_names_offset")
        self._segment = segment
        self._name_size = ctypes.sizeof(name)
        self._identify = identify
        self.tags = array("Q", segment.words(self._tags, count).tobytes())
        """Of each slot, 0 where it is free."""

    @cached_property
    def _copy(self) -> tuple[memoryview, memoryview]:
        """Every slot's seq, and then its counters."""
        return self._seqs_from(0, len(self.tags)), self._counters_from(0, len(self.tags))

    def _column(self, word: int) -> array[int]:
        words = self._copy[1].cast("Q")
        return array("Q", words[word :: layout.COUNTER_WORDS].tobytes())

    @cached_property
    def last_seen(self) -> array[int]:
        """Of each slot, when its last fop came back, in nanoseconds on the monotonic clock."""
        return self._column(_LAST_SEEN)

    @property
    def connections(self) -> array[int]:
        """Of each slot, for a table of clients."""
        return self._column(_CONNECTIONS)

    def counters(self, slot: int) -> Counters:
        """As they were copied."""
        return _COUNTERS.unpack_from(self._copy[1], slot * _COUNTERS.size)

    @property
    def rows(self) -> list[Row]:
        """Every slot in use."""
        fops = map(sum, zip(*map(self._column, range(FOPS.start, FOPS.stop))))
        return [row for row in zip(range(len(self.tags)), self.tags, fops) if row[1]]

    @property
    def seqs(self) -> memoryview:
        """Of each slot, a number that is another whenever the slot's name has changed."""
        return self._copy[0]

    def entries(
        self, slots: Iterable[int] | None = None, known: Known[_I] | None = None
    ) -> Iterator[tuple[Row, Counters, _I]]:
        """The rows in ``slots``, or all, with what :meth:`entry` has for each, in fewer reads.

        ``known`` is what an earlier call, for the same segment file, found out about names, and
        then what this one has.
        """
        before = {} if known is None else dict(known)
        if known is not None:
            known.clear()
        wanted = [slot for slot in slots or () if self.tags[slot]]
        if slots is None:
            wanted = [slot for slot, tag in enumerate(self.tags) if tag]
        for _, batch in groupby(wanted, lambda slot: slot // _BATCH):
            names = dict(self._named(batch, before))
            first = min(names)
            tags = self._segment.words(self._tags + first * 8, max(names) + 1 - first)
            seqs = self._seqs_from(first, len(tags))
            for slot, (version, identity) in names.items():
                seq, tag = version
                entry: tuple[Counters, _I] | None = self.counters(slot), identity
                if not seq or seq % 2 or version != (seqs[slot - first], tags[slot - first]):
                    entry = self.entry((slot, tag, 0))
                elif known is not None:
                    known[slot] = version, identity
                if entry is not None:
                    yield (slot, tag, sum(entry[0][FOPS])), *entry

    def _named(
        self, slots: Iterable[int], known: Known[_I]
    ) -> Iterator[tuple[int, tuple[_Version, _I]]]:
        """Each of the slots with its version as of the copy and what its name says now."""
        seqs, _ = self._copy
        first, names = -1, memoryview(b"")
        for slot in slots:
            version = seqs[slot], self.tags[slot]
            if slot in known and known[slot][0] == version:
                yield slot, known[slot]
                continue
            start = slot // _NAMES * _NAMES
            if start != first:
                first = start
                names = self._names_from(start, min(_NAMES, len(self.tags) - start))
            offset = (slot - start) * self._name_size
            yield slot, (version, self._identify(names[offset : offset + self._name_size]))

    def entry(self, row: Row) -> tuple[Counters, _I] | None:
        """The counters and the name now in the row's slot.

        None if the slot stands for somebody else by now, or the writer kept changing it.
        """
        slot, wanted, _ = row
        for _ in range(_ATTEMPTS):
            seq = self._seqs_from(slot, 1)[0]
            if seq == 0 or seq % 2:  # 0: taken a moment ago, the name is yet to come
                continue
            counters = _COUNTERS.unpack(self._counters_from(slot, 1))
            identity = self._identify(self._names_from(slot, 1))
            tag = self._segment.words(self._tags + slot * 8, 1)[0]
            if self._seqs_from(slot, 1)[0] == seq:
                return (counters, identity) if tag == wanted else None
        return None

    def _seqs_from(self, slot: int, count: int) -> memoryview:
        return self._segment.read(self._seqs + slot * 4, count * 4).cast("I")

    def _counters_from(self, slot: int, count: int) -> memoryview:
        size = _COUNTERS.size
        return self._segment.read(self._counters + slot * size, count * size)

    def _names_from(self, slot: int, count: int) -> memoryview:
        size = self._name_size
        return self._segment.read(self._names + slot * size, count * size)


class Segment:
    """An open segment whose header has been checked.

    Raises:
        SegmentError: from the constructor and from every method that reads, when the file is not
            what it should be.
        FileNotFoundError: from the constructor, when there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # O_NONBLOCK: a FIFO put in a segment's place must not hold up the scrape.
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise SegmentError("not_a_file", "not a regular file") from error
            raise SegmentError("unreadable", os.strerror(error.errno or 0)) from error
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise SegmentError("not_a_file", "not a regular file")
            self.header = self._header(status.st_size)
        except BaseException:
            os.close(self._fd)
            raise
        # What the monotonic clock lacks to nanoseconds since the epoch.
        self._epoch: int = self.header.created_realtime - self.header.created_monotonic
        self._fop_names: list[str] | None = None
        self._tagged: tuple[FileTable, dict[int, int]] | None = None

    def close(self) -> None:
        """Close the file."""
        self._tagged = None  # its table refers to this
        os.close(self._fd)

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, offset: int, size: int) -> memoryview:
        """A copy of ``size`` bytes."""
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise SegmentError("unreadable", os.strerror(error.errno or 0)) from error
        if len(data) != size:
            raise SegmentError("truncated", f"ends within the {size} bytes at {offset}")
        return memoryview(data)

    def words(self, offset: int, count: int) -> memoryview:
        """A copy of ``count`` 64-bit words."""
        return self.read(offset, count * 8).cast("Q")

    def _header(self, size: int) -> layout.Header:
        if size < layout.HEADER_SIZE:
            raise SegmentError("truncated", f"{size} bytes are too few for a header")
        header = layout.Header.from_buffer_copy(self.read(0, ctypes.sizeof(layout.Header)))
        if header.magic != layout.MAGIC:
            raise SegmentError("bad_magic", "not a glupy segment")
        if header.version != layout.VERSION:
            newer = header.version > layout.VERSION
            raise SegmentError(
                "bad_version",
                f"segment layout {header.version}, this exporter reads {layout.VERSION}: upgrade "
                + ("the exporter" if newer else "the translator and restart the brick"),
            )
        _check_bounds(header, size)
        return header

    @property
    def half_life(self) -> int:
        """Seconds after which a fop weighs half in the scores of files and clients."""
        return min(max(int(self.header.half_life), layout.HALF_LIFE_MIN), layout.HALF_LIFE_MAX)

    def brick(self) -> Brick:
        """Who writes this segment and whether it still does."""
        header = layout.Header.from_buffer_copy(self.read(0, ctypes.sizeof(layout.Header)))
        alive = self._locked()
        return Brick(
            # As when the name was compared: whoever can write the file may have changed it since.
            volume=escape(self.header.volume),
            brick=escape(self.header.brick),
            host=escape(header.host),
            pid=header.pid,
            glusterfs_version=escape(header.glusterfs_version),
            xlator_version=escape(header.xlator_version),
            subvolume=header.subvolume if header.subvolume >= 0 else None,
            volume_bricks=header.volume_bricks or None,
            created=header.created_realtime / 1e9,
            heartbeat=self._heartbeat(header, alive),
            enabled=bool(header.enabled),
            alive=alive,
        )

    def _heartbeat(self, header: layout.Header, alive: bool) -> float:
        """Seconds since the epoch.

        The monotonic clock now is of use only on the writer's boot. A lock proves that it is this
        one, whatever /proc shows; without it, an equal boot id does. Else the time is the writer's
        own, which no later step of the wall clock corrects.
        """
        now = time.time()
        if alive or (header.boot_id and header.boot_id.decode("ascii", "replace") == boot_id()):
            age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(header.heartbeat)
            return now - max(0, age) / 1e9
        return min(self._realtime(header.heartbeat), now)

    def replaced(self) -> bool:
        """Whether the segment's path is another file's by now, or nobody's."""
        try:
            named = self.path.lstat()
        except OSError:
            return True
        return not os.path.samestat(named, os.fstat(self._fd))

    def _locked(self) -> bool:
        query = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, query)
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def _names(self) -> list[str]:
        if self._fop_names is None:
            count = self.header.fop_count
            raw = bytes(self.read(self.header.names_offset, count * layout.NAME_SIZE))
            names = []
            for index in range(count):
                start = index * layout.NAME_SIZE
                name = raw[start : start + layout.NAME_SIZE].split(b"\0", 1)[0]
                if name and not _FOP_NAME.fullmatch(name):
                    raise SegmentError("bad_layout", f"fop {index} has no valid name")
                names.append(name.decode("ascii"))
            if len(set(filter(None, names))) != len(list(filter(None, names))):
                raise SegmentError("bad_layout", "two fops have the same name")
            self._fop_names = names
        return self._fop_names

    def fops(self) -> list[Fop]:
        """Every fop that was called at least once, in the order of GlusterFS's fop enum."""
        shards, count = self.header.shard_count, self.header.fop_count
        size = _CELL.size
        copied = bytes(self.read(self.header.cells_offset, shards * count * size))
        fops = []
        for index, name in enumerate(self._names()):
            starts = range(index * size, shards * count * size, count * size)
            # A completion may be counted in another shard than its start.
            cells = [cell for start in starts if (cell := copied[start : start + size]) != _IDLE]
            if name and cells:
                sums = tuple(map(sum, zip(*map(_CELL.unpack, cells))))
                started, errors, nanoseconds = sums[:3]
                fops.append(Fop(name, started, errors, nanoseconds, sums[_BUCKETS:]))
        return fops

    def errnos(self) -> Iterator[tuple[str, int, int]]:
        """``(fop, errno, count)`` for every error counted; errno 0 stands for any other."""
        slots = layout.ERRNO_SLOTS
        size = slots * 8
        copied = self.read(self.header.errors_offset, self.header.fop_count * size).tobytes()
        for index, name in enumerate(self._names()):
            row = copied[index * size : (index + 1) * size]
            if name and row != _NO_ERRORS:
                counts = memoryview(row).cast("Q").tolist()
                yield from ((name, n, counts[n]) for n in compress(range(slots), counts))

    def io(self) -> dict[str, Io]:
        """Reads and writes, keyed by :data:`layout.DIRECTIONS`."""
        shards, kinds = self.header.shard_count, len(layout.DIRECTIONS)
        words = self.words(self.header.io_offset, shards * kinds * _IO_WORDS)
        result = {}
        for index, direction in enumerate(layout.DIRECTIONS):
            starts = range(index * _IO_WORDS, shards * kinds * _IO_WORDS, kinds * _IO_WORDS)
            sums = [sum(column) for column in zip(*(words[s : s + _IO_WORDS] for s in starts))]
            buckets = sums[_IO_BUCKETS : _IO_BUCKETS + layout.SIZE_BUCKETS]
            result[direction] = Io(sums[0], tuple(buckets))
        return result

    def internal(self) -> dict[str, Counts]:
        """What GlusterFS's own clients did, keyed by :data:`layout.ORIGINS`; only those seen."""
        result = {}
        for index, origin in enumerate(layout.ORIGINS):
            counters = _load(self, layout.InternalCounters, self.header.internal_offset, index)
            if any(counters.fops):
                result[origin] = Counts(
                    tuple(counters.fops), tuple(counters.nanoseconds), tuple(counters.bytes)
                )
        return result

    def file_table(self) -> FileTable:
        """The files now in the table."""
        return Table(self, "file", self.header.file_slots, layout.FileName, _file_identity)

    def file(self, table: FileTable, row: Row) -> File | None:
        """The file of ``row``, or None if its slot changed hands since ``table`` was copied."""
        entry = table.entry(row)
        return None if entry is None else self._file(*entry)

    def files(
        self,
        table: FileTable,
        slots: Iterable[int] | None = None,
        known: Known[FileIdentity] | None = None,
    ) -> Iterator[tuple[Row, File]]:
        """The rows in ``slots``, or all, with their files; cheaper than :meth:`file` for each.

        ``known`` as for :meth:`Table.entries`.
        """
        for row, counters, identity in table.entries(slots, known):
            yield row, self._file(counters, identity)

    def file_by_tag(self, tag: int) -> File | None:
        """The file whose slot has ``tag``, None if there is none."""
        if self._tagged is None:
            table = self.file_table()
            self._tagged = table, {tag: slot for slot, tag in enumerate(table.tags) if tag}
        table, slots = self._tagged
        return self.file(table, (slots[tag], tag, 0)) if tag in slots else None

    def _file(self, counters: Counters, identity: FileIdentity) -> File:
        return File(
            *identity,
            self._activity(counters),
            counters[_ERROR_BOUND],
            counters[_TOP_CLIENT],
            counters[_TOP_CLIENT_LEAD],
        )

    def client_table(self) -> ClientTable:
        """The clients now in the table."""
        return Table(self, "client", self.header.client_slots, layout.ClientName, _client_identity)

    def client(self, table: ClientTable, row: Row) -> Client | None:
        """The client of ``row``, or None if its slot changed hands since."""
        entry = table.entry(row)
        return None if entry is None else self._client(*entry)

    def clients(
        self,
        table: ClientTable,
        slots: Iterable[int] | None = None,
        known: Known[ClientIdentity] | None = None,
    ) -> Iterator[tuple[Row, Client]]:
        """As :meth:`files`, for clients."""
        for row, counters, identity in table.entries(slots, known):
            yield row, self._client(counters, identity)

    def _client(self, counters: Counters, identity: ClientIdentity) -> Client:
        # A connection that went while its host's slot changed hands may be taken off twice.
        connections = counters[_CONNECTIONS] if counters[_CONNECTIONS] < 1 << 63 else 0
        return Client(*identity, self._activity(counters), counters[_ERROR_BOUND], connections)

    def _activity(self, counters: Counters) -> Activity:
        return Activity(
            counters[FOPS],
            counters[NANOSECONDS],
            counters[BYTES],
            counters[_ERRORS],
            self._realtime(counters[_FIRST_SEEN]),
            self._realtime(counters[_LAST_SEEN]),
        )

    def _realtime(self, monotonic: int) -> float:
        return (self._epoch + monotonic) / 1e9

    def file_health(self) -> TableHealth:
        """How full the file table is."""
        return self._health("files", "file_slots")

    def client_health(self) -> TableHealth:
        """How full the client table is."""
        return self._health("clients", "client_slots")

    def _health(self, prefix: str, slots: str) -> TableHealth:
        header = layout.Header.from_buffer_copy(self.read(0, ctypes.sizeof(layout.Header)))
        return TableHealth(
            tracked=getattr(header, f"{prefix}_tracked"),
            evicted=getattr(header, f"{prefix}_evicted"),
            untracked_fops=getattr(header, f"{prefix}_untracked_fops"),
            slots=getattr(self.header, slots),
        )


FileTable = Table[FileIdentity]
ClientTable = Table[ClientIdentity]


def _file_identity(copied: memoryview) -> FileIdentity:
    name = layout.FileName.from_buffer_copy(copied)
    raw = bytes(name.gfid).hex()
    return FileIdentity(
        gfid="-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:])),
        path=escape(bytes(name.path[: min(name.path_length, layout.PATH_SIZE)])),
        truncated=bool(name.flags & layout.FILE_PATH_TRUNCATED),
        unlinked=bool(name.flags & layout.FILE_UNLINKED),
        type=layout.FILE_TYPES[name.type] if name.type < len(layout.FILE_TYPES) else "",
    )


def _client_identity(copied: memoryview) -> ClientIdentity:
    name = layout.ClientName.from_buffer_copy(copied)
    address = bytes(name.address[: min(name.length, layout.CLIENT_SIZE)])
    return ClientIdentity(escape(address) or "unknown", str(name.process or ""))


def _load(segment: Segment, kind: type[_S], offset: int, index: int) -> _S:
    size = ctypes.sizeof(kind)
    return kind.from_buffer_copy(segment.read(offset + index * size, size))


def _check_bounds(header: layout.Header, size: int) -> None:
    """Raise SegmentError unless every table lies inside the file and is of an allowed size."""

    def check(condition: bool, what: str) -> None:
        if not condition:
            raise SegmentError("bad_layout", what)

    check(header.header_size == layout.HEADER_SIZE, "header size is not this layout's")
    if size < header.total_size:
        raise SegmentError("truncated", f"{size} of {header.total_size} bytes")
    check(size == header.total_size, "longer than its header says")
    fops, shards = header.fop_count, header.shard_count
    files, clients = header.file_slots, header.client_slots
    check(0 < fops <= layout.FOPS_MAX, f"{fops} fops")
    check(0 < shards <= layout.SHARDS_MAX, f"{shards} shards")
    check(files >= layout.FILE_SLOTS_MIN, f"{files} file slots")
    check(
        files <= layout.FILE_SLOTS_MAX,
        f"{files} file slots, more than the {layout.FILE_SLOTS_MAX} that are read: set the volume "
        "option user.xlator.glupy.file-slots lower",
    )
    check(layout.CLIENT_SLOTS_MIN <= clients <= layout.CLIENT_SLOTS_MAX, f"{clients} client slots")
    tables = {
        "names": fops * layout.NAME_SIZE,
        "cells": shards * fops * ctypes.sizeof(layout.FopCell),
        "io": shards * len(layout.DIRECTIONS) * ctypes.sizeof(layout.IoCell),
        "errors": fops * layout.ERRNO_SLOTS * 8,
        "internal": len(layout.ORIGINS) * ctypes.sizeof(layout.InternalCounters),
        "file_tags": files * 8,
        "file_seqs": files * 4,
        "file_counters": files * ctypes.sizeof(layout.FileCounters),
        "file_names": files * ctypes.sizeof(layout.FileName),
        "client_tags": clients * 8,
        "client_seqs": clients * 4,
        "client_counters": clients * ctypes.sizeof(layout.ClientCounters),
        "client_names": clients * ctypes.sizeof(layout.ClientName),
    }
    end = layout.HEADER_SIZE
    for name, length in tables.items():
        offset = getattr(header, f"{name}_offset")
        check(offset >= end and offset % 8 == 0, f"table {name} overlaps the one before")
        end = offset + length
        check(end <= size, f"table {name} lies outside the file")


def _check_name(path: Path, header: layout.Header) -> None:
    """Raise SegmentError unless the file is named after the brick of which its header speaks.

    Whoever can write one brick's segment, and says that it is another one's, would take its place.
    """
    who = os.fsdecode(header.volume), os.fsdecode(header.brick)
    if path.name not in naming.names(*who):
        brick = f"{escape(header.volume)}:{escape(header.brick)}"
        raise SegmentError("misnamed", f"says that it is of {brick}, and is not named so")


def open_segment(path: Path, reopens: int = _REOPENS) -> tuple[Segment, Brick]:
    """The segment at ``path``, which the caller closes, and who writes it.

    A brick that gets other options puts a new segment in the place of its old one and lets go of
    that: whoever opened the old one just before must not take the brick for dead.

    Raises:
        SegmentError: as :class:`Segment` does.
        FileNotFoundError: there is no such file.
    """
    with ExitStack() as stack:
        segment = stack.enter_context(Segment(path))
        _check_name(path, segment.header)
        brick = segment.brick()
        if brick.alive or not reopens or not segment.replaced():
            stack.pop_all()
            return segment, brick
    return open_segment(path, reopens - 1)


def scan(directory: Path) -> list[Path]:
    """The segments in ``directory``, sorted by name.

    Raises:
        OSError: the directory cannot be listed.
    """
    return sorted(entry for entry in directory.iterdir() if entry.name.endswith(SUFFIX))
