"""What a scrape of a full node costs.

``many_bricks.c`` keeps the segments of 24 bricks busy with the translator's own C core: 40 fops, 50
files and 100 clients each. An exporter serves all of them, or some by hard links, and is asked as
Prometheus asks, with gzip, one request after the other. Printed are the samples,
the size of an answer, the processor time of the exporter and the wall time a scrape, and its
resident memory at the end.

Says by how much the slowest scrapes of 24 bricks miss their goal, and exits with 1 if the exporter
takes more memory than it may.

Usage: ``python -m benchmarks.collect``
"""

from __future__ import annotations

import gzip
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import bricks

BRICKS = (6, 12, 24)
SCRAPES = 200
SETTLE_SECONDS = 10.0
LOAD = {"fops": 300, "kinds": 40, "files": 50, "clients": 100}
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


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def scrape() -> bytes:
    """A compressed answer."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    body = connection.getresponse().read()
    connection.close()
    return body


def measure(directory: Path) -> Cost:
    """The cost of scraping the segments in a directory."""
    listen = f"--web.listen-address={HOST}:{PORT}"
    words = [str(Path(sys.executable).with_name("glupy-exporter")), "serve", listen]
    words += [f"--segment.dir={directory}", "--log.level=error"]
    with subprocess.Popen(words) as exporter:
        try:
            while exporter.poll() is None:
                try:
                    body = scrape()
                    break
                except ConnectionError:
                    time.sleep(0.1)
            times = []
            before = processor_time(exporter.pid)
            for _ in range(SCRAPES):
                started = time.perf_counter()
                body = scrape()
                times.append(time.perf_counter() - started)
            spent = processor_time(exporter.pid) - before
            resident = memory(exporter.pid)
        finally:
            exporter.terminate()
    plain = gzip.decompress(body)
    samples = sum(not line.startswith(b"#") for line in plain.splitlines())
    p99 = statistics.quantiles(times, n=100)[98]
    median = statistics.median(times)
    return Cost(samples, len(plain), len(body), spent / SCRAPES, median, p99, resident)


def row(count: int, cost: Cost) -> str:
    """A line of the table that is printed."""
    cells = [
        f"{count}",
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


def main() -> int:
    """Print the table."""
    titles = ("bricks", "samples", "answer", "with gzip", "processor", "a sample", "p50", "p99")
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
                cost = measure(some)
                print(row(count, cost), flush=True)
    print(f"p99 of {BRICKS[-1]} bricks: {cost.p99 / GOAL_P99_SECONDS:.1f} times its goal")
    if cost.memory <= MOST_MEMORY:
        return 0
    print(f"MISSED: memory {cost.memory / 2**20:.0f} MiB, at most {MOST_MEMORY / 2**20:.0f}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
