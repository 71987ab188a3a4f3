"""Builds segment files from the layout, byte by byte as a translator would leave them.

Nothing here comes from the reader, so that a test of the reader proves something.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from glupy_exporter.node import nodestate
from glupy_exporter.schema import layout, quantities

FOP_NAMES = ("", "stat", "", "", "unlink", "read", "write", "lookup")
CREATED_REALTIME = 1_700_000_000_000_000_000
CREATED_MONOTONIC = 1_000_000_000_000
_GFID = uuid.UUID(int=1)
_LOCKS = {
    "lk": "lk",
    "lease": "lease",
    **{f"{descriptor}{kind}": kind for kind in ("inodelk", "entrylk") for descriptor in ("", "f")},
}


@dataclass
class Fop:
    """One fop's cell in the first lane."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    nanoseconds: int = 0
    in_flight: int = 0
    recorded: Sequence[int] = (0, 0, 0)
    """By cause."""
    errnos: Mapping[int, int] = field(default_factory=dict)


@dataclass
class File:
    path: bytes
    gfid: uuid.UUID
    fops: Sequence[int] = (0, 0, 0)
    bytes: Sequence[int] = (0, 0)
    nanoseconds: Sequence[int] = (0, 0, 0)
    error_bound: int = 0
    truncated: bool = False
    unlinked: bool = False
    type: str = "file"
    top_client: int = 0
    """Slot of a client plus 1, which is the client's tag here."""
    top_client_lead: int = 0
    first_seen: int = CREATED_MONOTONIC + 5_000_000_000
    last_seen: int = CREATED_MONOTONIC + 6_000_000_000


@dataclass
class Client:
    address: bytes
    fops: Sequence[int] = (0, 0, 0)
    bytes: Sequence[int] = (0, 0)
    nanoseconds: Sequence[int] = (0, 0, 0)
    connections: int = 1
    error_bound: int = 0
    first_seen: int = CREATED_MONOTONIC + 5_000_000_000
    last_seen: int = CREATED_MONOTONIC + 6_000_000_000
    process: int = 0


@dataclass
class Internal:
    fops: Sequence[int] = (0, 0, 0)
    bytes: Sequence[int] = (0, 0)
    nanoseconds: Sequence[int] = (0, 0, 0)


@dataclass
class Recorded:
    """A fop in a ring; ``fields`` override those of the record."""

    fop: str = "read"
    ns: int = 2_000_000_000
    gfid: uuid.UUID = _GFID
    client: int = 0
    """Slot of a client plus 1, which is the client's tag here."""
    cause: int = 1
    text: bytes = b""
    fields: Mapping[str, Any] = field(default_factory=dict)
    parent: bytes = bytes(16)
    """The directory in which ``text`` is a name; not used for the domain of a lock."""


@dataclass
class Flight:
    """A fop under way; ``fields`` override those of the entry."""

    fop: str = "read"
    started: int = CREATED_MONOTONIC + 5_000_000_000
    gfid: uuid.UUID = _GFID
    client: int = 0
    text: bytes = b""
    fields: Mapping[str, Any] = field(default_factory=dict)
    parent: bytes = bytes(16)
    """The directory in which ``text`` is a name; not used for the domain of a lock."""


@dataclass
class HeldLock:
    """A granted lock; ``fields`` override those of the entry."""

    kind: str = "inodelk"
    type: str = "write"
    domain: bytes = b""
    gfid: uuid.UUID = _GFID
    client: int = 0
    granted: int = CREATED_MONOTONIC + 5_000_000_000
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Segment:
    """What to write; ``header`` overrides any header field, once all else is filled in."""

    volume: str = "v0"
    brick: str = "/bricks/b0"
    fops: Mapping[str, Fop] = field(default_factory=dict)
    io: Mapping[str, tuple[Mapping[int, int], int]] = field(default_factory=dict)
    files: Mapping[int, File] = field(default_factory=dict)
    clients: Mapping[int, Client] = field(default_factory=dict)
    internal: Mapping[str, Internal] = field(default_factory=dict)
    names: Sequence[str] = FOP_NAMES
    lanes: int = 2
    file_slots: int = 64
    client_slots: int = 16
    recorder: Mapping[str, int] = field(
        default_factory=lambda: {"slow": 8, "trace": 16, "flights": 8, "held_locks": 8}
    )
    """Lengths of the recorder's tables."""
    recorded: Mapping[str, Sequence[Recorded]] = field(default_factory=dict)
    """All that was ever recorded, by ring; the ring has the last of them."""
    flights: Mapping[int, Flight] = field(default_factory=dict)
    held_locks: Mapping[int, HeldLock] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Numbers of the brick that differ from the usual ones."""
    facts: Mapping[str, int] = field(default_factory=dict)
    """What the maintenance thread knows; usually nothing."""
    health: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Fields of :class:`layout.Health` that differ from the usual ones, by table."""
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields of the catalog, by table, once all else is filled in."""

    def build(self) -> bytearray:
        """The bytes of the segment."""
        header = layout.Header(
            magic=layout.MAGIC,
            version=layout.VERSION,
            header_size=ctypes.sizeof(layout.Header),
            catalog_offset=ctypes.sizeof(layout.Header),
            table_count=len(layout.TABLES),
            entry_size=ctypes.sizeof(layout.Entry),
            pid=4711,
            subvolume=1,
            created_realtime=CREATED_REALTIME,
            created_monotonic=CREATED_MONOTONIC,
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_bytes().strip(),
            glusterfs_version=b"10.3",
            xlator_version=b"0.1.0",
            volume=self.volume.encode(),
            host=b"node1",
            brick=self.brick.encode(),
        )
        entries: dict[str, layout.Entry] = {}
        end = header.catalog_offset + len(layout.TABLES) * header.entry_size
        for table in layout.TABLES:
            entry = entries[table.name] = layout.Entry(
                name=table.name.encode(),
                offset=-(-end // layout.CACHE_LINE) * layout.CACHE_LINE,
                element_size=ctypes.sizeof(table.element),
                count=table.length(
                    lanes=self.lanes,
                    fops=len(self.names),
                    files=self.file_slots,
                    clients=self.client_slots,
                    **self.recorder,
                ),
            )
            end = entry.offset + entry.element_size * entry.count
        header.total_size = end
        data = bytearray(end)

        def element(table: str, index: int, value: ctypes.Structure) -> None:
            put(data, entries[table].offset + index * ctypes.sizeof(value), value)

        numbers = {
            "volume_bricks": 6,
            "heartbeat": time.clock_gettime_ns(time.CLOCK_MONOTONIC),
            "enabled": 1,
            "half_life": layout.HALF_LIFE_DEFAULT,
        }
        element("numbers", 0, layout.Numbers(**{**numbers, **self.numbers}))
        unknown = {each.name: layout.UNKNOWN for each in quantities.FACTS}
        element("facts", 0, layout.Facts(**{**unknown, **self.facts}))
        self._fill_fops(data, entries)
        for origin, done in self.internal.items():
            activity = layout.Activity()
            _fill_counts(activity, done)
            element("internal", layout.ORIGINS.index(origin), activity)
        rows: Mapping[str, Mapping[int, File | Client]] = {
            "files": self.files,
            "clients": self.clients,
        }
        for kind, slots in rows.items():
            health = {"tracked": len(slots), **self.health.get(kind, {})}
            element(f"{kind}_health", 0, layout.Health(**health))
            for slot, row in slots.items():
                tag = slot + 1
                if isinstance(row, File):
                    tag = file_tag(row.gfid)
                struct.pack_into("Q", data, entries[f"{kind}_tags"].offset + slot * 8, tag)
                struct.pack_into("I", data, entries[f"{kind}_seqs"].offset + slot * 4, 2)
                element(f"{kind}_counters", slot, _counters(row))
                element(f"{kind}_names", slot, _name(row))
        for ring, recorded in self.recorded.items():
            element(f"{ring}_ring", 0, layout.Ring(position=len(recorded)))
            for position, made in enumerate(recorded):
                index = position % self.recorder[ring]
                element(f"{ring}_records", index, self._record(position, made))
        for slot, flight in self.flights.items():
            element("flights", slot, self._flight(flight))
        for slot, lock in self.held_locks.items():
            element("held_locks", slot, _held_lock(lock))
        for name, entry in entries.items():
            for key, value in self.entries.get(name, {}).items():
                setattr(entry, key, value)
        for index, entry in enumerate(entries.values()):
            put(data, header.catalog_offset + index * header.entry_size, entry)
        for key, value in self.header.items():
            setattr(header, key, value)
        put(data, 0, header)
        return data

    def _fill_fops(self, data: bytearray, entries: Mapping[str, layout.Entry]) -> None:
        for index, name in enumerate(self.names):
            start = entries["fop_names"].offset + index * layout.NAME_SIZE
            data[start : start + len(name)] = name.encode()
            fop = self.fops.get(name)
            if not name or fop is None:
                continue
            cell = layout.FopCell(
                started=sum(fop.buckets.values()) + fop.in_flight,
                errors=sum(fop.errnos.values()),
                nanoseconds=fop.nanoseconds,
            )
            for bucket, count in fop.buckets.items():
                cell.buckets[bucket] = count
            put(data, entries["cells"].offset + index * ctypes.sizeof(cell), cell)
            records = layout.FopRecords()
            records.by_cause[:] = fop.recorded
            put(data, entries["recorded"].offset + index * ctypes.sizeof(records), records)
            for number, count in fop.errnos.items():
                offset = entries["errors"].offset + 8 * (index * layout.ERRNOS + number)
                struct.pack_into("Q", data, offset, count)
        for direction, (buckets, total) in self.io.items():
            io = layout.IoCell(bytes=total)
            for bucket, count in buckets.items():
                io.buckets[bucket] = count
            index = layout.DIRECTIONS.index(direction)
            put(data, entries["io"].offset + index * ctypes.sizeof(io), io)

    def _record(self, position: int, made: Recorded) -> layout.Record:
        record = layout.Record(
            mark=2 * position + 2,
            ended=CREATED_MONOTONIC + 7_000_000_000 + position,
            ns=made.ns,
            client=made.client,
            fop=self.names.index(made.fop),
            cause=made.cause,
            text_length=min(len(made.text), 255),
        )
        record.gfid[:] = made.gfid.bytes
        _fill_bytes(record.text, _text(made))
        return _set(record, made.fields)

    def _flight(self, made: Flight) -> layout.Flight:
        flight = layout.Flight(
            mark=7 * layout.MARK_STATES + layout.MARK_USED,
            started=made.started,
            client=made.client,
            fop=self.names.index(made.fop),
            text_length=min(len(made.text), 255),
            lock_kind=layout.LOCK_KINDS.index(_LOCKS.get(made.fop, "")),
        )
        flight.gfid[:] = made.gfid.bytes
        _fill_bytes(flight.text, _text(made))
        return _set(flight, made.fields)

    @property
    def name(self) -> str:
        """The file name that the translator would give it."""
        return f"{self.volume}.{self.brick.lstrip('/')}.seg".replace("/", "-")

    def write(self, path: Path) -> Path:
        """Write the segment to ``path`` in one step, as the translator does, and return its path.

        If ``path`` is a directory, the segment gets its usual name there.
        """
        if path.is_dir():
            path /= self.name
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(self.build())
        temporary.chmod(0o644)  # the umask may let others write
        temporary.rename(path)
        return path

    @contextlib.contextmanager
    def live(self, path: Path) -> Iterator[Path]:
        """Write the segment and hold its lock, as the brick process does."""
        path = self.write(path)
        with locked(path):
            yield path


def write_state(
    path: Path, volumes: dict[str, tuple[list[str], bool, bool]], age: float = 0.0
) -> Path:
    """Write a node's state of ``age`` seconds ago.

    ``volumes`` has, by name, the bricks here, whether the volume is started, and whether it has the
    translator.
    """
    known = {
        name: nodestate.Volume(frozenset(bricks), started, translator)
        for name, (bricks, started, translator) in volumes.items()
    }
    path.write_bytes(nodestate.render(nodestate.NodeState(time.time() - age, known)))
    return path


def put(data: bytearray, offset: int, structure: ctypes.Structure) -> None:
    """Copy ``structure`` into ``data``."""
    data[offset : offset + ctypes.sizeof(structure)] = bytes(structure)


def offset(data: bytes | bytearray, table: str, slot: int = 0, field: Any = None) -> int:
    """Where a table, or a field of one of its elements, is in the bytes of a segment."""
    header = layout.Header.from_buffer_copy(data)
    for index in range(header.table_count):
        start = header.catalog_offset + index * header.entry_size
        entry = layout.Entry.from_buffer_copy(data, start)
        if entry.name == table.encode():
            return int(entry.offset + slot * entry.element_size + (field.offset if field else 0))
    raise KeyError(table)


_S = TypeVar("_S", bound=ctypes.Structure)


def _set(structure: _S, fields: Mapping[str, Any]) -> _S:
    for name, value in fields.items():
        setattr(structure, name, value)
    return structure


def _text(made: Recorded | Flight) -> bytes:
    return made.text if made.fop in _LOCKS else made.parent + made.text


def _fill_bytes(target: ctypes.Array[Any], text: bytes) -> None:
    target[: len(text[: len(target)])] = text[: len(target)]


def _held_lock(made: HeldLock) -> layout.HeldLock:
    lock = layout.HeldLock(
        mark=7 * layout.MARK_STATES + layout.MARK_USED,
        kind=layout.LOCK_KINDS.index(made.kind),
        lock_type=layout.LOCK_TYPES.index(made.type),
        granted=made.granted,
        client=made.client,
        domain_length=len(made.domain),
    )
    lock.gfid[:] = made.gfid.bytes
    _fill_bytes(lock.domain, made.domain)
    return _set(lock, made.fields)


def file_tag(gfid: uuid.UUID) -> int:
    """The tag of a file: twice the finalizer of splitmix64."""

    def mix(value: int) -> int:
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
        return value ^ (value >> 31)

    first, second = struct.unpack("QQ", gfid.bytes)
    return mix(mix(16 ^ first) ^ second) or 1


def _fill_counts(
    counters: layout.Counters | layout.Activity, done: File | Client | Internal
) -> None:
    counters.fops[:] = done.fops
    counters.bytes[:] = done.bytes
    counters.nanoseconds[:] = done.nanoseconds


def _counters(row: File | Client) -> layout.Counters:
    counters = layout.Counters(
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        error_bound=row.error_bound,
    )
    _fill_counts(counters, row)
    if isinstance(row, File):
        counters.top_client, counters.top_client_lead = row.top_client, row.top_client_lead
    else:
        counters.connections = row.connections
    return counters


def _name(row: File | Client) -> layout.FileName | layout.ClientName:
    if isinstance(row, Client):
        client = layout.ClientName(length=len(row.address), process=row.process)
        client.address[: len(row.address)] = row.address
        return client
    file = layout.FileName(
        path_length=len(row.path),
        flags=row.truncated * layout.FILE_PATH_TRUNCATED | row.unlinked * layout.FILE_UNLINKED,
        type=layout.FILE_TYPES.index(row.type),
    )
    file.gfid[:] = row.gfid.bytes
    file.path[: len(row.path)] = row.path
    return file


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the open-file-description write lock that says the writer of ``path`` lives."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        yield
    finally:
        os.close(descriptor)
