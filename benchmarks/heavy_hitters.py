"""How well the file table and its rivals find the busiest files, against exact counts.

Sends streams over a million files through the translator's own C core and, fop by fop, through
other algorithms of the literature with as many slots (``rivals.c``). For each stream and algorithm
it prints

- how many of the 20 and of the 1000 busiest files have a slot at the end; busiest is meant since
  the hot files changed last,
- by how much the worst count of those 20 is off, + if it is too high,
- in how many slots the true count is outside the bounds that the algorithm states, if it does,
- how many slots were given away,
- of 20 files that became hot, how many had a slot 30 s later, the worst time,
- of the 1000 busiest, how many had a slot before and after one fop on each of a million others.

Exits with 1 if the table misses a target.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import compile_harness

BOUNDED = ("table", "Space-Saving")
TOP = 20


class Stream(NamedTuple):
    """A stream; see heavy_hitters.c for its kinds."""

    title: str
    kind: str
    exponent: float
    fops: int = 10_000_000
    rate: int = 100_000
    """Fops a second."""
    error: float = 0.01
    """By how much a count of the table may be off; the new files do only 150 fops each."""
    half_life: int = 60
    """Seconds, of the table's scores."""


STREAMS = (
    Stream("Zipf 0.8", "plain", 0.8),
    Stream("Zipf 1.0", "plain", 1.0),
    Stream("Zipf 1.2", "plain", 1.2),
    Stream("Zipf 0.8 and a scan", "scan", 0.8),
    Stream("Zipf 1.0 and a scan", "scan", 1.0),
    Stream("Zipf 1.2 and a scan", "scan", 1.2),
    Stream("Zipf 1.0 and a scan at once", "burst", 1.0),
    Stream("Zipf 1.0, others hot every minute", "moving", 1.0, 24_000_000),
    Stream("Zipf 1.0, new files after 5.5 hours", "late", 1.0, 20_000_000, 1000, 0.05),
    Stream("Zipf 1.0, half-life of an hour", "plain", 1.0, 20_000_000, 1000, 0.01, 3600),
    Stream("uniform (there are no busiest files)", "plain", 0.0),
)


def run(program: Path, stream: Stream) -> list[dict[str, str]]:
    """What was measured of each algorithm."""
    with tempfile.TemporaryDirectory() as directory:
        words = [program, directory, stream.kind, stream.exponent, stream.fops, stream.rate]
        words.append(stream.half_life)
        done = subprocess.run([*map(str, words)], check=True, capture_output=True, text=True)
    return [dict(pair.split("=") for pair in line.split()) for line in done.stdout.splitlines()]


def missed(stream: Stream, found: dict[str, str]) -> bool:
    """Whether the table is worse on a stream than it has to be."""
    if int(found["broken"]) or int(found["hot"]) < TOP:
        return True
    if stream.exponent == 0:
        return False
    lost = int(found["after_scan"]) < int(found["before_scan"])
    return lost or int(found["top"]) < TOP or abs(float(found["error"])) > stream.error


def row(stream: Stream, found: dict[str, str]) -> str:
    """A line of the table that is printed."""
    cells = [
        stream.title,
        found["algorithm"],
        found["top"],
        found["many"],
        f"{float(found['error']):+.3%}",
        found["broken"] if found["algorithm"] in BOUNDED else "no bound",
        found["evicted"],
        found["hot"] if stream.kind in ("moving", "late") else "",
        f"{found['before_scan']}, {found['after_scan']}" if stream.kind == "burst" else "",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run every stream and print the table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    failures = []
    titles = ("stream", "algorithm", "top 20", "top 1000", "worst error", "bounds broken")
    titles += ("given away", "hot after 30 s", "before, after the scan")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as workers:
        program = compile_harness(Path(name), "heavy_hitters.c", "rivals.c")
        print(f"| {' | '.join(titles)} |")
        print(f"|{' --- |' * len(titles)}")
        for stream, algorithms in zip(STREAMS, workers.map(partial(run, program), STREAMS)):
            for found in algorithms:
                print(row(stream, found), flush=True)
            if missed(stream, algorithms[0]):
                failures.append(stream.title)
    for title in failures:
        print(f"MISSED: {title}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
