"""What a fop costs more in a brick that has the translator, beside GlusterFS's own io-stats.

Real translators run in one process, each above a child that answers at once: nothing at all, an
empty one that winds and unwinds, io-stats as `gluster volume profile start` has it, and ours. In
rounds, in turn, each gets the same fops from 1, 2, 4 and 8 threads. Printed is the processor time
a fop takes more than with the empty translator: the median over the rounds, the quartiles, and its
ratio to what io-stats takes more. Then the same in instructions, counted by callgrind, if there is
one.

Reads are what io-stats keeps counters of each file for, as ours does for every fop: there ours has
to cost no more than a part of it. Of a lookup it only counts and times the fop.

Then the same for the flight recorder: as shipped, switched off, and while somebody traces all fops;
and for an earlier version of the translator, if its ``glupy.so`` is given. Then how much longer a
fop takes on the clock if the processor's caches are used up before it, as by the rest of a brick.

Exits with 1 if ours misses a target.

"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from glupy_exporter.builder import build, header

VARIANTS = ("null", "pass-through", "io-stats", "glupy")
FOPS = ("readv", "lookup")
THREADS = (1, 2, 4, 8)
ROUNDS = 21
FOPS_A_ROUND = 60_000
COLD_FOPS = 600
WARM_UP = 2000
"""Fops of each thread before each measurement; see fop_cost.c."""
MOST_NANOSECONDS = 120.0
MOST_OF_IO_STATS = 0.6
MOST_OF_BEFORE = {"readv": 1.3, "lookup": 1.4}
MOST_TRACED = 200.0


def compile_harness(directory: Path) -> Path:
    """Build the C half against the installed GlusterFS."""
    gluster = build.find()
    program = directory / "fop_cost"
    source = Path(__file__).with_suffix(".c")
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
    (directory / "layout.h").write_text(header.render(), encoding="utf-8")
    flags += [
        f"-I{directory}",
        "-Wno-cast-function-type",
        *build.defines(gluster),
        *build.includes(gluster),
    ]
    library = [f"-L{gluster.library.parent}", "-l:libglusterfs.so.0", "-pthread"]
    subprocess.run(["cc", *flags, "-o", program, source, *library], check=True)
    return program


def _type(shared_object: Path) -> str:
    """The type by which GlusterFS finds a translator that is not in its directory."""
    return f"{'../' * 20}{shared_object.absolute().with_suffix('').relative_to('/')}"


class Harness:
    """The program, with a translator built for it."""

    def __init__(self, directory: Path, before: Path | None = None) -> None:
        self._program = compile_harness(directory)
        shared_object = build.build(directory / "xlator")
        self._type = _type(shared_object)
        self._before = _type(before) if before else "-"
        self.segments = directory / "segments"
        self.segments.mkdir()

    def command(self, fop: str, fops: int, rounds: int, threads: int) -> list[str]:
        """What to run."""
        words = [self._program, self._type, self.segments, fop, fops, rounds, threads]
        return [*map(str, words), self._before]

    def rounds(self, fop: str, threads: int, fops: int = FOPS_A_ROUND) -> dict[str, list[float]]:
        """Nanoseconds a fop of each variant in each round; no threads: see fop_cost.c."""
        command = self.command(fop, fops, ROUNDS, threads)
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
    alone = {}
    print("| fop | threads | empty translator | io-stats more | glupy more | quartiles | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for fop in FOPS:
        ours_of: dict[int, float] = {}
        for threads in THREADS:
            found = harness.rounds(fop, threads)
            if threads == 1:
                alone[fop] = found
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
    return missed + recorder(alone)


def recorder(found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Print what the recorder costs with one thread; what misses its target.

    ``found`` has the rounds of each fop.
    """
    missed = []
    print(
        "\n| fop | before | recorder off | as shipped | to before | traced | more than as shipped |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for fop, rounds in found.items():
        names = ("before", "recorder-off", "glupy", "traced")
        before, off, ours, traced = (
            statistics.median(more(rounds, name)) if name in rounds else 0.0 for name in names
        )
        cells = [fop, *(f"{each:.0f} ns" for each in (before, off, ours))]
        cells += [f"{ours / before:.2f}" if before else "", f"{traced:.0f} ns"]
        print(f"| {' | '.join([*cells, f'{traced - ours:.0f} ns'])} |", flush=True)
        if before and ours / before > MOST_OF_BEFORE[fop]:
            missed.append(f"{fop}: {ours / before:.2f} x the version before")
        if traced - ours > MOST_TRACED:
            missed.append(f"{fop}: a trace takes {traced - ours:.0f} ns")
    return missed


def cold(harness: Harness) -> None:
    """Print how much longer a fop takes when other work has used up the processor's caches."""
    print("\n| fop | empty translator | io-stats more | recorder off | as shipped |")
    print("| --- | --- | --- | --- | --- |")
    for fop in FOPS:
        found = harness.rounds(fop, 0, COLD_FOPS)
        empty = statistics.median(a - b for a, b in zip(found["pass-through"], found["null"]))
        names = ("io-stats", "recorder-off", "glupy")
        cells = [empty, *(statistics.median(more(found, name)) for name in names)]
        print(f"| {fop} | {' | '.join(f'{cell:.0f} ns' for cell in cells)} |", flush=True)


def counts(harness: Harness) -> None:
    """Print the table of instructions."""
    print("\n| fop | empty translator | io-stats more | glupy more | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for fop in FOPS:
        null, empty, stats, ours = (harness.instructions(fop, variant) for variant in VARIANTS)
        cells = [fop, f"{empty - null:.0f}", f"{stats - empty:.0f}", f"{ours - empty:.0f}"]
        print(f"| {' | '.join(cells)} | {(ours - empty) / (stats - empty):.2f} |", flush=True)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "before", nargs="?", type=Path, metavar="GLUPY_SO", help="that of an earlier version"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        harness = Harness(Path(name), args.before)
        missed = times(harness)
        cold(harness)
        if shutil.which("valgrind"):
            counts(harness)
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
