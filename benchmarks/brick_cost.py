"""What a brick's fops cost with the translator, with `gluster volume profile`, and without either.

Three real volumes of one brick each, on this machine, get the same work through FUSE mounts without
caches, in turn and in a changing order: random reads of 4 KiB, creations of files of 4 KiB, and
lookups. The bricks are on tmpfs, and each has one thread for I/O: what a disk and its file system
do, or whether the work of one thread is done by two in turn, makes more difference than is looked
for. The processor time of the brick's process is read before and after. Several times the volumes
are made anew, since one process and one directory may be some percent faster than another: each
such generation gives one ratio to the brick without either. Printed are their means (geometric)
with 95 % confidence intervals by Student's t.

Exits with 1 if the interval of a ratio of ours lies above what it may be at most.

Needs root and GlusterFS.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.samples import SAMPLES, interval, processor_time
from tests.support.gluster import volumes

VARIANTS: dict[str, dict[str, bool]] = {
    "without": {"counted": False, "profiled": False},
    "volume profile": {"counted": False, "profiled": True},
    "glupy": {"counted": True, "profiled": False},
}
ROUNDS = 4
READS, CREATES, LOOKUPS = 4000, 1000, 4000
OPTIONS = {"performance.io-thread-count": "1"}
FILE_SIZE, BLOCK, FILES = 64 * 2**20, 4096, 100
MOST = 1.02

Spent = dict[tuple[str, str], float]
"""Seconds of the brick's processor time, by variant or state and by work."""


def read(mount: Path) -> None:
    """Random reads of one block."""
    handle = os.open(mount / "large", os.O_RDONLY)
    for _ in range(READS):
        os.pread(handle, BLOCK, random.randrange(FILE_SIZE // BLOCK) * BLOCK)
    os.close(handle)


def create(mount: Path) -> None:
    """New files of one block."""
    block = bytes(BLOCK)
    for number in range(CREATES):
        handle = os.open(mount / f"new{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(handle, block)
        os.close(handle)


def lookup(mount: Path) -> None:
    """Each a lookup, as the mount caches nothing."""
    for number in range(LOOKUPS):
        (mount / f"file{number % FILES}").stat()


WORK: dict[str, tuple[Callable[[Path], None], int]] = {
    "random read of 4 KiB": (read, READS),
    "create of a 4 KiB file": (create, CREATES),
    "lookup": (lookup, LOOKUPS),
}


class Subject(NamedTuple):
    """A variant's volume."""

    volume: volumes.Volume
    mount: Path

    def cost(self, work: Callable[[Path], None]) -> float:
        """Seconds of the brick's processor time for some work, which leaves nothing behind."""
        (brick,) = self.volume.bricks
        pid = self.volume.pid(brick)
        assert pid
        before = processor_time(pid)
        work(self.mount)
        spent = processor_time(pid) - before
        for made in self.mount.glob("new*"):
            made.unlink()
        return spent


def prepare(mount: Path) -> None:
    """What is read and looked up."""
    with (mount / "large").open("wb") as large:
        for _ in range(FILE_SIZE // 2**20):
            large.write(os.urandom(2**20))
    for number in range(FILES):
        (mount / f"file{number}").touch()


@contextlib.contextmanager
def tmpfs() -> Iterator[Path]:
    """A directory in memory."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def generation() -> Spent:
    """Seconds by variant and work, of volumes that are made for it."""
    spent: Spent = defaultdict(float)
    with contextlib.ExitStack() as stack:
        subjects = {}
        for name in random.sample(list(VARIANTS), len(VARIANTS)):
            disk = stack.enter_context(tmpfs())
            volume = stack.enter_context(
                volumes.volume(bricks=1, options=OPTIONS, parents=[disk], **VARIANTS[name])
            )
            mount = stack.enter_context(volume.mount("direct-io-mode=enable"))
            subjects[name] = Subject(volume, mount)
            prepare(mount)
            for work, _ in WORK.values():
                subjects[name].cost(work)  # to warm up
        for _ in range(ROUNDS):
            for kind, (work, _) in WORK.items():
                for name in random.sample(list(subjects), len(subjects)):
                    spent[name, kind] += subjects[name].cost(work)
    return spent


def report(found: list[Spent]) -> list[str]:
    """Print the table; what misses its target."""
    missed = []
    print("| work | variant | processor time | ratio | 95 % interval |")
    print("| --- | --- | --- | --- | --- |")
    for kind, (_, count) in WORK.items():
        for variant in VARIANTS:
            each = statistics.median(one[variant, kind] for one in found) / ROUNDS / count
            cells = [kind, variant, f"{each * 1e6:.1f} us"]
            if variant == "without":
                cells += ["1", ""]
            else:
                ratios = [one[variant, kind] / one["without", kind] for one in found]
                ratio, low, high = interval(ratios)
                cells += [f"{ratio:.3f}", f"{low:.3f} to {high:.3f}"]
                if variant == "glupy" and low > MOST:
                    missed.append(f"{kind}: {ratio:.3f}")
            print(f"| {' | '.join(cells)} |", flush=True)
    return missed


def run(
    description: str,
    generation: Callable[[], Spent],
    report: Callable[[list[Spent]], list[str]],
) -> int:
    """Have several generations measured, and their table printed; the exit code."""
    argparse.ArgumentParser(description=description.partition("\n")[0]).parse_args()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(volumes.glusterd())
        stack.enter_context(volumes.translator(work))
        missed = report([generation() for _ in range(SAMPLES)])
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(run(__doc__, generation, report))
