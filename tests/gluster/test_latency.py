"""Latencies agree with themselves, with the client's clock and with a delay of known length."""

from __future__ import annotations

import itertools
import os
import time
from concurrent import futures
from pathlib import Path

from glupy_exporter.schema import layout
from glupy_exporter.segment.records import Fop
from tests.support.gluster.volumes import Volume, volume, wait_for

CALLS = 300


def fops_of(subject: Volume) -> dict[str, Fop]:
    (brick,) = subject.bricks
    with subject.segment(brick) as segment:
        return {fop.name: fop for fop in segment.fops()}


def write_and_sync(file: Path, calls: int) -> float:
    """Issue ``calls`` writes and fsyncs one after the other; the seconds they took together."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        start = time.monotonic()
        for number in range(calls):
            os.pwrite(descriptor, b"x" * 4096, number * 4096)
            os.fsync(descriptor)
        return time.monotonic() - start
    finally:
        os.close(descriptor)


def test_sum_count_and_wall_time_agree(xlator: None) -> None:
    with volume(bricks=1) as subject, subject.mount("direct-io-mode=enable") as mount:
        before = fops_of(subject)
        wall = write_and_sync(mount / "file", CALLS)
        fops = fops_of(subject)
        profile = subject.profile()[subject.bricks[0]]

    inside = 0.0
    for name in ("write", "fsync"):
        fop = fops[name]
        assert name not in before
        assert fop.started == fop.completed == profile.fops[name] == CALLS
        inside += fop.nanoseconds / 1e9
    # One client with one request at a time: what the brick saw fits into what the client saw.
    # Outside the brick a call crosses two processes and FUSE, which is less than 5 ms.
    assert 0 < inside <= wall
    assert wall - inside < 2 * CALLS * 0.005

    for fop in fops.values():
        bounds = [1e9 * bound for bound in layout.LATENCY_BOUNDS]
        most = sum(count * bound for count, bound in zip(fop.buckets, bounds))
        least = sum(count * bound for count, bound in zip(fop.buckets[1:], bounds))
        assert not fop.buckets[-1]
        assert least <= fop.nanoseconds <= most, fop.name


def test_a_known_delay_lands_in_its_bucket(xlator: None) -> None:
    """delay-gen sits on posix, below the translator, and delays every fsync and nothing else."""
    options = {
        "debug.delay-gen": "posix",
        "delay-gen.delay-duration": "20000",
        "delay-gen.delay-percentage": "100",
        "delay-gen.enable": "fsync",
    }
    with volume(bricks=1, options=options) as subject:
        order = volfile_order(subject)
        assert order.index("debug/delay-gen") < order.index("user/glupy")
        with (
            subject.mount("direct-io-mode=enable") as mount,
            futures.ThreadPoolExecutor(1) as client,
        ):
            task = client.submit(write_and_sync, mount / "file", 40)
            wait_for(lambda: in_flight(subject, "fsync") == 1, "an fsync to be under way")
            wall = task.result()
        fops = fops_of(subject)
        assert in_flight(subject, "fsync") == 0

    assert wall > 40 * 0.020
    # 2**-6 s < 20 ms <= 2**-5 s
    assert layout.LATENCY_BOUNDS[14:16] == (2**-6, 2**-5)
    assert median_bucket(fops["fsync"]) == 15
    assert sum(fops["fsync"].buckets[:15]) == 0
    assert median_bucket(fops["write"]) < 13


def in_flight(subject: Volume, name: str) -> int:
    fop = fops_of(subject).get(name)
    return fop.in_flight if fop else 0


def volfile_order(subject: Volume) -> list[str]:
    """The types of a brick's translators, from the disk upwards."""
    (volfile,) = Path(f"/var/lib/glusterd/vols/{subject.name}").glob(f"{subject.name}.*brick0.vol")
    lines = volfile.read_text().splitlines()
    return [line.split()[1] for line in lines if line.strip().startswith("type ")]


def median_bucket(fop: Fop) -> int:
    """The bucket that holds the median call."""
    return next(
        bucket
        for bucket, below in enumerate(itertools.accumulate(fop.buckets))
        if 2 * below >= fop.completed
    )
