"""The flight recorder, driven by threads while a reader looks at every record and entry."""

from __future__ import annotations

import select
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.segment import reader, recorder
from glupy_exporter.segment.recorder import Fop, InFlight

THREADS, ROUNDS = 6, 20_000
TRACED = 2
"""Threads whose fops a tracer sees."""


def number(fop: Fop | InFlight) -> int:
    """The number of a fop, from which all its fields have to follow."""
    value = fop.client
    assert fop.gfid == struct.pack("QQ", value, value)
    assert fop.uid == value & 0xFFFFFFFF
    assert fop.size == value & 0xFFFF
    if fop.name:
        assert fop.name == f"name-{value:020}".encode()
        assert fop.parent == fop.gfid
        assert fop.offset == value
    return value


def look(segment: reader.Segment, since: dict[str, int], seen: dict[str, list[int]]) -> int:
    """Check all that is new in the rings, and add its numbers to ``seen``; how many were lost."""
    lost = 0
    for ring in recorder.RINGS:
        batch = segment.recorded(since[ring], ring)
        assert len(batch.fops) + batch.lost == batch.next - since[ring]
        for fop in batch.fops:
            assert number(fop) == fop.ns == fop.ended
            traced = (fop.ns >> 32) < TRACED
            assert fop.tracers == traced << 3
            assert fop.cause == layout.CAUSE_SLOW | layout.CAUSE_TRACED * traced
        seen[ring] += [fop.ns for fop in batch.fops]
        since[ring], lost = batch.next, lost + batch.lost
    return lost


@pytest.mark.parametrize("option", ["-O2", "-fsanitize=thread -Wno-tsan", "-fsanitize=address"])
@pytest.mark.parametrize(("flights", "slow"), [(1024, 2048), (16, 8)])
def test_nothing_is_a_mixture_and_nothing_is_uncounted(
    option: str, flights: int, slow: int, core_harness: Callable[[str, str], Path], tmp_path: Path
) -> None:
    harness = core_harness("recorder_harness", option)
    words = [str(harness), str(tmp_path), *map(str, (THREADS, ROUNDS, flights, slow))]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        path = Path(process.stdout.readline().strip())
        since, lost, under_way = dict.fromkeys(recorder.RINGS, 0), 0, 0
        seen: dict[str, list[int]] = {ring: [] for ring in recorder.RINGS}
        with reader.Segment(path) as segment:
            while not select.select([process.stdout], [], [], 0)[0]:
                lost += look(segment, since, seen)
                entries = segment.in_flight()
                under_way = max(under_way, len(entries))
                assert all(number(fop) == fop.started for fop in entries)
                segment.held_locks()
            unlisted, held = map(int, process.stdout.readline().split())
            lost += look(segment, since, seen)
            # All that was recorded has a position, and each position was read or lost.
            assert since == {"slow": THREADS * ROUNDS, "trace": TRACED * ROUNDS}
            for numbers in seen.values():
                assert len(set(numbers)) == len(numbers)
            assert sum(map(len, seen.values())) + lost == sum(since.values())
            causes = layout.FopRecords.from_buffer_copy(segment.elements("recorded")).by_cause
            assert tuple(causes) == (THREADS * ROUNDS, 0, TRACED * ROUNDS)
            assert not segment.in_flight()
            assert under_way <= flights
            assert segment.numbers()["unlisted_fops"] == unlisted
            assert (unlisted > 0) == (flights < THREADS * 8)
            locks = layout.HeldLock
            table = segment.elements("held_locks")
            used = [
                entry
                for entry in map(
                    locks.from_buffer_copy,
                    (table[at : at + 128] for at in range(0, len(table), 128)),
                )
                if entry.mark % layout.MARK_STATES == layout.MARK_USED
            ]
            assert held == THREADS
            assert sorted(entry.owner for entry in used) == [*range(1, THREADS + 1)]
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("option", ["-O2", "-fsanitize=address,undefined"])
def test_noise_in_the_segment_does_not_lead_out_of_it(
    option: str, core_harness: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Root may write to a segment; that must not end the brick."""
    harness = core_harness("recorder_harness", f"{option} -fno-sanitize-recover=all")
    words = [str(harness), str(tmp_path), *map(str, (4, 100_000, 64, 8)), "hostile"]
    done = subprocess.run(words, input="", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
