"""The counting core, driven by threads: every count must come out exactly."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.segment import reader
from glupy_exporter.segment.records import Client, File
from tests.native.conftest import running

THREADS, ROUNDS, FILES, HOSTS = 6, 20000, 40, 3
TOTAL = THREADS * ROUNDS


@pytest.mark.parametrize(
    "option",
    ["-O2", "-O2 -DGLUPY_LANE_BY_THREAD", "-fsanitize=thread -Wno-tsan", "-fsanitize=address"],
)
def test_counts_are_exact(
    option: str, core_harness: Callable[[str, str], Path], tmp_path: Path
) -> None:
    harness = core_harness("counting_harness", option)
    with running(str(harness), str(tmp_path), str(THREADS), str(ROUNDS)) as segment:
        read, lookup = segment.fops()
        brick = segment.brick()
        errnos = list(segment.errnos())
        io = segment.io()
        files = _files(segment)
        clients = _clients(segment)
        file_health, client_health = segment.health("files"), segment.health("clients")

    assert (brick.volume, brick.path, brick.subvolume) == ("test", "/bricks/b", 7)
    assert brick.alive and not reader.scan(tmp_path)

    assert (read.name, read.started, read.completed, read.errors) == ("read", TOTAL, TOTAL, 0)
    assert read.nanoseconds == TOTAL // 2 * 4000
    # 1 us is at most 2**-19 s, 3 us is at most 2**-18 s.
    assert read.buckets[1] == read.buckets[2] == TOTAL // 2
    # 70 s is beyond the last bound.
    assert lookup.buckets[layout.LATENCY_BUCKETS - 1] == lookup.completed == TOTAL
    assert lookup.errors == TOTAL
    assert errnos == [("lookup", 0, TOTAL // 2), ("lookup", 2, TOTAL // 2)]

    sizes = [round_ % 5000 + 1 for round_ in range(ROUNDS)]
    assert io["read"].bytes == THREADS * sum(sizes)
    assert sum(io["write"].buckets) == io["write"].bytes == 0
    for bucket, count in enumerate(io["read"].buckets):
        assert count == THREADS * sum(size.bit_length() - 1 == bucket for size in sizes)

    assert len(files) == file_health["tracked"] == FILES
    counted = 0
    for index, file in files.items():
        mine = range(index - 1, ROUNDS, FILES)
        # Threads that meet at a new file may leave fops out, which its bound says.
        missing = THREADS * len(mine) - file.activity.fops[layout.READ]
        assert 0 <= missing <= file.activity.error_bound
        counted += file.activity.fops[layout.READ]
        if not missing:
            assert file.activity.bytes == (THREADS * sum(sizes[round_] for round_ in mine), 0)
    assert counted + file_health["untracked_fops"] == TOTAL
    assert files[1].path == "/fits"
    fitting = layout.PATH_SIZE // 3
    assert files[2].path == "\N{EURO SIGN}" * fitting and files[2].truncated

    assert sorted(clients) == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    counted = sum(client.activity.fops[layout.READ] for client in clients.values())
    assert counted + client_health["untracked_fops"] == TOTAL
    for client in clients.values():
        # Each host has two connections, one of an odd thread, which left.
        assert client.activity.connections == 1


def test_buckets_of_latency_are_exact(core_harness: Callable[[str, str], Path]) -> None:
    bounds = [Fraction(bound) * 10**9 for bound in layout.LATENCY_BOUNDS]
    edges = [int(bound) + offset for bound in bounds for offset in (-1, 0, 1)]
    seed = random.Random(1)
    drawn = [seed.getrandbits(bits) for bits in range(65) for _ in range(20)]
    times = [*edges, *drawn, 0, 2**36 - 1, 2**36, 2**44, 2**54, 2**64 - 1]
    harness = core_harness("buckets_harness", "-O2 -fsanitize=undefined")
    printed = subprocess.run(
        [harness], input=" ".join(map(str, times)), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert list(map(int, printed.split())) == [sum(ns > bound for bound in bounds) for ns in times]


def _files(segment: reader.Segment) -> dict[int, File]:
    table = segment.file_table()
    files = [table.record(row) for row in table.rows]
    return {int(file.gfid[:2], 16): file for file in files if file}


def _clients(segment: reader.Segment) -> dict[str, Client]:
    return {client.address: client for _, client in segment.client_table().records()}
