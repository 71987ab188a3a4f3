"""What a fop costs more in a brick that has the translator, beside GlusterFS's own io-stats.

Real translators run in one process, each above a child that answers at once: nothing at all, an
empty one that winds and unwinds, io-stats as `gluster volume profile start` has it, and ours. In
rounds, in turn, each gets the same fops from 1, 2, 4 and 8 threads. Printed is the processor time
a fop takes more than with the empty translator: the median over the rounds, the quartiles, and its
ratio to what io-stats takes more. Then the same in instructions, counted by callgrind, if there is
one.

Reads are what io-stats keeps counters of each file for, as ours does for every fop: there ours has
to cost no more than a part of it. Of a lookup it only counts and times the fop.

Exits with 1 if ours misses a target.

Usage: ``python -m benchmarks.fop_cost``
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from glupy_exporter.builder import build

VARIANTS = ("null", "pass-through", "io-stats", "glupy")
FOPS = ("readv", "lookup")
THREADS = (1, 2, 4, 8)
ROUNDS = 21
FOPS_A_ROUND = 60_000
MOST_NANOSECONDS = 120.0
MOST_OF_IO_STATS = 0.6


def compile_harness(directory: Path) -> Path:
    """Build the C half against the installed GlusterFS."""
    gluster = build.find()
    program = directory / "fop_cost"
    source = Path(__file__).with_suffix(".c")
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
    flags += ["-Wno-cast-function-type", *build.defines(gluster), *build.includes(gluster)]
    library = [f"-L{gluster.library.parent}", "-l:libglusterfs.so.0", "-pthread"]
    subprocess.run(["cc", *flags, "-o", program, source, *library], check=True)
    return program


class Harness:
    """The program, with a translator built for it."""

    def __init__(self, directory: Path) -> None:
        self._program = compile_harness(directory)
        shared_object = build.build(directory / "xlator")
        # GlusterFS puts its directory of translators before, from which this leads out.
        self._type = f"{'../' * 20}{shared_object.with_suffix('').relative_to('/')}"
        self._segments = directory / "segments"
        self._segments.mkdir()

    def command(self, fop: str, fops: int, rounds: int, threads: int) -> list[str]:
        """What to run."""
        words = [self._program, self._type, self._segments, fop, fops, rounds, threads]
        return [*map(str, words)]

    def rounds(self, fop: str, threads: int) -> dict[str, list[float]]:
        """Nanoseconds a fop of each variant in each round."""
        command = self.command(fop, FOPS_A_ROUND, ROUNDS, threads)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = defaultdict(list)
        for line in done.stdout.splitlines():
            name, nanoseconds = line.split()
            found[name].append(float(nanoseconds))
        return found

    def instructions(self, fop: str, variant: str) -> float:
        """Instructions a fop, from two runs of which one has more fops."""
        counts = []
        for fops in (10_000, 30_000):
            command = [*self.command(fop, fops, 1, 1), variant]
            tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
            done = subprocess.run([*tool, *command], check=True, capture_output=True, text=True)
            match = re.search(r"Collected : (\d+)", done.stderr)
            assert match, done.stderr
            counts.append(int(match[1]))
        return (counts[1] - counts[0]) / 20_000


def more(found: dict[str, list[float]], variant: str) -> list[float]:
    """What a fop takes more with the variant than with the empty translator, by round."""
    return [a - b for a, b in zip(found[variant], found["pass-through"])]


def times(harness: Harness) -> list[str]:
    """Print the table of times; what misses its target."""
    missed = []
    print("| fop | threads | empty translator | io-stats more | glupy more | quartiles | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for fop in FOPS:
        ours_of: dict[int, float] = {}
        for threads in THREADS:
            found = harness.rounds(fop, threads)
            empty = statistics.median(a - b for a, b in zip(found["pass-through"], found["null"]))
            stats = statistics.median(more(found, "io-stats"))
            ours = statistics.median(more(found, "glupy"))
            low, _, high = statistics.quantiles(more(found, "glupy"), n=4)
            ours_of[threads] = ours
            ratio = ours / stats
            cells = [fop, str(threads), f"{empty:.0f} ns", f"{stats:.0f} ns", f"{ours:.0f} ns"]
            cells += [f"{low:.0f} to {high:.0f} ns", f"{ratio:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
            if fop == "readv" and ratio > MOST_OF_IO_STATS:
                missed.append(f"{fop}, {threads} threads: {ratio:.2f} x io-stats")
        if ours_of[1] <= 0:
            missed.append(f"{fop}: ours counts nothing")
        if ours_of[1] > MOST_NANOSECONDS:
            missed.append(f"{fop}: {ours_of[1]:.0f} ns with one thread")
    return missed


def counts(harness: Harness) -> None:
    """Print the table of instructions."""
    print("\n| fop | empty translator | io-stats more | glupy more | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for fop in FOPS:
        null, empty, stats, ours = (harness.instructions(fop, variant) for variant in VARIANTS)
        cells = [fop, f"{empty - null:.0f}", f"{stats - empty:.0f}", f"{ours - empty:.0f}"]
        print(f"| {' | '.join(cells)} | {(ours - empty) / (stats - empty):.2f} |", flush=True)


def main() -> int:
    """Print both tables."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        harness = Harness(Path(name))
        missed = times(harness)
        if shutil.which("valgrind"):
            counts(harness)
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
