"""What a cluster of a thousand bricks costs one Prometheus.

``many_bricks.c`` keeps the segments of all bricks busy with the translator's own C core: Zipf's law
over 10,000 files a replica set, 50 clients a volume, both changing by the minute. For each node an
exporter of its own listens on an address of its own (127.0.1.NODE). One Prometheus with the shipped
configuration and rules scrapes them all; then every query of the dashboards is put to it, as
Grafana would at a time range of an hour.

Everything runs on one machine, so that exporters and Prometheus compete for its processors. It
takes 4 MiB of /dev/shm a brick, 50 MB of memory an exporter, and for Prometheus what it prints.

Usage: ``python -m benchmarks.many_bricks [--nodes N] [--interval SECONDS] [--minutes N] ...``
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import bricks
from deploy.demo.panels import Question, questions
from glupy_exporter.node import discovery

ROOT = Path(__file__).resolve().parents[1]

BRICKS_A_NODE = 24
PORT = 19714
ADDRESS = f"127.0.0.1:{PORT}"
FOPS_A_SET = 60
FILES, CLIENTS = 10_000, 50  # of a set
RANGE = 3600.0
PATIENCE = 60.0
"""Seconds after which a query is given up."""
POINTS = 240.0
"""Of a graph: what Grafana asks for at most is about the width of a panel in pixels over 4."""


def get(url: str) -> str:
    """The body at ``url``."""
    with urllib.request.urlopen(url, timeout=300) as answer:
        return str(answer.read().decode())


class Refused(Exception):
    """Prometheus does not answer a query."""


def of_prometheus(path: str) -> str:
    """The body at a path of Prometheus."""
    try:
        return get(f"http://{ADDRESS}/{path}")
    except urllib.error.HTTPError as error:
        raise Refused(error.read().decode()) from error
    except OSError as error:
        raise SystemExit(f"Prometheus is gone, for lack of memory? {error}") from error


def ready(url: str) -> bool:
    """Whether a server answers there."""
    with contextlib.suppress(OSError):
        return bool(get(f"{url}/-/ready"))
    return False


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until ``condition`` holds, and end with a word about ``what`` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} took more than {seconds:.0f} s")
        time.sleep(0.2)


@contextlib.contextmanager
def program(words: list[str | Path]) -> Iterator[None]:
    """A process that is told to end afterwards."""
    with subprocess.Popen(words) as process:
        try:
            yield
        finally:
            process.terminate()


def prometheus(home: Path, hosts: list[str], interval: int) -> list[str | Path]:
    """The command of a Prometheus with the shipped configuration, put into ``home``."""
    shipped = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    shipped["global"] = {"scrape_interval": f"{interval}s", "evaluation_interval": f"{interval}s"}
    shipped["rule_files"] = [str(ROOT / "prometheus" / "rules" / "*.yml")]
    (job,) = shipped["scrape_configs"]
    del job["http_sd_configs"]
    job["file_sd_configs"] = [{"files": ["targets.json"]}]
    (home / "prometheus.yml").write_text(yaml.safe_dump(shipped))
    nodes = [discovery.Node(host, (host,), ()) for host in hosts]
    (home / "targets.json").write_bytes(
        discovery.render(discovery.groups(nodes, discovery.CLUSTER, PORT))
    )
    return [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address={ADDRESS}",
        "--log.level=error",
    ]


def ask(path: str, **parameters: str) -> Any:
    """The result of a query."""
    words = urllib.parse.urlencode(parameters)
    return json.loads(of_prometheus(f"api/v1/{path}?{words}"))["data"]["result"]


def own(*names: str) -> float:
    """The sum of metrics of Prometheus itself, whatever their labels."""
    lines = of_prometheus("metrics").splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] in names
    )


def value(expression: str) -> float:
    """The only value of a query."""
    found = ask("query", query=expression)
    return float(found[0]["value"][1]) if found else float("nan")


def measure(minutes: float) -> None:
    """Let it run and print what it took."""
    warm = minutes / 2
    time.sleep(warm * 60)
    appended, cpu = "prometheus_tsdb_head_samples_appended_total", "process_cpu_seconds_total"
    before, spent, began = own(appended), own(cpu), time.monotonic()
    missed = own("prometheus_rule_group_iterations_missed_total")
    time.sleep((minutes - warm) * 60)
    passed = time.monotonic() - began
    figures = {
        "active series": f"{own('prometheus_tsdb_head_series'):,.0f}",
        "of them scraped": f"{value('sum(scrape_samples_scraped)'):,.0f}",
        "samples a second": f"{(own(appended) - before) / passed:,.0f}",
        "resident memory of Prometheus": f"{own('process_resident_memory_bytes') / 2**30:.1f} GiB",
        "bytes of it a series": (
            f"{own('process_resident_memory_bytes') / own('prometheus_tsdb_head_series'):,.0f}"
        ),
        "processors that Prometheus takes": f"{(own(cpu) - spent) / passed:.2f}",
        "processors that all exporters take": f"{value(f'sum(rate({cpu}[{minutes:.0f}m]))'):.2f}",
        "memory of an exporter, largest": (
            f"{value('max(process_resident_memory_bytes)') / 2**20:.0f} MiB"
        ),
        "scrape, median": f"{value('quantile(0.5, scrape_duration_seconds)'):.2f} s",
        "scrape, slowest": f"{value('max(scrape_duration_seconds)'):.2f} s",
        "targets up": f"{value('sum(up)'):.0f} of {value('count(up)'):.0f}",
        "evaluation of all rules": f"{own('prometheus_rule_group_last_duration_seconds'):.1f} s",
        "evaluations missed": (
            f"{own('prometheus_rule_group_iterations_missed_total') - missed:.0f}"
        ),
    }
    for name, figure in figures.items():
        print(f"{name}: {figure}")


def busiest(label: str, metric: str) -> str:
    """A value of a label that a dashboard may be opened with."""
    (found,) = ask("query", query=f"topk(1, {metric})")
    return str(found["metric"][label])


def narrowed(question: Question, volume: str, host: str) -> str:
    """The query as it is when one comes from the dashboards above: to one volume, or one node."""
    expression = question.expression
    if question.dashboard in ("volume", "brick", "file"):
        expression = expression.replace("volume=~`.*`", f"volume=~`{volume}`")
    if question.dashboard == "brick":
        expression = expression.replace("host=~`.*`", f"host=~`{host}`")
    return expression


def time_of(expression: str, instant: bool) -> float:
    """Seconds that a query takes, once or for each point of a graph; PATIENCE without an end."""
    end = time.time()
    points = {"time": f"{end:.3f}"}
    if not instant:
        step = f"{RANGE / POINTS:.0f}"
        points = {"start": f"{end - RANGE:.3f}", "end": f"{end:.3f}", "step": step}
    started = time.perf_counter()
    try:
        ask(
            "query" if instant else "query_range",
            query=expression,
            timeout=f"{PATIENCE:.0f}s",
            **points,
        )
    except Refused:
        return PATIENCE
    return time.perf_counter() - started


def dashboards() -> None:
    """Print how long the queries of each dashboard take, one after the other."""
    files = "cluster_volume_gfid_path_type:glupy_file_fops:rate5m"
    clients = "cluster_volume_client_kind:glupy_client_fops:rate5m"
    choice = {"file": busiest("gfid", files), "client": busiest("client", clients)}
    volume, host = busiest("volume", files), busiest("host", "glupy_brick_up")
    chosen = {
        "volume": "one volume",
        "brick": "one volume on one node",
        "file": "one file",
        "client": "one client",
    }
    times: dict[tuple[str, str], dict[str, float]] = {}
    for question in questions(choice):
        one = any(each in question.expression for each in ("gfid=~`", "client=~`10"))
        wide = question.dashboard == "client" and not one
        if not wide:
            expression = narrowed(question, volume, host)
            key = (question.dashboard, chosen.get(question.dashboard, "all"))
            times.setdefault(key, {})[f"{question.panel}: {expression}"] = time_of(
                expression, question.instant
            )
        if question.dashboard in ("volume", "brick"):
            key = (question.dashboard, "all")
            times.setdefault(key, {})[f"{question.panel}: {question.expression}"] = time_of(
                question.expression, question.instant
            )
    print("| dashboard | chosen | queries | all of them | median | slowest | which |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (dashboard, what), found in times.items():
        slowest = max(found, key=lambda text: found[text])
        cells = [
            f"{len(found)}",
            f"{sum(found.values()):.1f} s",
            f"{statistics.median(found.values()):.2f} s",
            f"{'given up' if found[slowest] == PATIENCE else f'{found[slowest]:.2f} s'}",
            slowest.partition(":")[0],
        ]
        print(f"| {dashboard} | {what} | {' | '.join(cells)} |")


def main() -> None:
    """Build it up, measure, and take it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=42, help="of 24 bricks each; a multiple of 3")
    parser.add_argument("--fops", type=int, default=35, help="how many different ones are used")
    parser.add_argument("--files", type=int, default=50, help="--collector.files.limit")
    parser.add_argument("--clients", type=int, default=100, help="--collector.clients.limit")
    parser.add_argument("--interval", type=int, default=60, help="seconds between scrapes")
    parser.add_argument("--minutes", type=int, default=12, help="how long to run")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    nodes = args.nodes // 3 * 3
    hosts = [f"127.0.1.{node + 1}" for node in range(nodes)]
    exporter = str(Path(sys.executable).with_name("glupy-exporter"))
    with contextlib.ExitStack() as stack:
        segments = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        load = {"fops": FOPS_A_SET, "kinds": args.fops, "files": FILES, "clients": CLIENTS}
        stack.enter_context(bricks(segments, nodes, **load))
        for node, host in enumerate(hosts):
            flags = {
                "segment.dir": segments / str(node),
                "web.listen-address": f"{host}:{PORT}",
                "collector.files.limit": args.files,
                "collector.clients.limit": args.clients,
                "log.level": "error",
            }
            words = [f"--{flag}={value}" for flag, value in flags.items()]
            stack.enter_context(program([exporter, "serve", *words]))
        for host in hosts:
            wait_for(functools.partial(ready, f"http://{host}:{PORT}"), f"the exporter on {host}")
        stack.enter_context(program(prometheus(home, hosts, args.interval)))
        wait_for(lambda: ready(f"http://{ADDRESS}"), "Prometheus")
        print(
            f"{nodes * BRICKS_A_NODE} bricks on {nodes} nodes, {args.fops} fops, limits of "
            f"{args.files} files and {args.clients} clients, a scrape every {args.interval} s",
            flush=True,
        )
        measure(args.minutes)
        dashboards()


if __name__ == "__main__":
    main()
