"""What scrapes do to those who work, and what it costs to ask `gluster` for the like.

First: fio reads 4 KiB at random from a real volume, at a fixed rate, and reports the latency that
99 % of the reads do not exceed; in turn without scrapes, with one every 100 ms, and with one every
100 ms of a copy of the segment, which takes as much of the processors but nothing that the brick
has. Printed are the ratios to the reads without scrapes, and of scrapes to scrapes of the copy
(geometric means over the rounds), with 95 % confidence intervals by Student's t.

Second: a real volume of 24 bricks, used by one client. In turn an exporter is scraped, and `gluster
volume profile` and `volume top` are asked for what they know of the same bricks: counts, latencies
and the files most opened, read and written. Printed are the medians of the wall time and of the
processor time of all that take part: bricks, glusterd, the exporter, the command line.

Exits with 1 if the interval of the ratio to scrapes of the copy lies above 1.

Needs root, GlusterFS and fio.
Usage: ``PYTHONPATH=tests/gluster:tests/unit python benchmarks/scrape_cost.py``
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cluster
import segments
from monitored import exporter, get
from samples import SAMPLES, interval, processor_time

SECONDS_A_ROUND = 10
RATE = 500
SCRAPE_EVERY = 0.1
BRICKS = 24
ASKED = 15
FILES = 200
TOPS = ("open", "read", "write", "opendir", "readdir")


@contextlib.contextmanager
def scraped(url: str) -> Iterator[None]:
    """Scrapes go on meanwhile."""
    stop = threading.Event()

    def scrape() -> None:
        due = time.monotonic()
        while not stop.wait(max(0, due - time.monotonic())):
            get(f"{url}/metrics")
            due += SCRAPE_EVERY

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def p99(mount: Path) -> float:
    """Microseconds that 99 % of fio's reads take at most."""
    command = ["fio", "--name=reads", f"--directory={mount}", "--rw=randread", "--bs=4k"]
    command += ["--nrfiles=16", "--size=64m", "--direct=1", "--ioengine=psync", "--time_based"]
    command += [f"--runtime={SECONDS_A_ROUND}", f"--rate_iops={RATE}", "--output-format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (job,) = json.loads(done.stdout)["jobs"]
    return float(job["read"]["clat_ns"]["percentile"]["99.000000"]) / 1000


def latency() -> list[str]:
    """Print fio's latencies; what misses its target."""
    found: dict[str, list[float]] = {"none": [], "of the brick": [], "of a copy": []}
    with contextlib.ExitStack() as stack:
        volume = stack.enter_context(cluster.volume(bricks=1))
        mount = stack.enter_context(volume.mount())
        p99(mount)  # lays the files out
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        copy = Path(shutil.copy(volume.segment_path(volume.bricks[0]), directory))
        stack.enter_context(segments.locked(copy))
        urls = {
            "of the brick": stack.enter_context(exporter()).url,
            "of a copy": stack.enter_context(exporter(f"--segment.dir={directory}")).url,
        }
        for _ in range(SAMPLES):
            for name in random.sample(list(found), len(found)):
                with scraped(urls[name]) if name in urls else contextlib.nullcontext():
                    found[name].append(p99(mount))
    print("| scrapes | p99 of a read | to none | 95 % interval |\n| --- | --- | --- | --- |")
    for name, each in found.items():
        ratio, low, high = interval([a / b for a, b in zip(each, found["none"])])
        cells = [name, f"{statistics.median(each):.0f} us", f"{ratio:.2f}"]
        print(f"| {' | '.join(cells)} | {low:.2f} to {high:.2f} |", flush=True)
    pairs = zip(found["of the brick"], found["of a copy"])
    ratio, low, high = interval([a / b for a, b in pairs])
    print(f"\nof the brick to of a copy: {ratio:.3f}, {low:.3f} to {high:.3f}\n", flush=True)
    return [f"p99 with scrapes, {ratio:.3f} times that of a copy"] if low > 1 else []


def ask_gluster(name: str) -> None:
    """What operators have without the translator."""
    cluster.gluster("volume", "profile", name, "info", "cumulative", "--xml")
    for top in TOPS:
        cluster.gluster("volume", "top", name, top, "list-cnt", "50", "--xml")


def costs(ask: Callable[[], object], pids: list[int]) -> tuple[float, float]:
    """Wall and processor milliseconds of asking, of these processes and of our children."""

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before, started = children() + sum(map(processor_time, pids)), time.monotonic()
    ask()
    wall = time.monotonic() - started
    return wall * 1000, (children() + sum(map(processor_time, pids)) - before) * 1000


def comparison() -> None:
    """Print what it costs to ask for the state of many bricks."""
    (glusterd,) = map(int, subprocess.check_output(["pgrep", "--exact", "glusterd"]).split())
    with cluster.volume(bricks=BRICKS) as volume, volume.mount() as mount, exporter() as served:
        for number in range(FILES):
            (mount / f"file{number}").write_bytes(os.urandom(4096))
            (mount / f"file{number}").read_bytes()
        bricks = [pid for brick in volume.bricks if (pid := volume.pid(brick))]
        ways: dict[str, tuple[Callable[[], object], list[int]]] = {
            "a scrape": (lambda: get(f"{served.url}/metrics"), [served.pid, *bricks]),
            "volume profile and volume top": (
                lambda: ask_gluster(volume.name),
                [glusterd, *bricks],
            ),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ASKED):
            for name, (ask, pids) in ways.items():
                found[name].append(costs(ask, pids))
    print(f"| {BRICKS} bricks | wall time | processor time |\n| --- | --- | --- |")
    for name, each in found.items():
        wall, processor = (statistics.median(column) for column in zip(*each))
        print(f"| {name} | {wall:.0f} ms | {processor:.0f} ms |")


def main() -> int:
    """Print both."""
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(cluster.glusterd())
        stack.enter_context(cluster.translator(work))
        missed = latency()
        comparison()
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
