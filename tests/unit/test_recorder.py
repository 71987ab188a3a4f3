"""The flight recorder as readers see it: rings, fops in flight, granted locks."""

from __future__ import annotations

import ctypes
import struct
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glupy_exporter.schema import layout
from glupy_exporter.segment import reader, recorder
from tests.support import memory, segments
from tests.support.segments import Flight, HeldLock, Recorded

GFID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


def numbered(count: int) -> list[Recorded]:
    return [Recorded(ns=number) for number in range(count)]


def test_a_record_has_all_that_the_brick_knows_of_a_fop(tmp_path: Path) -> None:
    fields = {"offset": 4096, "size": 17, "uid": 1000, "gid": 100, "pid": -6, "error": 28}
    fields["tracers"] = 0b100
    made = Recorded("lookup", 5, GFID, 7, 5, b"name", fields, bytes(range(16)))
    path = segments.Segment(recorded={"slow": [made]}).write(tmp_path)
    with reader.Segment(path) as segment:
        batch = segment.recorded()
        assert batch.next == 1 and batch.lost == 0
        (fop,) = batch.fops
        assert segment.fop_names()[fop.fop] == "lookup"
        assert segment.realtime(fop.ended) == segments.CREATED_REALTIME / 1e9 + 7
        assert segment.recorded(ring=recorder.TRACE) == recorder.Batch([], 0, 0)
    assert (fop.position, fop.ns, fop.errno, fop.gfid, fop.client) == (0, 5, 28, GFID.bytes, 7)
    assert (fop.uid, fop.gid, fop.pid, fop.offset, fop.size) == (1000, 100, -6, 4096, 17)
    assert fop.cause == recorder.CAUSE_SLOW | recorder.CAUSE_TRACED
    assert (fop.parent, fop.name, fop.cut) == (bytes(range(16)), b"name", False)
    assert fop.tracers == 0b100


def test_a_name_that_was_cut_says_so(tmp_path: Path) -> None:
    parent, room = bytes(16), layout.RECORD_TEXT - 16
    whole, longer = (Recorded(text=b"x" * (room + more), parent=parent) for more in (0, 1))
    path = segments.Segment(recorded={"slow": [whole, longer]}).write(tmp_path)
    with reader.Segment(path) as segment:
        found = segment.recorded().fops
    assert [(fop.name, fop.cut) for fop in found] == [
        (b"x" * room, False),
        (b"x" * room, True),
    ]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
@pytest.mark.parametrize("since", [None, 0, 3, 8, 13, 20, 1000])
def test_what_was_overwritten_is_lost(tmp_path: Path, count: int, since: int | None) -> None:
    path = segments.Segment(recorded={"slow": numbered(count)}).write(tmp_path)
    with reader.Segment(path) as segment:
        batch = segment.recorded(since)
    oldest = max(0, count - 8)
    # A position that this ring has not reached is of the segment before.
    asked = since if since is not None and since <= count else oldest
    assert [fop.position for fop in batch.fops] == [*range(max(asked, oldest), count)]
    assert [fop.ns for fop in batch.fops] == [*range(max(asked, oldest), count)]
    assert batch.lost == max(0, oldest - asked)
    assert batch.next == count


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
def test_a_ring_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(recorder, "_PART", 3)
    path = segments.Segment(recorded={"slow": numbered(count)}).write(tmp_path)
    with reader.Segment(path) as segment:
        batch = segment.recorded()
        assert [fop.ns for fop in batch.fops] == [*range(max(0, count - 8), count)]
        assert [*segment.latest()] == batch.fops[::-1]
        assert segment.kept() == range(max(0, count - 8), count)
    rewrite(path, "slow_records", 5, layout.Record.mark, "Q", 2 * 5 + 1)
    with reader.Segment(path) as segment:
        found = [fop.position for fop in segment.latest()]
    assert found == [p for p in reversed(range(max(0, count - 8), count)) if p % 8 != 5]


def test_the_latest_records_take_little_memory(tmp_path: Path) -> None:
    length = 1 << 15
    path = segments.Segment(recorder={**segments.Segment().recorder, "slow": length}).write(
        tmp_path
    )
    data = path.read_bytes()
    record = bytearray(layout.Record())
    with path.open("r+b") as file:
        file.seek(segments.offset(data, "slow_ring", 0, layout.Ring.position))
        file.write(struct.pack("Q", length))
        file.seek(segments.offset(data, "slow_records", 0))
        for position in range(length):
            struct.pack_into("Q", record, 0, 2 * position + 2)
            file.write(record)
    with reader.Segment(path) as segment:
        segment.fop_names()
        found = []
        peak = memory.peak(lambda: found.append(sum(1 for _ in segment.latest())))
    assert found == [length]
    assert peak < 5 * 2**20


def rewrite(path: Path, table: str, slot: int, field: object, code: str, value: int) -> None:
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(segments.offset(data, table, slot, field))
        file.write(struct.pack(code, value))


@pytest.mark.parametrize("mark", [0, 1, 2 * 5 + 1, 2 * 5 + 2 + 1, 2 * 13 + 2, 2**64 - 1, 2**63])
def test_a_record_that_is_not_whole_is_lost(tmp_path: Path, mark: int) -> None:
    path = segments.Segment(recorded={"slow": numbered(8)}).write(tmp_path)
    rewrite(path, "slow_records", 5, layout.Record.mark, "Q", mark)
    with reader.Segment(path) as segment:
        batch = segment.recorded(0)
    assert [fop.position for fop in batch.fops] == [0, 1, 2, 3, 4, 6, 7]
    assert (batch.lost, batch.next) == (1, 8)


def test_the_reader_waits_for_a_record_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = segments.Segment(recorded={"slow": numbered(8)}).write(tmp_path)
    rewrite(path, "slow_records", 5, layout.Record.mark, "Q", 2 * 5 + 1)

    def finish(seconds: float) -> None:
        rewrite(path, "slow_records", 5, layout.Record.mark, "Q", 2 * 5 + 2)

    monkeypatch.setattr(time, "sleep", finish)
    with reader.Segment(path) as segment:
        batch = segment.recorded(0)
    assert [fop.position for fop in batch.fops] == [*range(8)]
    assert batch.lost == 0


@pytest.mark.parametrize("position", [2**64 - 1, 2**63, 10**12])
def test_a_hostile_position_costs_no_more_than_the_ring(tmp_path: Path, position: int) -> None:
    path = segments.Segment(recorded={"slow": numbered(8)}).write(tmp_path)
    rewrite(path, "slow_ring", 0, layout.Ring.position, "Q", position)
    with reader.Segment(path) as segment:
        assert segment.recorded(0) == recorder.Batch([], position, position)


def test_a_fop_without_a_name_is_not_shown(tmp_path: Path) -> None:
    odd = {"fop": len(segments.FOP_NAMES)}
    made = segments.Segment(
        recorded={"slow": [Recorded(), Recorded(fields=odd)]},
        flights={
            0: Flight(),
            1: Flight(fields=odd),
            2: Flight(fields={"lock_type": 200}),
            3: Flight(fields={"lock_kind": 9}),
        },
        held_locks={0: HeldLock(), 1: HeldLock(fields={"kind": 99}), 2: HeldLock(type="")},
    )
    with made.live(tmp_path) as path, reader.Segment(path) as segment:
        assert [fop.position for fop in segment.recorded(0).fops] == [0]
        assert segment.recorded(0).lost == 1
        assert len(segment.in_flight()) == 1
        assert len(segment.held_locks()) == 1


def test_fops_under_way_come_oldest_first(tmp_path: Path) -> None:
    parent = bytes(range(16))
    lock = {"lock_type": 2, "offset": 1, "length": 9, "owner": 77, "size": 0}
    made = segments.Segment(
        names=(*segments.FOP_NAMES, "inodelk"),
        flights={
            0: Flight("write", 30, fields={"size": 512, "offset": 8, "uid": 1, "gid": 2, "pid": 3}),
            3: Flight("inodelk", 10, GFID, 5, b"gv0-replicate-0", fields=lock),
            5: Flight("lookup", 20, text=b"entry", parent=parent, fields={"owner": 5}),
            6: Flight(started=1, fields={"mark": 28 + layout.MARK_WRITING}),
            7: Flight(started=1, fields={"mark": 28}),
        },
    )
    with made.live(tmp_path) as path, reader.Segment(path) as segment:
        waiting, looking, writing = segment.in_flight()
    assert (waiting.started, waiting.gfid, waiting.client) == (10, GFID.bytes, 5)
    assert (waiting.domain, waiting.type, waiting.owner) == (b"gv0-replicate-0", 2, 77)
    assert (waiting.kind, looking.kind) == (1, 0)
    assert (waiting.offset, waiting.length, waiting.name) == (1, 9, b"")
    assert (looking.parent, looking.name, looking.domain) == (bytes(range(16)), b"entry", b"")
    assert (looking.owner, looking.length) == (0, 0)
    assert (writing.uid, writing.gid, writing.pid) == (1, 2, 3)
    assert (writing.offset, writing.size, writing.name) == (8, 512, b"")


def test_held_locks_come_oldest_first(tmp_path: Path) -> None:
    fields = {"start": 4, "length": 6, "owner": 8, "uid": 9, "pid": 10}
    made = segments.Segment(
        held_locks={
            1: HeldLock("entrylk", "read", b"a domain", GFID, 3, 20, fields),
            4: HeldLock("lk", granted=10),
            5: HeldLock(granted=1, fields={"mark": 28}),
        }
    )
    with made.live(tmp_path) as path, reader.Segment(path) as segment:
        first, second = segment.held_locks()
    assert (first.kind, first.granted, first.domain) == (3, 10, b"")
    assert second == recorder.HeldLock(GFID.bytes, b"a domain", 2, 3, 20, 1, 4, 6, 8, 9, 10)


def test_a_brick_that_died_has_nothing_under_way(tmp_path: Path) -> None:
    made = segments.Segment(flights={0: Flight()}, held_locks={0: HeldLock()})
    path = made.write(tmp_path)
    with reader.Segment(path) as segment:
        assert not segment.in_flight() and not segment.held_locks()
    with segments.locked(path), reader.Segment(path) as segment:
        assert segment.in_flight() and segment.held_locks()


def test_while_counting_is_off_locks_are_not_known(tmp_path: Path) -> None:
    made = segments.Segment(held_locks={0: HeldLock()}, numbers={"enabled": 0})
    with made.live(tmp_path) as path, reader.Segment(path) as segment:
        assert not segment.held_locks()


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    made = segments.Segment(recorded={"slow": numbered(3), "trace": numbered(5)})
    path = made.write(tmp_path)
    rewrite(path, "trace_ring", 0, layout.Ring.dropped, "Q", 4)
    with reader.Segment(path) as segment:
        assert segment.recorder_health() == {
            "slow_recorded": 3,
            "slow_dropped": 0,
            "trace_recorded": 5,
            "trace_dropped": 4,
        }
        assert segment.position(recorder.TRACE) == 5


def test_a_segment_without_a_recorder_has_none(tmp_path: Path) -> None:
    names = ("slow_ring", "trace_records", "flights", "held_locks", "numbers")
    made = segments.Segment(
        recorded={"slow": numbered(3), "trace": numbered(3)},
        flights={0: Flight()},
        held_locks={0: HeldLock()},
        entries={name: {"name": f"gone{index}".encode()} for index, name in enumerate(names)},
    )
    with made.live(tmp_path) as path, reader.Segment(path) as segment:
        assert segment.recorded() == segment.recorded(5, recorder.TRACE) == ([], 0, 0)
        assert not segment.in_flight() and not segment.held_locks()


@settings(max_examples=60)
@given(
    noise=st.binary(min_size=128 * 8, max_size=128 * 8), head=st.binary(min_size=64, max_size=64)
)
def test_noise_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, head: bytes
) -> None:
    made = segments.Segment().build()
    for table in ("slow_records", "flights", "held_locks"):
        start = segments.offset(made, table)
        made[start : start + len(noise)] = noise
    start = segments.offset(made, "slow_ring")
    made[start : start + len(head)] = head
    path = tmp_path_factory.mktemp("noise") / "v0.bricks-b0.seg"
    path.write_bytes(made)
    with segments.locked(path), reader.Segment(path) as segment:
        batch = segment.recorded(0)
        assert len(batch.fops) + batch.lost == batch.next
        assert [*segment.latest()] == batch.fops[::-1]
        segment.in_flight()
        segment.held_locks()


def test_a_writer_at_work_never_yields_a_mixture(tmp_path: Path) -> None:
    path = segments.Segment(recorded={"slow": numbered(8)}).write(tmp_path)
    offset = segments.offset(path.read_bytes(), "slow_records")
    head = segments.offset(path.read_bytes(), "slow_ring")
    stop = threading.Event()

    def write() -> None:
        position = 8
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                at = offset + position % 8 * ctypes.sizeof(layout.Record)
                file.seek(head)
                file.write(struct.pack("Q", position + 1))
                file.seek(at)
                file.write(struct.pack("Q", 2 * position + 1))
                for _ in range(2):  # ended and ns, apart from each other
                    file.write(struct.pack("Q", position))
                file.seek(at)
                file.write(struct.pack("Q", 2 * position + 2))
                position += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        since, kept, lost = 8, 0, 0
        with reader.Segment(path) as segment:
            until = time.monotonic() + 1
            while time.monotonic() < until:
                batch = segment.recorded(since)
                assert all(fop.position == fop.ended == fop.ns for fop in batch.fops)
                kept += len(batch.fops)
                lost += batch.lost
                since = batch.next
    finally:
        stop.set()
        thread.join()
    assert kept and kept + lost == since - 8
