"""Rates between two looks, against numbers worked out by hand."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from glupy_exporter.node.privacy import Privacy
from glupy_exporter.schema import layout
from glupy_exporter.top.model import Rates, Sampler, quantile
from tests.support import segments

GFID = uuid.UUID("6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11")
OTHER = uuid.UUID("11111111-70f2-4bd5-9a86-3b3c0b7a5c11")
EXPIRY = 1e9


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def two_looks(
    directory: Path,
    before: segments.Segment,
    after: segments.Segment,
    privacy: Privacy | None = None,
) -> Rates:
    """The rates after the segment changed in place, as a running brick changes it."""
    clock = Clock()
    sampler = Sampler(directory, EXPIRY, privacy, clock=clock)
    with before.live(directory) as path:
        first = sampler.sample()
        assert (first.interval, first.fops, first.files, first.clients) == (0, (), (), ())
        change(path, after)
        clock.now += 4
        return sampler.sample()


def change(path: Path, segment: segments.Segment) -> None:
    with path.open("r+b") as file:
        file.write(segment.build())


def file(fops: Sequence[int], size: int = 0, gfid: uuid.UUID = GFID) -> segments.File:
    return segments.File(
        b"/a", gfid, fops, bytes=(size, 2 * size), nanoseconds=[n * 10**6 for n in fops]
    )


def test_a_fop(tmp_path: Path) -> None:
    rates = two_looks(
        tmp_path,
        segments.Segment(
            fops={
                "read": segments.Fop({0: 7, 27: 5}, nanoseconds=9000, errnos={5: 1}),
                "write": segments.Fop({3: 1}, nanoseconds=1),
            }
        ),
        segments.Segment(
            fops={
                # 100 calls more in the bucket of 2**-11 to 2**-10 s, 2 of them errors, in 50 ms.
                "read": segments.Fop(
                    {0: 7, 10: 100, 27: 5}, nanoseconds=9000 + 50_000_000, errnos={5: 2, 2: 1}
                ),
                "write": segments.Fop({3: 1}, nanoseconds=1),
                "stat": segments.Fop({}, in_flight=3),
            }
        ),
    )
    assert rates.interval == 4
    assert (rates.up, rates.down, rates.problems) == (1, (), ())
    stat, read = sorted(rates.fops, key=lambda rate: rate.in_flight, reverse=True)
    assert (read.volume, read.brick, read.fop) == ("v0", "/bricks/b0", "read")
    assert read.calls_per_second == 25
    assert read.errors_per_second == 0.5
    assert read.mean_seconds == pytest.approx(0.0005)
    assert read.p99_seconds == pytest.approx((1 + 0.99) * 2**-11)
    assert read.in_flight == 0
    assert (stat.fop, stat.calls_per_second, stat.in_flight) == ("stat", 0, 3)
    assert (stat.mean_seconds, stat.p99_seconds) == (None, None)


def test_files_old_new_and_idle(tmp_path: Path) -> None:
    idle = file((9, 9, 9), 9, uuid.UUID(int=5 << 64))
    rates = two_looks(
        tmp_path,
        segments.Segment(files={1: file((10, 20, 30), 1000), 3: idle}),
        segments.Segment(
            files={1: file((14, 22, 32), 5000), 3: idle, 4: file((8, 0, 0), 80, OTHER)}
        ),
    )
    found = {rate.gfid: rate for rate in rates.files}
    assert set(found) == {str(GFID), str(OTHER)}
    assert found[str(GFID)].path == "/a"
    assert found[str(GFID)].fops_per_second == 2
    assert found[str(GFID)].read_bytes_per_second == 1000
    assert found[str(GFID)].write_bytes_per_second == 2000
    assert found[str(GFID)].seconds_per_second == pytest.approx(0.002)
    # One that was not tracked before did all that it has counted since.
    assert found[str(OTHER)].fops_per_second == 2
    assert found[str(OTHER)].read_bytes_per_second == 20


@pytest.mark.parametrize(
    ("privacy", "paths"),
    [
        (Privacy(), ["/a"]),
        (Privacy(paths="none"), [""]),
        (Privacy(exclude=("/a",)), []),
        (Privacy(include=("/b",)), []),
    ],
)
def test_privacy_holds_as_in_the_exporter(
    tmp_path: Path, privacy: Privacy, paths: list[str]
) -> None:
    before, after = (segments.Segment(files={1: file((count, 0, 0))}) for count in (1, 5))
    rates = two_looks(tmp_path, before, after, privacy)
    assert [rate.path for rate in rates.files] == paths


def test_a_hidden_file_with_two_slots_is_hidden_in_both(tmp_path: Path) -> None:
    def slots(count: int) -> segments.Segment:
        known = file((count, 0, 0))
        return segments.Segment(files={1: known, 2: replace(known, path=b"")})

    assert two_looks(tmp_path, slots(1), slots(5), Privacy(exclude=("/a",))).files == ()
    (rate,) = two_looks(tmp_path, slots(1), slots(5), Privacy(include=("/a",))).files
    assert rate.fops_per_second == 2


def test_the_top_client_of_a_file(tmp_path: Path) -> None:
    clients = {0: segments.Client(b"10.0.0.1", process=7)}
    before, after = (
        segments.Segment(files={1: replace(file((count, 0, 0)), top_client=1)}, clients=clients)
        for count in (1, 5)
    )
    (rate,) = two_looks(tmp_path, before, after).files
    assert rate.top_client == "10.0.0.1 7"


def test_a_file_with_two_slots_is_one_row(tmp_path: Path) -> None:
    rates = two_looks(
        tmp_path,
        segments.Segment(files={1: file((1, 0, 0)), 2: file((100, 0, 0))}),
        segments.Segment(files={1: file((5, 0, 0)), 2: file((108, 0, 0))}),
    )
    assert [rate.fops_per_second for rate in rates.files] == [3]


def test_a_slot_given_away_and_taken_back_starts_from_zero(tmp_path: Path) -> None:
    before = segments.Segment(files={1: file((100, 0, 0), 50_000)})
    after = segments.Segment(files={1: file((8, 0, 0), 400)})
    data = after.build()
    at = segments.offset(data, "files_counters", 1, layout.Counters.first_seen)
    clock = Clock()
    sampler = Sampler(tmp_path, EXPIRY, clock=clock)
    with before.live(tmp_path) as path:
        sampler.sample()
        with path.open("r+b") as target:
            target.write(data)
            target.seek(at)
            target.write((segments.CREATED_MONOTONIC + 7_000_000_000).to_bytes(8, "little"))
        clock.now += 4
        (rate,) = sampler.sample().files
    assert (rate.fops_per_second, rate.read_bytes_per_second) == (2, 100)


def test_clients(tmp_path: Path) -> None:
    rates = two_looks(
        tmp_path,
        segments.Segment(clients={0: segments.Client(b"10.0.0.1", (1, 1, 1), (10, 10))}),
        segments.Segment(
            clients={0: segments.Client(b"10.0.0.1", (1, 1, 9), (10, 50), connections=3)}
        ),
    )
    (rate,) = rates.clients
    assert (rate.client, rate.connections, rate.internal) == ("10.0.0.1", 3, False)
    assert (rate.fops_per_second, rate.write_bytes_per_second) == (2, 10)


def test_internal_services_are_told_apart(tmp_path: Path) -> None:
    def healing(times: int) -> segments.Segment:
        done = segments.Internal((2 * times, times, 0), (8 * times, 4 * times), (10**9, 0, 0))
        return segments.Segment(
            internal={"self-heal": done, "rebalance": segments.Internal((1, 1, 1))}
        )

    (rate,) = two_looks(tmp_path, healing(1), healing(5)).clients
    assert (rate.client, rate.internal) == ("self-heal", True)
    assert (rate.connections, rate.errors_per_second) == (None, None)
    assert rate.fops_per_second == 3
    assert (rate.read_bytes_per_second, rate.write_bytes_per_second) == (8, 4)
    assert rate.seconds_per_second == 0


def test_a_restarted_brick_has_no_rates_until_the_look_after(tmp_path: Path) -> None:
    one, two, three = (segments.Segment(files={1: file((n, 0, 0))}) for n in (1000, 4, 12))
    for segment in (two, three):
        segment.header = {"pid": 4712}
    clock = Clock()
    sampler = Sampler(tmp_path, EXPIRY, clock=clock)
    with one.live(tmp_path):
        sampler.sample()
    with two.live(tmp_path) as path:
        clock.now += 4
        assert sampler.sample().files == ()
        change(path, three)
        clock.now += 4
        assert [rate.fops_per_second for rate in sampler.sample().files] == [2]


def test_dead_and_broken_bricks_are_named(tmp_path: Path) -> None:
    segments.Segment(volume="dead").write(tmp_path)
    (tmp_path / "broken.seg").write_bytes(b"\0" * 8192)
    sampler = Sampler(tmp_path, EXPIRY)
    with segments.Segment().live(tmp_path):
        rates = sampler.sample()
    assert (rates.up, rates.down) == (1, ("dead:/bricks/b0",))
    assert [(p.path.name, p.reason) for p in rates.problems] == [("broken.seg", "bad_magic")]


@pytest.mark.parametrize(
    ("buckets", "seconds"),
    [
        ({}, None),
        ({0: 100}, 0.99 * 2**-20),
        ({1: 98, 5: 2}, 1.5 * 2**-16),  # rank 99 is half-way from 2**-16 to 2**-15 s
        ({27: 1}, 64),
    ],
)
def test_quantile(buckets: dict[int, int], seconds: float | None) -> None:
    counts = [buckets.get(index, 0) for index in range(layout.LATENCY_BUCKETS)]
    found = quantile(0.99, counts)
    assert found == (None if seconds is None else pytest.approx(seconds))
