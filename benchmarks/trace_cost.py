"""What a trace of everything costs a brick that does 100,000 fops a second.

A real translator, above a child that answers at once, gets that many reads from two threads, in
rounds: without a tracer, and while ``glupy-exporter trace --json`` reads all of them. Printed are
the processor time of a fop and its latency, medians over the rounds, and how many records the
tracer had and lost. A tracer that is too slow loses records; no fop may wait for it.

Exits with 1 if a traced fop takes 200 ns more, or if a fop is neither traced nor counted as lost.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.fop_cost import MOST_TRACED, WARM_UP, Harness
from glupy_exporter.schema import layout
from glupy_exporter.segment import reader
from tests.support.exporters import COMMAND
from tests.support.gluster.volumes import wait_for

RATE, THREADS = 100_000, 2
FOPS_A_ROUND = 200_000
ROUNDS = 7


class Round(NamedTuple):
    """Nanoseconds: processor time of a fop, and percentiles of the latency."""

    cost: float
    p50: float
    p99: float
    p999: float
    longest: float


class Traced(NamedTuple):
    """Records of a round."""

    had: int
    lost: int


def traced_round(path: Path, work: Callable[[], Round]) -> tuple[Round, Traced]:
    """A round during which a process traces everything."""

    def active() -> bool:
        with reader.Segment(path) as segment:
            return any(bytes(segment.elements("control"))[: layout.TRACERS])

    with reader.Segment(path) as segment:
        volume = segment.brick().volume
    flags = [f"--segment.dir={path.parent}", "--json", "--summary"]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([*COMMAND, "trace", volume, *flags], stdout=pipe) as process,
        subprocess.Popen(["tail", "-n1"], stdin=process.stdout, stdout=pipe) as last,
    ):
        wait_for(active, "the trace to begin")
        found = work()
        process.send_signal(signal.SIGINT)
        summary = json.loads(last.communicate(timeout=120)[0])
    wait_for(lambda: not active(), "the trace to end")
    return found, Traced(summary["traced"], summary["lost"])


def rounds(directory: Path) -> tuple[list[Round], list[Round], list[Traced]]:
    """The rounds without and with a tracer, and what the tracer had."""
    harness = Harness(directory)
    words = harness.command("readv", FOPS_A_ROUND // THREADS, 1, THREADS)
    pipe = subprocess.PIPE
    without, traced, records = [], [], []
    with subprocess.Popen(
        [*words, "glupy", str(RATE)], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdin and process.stdout
        stdin, stdout = process.stdin, process.stdout
        if stdout.readline() != "ready\n":
            raise SystemExit("the translators do not start")
        (path,) = reader.scan(harness.segments / "glupy")

        def work() -> Round:
            stdin.write("\n")
            stdin.flush()
            return Round(*map(float, stdout.readline().split()))

        work()  # to warm up
        for _ in range(ROUNDS):
            without.append(work())
            found, had = traced_round(path, work)
            traced.append(found)
            records.append(had)
        stdin.close()
    return without, traced, records


def main() -> int:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        without, traced, records = rounds(Path(name))
    print("| | processor time | median latency | 99 % | 99.9 % | longest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for what, found in (("not traced", without), ("traced", traced)):
        medians = [statistics.median(column) for column in zip(*found)]
        print(f"| {what} | {' | '.join(f'{each:.0f} ns' for each in medians)} |")
    had, lost = (sum(column) for column in zip(*records))
    print(f"\nfops: {had + lost}; traced: {had}; lost: {lost}")
    missed = []
    more = statistics.median(b.cost - a.cost for a, b in zip(without, traced))
    if more > MOST_TRACED:
        missed.append(f"a trace takes {more:.0f} ns")
    done = FOPS_A_ROUND + THREADS * WARM_UP
    missed += [f"{each} of {done} fops" for each in records if sum(each) != done]
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
