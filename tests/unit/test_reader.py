"""The reader against segments as they should be and as nobody should write them."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.schema.quantities import COUNTERS
from glupy_exporter.segment import reader
from glupy_exporter.segment.check import REASONS, SegmentError
from glupy_exporter.segment.records import Activity, Brick, Counts, FileIdentity
from glupy_exporter.segment.table import BYTES, FILES, FOPS, NANOSECONDS, Known
from glupy_exporter.segment.text import escape, unescape
from tests.support import memory, segments

ARRAYS = ("tags", "seqs", "counters", "names")
GFID = uuid.UUID("6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v0.bricks-b0.seg"


def offset_of(path: Path, table: str) -> int:
    return segments.offset(path.read_bytes(), table)


def poke(path: Path, offset: int, data: bytes) -> None:
    """Change the file in place, as a writer does."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_brick_is_who_the_header_says(path: Path) -> None:
    segments.Segment().write(path)
    with reader.Segment(path) as segment:
        brick = segment.brick()
    assert (brick.volume, brick.path, brick.host, brick.pid) == ("v0", "/bricks/b0", "node1", 4711)
    assert (brick.glusterfs_version, brick.xlator_version) == ("10.3", "0.1.0")
    assert (brick.subvolume, brick.numbers["enabled"]) == (1, 1)
    assert brick.created == 1_700_000_000


def test_unknown_subvolume_is_none(path: Path) -> None:
    segments.Segment(header={"subvolume": -1}).write(path)
    with reader.Segment(path) as segment:
        assert segment.brick().subvolume is None


def test_brick_lives_while_the_lock_is_held(path: Path) -> None:
    with segments.Segment().live(path), reader.Segment(path) as segment:
        assert segment.brick().alive
    with reader.Segment(path) as segment:
        assert not segment.brick().alive


def test_brick_that_changes_its_segment_meanwhile_lives(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a change of options: the new segment has its name before the old one is let go."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(segments.Segment().live(path))
        replace = iter([True, True, False])
        identify = reader.Segment.brick

        def brick(self: reader.Segment) -> Brick:
            if next(replace):
                with stack.pop_all():
                    stack.enter_context(segments.Segment(header={"pid": 1}).live(path))
            return identify(self)

        monkeypatch.setattr(reader.Segment, "brick", brick)
        segment, writer = reader.open_segment(path)
        with segment:
            assert writer.alive and writer.pid == 1 and not segment.replaced()


@pytest.mark.parametrize("left", [True, False])
def test_brick_that_is_dead_is_not_asked_again(path: Path, left: bool) -> None:
    segments.Segment().write(path)
    with reader.Segment(path) as segment:
        if not left:
            path.unlink()
        assert segment.replaced() != left
    if left:
        segment, writer = reader.open_segment(path)
        segment.close()
        assert not writer.alive
    else:
        with pytest.raises(FileNotFoundError):
            reader.open_segment(path)


BOOT_IDS = {
    "another than the brick's": b"00000000-0000-0000-0000-000000000000\n",
    "unreadable": None,
    "empty": b"",
    "no text": b"\xff\0\n",
}


@pytest.fixture(params=BOOT_IDS.values(), ids=BOOT_IDS)
def other_boot_id(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What /proc shows in a container, or where it is hidden."""
    shown = tmp_path / "boot_id"
    if request.param is not None:
        shown.write_bytes(request.param)
    monkeypatch.setattr(reader, "_BOOT_ID", shown)


@pytest.mark.usefixtures("other_boot_id")
@pytest.mark.parametrize("known", [True, False])
def test_a_held_lock_proves_that_the_clocks_are_the_same(path: Path, known: bool) -> None:
    beat = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 100 * 10**9
    made = segments.Segment(header={} if known else {"boot_id": b""}, numbers={"heartbeat": beat})
    with made.live(path), reader.Segment(path) as segment:
        brick = segment.brick()
    assert brick.alive
    assert brick.heartbeat == pytest.approx(time.time() - 100, abs=10)


@pytest.mark.usefixtures("other_boot_id")
@pytest.mark.parametrize("known", [True, False])
def test_a_brick_of_another_boot_ended_when_its_own_clock_says(path: Path, known: bool) -> None:
    beat = segments.CREATED_MONOTONIC + 3600 * 10**9
    header = {} if known else {"boot_id": b""}
    segments.Segment(header=header, numbers={"heartbeat": beat}).write(path)
    with reader.Segment(path) as segment:
        brick = segment.brick()
    assert not brick.alive
    assert brick.heartbeat == brick.created + 3600


@pytest.mark.usefixtures("other_boot_id")
def test_no_brick_ends_in_the_future(path: Path) -> None:
    segments.Segment(numbers={"heartbeat": 2**64 - 1}).write(path)
    with reader.Segment(path) as segment:
        assert segment.brick().heartbeat <= time.time()


def test_fops_are_summed_over_lanes(path: Path) -> None:
    fops = {"read": segments.Fop({0: 3, 27: 1}, nanoseconds=5, in_flight=2, errnos={2: 1})}
    segments.Segment(fops=fops).write(path)
    cell = layout.FopCell(started=10, errors=4, nanoseconds=7)
    cell.buckets[0] = 10
    second_lane = len(segments.FOP_NAMES) + segments.FOP_NAMES.index("read")
    poke(path, offset_of(path, "cells") + second_lane * ctypes.sizeof(cell), bytes(cell))
    with reader.Segment(path) as segment:
        (fop,) = segment.fops()
    assert (fop.name, fop.started, fop.errors, fop.nanoseconds) == ("read", 16, 5, 12)
    assert (fop.buckets[0], fop.buckets[27], fop.completed, fop.in_flight) == (13, 1, 14, 2)


def test_fops_never_called_are_left_out(path: Path) -> None:
    segments.Segment().write(path)
    with reader.Segment(path) as segment:
        assert segment.fops() == []
        assert list(segment.errnos()) == []


def test_errnos(path: Path) -> None:
    segments.Segment(fops={"lookup": segments.Fop(errnos={0: 1, 2: 7, 159: 3})}).write(path)
    with reader.Segment(path) as segment:
        assert list(segment.errnos()) == [("lookup", 0, 1), ("lookup", 2, 7), ("lookup", 159, 3)]


def test_io_is_summed_over_lanes(path: Path) -> None:
    segments.Segment(io={"read": ({0: 1}, 1), "write": ({12: 2, 31: 1}, 9000)}).write(path)
    cell = layout.IoCell(bytes=4096)
    cell.buckets[12] = 1
    poke(path, offset_of(path, "io") + (2 + 1) * ctypes.sizeof(cell), bytes(cell))
    with reader.Segment(path) as segment:
        io = segment.io()
    assert (io["read"].bytes, io["read"].buckets[0]) == (1, 1)
    assert (io["write"].bytes, io["write"].buckets[12], io["write"].buckets[31]) == (13096, 3, 1)


def test_files(path: Path) -> None:
    file = segments.File(b"/a/b\xff", GFID, (1, 2, 3), (10, 20), (4, 5, 6), error_bound=9)
    segments.Segment(files={5: file}).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        assert [(slot, fops) for slot, _, fops in table.rows] == [(5, 6)]
        found = table.record(table.rows[0])
        assert segment.health("files") == {"tracked": 1, "evicted": 0, "untracked_fops": 0}
    assert found is not None
    assert (found.gfid, found.path, found.truncated) == (str(GFID), "/a/b\\xff", False)
    assert found.activity.error_bound == 9
    assert found.activity.fops == (1, 2, 3)
    assert found.activity.bytes == (10, 20)
    assert found.activity.nanoseconds == (4, 5, 6)
    assert (found.activity.first_seen, found.activity.last_seen) == (1_700_000_005, 1_700_000_006)


def test_clients(path: Path) -> None:
    clients = {
        0: segments.Client(b"192.0.2.1", (1, 2, 3), connections=4),
        9: segments.Client(b"2001:db8::1", connections=0, process=4711),
        11: segments.Client(b""),
    }
    segments.Segment(clients=clients).write(path)
    with reader.Segment(path) as segment:
        table = segment.client_table()
        found = [client for _, client in table.records()]
        assert [table.connections[slot] for slot in (0, 9)] == [4, 0]
        assert segment.health("clients")["tracked"] == 3
    assert [(c.name, c.process, c.activity.fops, c.activity.connections) for c in found] == [
        ("192.0.2.1", "", (1, 2, 3), 4),
        ("2001:db8::1 4711", "4711", (0, 0, 0), 0),
        ("unknown", "", (0, 0, 0), 1),
    ]


def test_what_is_new_of_files_and_clients(path: Path) -> None:
    file = segments.File(
        b"/gone", GFID, (1, 0, 0), unlinked=True, type="symlink", top_client=4, top_client_lead=7
    )
    client = segments.Client(b"192.0.2.1", error_bound=5)
    segments.Segment(files={5: file}, clients={3: client}).write(path)
    with reader.Segment(path) as segment:
        ((_, found),) = segment.file_table().records()
        ((_, tag, _), host) = next(segment.client_table().records())
    assert (found.path, found.unlinked, found.truncated) == ("/gone", True, False)
    assert found.type == "symlink"
    assert (found.activity.top_client, found.activity.top_client_lead) == (tag, 7)
    assert host.activity.error_bound == 5


def test_a_reading_keeps_no_name(path: Path) -> None:
    """Whoever wants all rows takes one after the other: there may be a million."""
    count = 1 << 15
    files = {
        slot: segments.File(b"/" + b"x" * (layout.PATH_SIZE - 1), uuid.UUID(int=slot + 1))
        for slot in range(count)
    }
    segments.Segment(files=files, file_slots=count).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        assert len(table.rows) == count
        found = []
        peak = memory.peak(lambda: found.append(sum(1 for _ in table.records())))
    assert found == [count]
    assert peak < count * layout.PATH_SIZE / 2


def test_type_that_is_not_known_is_empty(path: Path) -> None:
    segments.Segment(files={0: segments.File(b"/f", GFID)}).write(path)
    poke(path, offset_of(path, "files_names") + layout.FileName.type.offset, b"\xff\xff")
    with reader.Segment(path) as segment:
        table = segment.file_table()
        file = table.record(table.rows[0])
    assert file is not None
    assert file.type == ""


def test_internal_origins_that_were_seen(path: Path) -> None:
    healed = segments.Internal((1, 2, 3), (4, 5), (6, 7, 8))
    segments.Segment(internal={"self-heal": healed, "quota": segments.Internal()}).write(path)
    with reader.Segment(path) as segment:
        assert segment.internal() == {"self-heal": Counts((1, 2, 3), (6, 7, 8), (4, 5))}


def test_all_at_once_is_the_same_as_one_by_one(path: Path) -> None:
    files = {
        slot: segments.File(b"/f%d" % slot, uuid.UUID(int=slot << 64 | slot), (slot, 0, 1))
        for slot in (0, 5, 15, 16, 255, 700, 4095, 4096, 8191)
    }
    clients = {slot: segments.Client(b"c%d" % slot) for slot in (1, 8)}
    segments.Segment(files=files, clients=clients, file_slots=8192).write(path)
    with reader.Segment(path) as segment:
        file_table, client_table = segment.file_table(), segment.client_table()
        all_files = list(file_table.records())
        assert [row for row, _ in all_files] == file_table.rows
        assert [file for _, file in all_files] == [
            file_table.record(row) for row in file_table.rows
        ]
        all_clients = list(client_table.records())
        assert [(row[0], client.address) for row, client in all_clients] == [(1, "c1"), (8, "c8")]


def test_all_at_once_leaves_out_what_is_being_changed(path: Path) -> None:
    files = {
        slot: segments.File(b"/f%d" % slot, uuid.UUID(int=(slot + 1) << 64), (1, 0, 0))
        for slot in range(4)
    }
    segments.Segment(files=files).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        poke(path, offset_of(path, "files_tags") + 1 * 8, struct.pack("Q", 12345))
        poke(path, offset_of(path, "files_seqs") + 2 * 4, struct.pack("I", 3))
        assert [file.path for _, file in table.records()] == ["/f0", "/f3"]


def test_a_name_that_changes_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename after the table was copied and before its seqs are compared."""
    segments.Segment(files={5: segments.File(b"/old", GFID, (1, 2, 3))}).write(path)
    known: Known[FileIdentity] = {}
    identify = FILES.identify
    renames = iter([True])

    def renamed(copied: memoryview) -> FileIdentity:
        found = identify(copied)
        if next(renames, False):
            offset = offset_of(path, "files_names") + 5 * ctypes.sizeof(layout.FileName)
            poke(path, offset + layout.FileName.path.offset, b"/new")
            poke(path, offset_of(path, "files_seqs") + 5 * 4, struct.pack("I", 4))
        return found

    monkeypatch.setattr(reader, "FILES", dataclasses.replace(FILES, identify=renamed))
    with reader.Segment(path) as segment:
        for has in (False, True):
            ((_, file),) = segment.file_table().records(known=known)
            assert file.path == "/new"
            assert (5 in known) == has, "only what was the same before and after is remembered"


def test_columns_and_counters_are_by_slot(path: Path) -> None:
    file = segments.File(b"/f", GFID, (1, 2, 3), (10, 20), (4, 5, 6), last_seen=7)
    segments.Segment(files={5: file}, file_slots=8).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        assert list(table.last_seen) == [0, 0, 0, 0, 0, 7, 0, 0]
        assert table.counters(5)[FOPS] == (1, 2, 3)
        assert table.counters(5)[NANOSECONDS] == (4, 5, 6)
        assert table.counters(5)[BYTES] == (10, 20)
        assert not any(table.counters(4))


def test_names_are_read_again_when_they_may_have_changed(path: Path) -> None:
    files = {
        slot: segments.File(b"/f%d" % slot, uuid.UUID(int=(slot + 1) << 64), (1, 0, 0))
        for slot in range(4)
    }
    segments.Segment(files=files).write(path)
    known: Known[FileIdentity] = {}

    def paths(*slots: int) -> list[str]:
        with reader.Segment(path) as segment:
            return [file.path for _, file in segment.file_table().records(slots, known)]

    def rename(slot: int, name: bytes) -> None:
        offset = offset_of(path, "files_names") + slot * ctypes.sizeof(layout.FileName)
        poke(path, offset + layout.FileName.path.offset, name)

    assert paths(0, 1, 3) == ["/f0", "/f1", "/f3"]
    for slot in range(4):
        rename(slot, b"/g")
    assert paths(0, 1, 2, 3) == ["/f0", "/f1", "/g2", "/f3"], "what no writer does is not seen"
    poke(path, offset_of(path, "files_seqs") + 0 * 4, struct.pack("I", 4))
    poke(path, offset_of(path, "files_tags") + 1 * 8, struct.pack("Q", 12345))
    poke(path, offset_of(path, "files_seqs") + 3 * 4, struct.pack("I", 3))
    assert paths(0, 1, 2, 3) == ["/g0", "/g1", "/g2"], "slot 3 is being changed"
    poke(path, offset_of(path, "files_seqs") + 3 * 4, struct.pack("I", 6))
    assert paths(2, 3) == ["/g2", "/g3"]
    assert known.keys() == {2, 3}, "what nobody asked for is forgotten"


def test_a_file_by_its_tag(path: Path) -> None:
    segments.Segment(files={5: segments.File(b"/f", GFID, (1, 2, 3))}).write(path)
    with reader.Segment(path) as segment:
        ((_, tag, _),) = segment.file_table().rows
        file = segment.file_by_tag(tag)
        assert file
        assert file.path == "/f"
        assert segment.file_by_tag(tag + 2) is None
        assert segment.file_by_tag(0) is None


def test_row_that_changed_hands_is_not_read(path: Path) -> None:
    segments.Segment(files={5: segments.File(b"/old", GFID, (1, 0, 0))}).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        poke(path, offset_of(path, "files_tags") + 5 * 8, struct.pack("Q", 12345))
        assert table.record(table.rows[0]) is None


def test_row_that_the_writer_is_changing_is_not_read(path: Path) -> None:
    segments.Segment(files={5: segments.File(b"/old", GFID, (1, 0, 0))}).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        poke(path, offset_of(path, "files_seqs") + 5 * 4, struct.pack("I", 3))
        assert table.record(table.rows[0]) is None
        poke(path, offset_of(path, "files_seqs") + 5 * 4, struct.pack("I", 4))
        assert table.record(table.rows[0]) is not None


def test_name_lengths_beyond_the_field_are_cut(path: Path) -> None:
    segments.Segment(
        files={0: segments.File(b"/f", GFID, (1, 0, 0))},
        clients={0: segments.Client(b"c")},
    ).write(path)
    length = offset_of(path, "files_names") + layout.FileName.path_length.offset
    poke(path, length, struct.pack("H", 65535))
    poke(path, offset_of(path, "clients_names"), struct.pack("I", 2**32 - 1))
    with reader.Segment(path) as segment:
        files, clients = segment.file_table(), segment.client_table()
        file = files.record(files.rows[0])
        ((_, client),) = clients.records()
    assert file is not None
    assert unescape(file.path) == b"/f".ljust(layout.PATH_SIZE, b"\0")
    assert unescape(client.address) == b"c".ljust(layout.CLIENT_SIZE, b"\0")


BAD_HEADERS = {
    "header_size": ("bad_layout", {"header_size": 8}),
    "magic": ("bad_magic", {"magic": 0}),
    "too many tables": ("bad_layout", {"table_count": layout.TABLES_MAX + 1}),
    "catalog beyond the end": ("bad_layout", {"catalog_offset": 2**40}),
    "catalog that would overflow": ("bad_layout", {"catalog_offset": 2**64 - 8}),
    "entries too small": ("bad_layout", {"entry_size": 8}),
    "entries too large": ("bad_layout", {"entry_size": 2**32 - 1}),
    "claims to be longer": ("truncated", {"total_size": 2**40}),
    "claims to be shorter": ("bad_layout", {"total_size": 4096}),
}
BAD_ENTRIES: dict[str, dict[str, dict[str, Any]]] = {
    "no fops": {"fop_names": {"count": 0}},
    "too many fops": {"fop_names": {"count": layout.FOPS_MAX + 1}},
    "no lanes": {"cells": {"count": 0}},
    "too many lanes": {"cells": {"count": (layout.LANES_MAX + 1) * len(segments.FOP_NAMES)}},
    "part of a lane": {"cells": {"count": len(segments.FOP_NAMES) + 1}},
    "errors of fewer fops": {"errors": {"count": 1}},
    "too much I/O": {"io": {"count": 2 * layout.LANES_MAX + 2}},
    "part of I/O": {"io": {"count": 1}},
    "two brick's numbers": {"numbers": {"count": 2}},
    "two heads of a ring": {"slow_ring": {"count": 2}},
    "too many records": {"trace_records": {"count": layout.RECORDS_MAX + 1}},
    "too many fops in flight": {"flights": {"count": layout.FLIGHTS_MAX + 1}},
    "too many locks": {"held_locks": {"count": layout.HELD_LOCKS_MAX + 1}},
    "too many origins": {"internal": {"count": 1000}},
    "too few slots": {f"files_{array}": {"count": 0} for array in ARRAYS},
    "too many slots": {f"clients_{array}": {"count": 2**16 + 1} for array in ARRAYS},
    "fewer tags": {"files_tags": {"count": 8}},
    "table is not aligned": {"clients_names": {"offset": 1_000_001}},
    "table beyond the end": {"clients_names": {"offset": 2**40}},
    "offset that would overflow": {"clients_names": {"offset": 2**64 - 8}},
    "elements of no size": {"files_names": {"element_size": 0}},
    "elements of absurd size": {"files_names": {"element_size": 2**32 - 1}},
    "tags of another size": {"files_tags": {"element_size": 16}},
    "two tables of a name": {"files_tags": {"name": b"clients_tags"}},
}


def refusal(path: Path) -> str:
    with pytest.raises(SegmentError) as caught:
        reader.Segment(path)
    return caught.value.reason


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_header(path: Path, name: str) -> None:
    reason, header = BAD_HEADERS[name]
    segments.Segment(header=header).write(path)
    assert refusal(path) == reason


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_bad_catalog(path: Path, name: str) -> None:
    made = segments.Segment(entries=BAD_ENTRIES[name]).build()
    # Long enough for all that is said of tables to be there, had it been believed.
    struct.pack_into("Q", made, layout.Header.total_size.offset, 1 << 30)
    path.write_bytes(made)
    os.truncate(path, 1 << 30)
    assert refusal(path) == "bad_layout"


def test_a_catalog_that_is_good_in_another_file(path: Path) -> None:
    """Catalogs that were read before are known, but only for files of the same size."""
    made = segments.Segment().build()
    path.write_bytes(made)
    with reader.Segment(path) as segment:
        assert segment.spans["held_locks"].length
    shorter = len(made) - 8
    struct.pack_into("Q", made, layout.Header.total_size.offset, shorter)
    path.write_bytes(made[:shorter])
    assert refusal(path) == "bad_layout"


@pytest.mark.parametrize("table", [table.name for table in layout.TABLES])
def test_a_table_that_is_missing_is_empty(path: Path, table: str) -> None:
    """Whatever a translator may leave out, the rest is read; so is one that is not known here."""
    whole = segments.Segment(
        fops={"read": segments.Fop({0: 1}, errnos={2: 1})},
        files={0: segments.File(b"/f", GFID, (1, 0, 0))},
        clients={0: segments.Client(b"192.0.2.1", (1, 0, 0))},
        entries={table: {"name": b"of_a_later_release", "offset": 2**63 + 1}},
    )
    whole.write(path)
    with reader.Segment(path) as segment:
        segment.brick()
        read_everything(segment)
        assert bool(segment.fops()) == (table not in ("fop_names", "cells", "errors"))
        assert bool(segment.numbers()) == (table != "numbers")
        for rows, found in (("files", segment.file_table()), ("clients", segment.client_table())):
            assert bool(found.rows) == (table not in {f"{rows}_{array}" for array in ARRAYS})


def resized(made: bytearray, table: str, by: int) -> bytearray:
    """The segment with elements of another size in a table, which is moved to the end."""
    header = layout.Header.from_buffer_copy(made)
    index = [each.name for each in layout.TABLES].index(table)
    at = header.catalog_offset + index * header.entry_size
    entry = layout.Entry.from_buffer_copy(made, at)
    size = entry.element_size
    starts = range(entry.offset, entry.offset + size * entry.count, size)
    elements = (made[start : start + size] for start in starts)
    data = made + b"".join(
        (element[:by] if by < 0 else element + b"\xff" * by) for element in elements
    )
    entry.offset, entry.element_size = len(made), size + by
    segments.put(data, at, entry)
    struct.pack_into("Q", data, layout.Header.total_size.offset, len(data))
    return data


@pytest.mark.parametrize(
    "table", [each.name for each in layout.TABLES if each.element in layout.STRUCTURES]
)
def test_fields_of_a_later_release_are_ignored(path: Path, table: str) -> None:
    made = segments.Segment(
        fops={"read": segments.Fop({0: 1}, 5, errnos={2: 1})},
        io={"read": ({3: 1}, 9)},
        files={3: segments.File(b"/f", GFID, (1, 2, 3), (4, 5), (6, 7, 8))},
        clients={2: segments.Client(b"192.0.2.1", (1, 2, 3))},
        internal={"quota": segments.Internal((1, 2, 3))},
    )
    path.write_bytes(made.build())
    with reader.Segment(path) as segment:
        before = everything(segment)
    path.write_bytes(resized(made.build(), table, 16))
    with reader.Segment(path) as segment:
        assert everything(segment) == before


def test_fields_of_an_earlier_release_are_all_there_is(path: Path) -> None:
    fewer = layout.Numbers.half_life.offset - ctypes.sizeof(layout.Numbers)
    path.write_bytes(resized(segments.Segment().build(), "numbers", fewer))
    with reader.Segment(path) as segment:
        assert segment.numbers().keys() == {"volume_bricks", "heartbeat", "enabled"}
        assert segment.half_life == layout.HALF_LIFE_DEFAULT
    client = segments.Client(b"192.0.2.1", (1, 2, 3), connections=4)
    made = segments.Segment(clients={0: client}).build()
    fewer = layout.Counters.connections.offset - ctypes.sizeof(layout.Counters)
    path.write_bytes(resized(made, "clients_counters", fewer))
    with reader.Segment(path) as segment:
        ((_, found),) = segment.client_table().records()
    assert (found.activity.fops, found.activity.connections) == ((1, 2, 3), 0)


@pytest.mark.parametrize("version", [0, layout.VERSION + 1])
def test_other_layout_version_names_both_and_what_to_do(path: Path, version: int) -> None:
    segments.Segment(header={"version": version}).write(path)
    with pytest.raises(SegmentError) as caught:
        reader.Segment(path)
    assert caught.value.reason == "bad_version"
    upgrade = "the exporter" if version > layout.VERSION else "the translator and restart the brick"
    assert str(caught.value) == (
        f"segment layout {version}, this exporter reads 1 and 2: upgrade {upgrade}"
    )


def test_every_shorter_file_is_truncated(path: Path) -> None:
    whole = bytes(segments.Segment().build())
    for size in (0, 1, 4095, 4096, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(SegmentError) as caught:
            reader.Segment(path)
        assert caught.value.reason == "truncated", size


def test_file_truncated_while_it_is_open(path: Path) -> None:
    segments.Segment(files={1: segments.File(b"/f", GFID)}).write(path)
    with reader.Segment(path) as segment:
        table = segment.file_table()
        os.truncate(path, 4096)
        for read in (
            segment.fops,
            segment.io,
            lambda: list(segment.errnos()),
            segment.file_table,
            segment.client_table,
            segment.internal,
            lambda: list(table.records()),
            lambda: table.record(table.rows[0]),
        ):
            with pytest.raises(SegmentError) as caught:
                read()
            assert caught.value.reason == "truncated"
        os.truncate(path, 0)
        with pytest.raises(SegmentError):
            segment.brick()


@pytest.mark.parametrize("names", [("read", "read"), ("Read",), ("re\nad",), ("x" * 32 + "y",)])
def test_fop_names_that_cannot_be_labels(path: Path, names: tuple[str, ...]) -> None:
    segments.Segment(names=names).write(path)
    if len(names[0]) > layout.NAME_SIZE:  # not terminated: cut, and so still a valid name
        with reader.Segment(path) as segment:
            assert segment.fops() == []
        return
    with reader.Segment(path) as segment, pytest.raises(SegmentError) as caught:
        segment.fops()
    assert caught.value.reason == "bad_layout"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_symlink(path: Path) -> None:
    path.symlink_to(segments.Segment().write(path.with_suffix(".real")))


@pytest.mark.parametrize("make", [make_fifo, make_symlink, Path.mkdir])
@pytest.mark.timeout(10)  # a FIFO opened without O_NONBLOCK hangs
def test_what_is_not_a_regular_file(path: Path, make) -> None:
    make(path)
    with pytest.raises(SegmentError) as caught:
        reader.Segment(path)
    assert caught.value.reason == "not_a_file"


def test_missing_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reader.Segment(path)


def test_file_without_permission(path: Path) -> None:
    segments.Segment().write(path).chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(SegmentError) as caught:
            reader.Segment(path)
    finally:
        os.seteuid(user)
    assert caught.value.reason == "unreadable"


def noise(seed: int, size: int) -> Iterator[int]:
    """Bytes that are the same on every run."""
    state = seed
    for _ in range(size):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 56


def read_everything(segment: reader.Segment) -> None:
    segment.brick()
    segment.fops()
    everything(segment)
    files = segment.file_table()
    for row in files.rows:
        files.record(row)


def everything(segment: reader.Segment) -> list[object]:
    return [
        *segment.fops(),
        *segment.errnos(),
        segment.io(),
        segment.internal(),
        *segment.file_table().records(),
        *segment.client_table().records(),
        {name: value for name, value in segment.numbers().items() if name != "heartbeat"},
    ]


def test_noise_is_refused_or_read_but_never_raises_anything_else(path: Path) -> None:
    good = segments.Segment(lanes=1, file_slots=8, client_slots=8).build()
    refused = accepted = 0
    for seed in range(300):
        data = bytearray(good)
        if seed % 3 == 0:  # all of the tables but the names of fops
            random = bytes(noise(seed, 4096))
            start = segments.offset(good, "cells")
            data[start:] = (random * (len(data) // 4096 + 1))[: len(data) - start]
        else:  # a few bytes of the header and the catalog
            places = list(noise(seed, 8))
            for low, high in zip(places[::2], places[1::2]):
                data[(high * 256 + low) % segments.offset(good, "numbers")] = low ^ high
        path.write_bytes(data)
        try:
            with reader.Segment(path) as segment:
                read_everything(segment)
            accepted += 1
        except SegmentError as error:
            assert error.reason in REASONS
            refused += 1
    assert refused > 20
    assert accepted > 100


def test_scan_lists_segments_only(tmp_path: Path) -> None:
    for name in ("b.seg", "a.seg", ".a.seg.tmp", "notes"):
        (tmp_path / name).touch()
    assert [path.name for path in reader.scan(tmp_path)] == ["a.seg", "b.seg"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/plain", "/plain"),
        ("/blå/日本".encode(), "/blå/日本"),
        (b"/bad\xff\xc3", "/bad\\xff\\xc3"),
        (b"/new\nline\x7f\x00", "/new\\x0aline\\x7f\\x00"),
        ("/csi\x9b31m".encode(), "/csi\\xc2\\x9b31m"),
        (b"/back\\slash\\x41", "/back\\\\slash\\\\x41"),
        (b'/quote"', '/quote"'),
    ],
)
def test_escape(raw: bytes, text: str) -> None:
    assert escape(raw) == text
    assert unescape(text) == raw


def test_escape_round_trips_every_pair_of_bytes() -> None:
    for first in range(256):
        raw = b"".join(bytes((first, second)) for second in range(256))
        assert unescape(escape(raw)) == raw


def test_a_segment_keeps_the_identity_that_was_checked(path: Path) -> None:
    segments.Segment().write(path)
    with reader.Segment(path) as segment:
        other = segments.Segment(volume="other", brick="/other").build()
        with path.open("r+b") as file:
            file.write(other[: ctypes.sizeof(layout.Header)])
        assert (segment.brick().volume, segment.brick().path) == ("v0", "/bricks/b0")


def test_a_record_has_every_counter() -> None:
    assert Activity._fields == tuple(each.name for each in COUNTERS)
