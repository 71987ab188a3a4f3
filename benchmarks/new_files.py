"""What a fop on a file that has a slot costs beside a thread that makes new files.

Threads that count different files have to meet nowhere in memory: what the one writes must not lie
on a cache line that the other reads for each fop. In rounds one thread does fops on a few files
that have slots, beside a thread that only computes and then beside one that does each fop on a
file of its own; see ``new_files.c``. Printed is the processor time of one of its fops, the medians
of both, and of the ratio of a round the median and the quartiles.

Needs two processors. Exits with 1 if the ratio misses the target.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import compile_harness

ROUNDS = 101
FOPS_A_ROUND = 200_000
MOST_RATIO = 1.25


def main() -> int:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        program = compile_harness(Path(name), "new_files.c")
        command = [program, name, str(ROUNDS), str(FOPS_A_ROUND)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    rounds = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    computing, new_files = (statistics.median(times) for times in zip(*rounds))
    low, ratio, high = statistics.quantiles((b / a for a, b in rounds), n=4)
    print("| beside a thread that computes | that makes new files | ratio | quartiles |")
    print("| --- | --- | --- | --- |")
    print(f"| {computing:.1f} ns | {new_files:.1f} ns | {ratio:.2f} | {low:.2f} to {high:.2f} |")
    if ratio > MOST_RATIO:
        print(f"MISSED: {ratio:.2f}")
    return 1 if ratio > MOST_RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
