"""What a scrape of a full node costs.

``many_bricks.c`` keeps the segments of 24 bricks busy with the translator's own C core: 40 fops, 50
files and 100 clients each. An exporter serves all of them, or some by hard links, and is asked as
Prometheus asks, with gzip, one request after the other, in turn for OpenMetrics and for protobuf.
Printed are the samples of the text, the size of an answer, the processor time of the exporter and
the wall time a scrape, and its resident memory at the end.

Says by how much the slowest scrapes of 24 bricks miss their goal, and what protobuf costs beside
text. Exits with 1 if the exporter takes more memory than it may.

With ``--beside CHECKOUT`` the exporter of another commit is compared with this one. Each has 24
bricks with full tables, kept busy in the same way by the C core of its own commit, and is scraped
in turn with the other. Printed are the processor time, the wall time and the memory of both, and
the ratios.

Usage: ``python -m benchmarks.collect [--beside CHECKOUT]``
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import bricks

BRICKS = (6, 12, 24)
FORMATS = {
    "text": "application/openmetrics-text;version=1.0.0",
    "protobuf": "application/vnd.google.protobuf;"
    "proto=io.prometheus.client.MetricFamily;encoding=delimited",
}
SCRAPES = 200
IN_TURN = 20
"""Scrapes of one format, until it is the other's turn."""
SETTLE_SECONDS = 10.0
LOAD = {"fops": 300, "kinds": 40, "files": 50, "clients": 100}
FULL = {"fops": 60, "kinds": 35, "files": 10_000, "clients": 50}
ROUNDS, PAUSE = 200, 1.0
FILL_SECONDS = 30.0
HOST, PORT = "127.0.0.1", 19715
GOAL_P99_SECONDS = 0.1
MOST_MEMORY = 64 * 2**20
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Of scrapes; sizes in bytes, times in seconds."""

    samples: int
    plain: int
    compressed: int
    processor: float
    median: float
    p99: float
    memory: int


def processor_time(pid: int) -> float:
    """Seconds that a process has run."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int, which: str = "VmRSS") -> int:
    """Resident bytes of a process; the most that there were with ``VmHWM``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{which}:"))


def scrape(which: str, port: int = PORT) -> bytes:
    """A compressed answer in one of the formats."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    headers = {"Accept": FORMATS[which], "Accept-Encoding": "gzip"}
    connection.request("GET", "/metrics", headers=headers)
    body = connection.getresponse().read()
    connection.close()
    return body


def measure(directory: Path) -> dict[str, Cost]:
    """The cost of scraping the segments in a directory, by format."""
    listen = f"--web.listen-address={HOST}:{PORT}"
    words = [str(Path(sys.executable).with_name("glupy-exporter")), "serve", listen]
    words += [f"--segment.dir={directory}", "--log.level=error"]
    with subprocess.Popen(words) as exporter:
        try:
            while exporter.poll() is None:
                try:
                    bodies = {which: scrape(which) for which in FORMATS}
                    break
                except ConnectionError:
                    time.sleep(0.1)
            times: dict[str, list[float]] = {which: [] for which in FORMATS}
            spent = dict.fromkeys(FORMATS, 0.0)
            for _ in range(SCRAPES // IN_TURN):
                for which in FORMATS:
                    before = processor_time(exporter.pid)
                    for _ in range(IN_TURN):
                        started = time.perf_counter()
                        bodies[which] = scrape(which)
                        times[which].append(time.perf_counter() - started)
                    spent[which] += processor_time(exporter.pid) - before
            resident = memory(exporter.pid)
        finally:
            exporter.terminate()
    plain = {which: gzip.decompress(body) for which, body in bodies.items()}
    samples = sum(not line.startswith(b"#") for line in plain["text"].splitlines())
    return {
        which: Cost(
            samples,
            len(plain[which]),
            len(bodies[which]),
            spent[which] / SCRAPES,
            statistics.median(times[which]),
            statistics.quantiles(times[which], n=100)[98],
            resident,
        )
        for which in FORMATS
    }


def row(count: int, which: str, cost: Cost) -> str:
    """A line of the table that is printed."""
    cells = [
        f"{count}",
        which,
        f"{cost.samples:,}",
        f"{cost.plain / 2**20:.1f} MiB",
        f"{cost.compressed / 1024:.0f} KiB",
        f"{cost.processor * 1e3:.0f} ms",
        f"{cost.processor / cost.samples * 1e6:.2f} us",
        f"{cost.median * 1e3:.0f} ms",
        f"{cost.p99 * 1e3:.0f} ms",
        f"{cost.memory / 2**20:.0f} MiB",
    ]
    return f"| {' | '.join(cells)} |"


_BRICKS = """
import sys
from pathlib import Path
sys.path[:0] = [".", "benchmarks"]  # as earlier commits had it
try:
    from benchmarks.harness import bricks
except ImportError:
    from harness import bricks
with bricks(Path(sys.argv[1]), 3, **{load}):
    print("up", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def busy(checkout: Path, directory: Path) -> Iterator[None]:
    """The bricks of a checkout, kept busy by its own C core."""
    words = [sys.executable, "-c", _BRICKS.replace("{load}", repr(FULL)), str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=checkout, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != "up\n":
                raise SystemExit(f"the bricks of {checkout} do not start")
            yield
        finally:
            process.communicate()  # the bricks end with their input, and say how much they did


@contextlib.contextmanager
def serving(checkout: Path, directory: Path, port: int) -> Iterator[int]:
    """The exporter of a checkout; its process id."""
    words = [sys.executable, "-m", "glupy_exporter.cli", "serve", "--log.level=error"]
    words += [f"--web.listen-address={HOST}:{port}", f"--segment.dir={directory}"]
    with subprocess.Popen(words, cwd=checkout, env={**os.environ, "PYTHONPATH": "."}) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    socket.create_connection((HOST, port)).close()
                    break
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()


def compare(other: Path) -> None:
    """Print what the exporters of two checkouts cost."""
    checkouts = {"other": other, "this": Path(__file__).resolve().parents[1]}
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        for name, checkout in checkouts.items():
            (home / name).mkdir()
            stack.enter_context(busy(checkout, home / name))
        time.sleep(FILL_SECONDS)
        pids, first = {}, {}
        for port, (name, checkout) in enumerate(checkouts.items(), PORT):
            pids[name] = stack.enter_context(serving(checkout, home / name / "0", port))
            began = time.perf_counter()
            scrape("text", port)
            first[name] = time.perf_counter() - began
        idle = {name: processor_time(pid) for name, pid in pids.items()}
        walls: dict[str, list[float]] = {name: [] for name in checkouts}
        bodies = {}
        for _ in range(ROUNDS):
            time.sleep(PAUSE)
            for port, name in enumerate(checkouts, PORT):
                began = time.perf_counter()
                bodies[name] = scrape("text", port)
                walls[name].append(time.perf_counter() - began)
        spent = {name: (processor_time(pid) - idle[name]) / ROUNDS for name, pid in pids.items()}
        most = {name: memory(pid, "VmHWM") / 2**20 for name, pid in pids.items()}
    p99 = {name: statistics.quantiles(each, n=100)[98] for name, each in walls.items()}
    median = {name: statistics.median(each) for name, each in walls.items()}
    print("| | other | this | this to other |\n| --- | --- | --- | --- |")
    for what, found in (
        ("processor time of a scrape, s", spent),
        ("median", median),
        ("p99", p99),
        ("first scrape", first),
        ("first to median", {name: first[name] / median[name] for name in first}),
        ("most memory, MiB", most),
        ("answer, KiB", {name: len(gzip.decompress(b)) / 1024 for name, b in bodies.items()}),
    ):
        ratio = found["this"] / found["other"]
        print(f"| {what} | {found['other']:.3f} | {found['this']:.3f} | {ratio:.2f} |", flush=True)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--beside", type=Path, help="a checkout of another commit")
    args = parser.parse_args()
    if args.beside:
        compare(args.beside)
        return 0
    titles = (
        "bricks",
        "format",
        "samples",
        "answer",
        "with gzip",
        "processor",
        "a sample",
        "p50",
        "p99",
    )
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        directory = Path(name)
        with bricks(directory, 3, **LOAD):
            time.sleep(SETTLE_SECONDS)  # until all files and clients have been at work
            print(f"| {' | '.join(titles)} | memory |")
            print(f"|{' --- |' * (len(titles) + 1)}")
            for count in BRICKS:
                some = directory / f"some-{count}"
                some.mkdir()
                for segment in sorted((directory / "0").glob("*.seg"))[:count]:
                    os.link(segment, some / segment.name)
                costs = measure(some)
                for which, cost in costs.items():
                    print(row(count, which, cost), flush=True)
    cost, protobuf = costs["text"], costs["protobuf"]
    processor, size = protobuf.processor / cost.processor, protobuf.plain / cost.plain
    print(f"protobuf to text: {processor:.2f} times the processor time, {size:.2f} times the bytes")
    print(f"p99 of {BRICKS[-1]} bricks: {cost.p99 / GOAL_P99_SECONDS:.1f} times its goal")
    if cost.memory <= MOST_MEMORY:
        return 0
    print(f"MISSED: memory {cost.memory / 2**20:.0f} MiB, at most {MOST_MEMORY / 2**20:.0f}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
