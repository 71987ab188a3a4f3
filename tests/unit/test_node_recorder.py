"""Records of a brick, with names in place of numbers."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter.node import recorder
from glupy_exporter.node.bricks import OpenBrick, open_bricks
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Recorded, Waiting
from glupy_exporter.schema import layout
from glupy_exporter.segment import reader
from glupy_exporter.segment.table import ClientTable
from tests.support import segments

FILE, OTHER, DIRECTORY = (uuid.UUID(int=number << 64 | 7) for number in (1, 2, 3))
NAMES = (*segments.FOP_NAMES, "inodelk", "entrylk", "lk", "unlink2")
NOBODY = uuid.UUID(int=0)


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def made(**fields: Any) -> segments.Segment:
    known = {
        "names": NAMES,
        "files": {
            1: segments.File(b"/db/x", FILE),
            2: segments.File(b"/home/ann", DIRECTORY, type="directory"),
        },
        "clients": {
            0: segments.Client(b"192.0.2.1", connections=1, last_seen=now()),
            1: segments.Client(b"192.0.2.2", connections=0, process=77, last_seen=0),
        },
    }
    return segments.Segment(**{**known, **fields})


@contextlib.contextmanager
def brick(tmp_path: Path, *written: segments.Segment) -> Iterator[OpenBrick]:
    """The first of the bricks, which all run."""
    with contextlib.ExitStack() as stack:
        for segment in written:
            stack.enter_context(segment.live(tmp_path))
        found, problems = stack.enter_context(open_bricks(tmp_path, 60.0))
        assert not problems
        yield found[0]


def slow(
    tmp_path: Path, *records: segments.Recorded, privacy: Privacy = Privacy()
) -> list[Recorded]:
    with brick(tmp_path, made(recorded={"slow": records})) as subject:
        return list(recorder.slow(subject, privacy))


def waiting(
    tmp_path: Path,
    flights: Sequence[segments.Flight],
    held: Sequence[segments.HeldLock] = (),
) -> list[Waiting]:
    written = made(flights=dict(enumerate(flights)), held_locks=dict(enumerate(held)))
    with brick(tmp_path, written) as subject:
        return list(recorder.in_flight(subject, Privacy()))


def test_a_record_has_names(tmp_path: Path) -> None:
    ended = now() - 5_000_000_000
    fields = {"ended": ended, "error": 5, "offset": 8192, "size": 4096}
    fields |= {"uid": 1000, "gid": 100, "pid": 4711}
    made = segments.Recorded("write", 1_500_000_000, FILE, client=2, fields=fields)
    (row,) = slow(tmp_path, made)
    assert row.time == pytest.approx(time.time() - 5, abs=1)
    assert row._replace(time=0) == Recorded(
        time=0,
        volume="v0",
        brick="/bricks/b0",
        fop="write",
        seconds=1.5,
        error="EIO",
        gfid=str(FILE),
        path="/db/x",
        client="192.0.2.2",
        process="77",
        uid="1000",
        gid="100",
        pid=4711,
        offset=8192,
        size=4096,
        cause="slow",
    )


def test_every_field_is_described() -> None:
    for fields, row in ((recorder.RECORDED, Recorded), (recorder.WAITING, Waiting)):
        assert tuple(field.name for field in fields) == row._fields


def test_the_latest_comes_first(tmp_path: Path) -> None:
    records = [segments.Recorded("read", ns) for ns in (10**9, 3 * 10**9, 2 * 10**9)]
    assert [row.seconds for row in slow(tmp_path, *records)] == [2, 3, 1]


def test_a_file_that_does_not_exist_is_named_by_its_directory(tmp_path: Path) -> None:
    parent = DIRECTORY.bytes
    lookup = segments.Recorded(
        "lookup", gfid=NOBODY, text=b"\xff\n", fields={"error": 2}, parent=parent
    )
    long = segments.Recorded("lookup", gfid=NOBODY, text=b"n" * 200, parent=parent)
    cut, row = slow(tmp_path, lookup, long)
    assert (row.gfid, row.path, row.error) == ("", r"/home/ann/\xff\x0a", "ENOENT")
    assert cut.path == f"/home/ann/{'n' * (layout.RECORD_TEXT - layout.GFID_SIZE)}..."


@pytest.mark.parametrize(
    "privacy",
    [
        Privacy(exclude=("/home/*",)),
        Privacy(exclude=("/home/ann/sec*",)),
        Privacy(include=("/db/*",)),
    ],
)
def test_a_hidden_file_has_no_record(tmp_path: Path, privacy: Privacy) -> None:
    hidden = segments.Recorded("lookup", gfid=NOBODY, text=b"secret", parent=DIRECTORY.bytes)
    found = slow(tmp_path, hidden, segments.Recorded(gfid=FILE), privacy=privacy)
    assert [row.path for row in found] == ["/db/x"]


def test_a_fop_in_flight_on_a_hidden_file_is_hidden(tmp_path: Path) -> None:
    names = [b"n" * layout.FLIGHT_TEXT + ending for ending in (b".key", b".txt")]
    flights = [
        segments.Flight("lookup", now(), NOBODY, 1, name, parent=DIRECTORY.bytes)
        for name in (*names, b"other")
    ]
    written = made(flights=dict(enumerate(flights)))
    with brick(tmp_path, written) as subject:
        shown = [row.path for row in recorder.in_flight(subject, Privacy())]
        hidden = Privacy(exclude=("*.key", f"/home/ann/{'n' * 40}*"))
        left = [row.path for row in recorder.in_flight(subject, hidden)]
    kept = "n" * (layout.FLIGHT_TEXT - layout.GFID_SIZE)
    assert sorted(shown) == [*[f"/home/ann/{kept}..."] * 2, "/home/ann/other"]
    assert left == ["/home/ann/other"]


def test_privacy_of_what_is_shown(tmp_path: Path) -> None:
    record = segments.Recorded(gfid=FILE, fields={"uid": 1000, "gid": 0})
    (row,) = slow(tmp_path, record, privacy=Privacy("none", users="none"))
    assert (row.path, row.gfid, row.uid, row.gid) == ("", str(FILE), "", "")
    (row,) = slow(tmp_path, record, privacy=Privacy("hash", users="hash"))
    assert len(row.path) == len(row.uid) == 16
    assert row.uid != row.gid


def test_names_that_no_brick_knows(tmp_path: Path) -> None:
    unknown = segments.Recorded(gfid=OTHER, client=9, fields={"error": 4095})
    internal = segments.Recorded(gfid=NOBODY, fields={"pid": (1 << 32) - 6})
    healer, row = slow(tmp_path, unknown, internal)
    assert (row.path, row.client, row.error) == (f"<gfid:{OTHER}>", "", "4095")
    assert (healer.path, healer.gfid, healer.client, healer.pid) == ("", "", "[self-heal]", -6)


def test_a_name_from_another_brick_of_the_volume(tmp_path: Path) -> None:
    record = segments.Recorded(gfid=OTHER)
    first = made(recorded={"slow": [record]})
    second = segments.Segment(brick="/bricks/b1", files={0: segments.File(b"/far", OTHER)})
    with brick(tmp_path, first, second) as subject:
        (row,) = recorder.slow(subject, Privacy())
    assert row.path == "/far"


def test_fops_in_flight_are_there_oldest_first(tmp_path: Path) -> None:
    flights = [
        segments.Flight("read", now() - 2 * 10**9, FILE, 1),
        segments.Flight("write", now() - 120 * 10**9, FILE, 1),
    ]
    rows = waiting(tmp_path, flights)
    assert [(row.fop, round(row.seconds)) for row in rows] == [("write", 120), ("read", 2)]
    assert rows[0].started == pytest.approx(time.time() - 120, abs=1)
    assert (rows[0].lock, rows[0].holder, rows[0].held_since) == ("", "", None)


def lock(kind: str = "write", domain: bytes = b"gv0-replicate-0", **fields: int) -> segments.Flight:
    return segments.Flight(
        "inodelk",
        now() - 120 * 10**9,
        FILE,
        1,
        domain,
        {"lock_type": layout.LOCK_TYPES.index(kind), **fields},
    )


def held(
    kind: str = "write", domain: bytes = b"gv0-replicate-0", client: int = 2, **fields: int
) -> segments.HeldLock:
    granted = now() - 200 * 10**9
    return segments.HeldLock("inodelk", kind, domain, FILE, client, granted, fields)


def test_who_holds_the_lock(tmp_path: Path) -> None:
    (row,) = waiting(tmp_path, [lock()], [held()])
    assert (row.domain, row.lock) == ("gv0-replicate-0", "write")
    assert (row.holder, row.holder_process) == ("192.0.2.2", "77")
    assert row.held_since == pytest.approx(time.time() - 200, abs=1)
    assert (row.holder_connected, row.holder_idle) == (False, True)
    assert recorder.forgotten(row)
    assert recorder.sentence(row, lambda _: "11:10:16") == (
        "client 192.0.2.1 waits 120 s for a write lock of /db/x in domain gv0-replicate-0 that "
        "client 192.0.2.2 77 has held since 11:10:16, without a fop since then (not connected)"
    )


def test_the_range_of_a_lock(tmp_path: Path) -> None:
    (row,) = waiting(tmp_path, [lock(offset=4096, length=512)])
    assert (row.offset, row.size) == (4096, 512)


def test_a_holder_that_works(tmp_path: Path) -> None:
    (row,) = waiting(tmp_path, [lock(owner=1)], [held(client=1, owner=2)])
    assert (row.holder, row.holder_connected, row.holder_idle) == ("192.0.2.1", True, False)
    assert not recorder.forgotten(row)
    assert recorder.sentence(row, lambda _: "now").endswith("192.0.2.1 has held since now")


@pytest.mark.parametrize("fop", ["write", "inodelk"])
def test_a_holder_whose_write_hangs_has_not_lost_its_lock(tmp_path: Path, fop: str) -> None:
    writing = segments.Flight(fop, now() - 10**9, FILE, 2)
    connected = segments.Client(b"192.0.2.2", connections=1, last_seen=0)
    clients = {0: segments.Client(b"192.0.2.1"), 1: connected}
    written = made(clients=clients, flights={0: lock(), 1: writing}, held_locks={0: held()})
    with brick(tmp_path, written) as subject:
        row, _ = recorder.in_flight(subject, Privacy())
    assert (row.holder, row.holder_idle) == ("192.0.2.2", fop == "inodelk")
    assert recorder.forgotten(row) == (fop == "inodelk")


@pytest.mark.parametrize("pid", [-6, 4711])
def test_of_a_holder_that_is_in_no_table_nothing_is_said(tmp_path: Path, pid: int) -> None:
    """A busy client may lose its slot: advice to clear its lock would cost data."""
    (row,) = waiting(tmp_path, [lock()], [held(client=9, pid=pid)])
    assert row.held_since is not None
    assert (row.holder_connected, row.holder_idle) == (True, None)
    assert not recorder.forgotten(row)
    assert recorder.sentence(row, lambda _: "now").endswith("has held since now")


def test_holders_are_found_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_COMPARED", 20)
    flights = [lock(offset=2 * place, length=1) for place in range(8)]
    locks = [held(start=2 * place, length=1) for place in range(8)]
    rows = waiting(tmp_path, flights, locks)
    # 1 + 2 + 3 + 4 + 5 comparisons find the locks of five, and 5 are left for the sixth.
    assert [row.held_since is not None for row in rows] == [True] * 5 + [False] * 3


@pytest.mark.parametrize(
    ("asked", "granted", "blocks"),
    [
        (lock("read"), held("read"), False),
        (lock("unlock"), held("write"), False),
        (lock(""), held("write"), False),
        (lock("read"), held("write"), True),
        (lock("write"), held("read"), True),
        (lock(domain=b"other"), held(), False),
        (lock(domain=b""), held(), False),
        (lock(domain=b"d" * 100), held(domain=b"d" * 100), True),
        (lock(offset=100), held(start=0, length=100), False),
        (lock(offset=99), held(start=0, length=100), True),
        (lock(offset=0, length=100), held(start=100), False),
        (lock(offset=0, length=0), held(start=100), True),
        (lock(owner=5), held(client=1, owner=5), False),
        (lock(owner=5), held(client=1, owner=6), True),
        (lock(), segments.HeldLock("entrylk", "write", b"gv0-replicate-0", FILE, 2), False),
        (lock(), segments.HeldLock("inodelk", "write", b"gv0-replicate-0", OTHER, 2), False),
    ],
)
def test_what_is_in_the_way(
    tmp_path: Path, asked: segments.Flight, granted: segments.HeldLock, blocks: bool
) -> None:
    (row,) = waiting(tmp_path, [asked], [granted])
    assert (row.held_since is not None) == blocks


@pytest.mark.parametrize(
    ("asked", "granted", "blocks"), [(5, 5, True), (5, 6, False), (0, 6, True), (5, 0, True)]
)
def test_locks_of_names_in_a_directory(
    tmp_path: Path, asked: int, granted: int, blocks: bool
) -> None:
    fields = {"lock_type": 2, "offset": asked}
    flight = segments.Flight("entrylk", now(), FILE, 1, b"d", fields)
    lock = segments.HeldLock("entrylk", "write", b"d", FILE, 2, now(), {"start": granted})
    (row,) = waiting(tmp_path, [flight], [lock])
    assert (row.held_since is not None) == blocks
    assert (row.offset, row.size) == (0, 0)
    done = segments.Recorded("entrylk", gfid=FILE, text=b"d", fields={"offset": 2**63, "size": 1})
    (ended,) = slow(tmp_path, done)
    assert (ended.offset, ended.size) == (0, 0)


def lease(kind: str, client: int = 2) -> segments.HeldLock:
    return segments.HeldLock("lease", kind, b"", FILE, client, now() - 200 * 10**9)


@pytest.mark.parametrize(
    ("fop", "granted", "fields", "blocks"),
    [
        ("read", lease("write"), {}, True),
        ("read", lease("read"), {}, False),
        ("write", lease("read"), {}, True),
        ("write", lease("write", client=1), {}, False),
        ("write", lease("write"), {"pid": -3}, False),
        ("lookup", lease("write"), {}, False),
        ("write", held(), {}, False),
    ],
)
def test_which_fops_wait_for_a_lease(
    tmp_path: Path, fop: str, granted: segments.HeldLock, fields: dict[str, int], blocks: bool
) -> None:
    flight = segments.Flight(fop, now() - 3 * 10**9, FILE, 1, fields=fields)
    (row,) = waiting(tmp_path, [flight], [granted])
    assert (row.held_since is not None) == blocks
    assert not recorder.forgotten(row)
    if blocks:
        assert recorder.sentence(row, lambda _: "11:10:16") == (
            f"client 192.0.2.1 waits 3 s for {fop} of /db/x, on which client 192.0.2.2 77 has held "
            "a lease since 11:10:16, without a fop since then (not connected)"
        )


def test_a_hostile_domain_stays_on_its_line(tmp_path: Path) -> None:
    (row,) = waiting(tmp_path, [lock(domain=b"\x1b[2J\n")])
    assert row.domain == r"\x1b[2J\x0a"


def test_a_name_is_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with brick(tmp_path, made(files={})) as subject:
        look_up = recorder.Names(subject, Privacy())
        assert look_up.file(FILE.bytes).path == ""
    with brick(tmp_path, made()) as subject:
        look_up.look_at(subject)
        assert look_up.file(FILE.bytes).path == ""
        clock[0] += 1
        assert look_up.file(FILE.bytes).path == "/db/x"
    with brick(tmp_path, made(files={})) as subject:  # it has lost its slot
        look_up.look_at(subject)
        clock[0] += 10
        assert look_up.file(FILE.bytes).path == "/db/x"


def test_clients_that_are_not_known_cost_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of 65536 clients takes half a second to read, and a ring may have as many tags."""
    clock = [1000.0]
    reads = []
    read = reader.Segment.client_table

    def slow_read(segment: reader.Segment) -> ClientTable:
        clock[0] += 0.5
        reads.append(clock[0])
        return read(segment)

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(reader.Segment, "client_table", slow_read)
    with brick(tmp_path, made()) as subject:
        look_up = recorder.Names(subject, Privacy())
        for tag in range(100, 200):
            assert look_up.client(tag) is None
            clock[0] += 0.01
        assert len(reads) == 1
        clock[0] += 10
        assert look_up.client(1) is not None and look_up.client(100) is None
        assert len(reads) == 2


def test_a_segment_without_a_recorder_has_no_records(tmp_path: Path) -> None:
    written = made(
        recorder={"slow": 0, "trace": 0, "flights": 0, "held_locks": 0},
        entries={"slow_ring": {"name": b"unknown"}},
    )
    with brick(tmp_path, written) as subject:
        assert list(recorder.slow(subject, Privacy())) == []
        assert list(recorder.in_flight(subject, Privacy())) == []
