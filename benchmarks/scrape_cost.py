"""What scrapes do to those who work, and what it costs to ask `gluster` for the like.

First: fio reads 4 KiB at random from a real volume, at a fixed rate, and reports the latency that
99 % of the reads do not exceed; in turn without scrapes, with one every 100 ms, and with one every
100 ms of a copy of the segment, which takes as much of the processors but nothing that the brick
has. Once those who work (fio, the mount, the brick) and those who watch (the exporter, and who
scrapes it) share all processors, once the watchers have one of their own and the workers another,
as where processors are not what is scarce. Printed are the ratios to the reads without scrapes, and
of scrapes to scrapes of the copy (geometric means over the rounds), with 95 % confidence intervals
by Student's t.

Second: a real volume of 24 bricks, used by one client. In turn an exporter is scraped, and `gluster
volume profile` and `volume top` are asked for what they know of the same bricks: counts, latencies
and the files most opened, read and written. Printed are the medians of the wall time and of the
processor time of all that take part: bricks, glusterd, the exporter, the command line.

Exits with 1 if the interval of a ratio to scrapes of the copy lies above 1, or with processors of
their own that of the ratio to no scrapes.

Needs root, GlusterFS and fio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.samples import SAMPLES, interval, processor_time
from tests.support import segments
from tests.support.gluster import volumes
from tests.support.gluster.monitored import exporter, get

SECONDS_A_ROUND = 10
RATE = 500
SCRAPE_EVERY = 0.1
BRICKS = 24
ASKED = 15
FILES = 200
TOPS = ("open", "read", "write", "opendir", "readdir")


def pin(pid: int, processors: set[int]) -> None:
    """Let a process run on these alone; threads to come do as those that make them."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), processors)


def scrape(url: str, processors: set[int]) -> None:
    """Scrape for ever, as a Prometheus does that takes no processor here."""
    os.sched_setaffinity(0, processors)
    os.nice(19)
    due = time.monotonic()
    while True:
        get(f"{url}/metrics")
        due += SCRAPE_EVERY
        time.sleep(max(0, due - time.monotonic()))


@contextlib.contextmanager
def scraped(url: str, processors: set[int]) -> Iterator[None]:
    """Scrapes go on meanwhile."""
    scraper = multiprocessing.Process(target=scrape, args=(url, processors))
    scraper.start()
    try:
        yield
        assert scraper.is_alive(), "a scrape failed"
    finally:
        scraper.terminate()
        scraper.join()


def p99(mount: Path, processors: set[int]) -> float:
    """Microseconds that 99 % of fio's reads take at most."""
    command = ["taskset", "--cpu-list", ",".join(map(str, processors)), "fio", "--name=reads"]
    command += [f"--directory={mount}", "--rw=randread", "--bs=4k", "--nrfiles=16", "--size=64m"]
    command += ["--direct=1", "--ioengine=psync", "--time_based", f"--runtime={SECONDS_A_ROUND}"]
    command += [f"--rate_iops={RATE}", "--output-format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (job,) = json.loads(done.stdout)["jobs"]
    return float(job["read"]["clat_ns"]["percentile"]["99.000000"]) / 1000


def latency(workers: set[int], watchers: set[int]) -> list[str]:
    """Print fio's latencies, on these processors; what misses its target."""
    found: dict[str, list[float]] = {"none": [], "of the brick": [], "of a copy": []}
    with contextlib.ExitStack() as stack:
        volume = stack.enter_context(volumes.volume(bricks=1))
        mount = stack.enter_context(volume.mount())
        p99(mount, workers)  # lays the files out
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        copy = Path(shutil.copy(volume.segment_path(volume.bricks[0]), directory))
        stack.enter_context(segments.locked(copy))
        exporters = {
            "of the brick": stack.enter_context(exporter()),
            "of a copy": stack.enter_context(exporter(f"--segment.dir={directory}")),
        }
        for worker in (volume.client(mount), volume.pid(volume.bricks[0])):
            assert worker
            pin(worker, workers)
        for served in exporters.values():
            pin(served.process.pid, watchers)
        for _ in range(SAMPLES):
            for name in random.sample(list(found), len(found)):
                with contextlib.ExitStack() as meanwhile:
                    if name in exporters:
                        meanwhile.enter_context(scraped(exporters[name].url, watchers))
                    found[name].append(p99(mount, workers))
    missed = []
    shared = workers == watchers
    print("all share the processors" if shared else "processors of their own", end="\n\n")
    print("| scrapes | p99 of a read | to none | 95 % interval |\n| --- | --- | --- | --- |")
    for name, each in found.items():
        ratio, low, high = interval([a / b for a, b in zip(each, found["none"])])
        cells = [name, f"{statistics.median(each):.0f} us", f"{ratio:.2f}"]
        print(f"| {' | '.join(cells)} | {low:.2f} to {high:.2f} |", flush=True)
        if low > 1 and name == "of the brick" and not shared:
            missed.append(f"p99 with scrapes, {ratio:.2f} times that without")
    pairs = zip(found["of the brick"], found["of a copy"])
    ratio, low, high = interval([a / b for a, b in pairs])
    print(f"\nof the brick to of a copy: {ratio:.3f}, {low:.3f} to {high:.3f}\n", flush=True)
    if low > 1:
        missed.append(f"p99 with scrapes, {ratio:.3f} times that of a copy")
    return missed


def ask_gluster(name: str) -> None:
    """What operators have without the translator."""
    volumes.gluster("volume", "profile", name, "info", "cumulative", "--xml")
    for top in TOPS:
        volumes.gluster("volume", "top", name, top, "list-cnt", "50", "--xml")


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
    glusterd = volumes.glusterd_pid()
    assert glusterd
    with volumes.volume(bricks=BRICKS) as volume, volume.mount() as mount, exporter() as served:
        for number in range(FILES):
            (mount / f"file{number}").write_bytes(os.urandom(4096))
            (mount / f"file{number}").read_bytes()
        bricks = [pid for brick in volume.bricks if (pid := volume.pid(brick))]
        ways: dict[str, tuple[Callable[[], object], list[int]]] = {
            "a scrape": (lambda: get(f"{served.url}/metrics"), [served.process.pid, *bricks]),
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
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(volumes.glusterd())
        stack.enter_context(volumes.translator(work))
        every = os.sched_getaffinity(0)
        missed = latency(every, every)
        if len(every) > 1:
            one, another, *_ = every
            missed += latency({one}, {another})
        comparison()
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
