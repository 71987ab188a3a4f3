"""The control of a trace, as root writes it and a brick reads it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.segment import control
from glupy_exporter.segment.control import ControlError, Filters, Tracer
from tests.support import segments


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return segments.Segment().write(tmp_path)


def slots(path: Path) -> list[layout.Tracer | None]:
    """What the brick sees in each slot, None where nobody traces."""
    data = path.read_bytes()
    active = data[segments.offset(data, "control") :][: layout.TRACERS]
    start, size = segments.offset(data, "tracers"), ctypes.sizeof(layout.Tracer)
    return [
        layout.Tracer.from_buffer_copy(data, start + slot * size) if on else None
        for slot, on in enumerate(active)
    ]


def expire(path: Path, slot: int) -> None:
    at = segments.offset(path.read_bytes(), "tracers", slot)
    with path.open("r+b") as file:
        file.seek(at)
        old = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - layout.TRACER_LEASE - 10**9
        file.write(struct.pack("Q", old))


def test_a_trace_lasts_as_long_as_its_block(path: Path) -> None:
    assert slots(path) == [None] * layout.TRACERS
    with Tracer(path):
        slot = slots(path)[0]
        assert slot and slot.owner == os.getpid() and slot.filters == 0
        assert list(slot.fops) == [2**64 - 1] * 4
        age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - slot.heartbeat
        assert 0 <= age < layout.TRACER_LEASE
    assert slots(path) == [None] * layout.TRACERS


def test_filters_reach_the_brick(path: Path) -> None:
    wanted = Filters({5, 130}, 77, 1000, bytes(range(16)), -1, 10, 3)
    with Tracer(path, wanted):
        slot = slots(path)[0]
    assert slot
    assert list(slot.fops) == [1 << 5, 0, 1 << 2, 0]
    assert (slot.client, slot.uid, bytes(slot.gfid), slot.error) == (77, 1000, wanted.gfid, -1)
    assert (slot.least_ns, slot.one_in) == (10, 3)
    assert slot.filters == (
        layout.TRACE_CLIENT | layout.TRACE_UID | layout.TRACE_GFID | layout.TRACE_ERRNO
    )


@pytest.mark.parametrize(
    "wrong",
    [
        Filters({256}),
        Filters({-1}),
        Filters(uid=-1),
        Filters(uid=1 << 32),
        Filters(gfid=b"short"),
        Filters(error=1 << 16),
        Filters(least_ns=-1),
        Filters(one_in=0),
        Filters(one_in=1 << 32),
    ],
)
def test_a_filter_that_is_out_of_range_is_refused(path: Path, wrong: Filters) -> None:
    with (
        pytest.raises(ValueError, match=r"one in|there is no|a gfid|a latency"),
        Tracer(path, wrong),
    ):
        pass
    assert slots(path) == [None] * layout.TRACERS


def test_several_trace_at_once(path: Path) -> None:
    with Tracer(path) as first, Tracer(path) as second:
        assert (first.bit, second.bit) == (1, 2)
        assert [bool(slot) for slot in slots(path)[:3]] == [True, True, False]
    assert slots(path) == [None] * layout.TRACERS


def test_when_all_slots_are_taken_the_next_has_to_wait(path: Path) -> None:
    tracers = [Tracer(path) for _ in range(layout.TRACERS)]
    for tracer in tracers:
        tracer.__enter__()
    with pytest.raises(ControlError, match="8 others already"), Tracer(path):
        pass
    expire(path, 3)
    with Tracer(path) as late:
        assert late.bit == 1 << 3
        with pytest.raises(ControlError, match="not renewed in time"):
            tracers[3].renew()
        tracers[3].__exit__(None, None, None)
        assert slots(path)[3] is not None, "an old owner must not end the new one's trace"
    for tracer in tracers[:3] + tracers[4:]:
        tracer.__exit__(None, None, None)
    assert slots(path) == [None] * layout.TRACERS


def test_a_renewal_moves_the_heartbeat(path: Path) -> None:
    with Tracer(path) as tracer:
        before = slots(path)[0]
        tracer.renew()
        after = slots(path)[0]
    assert before and after and after.heartbeat > before.heartbeat


def test_a_trace_begins_where_the_ring_is(tmp_path: Path) -> None:
    made = segments.Segment(recorded={"trace": [segments.Recorded()] * 21})
    with Tracer(made.write(tmp_path)) as tracer:
        assert tracer.position == 21


def test_a_translator_without_a_recorder_is_refused(tmp_path: Path) -> None:
    path = segments.Segment(entries={"tracers": {"name": b"other"}}).write(tmp_path)
    with pytest.raises(ControlError, match="restart the brick"), Tracer(path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any file")
def test_only_who_may_write_can_trace(path: Path) -> None:
    path.chmod(0o440)
    with pytest.raises(ControlError, match="Permission denied"), Tracer(path):
        pass


def test_root_writes_to_no_file_that_others_may_have_chosen(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    other = tmp_path / "other"
    os.link(path, other)
    with pytest.raises(ControlError, match="no file that only a brick"), Tracer(path):
        pass
    other.unlink()
    path.chmod(0o660)
    with pytest.raises(ControlError, match="no file that only a brick"), Tracer(path):
        pass
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        with pytest.raises(ControlError, match="no file that only a brick"), Tracer(path):
            pass
    assert path.read_bytes() == before


def test_a_file_that_takes_the_place_of_the_segment_is_not_written_to(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_bytes(path.read_bytes())
    opened = os.open

    def exchange(name: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_RDWR and name == path:
            other.rename(path)
        return opened(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", exchange)
    before = other.read_bytes()
    with pytest.raises(ControlError, match="was replaced meanwhile"), Tracer(path):
        pass
    assert path.read_bytes() == before


def test_somebody_who_holds_the_lock_is_not_waited_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_LOCK_DELAY", 0.001)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ControlError, match="locked"), Tracer(path):
            pass
    with Tracer(path):
        pass
