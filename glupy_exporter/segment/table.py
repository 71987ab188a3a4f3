"""Reads the tables of the busiest: which rows there are, and which files or clients they are."""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, groupby
from operator import itemgetter, sub
from typing import Any, Generic, Protocol, TypeVar

from glupy_exporter.schema import layout
from glupy_exporter.schema.layout import Span
from glupy_exporter.schema.quantities import COUNTERS, TIME, Quantity
from glupy_exporter.segment.records import Activity, Client, ClientIdentity, File, FileIdentity
from glupy_exporter.segment.text import escape

_WORDS = ctypes.sizeof(layout.Counters) // 8
_COUNTERS = struct.Struct(f"{_WORDS}Q")
_BATCH = 4096  # slots whose names are in memory at a time
_NAMES = 16  # slots whose names are read at a time; few, as most names are known or not asked for
_ATTEMPTS = 4  # enough: the writer holds a slot's seqlock for less than a microsecond


def _words(field: str, structure: type[ctypes.Structure] = layout.Counters) -> slice:
    """The words of a slot's counters that a field has; an empty slice if there is no such field."""
    found = getattr(structure, field, None)
    return slice(found.offset // 8, (found.offset + found.size) // 8) if found else slice(0)


def _place(quantity: Quantity, words: slice) -> slice | int | None:
    """The index of a quantity in a slot's counters; None if it is a single word and missing."""
    if quantity.parts:
        return words
    return words.start if words.stop else None


_TIMES = [place for place, each in enumerate(COUNTERS) if each.kind == TIME]
"""The places of the times in an activity."""
FOPS, NANOSECONDS, BYTES = (_words(field) for field in ("fops", "nanoseconds", "bytes"))
"""The words of :data:`Counters` that these fields have."""
Row = tuple[int, int, int]
"""Slot, tag and fops of a slot in use."""
Counters = tuple[int, ...]
"""The counters of a slot, as 64-bit words."""

_I = TypeVar("_I", bound=tuple[Any, ...])
_R = TypeVar("_R")
_Version = tuple[int, int]  # seq and tag
Known = dict[int, tuple[_Version, _I]]
"""Names of a table that were read before: the slot's version then and the name, by slot."""


_WORD = (1 << 64) - 1


def file_tag(gfid: bytes) -> int:
    """The tag of the file with this gfid, as ``glupy_file_tag`` in counting.h has it."""
    mixed = len(gfid)
    for half in struct.unpack("=2Q", gfid):
        mixed ^= half
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ mixed >> shift) * factor & _WORD
        mixed ^= mixed >> 31
    return mixed or 1


class Tables(Protocol):
    """An open segment, which knows where its tables are."""

    spans: Mapping[str, Span]

    def elements(self, table: str, first: int = 0, count: int | None = None) -> memoryview:
        """A copy of elements of a table."""

    def realtime(self, monotonic: int) -> float:
        """A monotonic time of the writer's, in nanoseconds, as seconds since the epoch."""


@dataclass(frozen=True)
class Kind(Generic[_I, _R]):
    """The kind of a table's rows: files or clients."""

    rows: str
    """The beginning of their tables' names in the layout."""
    identify: Callable[[memoryview], _I]
    """Reads the name in a slot."""
    record: Callable[..., _R]
    """Makes a record of the fields of that name, and the activity."""


class Table(Generic[_I, _R]):
    """A copy of a table of the busiest in one segment, but for the names, which are read on demand.

    The copy of a row is used if the slot's seq and tag are still the same after its name was read;
    otherwise the row is read again.

    Raises:
        SegmentError: from the constructor and from everything that reads, when the file is not
            a good segment.
    """

    def __init__(self, segment: Tables, kind: Kind[_I, _R]) -> None:
        self._segment = segment
        self._rows = kind.rows
        self._kind = kind
        self.tags = array("Q", segment.elements(f"{kind.rows}_tags").tobytes())
        """The tag of each slot, 0 where the slot is free."""
        spans = segment.spans
        names = spans.get(f"{kind.rows}_names")
        self._name_size = ctypes.sizeof(names.element) if names else 0
        counters = spans.get(f"{kind.rows}_counters")
        structure = counters.element if counters else layout.Counters
        self._words = {each.name: _words(each.name, structure) for each in COUNTERS}
        # What is missing is taken from the word after the counters, which is 0.
        places = (_place(each, self._words[each.name]) for each in COUNTERS)
        self._fields = itemgetter(*(_WORDS if place is None else place for place in places))

    @cached_property
    def _copy(self) -> tuple[memoryview, memoryview]:
        """The seqs of all slots, and their counters; seqs are copied first."""
        return self._seqs_from(0, len(self.tags)), self._counters_from(0, len(self.tags))

    def _column(self, word: int) -> array[int]:
        words = self._copy[1].cast("Q")
        return array("Q", words[word::_WORDS].tobytes())

    @cached_property
    def last_seen(self) -> array[int]:
        """When the last fop of each slot came back, in nanoseconds on the monotonic clock."""
        return self._column(self._words["last_seen"].start)

    @property
    def first_seen(self) -> array[int]:
        """When each slot got its row, in nanoseconds on the monotonic clock."""
        return self._column(self._words["first_seen"].start)

    @property
    def connections(self) -> array[int]:
        """The open connections of each slot, in a table of clients."""
        return self._column(self._words["connections"].start)

    def counters(self, slot: int) -> Counters:
        """The slot's counters as they were copied."""
        return _COUNTERS.unpack_from(self._copy[1], slot * _COUNTERS.size)

    def columns(self, slots: Iterable[int]) -> list[memoryview]:
        """The counters of ``slots`` as they were copied: a column for each 64-bit word."""
        copied, size = self._copy[1], _COUNTERS.size
        rows = [copied[start : start + size] for start in map(size.__mul__, slots)]
        words = memoryview(b"".join(rows)).cast("Q")
        return [words[word::_WORDS] for word in range(_WORDS)]

    def ages(self, slots: Iterable[int]) -> list[int]:
        """Nanoseconds from when each of ``slots`` got its row until the row's last fop came
        back."""
        columns = self.columns(slots)
        first, last = (columns[self._words[name].start] for name in ("first_seen", "last_seen"))
        return [max(0, age) for age in map(sub, last, first)]

    @property
    def rows(self) -> list[Row]:
        """A row for every slot in use."""
        fops = map(sum, zip(*map(self._column, range(FOPS.start, FOPS.stop))))
        return [row for row in zip(range(len(self.tags)), self.tags, fops) if row[1]]

    @property
    def seqs(self) -> memoryview:
        """The seq of each slot, which differs whenever the slot's name has changed."""
        return self._copy[0]

    def entries(
        self, slots: Iterable[int] | None = None, known: Known[_I] | None = None
    ) -> Iterator[tuple[Row, Counters, _I]]:
        """The rows in ``slots``, or all, each with its counters and its name.

        It gives what :meth:`entry` gives for each, in fewer reads, and leaves out rows without an
        entry. ``known`` holds the names that an earlier call for the same segment file has read;
        this call uses them and puts its own in their place. Without it no name is kept: those of
        the largest table take hundreds of megabytes.
        """
        before = {} if known is None else dict(known)
        if known is not None:
            known.clear()
        wanted = [slot for slot in slots or () if self.tags[slot]]
        if slots is None:
            wanted = [slot for slot, tag in enumerate(self.tags) if tag]
        for _, batch in groupby(wanted, lambda slot: slot // _BATCH):
            names = self._named(batch, before)
            first = min(names)
            tags = self._tags_from(first, max(names) + 1 - first)
            seqs = self._seqs_from(first, len(tags))
            for slot, named in names.items():
                (seq, tag), identity = named
                entry: tuple[Counters, _I] | None
                if seq and not seq % 2 and seqs[slot - first] == seq and tags[slot - first] == tag:
                    entry = self.counters(slot), identity
                    if known is not None:
                        known[slot] = named
                else:
                    entry = self.entry((slot, tag, 0))
                if entry is not None:
                    yield (slot, tag, sum(entry[0][FOPS])), *entry

    def _named(self, slots: Iterable[int], known: Known[_I]) -> Known[_I]:
        """Each of the slots with its version at the time of the copy, and its name as it is now."""
        all_seqs, all_tags = self._copy[0], self.tags
        first, names = -1, memoryview(b"")
        found: Known[_I] = {}
        for slot in slots:
            version = all_seqs[slot], all_tags[slot]
            named = known.get(slot)
            if named is None or named[0] != version:
                start = slot // _NAMES * _NAMES
                if start != first:
                    first = start
                    names = self._names_from(start, min(_NAMES, len(all_tags) - start))
                size = self._name_size
                offset = (slot - start) * size
                named = version, self._kind.identify(names[offset : offset + size])
            found[slot] = named
        return found

    def record(self, row: Row) -> _R | None:
        """The file or client of the row; None if :meth:`entry` gives None."""
        entry = self.entry(row)
        return None if entry is None else self._record(*entry)

    def records(
        self, slots: Iterable[int] | None = None, known: Known[_I] | None = None
    ) -> Iterator[tuple[Row, _R]]:
        """The rows in ``slots``, or all, with their files or clients, in fewer reads than
        :meth:`record` takes; ``known`` is as for :meth:`entries`.
        """
        for row, counters, identity in self.entries(slots, known):
            yield row, self._record(counters, identity)

    def identities(self, tags: Set[int], known: Known[_I] | None = None) -> dict[int, _I]:
        """The names of the rows with these tags, by tag; rows that have lost their slot are left
        out. ``known`` is as for :meth:`entries`.
        """
        before = {} if known is None else dict(known)
        if known is not None:
            known.clear()
        found = {}
        for slot in compress(range(len(self.tags)), map(tags.__contains__, self.tags)):
            version = self.seqs[slot], self.tags[slot]
            named = before.get(slot)
            if named is None or named[0] != version:
                entry = self.entry((slot, version[1], 0))
                if entry is None:
                    continue
                named = version, entry[1]
            if known is not None:
                known[slot] = named
            found[version[1]] = named[1]
        return found

    def _record(self, counters: Counters, identity: _I) -> _R:
        values: list[Any] = [*self._fields((*counters, 0))]
        for place in _TIMES:
            values[place] = self._segment.realtime(values[place])
        activity = Activity(*values)
        # A connection that ended while its host's slot changed hands may be subtracted twice.
        if activity.connections >= 1 << 63:
            activity = activity._replace(connections=0)
        return self._kind.record(*identity, activity)

    def entry(self, row: Row) -> tuple[Counters, _I] | None:
        """The counters and the name that the row's slot has now.

        None if the slot is another file's or client's by now, or the writer kept changing it.
        """
        slot, wanted, _ = row
        for _ in range(_ATTEMPTS):
            seq = self._seqs_from(slot, 1)[0]
            if seq == 0 or seq % 2:  # 0: the slot has just been taken and has no name yet
                continue
            counters = _COUNTERS.unpack(self._counters_from(slot, 1))
            identity = self._kind.identify(self._names_from(slot, 1))
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


FILES = Kind("files", _file_identity, File)
CLIENTS = Kind("clients", _client_identity, Client)
FileTable = Table[FileIdentity, File]
ClientTable = Table[ClientIdentity, Client]
