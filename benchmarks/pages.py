"""How long the pages of the dashboards take, for an hour and for a day.

``history.py`` makes the day of a small cluster in which 240 files an hour and brick become busy and
are gone again. Then all queries of each page, its selectors' included, are put to Prometheus as a
browser does, six at a time. An hour has to be there in 5 seconds, a day in 10.

Usage: ``python -m benchmarks.pages [--interval SECONDS]``; takes ten minutes and 500 MB.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import history
from deploy.demo.panels import DASHBOARDS, expanded, questions

LIMITS = {3600: 5.0, 86400: 10.0}
"""Seconds that a page may take, by its time range in seconds."""
POINTS = 480
"""Of a graph: half of a page of 980 pixels."""
AT_ONCE = 6
RATE = "$rate"

Request = tuple[str, dict[str, str]]


class Pages:
    """The pages as a Prometheus at ``url`` answers them, for a time range that ends now."""

    def __init__(self, url: str, seconds: int, interval: int) -> None:
        self.url, self.seconds = url, seconds
        self.end = int(time.time())
        self.interval = interval

    def get(self, request: Request) -> Any:
        """The answer to a request, and its data."""
        path, words = request
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=300) as answer:
            return json.load(answer)["data"]

    def took(self, request: Request) -> float:
        """Seconds until the answer to a request was there."""
        started = time.perf_counter()
        self.get(request)
        return time.perf_counter() - started

    def instant(self, expression: str) -> Request:
        """A query for a table or a number."""
        return "query", {"query": expression, "time": f"{self.end}"}

    def span(self) -> dict[str, str]:
        """The time range."""
        return {"start": f"{self.end - self.seconds}", "end": f"{self.end}"}

    def busiest(self, label: str, metric: str) -> str:
        """A value of a label that a page may be opened with."""
        (found,) = self.get(self.instant(f"topk(1, {metric})"))["result"]
        return str(found["metric"][label])

    def requests(self) -> dict[tuple[str, str], list[Request]]:
        """Those of each page, by a panel's or a selector's name."""
        files = "cluster_volume_gfid_path_type:glupy_file_fops:rate5m"
        clients = "cluster_volume_client_kind:glupy_client_fops:rate5m"
        chosen = {
            "file": self.busiest("gfid", files),
            "client": self.busiest("client", clients),
        }
        found = defaultdict(list)
        for asked in questions(chosen, f"{self.seconds}s", RATE):
            step = max(self.seconds // (asked.points or POINTS), self.interval)
            rate = max(step + self.interval, 4 * self.interval)
            expression = asked.expression.replace(RATE, f"{rate}s")
            words = {"query": expression, "step": f"{step}", **self.span()}
            request = self.instant(expression) if asked.instant else ("query_range", words)
            found[asked.dashboard, asked.panel].append(request)
        for file in DASHBOARDS.glob("*.json"):
            for variable in json.loads(file.read_text(encoding="utf-8"))["templating"]["list"]:
                if variable["type"] == "query":
                    found[file.stem, variable["name"]].append(self.of_selector(variable))
        return found

    def of_selector(self, variable: dict[str, Any]) -> Request:
        """What a selector asks for."""
        names = re.findall(r"\$\{(\w+):", variable["query"]["query"])
        query = expanded(variable["query"]["query"], dict.fromkeys(names, ".*"))
        if values := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
            return f"label/{values[2]}/values", {"match[]": values[1], **self.span()}
        return self.instant(query.removeprefix("query_result(").removesuffix(")"))

    def measure(self) -> list[tuple[str, int, float, float, str]]:
        """Of each page how many queries it has, what all and the slowest took, and which it is."""
        requests = self.requests()
        rows = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for page in sorted({page for page, _ in requests}):
                named = [
                    (title, request)
                    for (of, title), several in requests.items()
                    for request in several
                    if of == page
                ]
                started = time.perf_counter()
                times = list(pool.map(self.took, (request for _, request in named)))
                passed = time.perf_counter() - started
                slowest = max(range(len(times)), key=times.__getitem__)
                rows.append((page, len(times), passed, times[slowest], named[slowest][0]))
        return rows


def main() -> int:
    """Measure, and return 1 if a page takes too long."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--interval", type=int, default=60, help="seconds between scrapes")
    parser.add_argument("--port", type=int, default=19090, help="for a Prometheus on the loopback")
    parser.add_argument("--history", type=Path, help="one that history.make() made")
    args = parser.parse_args()
    late = 0
    with tempfile.TemporaryDirectory() as scratch:
        home = args.history or Path(scratch)
        if not args.history:
            history.make(home, 86400 + 3600, 3600, args.port, args.interval)
        with history.prometheus(home, args.port) as url:
            print("| page | range | queries | all, six at a time | slowest | which |")
            print("| --- | --- | --- | --- | --- | --- |")
            for seconds, limit in LIMITS.items():
                for page, number, passed, slowest, title in Pages(
                    url, seconds, args.interval
                ).measure():
                    late += passed > limit
                    print(
                        f"| {page} | {seconds // 3600} h | {number} | {passed:.1f} s |"
                        f" {slowest:.2f} s | {title} |",
                        flush=True,
                    )
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
