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

from glupy_exporter.schema import layout
from glupy_exporter.segment import check, naming
from glupy_exporter.segment.check import REASONS, SegmentError
from glupy_exporter.segment.text import escape, unescape

__all__ = ["REASONS", "SegmentError", "escape", "unescape"]

SUFFIX = naming.SUFFIX

_FOP_NAME = re.compile(rb"[a-z][a-z0-9_]*")
_CELL = struct.Struct(f"{ctypes.sizeof(layout.FopCell) // 8}Q")
_IDLE = bytes(_CELL.size)
_BUCKETS = layout.FopCell.buckets.offset // 8
_IO_WORDS = ctypes.sizeof(layout.IoCell) // 8
_IO_BUCKETS = layout.IoCell.buckets.offset // 8
_COUNTERS = struct.Struct(f"{ctypes.sizeof(layout.Counters) // 8}Q")
_BATCH = 4096  # slots whose names are there at a time
_NAMES = 16  # slots whose names are read at a time: most are known, or nobody wants them
_ROW = ctypes.sizeof(layout.FopErrors)
_NO_ERRORS = bytes(_ROW)
_ATTEMPTS = 4  # a rename holds a slot's seqlock for less than a microsecond
_REOPENS = 4  # changes of options make a new segment each, not faster than glusterd hands them on
# struct flock as fcntl(2) takes it on 64-bit Linux: type, whence, start, len, pid.
_FLOCK = struct.Struct("hhqqi4x")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _words(field: str, structure: type[ctypes.Structure] = layout.Counters) -> slice:
    """Where a field is among the words of a slot's counters."""
    place = getattr(structure, field)
    return slice(place.offset // 8, (place.offset + place.size) // 8)


FOPS, NANOSECONDS, BYTES = map(_words, ("fops", "nanoseconds", "bytes"))
"""Where the elements of these are in :data:`Counters`."""
_ERRORS, _FIRST_SEEN, _LAST_SEEN, _ERROR_BOUND = (
    _words(field).start for field in ("errors", "first_seen", "last_seen", "error_bound")
)
_TOP_CLIENT, _TOP_CLIENT_LEAD = (_words(field).start for field in ("top_client", "top_client_lead"))

Row = tuple[int, int, int]
"""Slot, tag and fops of a slot in use."""
Counters = tuple[int, ...]
"""The words of a slot's counters."""

_I = TypeVar("_I")
_Version = tuple[int, int]  # seq and tag
Known = dict[int, tuple[_Version, _I]]
"""By slot, what a table's names were found to say, and the version of the slot that says so."""


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

    def __init__(self, segment: Segment, rows: str, identify: Callable[[memoryview], _I]) -> None:
        self._segment = segment
        self._rows = rows
        self._identify = identify
        self.tags = array("Q", segment.elements(f"{rows}_tags").tobytes())
        """Of each slot, 0 where it is free."""
        names = segment.spans.get(f"{rows}_names")
        self._name_size = ctypes.sizeof(names.element) if names else 0

    @cached_property
    def _copy(self) -> tuple[memoryview, memoryview]:
        """Every slot's seq, and then its counters."""
        return self._seqs_from(0, len(self.tags)), self._counters_from(0, len(self.tags))

    def _column(self, word: int) -> array[int]:
        words = self._copy[1].cast("Q")
        return array("Q", words[word :: _COUNTERS.size // 8].tobytes())

    @cached_property
    def last_seen(self) -> array[int]:
        """Of each slot, when its last fop came back, in nanoseconds on the monotonic clock."""
        return self._column(_LAST_SEEN)

    @property
    def connections(self) -> array[int]:
        """Of each slot, for a table of clients."""
        return self._column(self._connections)

    @cached_property
    def _connections(self) -> int:
        span = self._segment.spans.get(f"{self._rows}_counters")
        return int(_words("connections", span.element if span else layout.Counters).start)

    def connections_in(self, counters: Counters) -> int:
        """Of a client."""
        return counters[self._connections]

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
            tags = self._tags_from(first, max(names) + 1 - first)
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
            size = self._name_size
            offset = (slot - start) * size
            yield slot, (version, self._identify(names[offset : offset + size]))

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
            tag = self._tags_from(slot, 1)[0]
            if self._seqs_from(slot, 1)[0] == seq:
                return (counters, identity) if tag == wanted else None
        return None

    def _tags_from(self, slot: int, count: int) -> memoryview:
        return self._segment.elements(f"{self._rows}_tags", slot, count).cast("Q")

    def _seqs_from(self, slot: int, count: int) -> memoryview:
        return self._segment.elements(f"{self._rows}_seqs", slot, count).cast("I")

    def _counters_from(self, slot: int, count: int) -> memoryview:
        return self._segment.elements(f"{self._rows}_counters", slot, count)

    def _names_from(self, slot: int, count: int) -> memoryview:
        return self._segment.elements(f"{self._rows}_names", slot, count)


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
            self.header, self.spans = check.contents(self.read, status.st_size)
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

    def elements(self, table: str, first: int = 0, count: int | None = None) -> memoryview:
        """A copy of elements of a table, each as long as its type is here; none if it is missing.

        What the segment has more of each is left out, and what it has less is 0.
        """
        span = self.spans.get(table)
        if span is None:
            return memoryview(b"")
        count = span.length if count is None else count
        size, known = span.element_size, ctypes.sizeof(span.element)
        copied = self.read(span.offset + first * size, count * size)
        if size == known:
            return copied
        starts = range(0, count * size, size)
        parts = (copied[start : start + min(size, known)].tobytes() for start in starts)
        return memoryview(b"".join(part.ljust(known, b"\0") for part in parts))

    def numbers(self) -> dict[str, int]:
        """The numbers of the brick, by the names of :data:`NUMBERS`: those that the segment has."""
        return self._one("numbers")

    def _one(self, table: str) -> dict[str, int]:
        """The numbers of a table of one element."""
        span = self.spans.get(table)
        if span is None or not span.length:
            return {}
        values = span.element.from_buffer_copy(self.elements(table))
        return {
            name: getattr(values, name)
            for name, kind in span.element._fields_
            if kind is ctypes.c_uint64
            and getattr(span.element, name).offset + 8 <= span.element_size
        }

    @property
    def half_life(self) -> int:
        """Seconds after which a fop weighs half in the scores of files and clients."""
        half_life = self.numbers().get("half_life", layout.HALF_LIFE_DEFAULT)
        return min(max(half_life, layout.HALF_LIFE_MIN), layout.HALF_LIFE_MAX)

    def brick(self) -> Brick:
        """Who writes this segment and whether it still does."""
        header = layout.Header.from_buffer_copy(self.read(0, ctypes.sizeof(layout.Header)))
        numbers, alive = self.numbers(), self._locked()
        beat = numbers.get("heartbeat", header.created_monotonic)
        return Brick(
            # As when the name was compared: whoever can write the file may have changed it since.
            volume=escape(self.header.volume),
            brick=escape(self.header.brick),
            host=escape(header.host),
            pid=header.pid,
            glusterfs_version=escape(header.glusterfs_version),
            xlator_version=escape(header.xlator_version),
            subvolume=header.subvolume if header.subvolume >= 0 else None,
            volume_bricks=numbers.get("volume_bricks") or None,
            created=header.created_realtime / 1e9,
            heartbeat=self._heartbeat(beat, header, alive),
            enabled=bool(numbers.get("enabled")),
            alive=alive,
        )

    def _heartbeat(self, beat: int, header: layout.Header, alive: bool) -> float:
        """Seconds since the epoch.

        The monotonic clock now is of use only on the writer's boot. A lock proves that it is this
        one, whatever /proc shows; without it, an equal boot id does. Else the time is the writer's
        own, which no later step of the wall clock corrects.
        """
        now = time.time()
        if alive or (header.boot_id and header.boot_id.decode("ascii", "replace") == boot_id()):
            age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - beat
            return now - max(0, age) / 1e9
        return min(self._realtime(beat), now)

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
            raw = bytes(self.elements("fop_names"))
            count = len(raw) // layout.NAME_SIZE
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
        size = _CELL.size
        copied = bytes(self.elements("cells"))
        names = self._names()
        fops = []
        for index, name in enumerate(names):
            starts = range(index * size, len(copied), len(names) * size)
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
        copied = bytes(self.elements("errors"))
        for index, name in enumerate(self._names()):
            row = copied[index * _ROW : (index + 1) * _ROW]
            if name and row != _NO_ERRORS:
                counts = memoryview(row).cast("Q").tolist()
                yield from ((name, n, counts[n]) for n in compress(range(slots), counts))

    def io(self) -> dict[str, Io]:
        """Reads and writes, keyed by :data:`layout.DIRECTIONS`; empty if they are not counted."""
        words = self.elements("io").cast("Q")
        result: dict[str, Io] = {}
        if not words:
            return result
        for index, direction in enumerate(layout.DIRECTIONS):
            starts = range(index * _IO_WORDS, len(words), len(layout.DIRECTIONS) * _IO_WORDS)
            sums = [sum(column) for column in zip(*(words[s : s + _IO_WORDS] for s in starts))]
            buckets = sums[_IO_BUCKETS : _IO_BUCKETS + layout.SIZE_BUCKETS]
            result[direction] = Io(sums[0], tuple(buckets))
        return result

    def internal(self) -> dict[str, Counts]:
        """What GlusterFS's own clients did, keyed by :data:`layout.ORIGINS`; only those seen."""
        result = {}
        copied, size = bytes(self.elements("internal")), ctypes.sizeof(layout.Activity)
        for origin, start in zip(layout.ORIGINS, range(0, len(copied), size)):
            counters = layout.Activity.from_buffer_copy(copied, start)
            if any(counters.fops):
                result[origin] = Counts(
                    tuple(counters.fops), tuple(counters.nanoseconds), tuple(counters.bytes)
                )
        return result

    def file_table(self) -> FileTable:
        """The files now in the table."""
        return Table(self, "files", _file_identity)

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
        return Table(self, "clients", _client_identity)

    def client(self, table: ClientTable, row: Row) -> Client | None:
        """The client of ``row``, or None if its slot changed hands since."""
        entry = table.entry(row)
        return None if entry is None else self._client(table, *entry)

    def clients(
        self,
        table: ClientTable,
        slots: Iterable[int] | None = None,
        known: Known[ClientIdentity] | None = None,
    ) -> Iterator[tuple[Row, Client]]:
        """As :meth:`files`, for clients."""
        for row, counters, identity in table.entries(slots, known):
            yield row, self._client(table, counters, identity)

    def _client(self, table: ClientTable, counters: Counters, identity: ClientIdentity) -> Client:
        connections = table.connections_in(counters)
        # A connection that went while its host's slot changed hands may be taken off twice.
        connections = connections if connections < 1 << 63 else 0
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
        return self._health("files")

    def client_health(self) -> TableHealth:
        """How full the client table is."""
        return self._health("clients")

    def _health(self, rows: str) -> TableHealth:
        health, tags = self._one(f"{rows}_health"), self.spans.get(f"{rows}_tags")
        return TableHealth(
            tracked=health.get("tracked", 0),
            evicted=health.get("evicted", 0),
            untracked_fops=health.get("untracked_fops", 0),
            slots=tags.length if tags else 0,
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
        check.check_name(path, segment.header.volume, segment.header.brick)
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
