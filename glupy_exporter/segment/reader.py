"""Reads segments, treating every byte of them as hostile.

The reader copies a segment with ``pread`` and never maps it: if somebody truncates the file, a
mapping kills the reader with SIGBUS, and a copy is only short. Counters are naturally aligned
64-bit words, which the kernel's copy does not tear. Names are guarded by the seqlock described in
``layout``.

A lock tells whether the writer lives: the translator holds an open-file-description write lock on
its segment for as long as the brick process has it open (fcntl(2), F_OFD_GETLK). The reader does
not look in /proc, which may be hidden or a container's: a live brick must not look dead.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import stat
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property, lru_cache
from itertools import compress
from pathlib import Path

from glupy_exporter.schema import layout
from glupy_exporter.schema.quantities import FACTS, NUMBERS, TIME, Quantity
from glupy_exporter.segment import check, naming, recorder
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.recorder import Batch, HeldLock, InFlight
from glupy_exporter.segment.records import Brick, Counts, File, Fop, Io
from glupy_exporter.segment.table import CLIENTS, FILES, ClientTable, FileTable, Table
from glupy_exporter.segment.text import escape

SUFFIX = naming.SUFFIX

_FOP_NAME = re.compile(rb"[a-z][a-z0-9_]*")
_CELL = ctypes.sizeof(layout.FopCell) // 8
_RECORDS = ctypes.sizeof(layout.FopRecords) // 8
_IO_WORDS = ctypes.sizeof(layout.IoCell) // 8
_IO_BUCKETS = layout.IoCell.buckets.offset // 8
_ROW = ctypes.sizeof(layout.FopErrors)
_NO_ERRORS = bytes(_ROW)
_REOPENS = 4  # enough: each change of options makes one new segment, and glusterd takes its time
# struct flock as fcntl(2) takes it on 64-bit Linux: type, whence, start, len, pid.
_FLOCK = struct.Struct("hhqqi4x")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """The boot id that /proc shows; empty if it shows none, as with systemd's ``ProcSubset=pid``.

    A container's /proc may show another boot id than its host's.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


@lru_cache(maxsize=64)
def _words(element: type[ctypes.Structure], size: int) -> list[tuple[str, int]]:
    """The numbers in an element of ``size`` bytes, each with its index as a 64-bit word."""
    places = {name: getattr(element, name).offset for name, _, *_ in element._fields_}
    return [
        (name, places[name] // 8)
        for name, kind, *_ in element._fields_
        if kind is ctypes.c_uint64 and places[name] + 8 <= size
    ]


@lru_cache(maxsize=16)  # bricks of the same GlusterFS have the same fops
def _fop_names(raw: bytes) -> tuple[str, ...]:
    names = []
    for index, start in enumerate(range(0, len(raw), layout.NAME_SIZE)):
        name = raw[start : start + layout.NAME_SIZE].split(b"\0", 1)[0]
        if name and not _FOP_NAME.fullmatch(name):
            raise SegmentError("bad_layout", f"fop {index} has no valid name")
        names.append(name.decode("ascii"))
    if len(set(filter(None, names))) != len(list(filter(None, names))):
        raise SegmentError("bad_layout", "two fops have the same name")
    return tuple(names)


class Segment:
    """An open segment whose header has been checked.

    Raises:
        SegmentError: from the constructor and from every method that reads, when the file is not
            a good segment.
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
        # To be added to a monotonic time of the writer's for nanoseconds since the epoch.
        self._epoch: int = self.header.created_realtime - self.header.created_monotonic
        self._fop_names: tuple[str, ...] | None = None
        self._tagged: tuple[FileTable, dict[int, int]] | None = None

    def close(self) -> None:
        """Close the file."""
        self._tagged = None  # its table refers to this segment
        os.close(self._fd)

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, offset: int, size: int) -> memoryview:
        """A copy of ``size`` bytes at ``offset``."""
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise SegmentError("unreadable", os.strerror(error.errno or 0)) from error
        if len(data) != size:
            raise SegmentError("truncated", f"ends within the {size} bytes at {offset}")
        return memoryview(data)

    def elements(self, table: str, first: int = 0, count: int | None = None) -> memoryview:
        """A copy of ``count`` elements of a table from ``first`` on; empty without the table.

        Each is as long as its type is in this release: a longer element of the segment is cut, a
        shorter one is filled up with zeros.
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
        """The numbers of the brick that the segment has, by the names of :data:`NUMBERS`."""
        return self._one("numbers")

    def _one(self, table: str) -> dict[str, int]:
        """The numbers of a table that has one element, by name."""
        span = self.spans.get(table)
        if span is None or not span.length:
            return {}
        words = self.elements(table).cast("Q")
        return {name: words[at] for name, at in _words(span.element, span.element_size)}

    @cached_property
    def half_life(self) -> int:
        """Seconds after which a fop weighs half in the scores of files and clients, read once."""
        half_life = self.numbers().get("half_life", layout.HALF_LIFE_DEFAULT)
        return min(max(half_life, layout.HALF_LIFE_MIN), layout.HALF_LIFE_MAX)

    def brick(self) -> Brick:
        """The brick that writes this segment, and whether it still does."""
        header = layout.Header.from_buffer_copy(self.read(0, ctypes.sizeof(layout.Header)))
        alive = self._locked()
        return Brick(
            # From the header whose name was checked: the file's may have been changed since.
            volume=escape(self.header.volume),
            path=escape(self.header.brick),
            host=escape(header.host),
            pid=header.pid,
            glusterfs_version=escape(header.glusterfs_version),
            xlator_version=escape(header.xlator_version),
            subvolume=header.subvolume if header.subvolume >= 0 else None,
            created=header.created_realtime / 1e9,
            alive=alive,
            numbers=self._known("numbers", NUMBERS, header, alive),
            facts=self._known("facts", FACTS, header, alive),
        )

    def _known(
        self, table: str, quantities: Iterable[Quantity], header: layout.Header, alive: bool
    ) -> dict[str, float]:
        """The numbers of a table that has one element, but for those that are not known; durations
        in nanoseconds."""
        numbers = self._one(table)
        known: dict[str, float] = {}
        for each in quantities:
            number = numbers.get(each.name, each.unknown)
            if number is None or number == each.unknown:
                continue
            if each.kind == TIME:
                known[each.name] = self._when(number, header, alive)
            else:
                known[each.name] = number
        return known

    def _when(self, monotonic: int, header: layout.Header, alive: bool) -> float:
        """A monotonic time of the writer's, in seconds since the epoch.

        The monotonic clock can be compared only within one boot. A held lock proves that the writer
        is of this boot, whatever /proc shows; without a lock, an equal boot id proves it. Otherwise
        the time follows the writer's wall clock, and later steps of that clock do not correct it.
        """
        now = time.time()
        if alive or (header.boot_id and header.boot_id.decode("ascii", "replace") == boot_id()):
            age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - monotonic
            return now - max(0, age) / 1e9
        return min(self.realtime(monotonic), now)

    def replaced(self) -> bool:
        """Whether the segment's path names another file by now, or none."""
        try:
            named = self.path.lstat()
        except OSError:
            return True
        return not self.of(named)

    def of(self, status: os.stat_result) -> bool:
        """Whether this is the status of the segment's own file."""
        return os.path.samestat(status, os.fstat(self._fd))

    def _locked(self) -> bool:
        query = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, query)
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def fop_names(self) -> tuple[str, ...]:
        """The name of each fop by its index, empty where there is no such fop."""
        if self._fop_names is None:
            self._fop_names = _fop_names(bytes(self.elements("fop_names")))
        return self._fop_names

    def fops(self) -> list[Fop]:
        """Every fop that was called at least once, in the order of GlusterFS's fop enum."""
        names = self.fop_names()
        cells = self._lane_sums("cells", len(names) * _CELL)
        recorded = self.elements("recorded").cast("Q").tolist()
        fops = []
        for index, (name, start) in enumerate(zip(names, range(0, len(cells), _CELL))):
            # A fop may end in another lane than it started in, so only the sums have a meaning.
            sums = cells[start : start + _CELL]
            if name and any(sums):
                started, errors, nanoseconds, _, *buckets = sums
                at = index * _RECORDS
                causes = tuple(recorded[at : at + len(layout.CAUSES)])
                fops.append(Fop(name, started, errors, nanoseconds, tuple(buckets), causes))
        return fops

    def _lane_sums(self, table: str, words: int) -> list[int]:
        """The sums over the lanes of a table that has so many 64-bit words for each lane; nothing
        if it has no lane.

        Each lane is added as one large number, since to add word by word would take most of the
        time of a scrape. Only the counts of a hostile segment overflow into the next word.
        """
        copied, size = self.elements(table), 8 * words
        if not copied:
            return []
        lanes = range(0, len(copied), size)
        whole = sum(int.from_bytes(copied[at : at + size], sys.byteorder) for at in lanes)
        whole &= (1 << 8 * size) - 1
        return memoryview(whole.to_bytes(size, sys.byteorder)).cast("Q").tolist()

    def errno_rows(self) -> Iterator[tuple[str, bytes]]:
        """Each fop that failed, with its errors as :func:`counted` takes them."""
        copied = bytes(self.elements("errors"))
        for index, name in enumerate(self.fop_names()):
            row = copied[index * _ROW : (index + 1) * _ROW]
            if name and row != _NO_ERRORS:
                yield name, row

    def errnos(self) -> Iterator[tuple[str, int, int]]:
        """``(fop, errno, count)`` for every errno counted; errno 0 stands for any other."""
        for name, row in self.errno_rows():
            yield from ((name, errno, count) for errno, count in counted(row))

    def io(self) -> dict[str, Io]:
        """Reads and writes, keyed by :data:`layout.DIRECTIONS`; empty if they are not counted."""
        words = self._lane_sums("io", len(layout.DIRECTIONS) * _IO_WORDS)
        result = {}
        for direction, start in zip(layout.DIRECTIONS, range(0, len(words), _IO_WORDS)):
            sums = words[start : start + _IO_WORDS]
            buckets = sums[_IO_BUCKETS : _IO_BUCKETS + layout.SIZE_BUCKETS]
            result[direction] = Io(sums[0], tuple(buckets))
        return result

    def internal(self) -> dict[str, Counts]:
        """The counters of GlusterFS's own clients, by :data:`layout.ORIGINS`; only active ones."""
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
        """A copy of the table of files."""
        return Table(self, FILES)

    def client_table(self) -> ClientTable:
        """A copy of the table of clients."""
        return Table(self, CLIENTS)

    def file_by_tag(self, tag: int) -> File | None:
        """The file whose slot has ``tag``; None if there is none."""
        if self._tagged is None:
            table = self.file_table()
            self._tagged = table, {tag: slot for slot, tag in enumerate(table.tags) if tag}
        table, slots = self._tagged
        return table.record((slots[tag], tag, 0)) if tag in slots else None

    def realtime(self, monotonic: int) -> float:
        """A monotonic time of the writer's, in nanoseconds, as seconds since the epoch."""
        return (self._epoch + monotonic) / 1e9

    def health(self, rows: str) -> dict[str, int]:
        """The numbers of the table of ``files`` or ``clients``, by the names of :data:`HEALTH`."""
        return self._one(f"{rows}_health")

    def recorded(self, since: int | None = None, ring: str = recorder.SLOW) -> Batch:
        """The fops in a ring from the position ``since`` on; None: all that are there.

        The ring ``recorder.SLOW`` has slow fops only, ``recorder.TRACE`` those that are sampled or
        traced. A slow one may be in both. May wait for a few milliseconds, for a brick that is
        writing a record.
        """
        return recorder.recorded(self, ring, since, self.fop_names())

    def latest(self, ring: str = recorder.SLOW) -> Iterator[recorder.Fop]:
        """The fops in a ring, the latest first; reads a part of the ring at a time, and waits for
        nothing.
        """
        return recorder.latest(self, ring, self.fop_names())

    def kept(self, ring: str = recorder.SLOW) -> range:
        """The positions of the records that a ring still has."""
        return recorder.kept(self, ring)

    def position(self, ring: str = recorder.SLOW) -> int:
        """The position that the next record of a ring gets; 0 without the ring."""
        return recorder.position_of(self, ring)

    def in_flight(self) -> list[InFlight]:
        """The fops in flight, the oldest first; only live bricks have any."""
        return recorder.in_flight(self, len(self.fop_names())) if self._locked() else []

    def held_locks(self) -> list[HeldLock]:
        """The granted locks, the oldest first; only live bricks that count have any."""
        counting = self.numbers().get("enabled", 0)
        return recorder.held_locks(self) if counting and self._locked() else []

    def recorder_health(self) -> dict[str, int]:
        """The counters of the recorder, by name; empty where the segment has no recorder.

        ``slow_recorded``, ``trace_recorded``: records so far; ``slow_dropped``, ``trace_dropped``:
        those of them that could not be written.
        """
        health = {}
        for ring in recorder.RINGS:
            head = self._one(f"{ring}_ring")
            if head:
                health[f"{ring}_recorded"] = head.get("position", 0)
                health[f"{ring}_dropped"] = head.get("dropped", 0)
        return health


def counted(row: bytes) -> Iterator[tuple[int, int]]:
    """``(errno, count)`` for every errno in a row of :meth:`Segment.errno_rows`."""
    counts = memoryview(row).cast("Q").tolist()
    return ((errno, counts[errno]) for errno in compress(range(layout.ERRNOS), counts))


def open_segment(path: Path, reopens: int = _REOPENS) -> tuple[Segment, Brick]:
    """The segment at ``path``, which the caller closes, and the brick that writes it.

    A brick whose options change puts a new segment in the place of the old one and drops the old
    one's lock. A reader that opened the old one just before opens the path again, so that it does
    not take the brick for dead.

    Raises:
        SegmentError: the file is not a good segment, or not named after its brick.
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
