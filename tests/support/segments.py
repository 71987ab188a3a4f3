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
from typing import Any

from glupy_exporter import nodestate
from glupy_exporter.segment import layout

FOP_NAMES = ("", "stat", "", "", "unlink", "read", "write", "lookup")
CREATED_REALTIME = 1_700_000_000_000_000_000
CREATED_MONOTONIC = 1_000_000_000_000


@dataclass
class Fop:
    """One fop's cell in the first shard."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    nanoseconds: int = 0
    in_flight: int = 0
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
    last_seen: int = CREATED_MONOTONIC + 6_000_000_000


@dataclass
class Client:
    address: bytes
    fops: Sequence[int] = (0, 0, 0)
    bytes: Sequence[int] = (0, 0)
    nanoseconds: Sequence[int] = (0, 0, 0)
    connections: int = 1
    error_bound: int = 0
    last_seen: int = CREATED_MONOTONIC + 6_000_000_000
    process: int = 0


@dataclass
class Internal:
    fops: Sequence[int] = (0, 0, 0)
    bytes: Sequence[int] = (0, 0)
    nanoseconds: Sequence[int] = (0, 0, 0)


@dataclass
class Segment:
    """What to write; ``header`` overrides any header field, after all others are filled in."""

    volume: str = "v0"
    brick: str = "/bricks/b0"
    fops: Mapping[str, Fop] = field(default_factory=dict)
    io: Mapping[str, tuple[Mapping[int, int], int]] = field(default_factory=dict)
    files: Mapping[int, File] = field(default_factory=dict)
    clients: Mapping[int, Client] = field(default_factory=dict)
    internal: Mapping[str, Internal] = field(default_factory=dict)
    names: Sequence[str] = FOP_NAMES
    shards: int = 2
    file_slots: int = 64
    client_slots: int = 16
    header: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> bytearray:
        """The bytes of the segment."""
        header = layout.Header(
            magic=layout.MAGIC,
            version=layout.VERSION,
            header_size=layout.HEADER_SIZE,
            fop_count=len(self.names),
            shard_count=self.shards,
            file_slots=self.file_slots,
            client_slots=self.client_slots,
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
            heartbeat=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
            enabled=1,
            files_tracked=len(self.files),
            clients_tracked=len(self.clients),
            half_life=layout.HALF_LIFE_DEFAULT,
            volume_bricks=6,
        )
        end = layout.HEADER_SIZE
        for table, size in {
            "names": len(self.names) * layout.NAME_SIZE,
            "cells": self.shards * len(self.names) * ctypes.sizeof(layout.FopCell),
            "io": self.shards * 2 * ctypes.sizeof(layout.IoCell),
            "errors": len(self.names) * layout.ERRNO_SLOTS * 8,
            "internal": len(layout.ORIGINS) * ctypes.sizeof(layout.InternalCounters),
            "file_tags": self.file_slots * 8,
            "file_seqs": self.file_slots * 4,
            "file_counters": self.file_slots * ctypes.sizeof(layout.FileCounters),
            "file_names": self.file_slots * ctypes.sizeof(layout.FileName),
            "client_tags": self.client_slots * 8,
            "client_seqs": self.client_slots * 4,
            "client_counters": self.client_slots * ctypes.sizeof(layout.ClientCounters),
            "client_names": self.client_slots * ctypes.sizeof(layout.ClientName),
        }.items():
            end = -(-end // 64) * 64
            setattr(header, f"{table}_offset", end)
            end += size
        header.total_size = end
        data = bytearray(end)
        self._fill_fops(data, header)
        for origin, done in self.internal.items():
            index = layout.ORIGINS.index(origin)
            cell = layout.InternalCounters()
            _fill_counts(cell, done)
            put(data, header.internal_offset + index * ctypes.sizeof(cell), cell)
        for slot, file in self.files.items():
            name = layout.FileName(
                path_length=len(file.path),
                flags=file.truncated * layout.FILE_PATH_TRUNCATED
                | file.unlinked * layout.FILE_UNLINKED,
                type=layout.FILE_TYPES.index(file.type),
            )
            name.gfid[:] = file.gfid.bytes
            name.path[: len(file.path)] = file.path
            counters = layout.FileCounters(
                first_seen=CREATED_MONOTONIC + 5_000_000_000,
                last_seen=file.last_seen,
                error_bound=file.error_bound,
                top_client=file.top_client,
                top_client_lead=file.top_client_lead,
            )
            tag = int.from_bytes(file.gfid.bytes[:8], "little") | 1
            _fill_slot(data, header, "file", slot, tag, counters, name, file)
        for slot, client in self.clients.items():
            client_name = layout.ClientName(length=len(client.address), process=client.process)
            client_name.address[: len(client.address)] = client.address
            client_counters = layout.ClientCounters(
                first_seen=CREATED_MONOTONIC + 5_000_000_000,
                last_seen=client.last_seen,
                error_bound=client.error_bound,
                connections=client.connections,
            )
            _fill_slot(data, header, "client", slot, slot + 1, client_counters, client_name, client)
        for key, value in self.header.items():
            setattr(header, key, value)
        put(data, 0, header)
        return data

    def _fill_fops(self, data: bytearray, header: layout.Header) -> None:
        for index, name in enumerate(self.names):
            start = header.names_offset + index * layout.NAME_SIZE
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
            put(data, header.cells_offset + index * ctypes.sizeof(cell), cell)
            for number, count in fop.errnos.items():
                offset = header.errors_offset + 8 * (index * layout.ERRNO_SLOTS + number)
                struct.pack_into("Q", data, offset, count)
        for direction, (buckets, total) in self.io.items():
            io = layout.IoCell(bytes=total)
            for bucket, count in buckets.items():
                io.buckets[bucket] = count
            index = layout.DIRECTIONS.index(direction)
            put(data, header.io_offset + index * ctypes.sizeof(io), io)

    @property
    def name(self) -> str:
        """The file name that the core would give it."""
        return f"{self.volume}.{self.brick.lstrip('/')}.seg".replace("/", "-")

    def write(self, path: Path) -> Path:
        """Write the segment to ``path``, in place of what is there, as atomically as the core.

        If that is a directory, the segment gets its name there.
        """
        if path.is_dir():
            path /= self.name
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(self.build())
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

    Of each volume: the bricks here, whether it is started, whether it names the translator.
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


def _fill_counts(
    counters: layout.FileCounters | layout.ClientCounters | layout.InternalCounters,
    done: File | Client | Internal,
) -> None:
    counters.fops[:] = done.fops
    counters.bytes[:] = done.bytes
    counters.nanoseconds[:] = done.nanoseconds


def _fill_slot(
    data: bytearray,
    header: layout.Header,
    table: str,
    slot: int,
    tag: int,
    counters: layout.FileCounters | layout.ClientCounters,
    name: ctypes.Structure,
    row: File | Client,
) -> None:
    _fill_counts(counters, row)

    def at(array: str, size: int) -> int:
        return int(getattr(header, f"{table}_{array}_offset")) + slot * size

    struct.pack_into("Q", data, at("tags", 8), tag)
    struct.pack_into("I", data, at("seqs", 4), 2)
    put(data, at("counters", ctypes.sizeof(counters)), counters)
    put(data, at("names", ctypes.sizeof(name)), name)


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
