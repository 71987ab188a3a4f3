"""What a cluster of a thousand bricks costs one Prometheus.

``many_bricks.c`` keeps the segments of all bricks busy with the translator's own C core: Zipf's law
over 10,000 files a replica set, 50 clients a volume, both changing by the minute. For each node an
exporter of its own listens on an address of its own (127.0.1.NODE). One Prometheus with the shipped
configuration and rules scrapes them all; then every query of the dashboards is put to it, as
Grafana would at a time range of an hour.

With ``--churn FILES`` each set also gets that many new files a second, each created, written once,
read once and deleted; one in 50 waits for a minute or two before, as mail in a spool. The load that
lasts has 20 files that are far busier than the others. Every five minutes a line says how many
series Prometheus has in memory for a brick, and how many of those 20 files are the 20 busiest of
the last five minutes by what it knows: the mean and the least over the bricks.

With ``--store victoriametrics`` that Prometheus then writes all to a VictoriaMetrics for as many
minutes, and the same queries are put to it.

Everything runs on one machine, so that exporters and stores compete for its processors. It takes
4 MiB of /dev/shm a brick, 50 MB of memory an exporter, and for the stores what it prints.

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

PORT = 19714
FOPS_A_SET = 60
FILES, CLIENTS = 10_000, 50  # of a set
LASTING, BUSY = 100, 20
"""With churn: files of a set that last, and those of them that are far busier (many_bricks.c)."""
LOOK_EVERY = 300.0
RANGE = 3600.0
PATIENCE = 60.0
"""Seconds after which a query is given up."""
POINTS = 240.0
"""Of a graph: what Grafana asks for at most is about the width of a panel in pixels over 4."""
COSTLY = 10
"""Rules whose times are printed."""


def get(url: str) -> str:
    """The body at ``url``."""
    with urllib.request.urlopen(url, timeout=300) as answer:
        return str(answer.read().decode())


class Refused(Exception):
    """A store does not answer a query."""


class Store:
    """A Prometheus, or a VictoriaMetrics, at an address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str) -> str:
        """The body at a path."""
        try:
            return get(f"http://{self.address}/{path}")
        except urllib.error.HTTPError as error:
            raise Refused(error.read().decode()) from error
        except OSError as error:
            raise SystemExit(f"the store is gone, for lack of memory? {error}") from error

    def ask(self, path: str, **parameters: str) -> Any:
        """The result of a query."""
        words = urllib.parse.urlencode(parameters)
        return json.loads(self.get(f"api/v1/{path}?{words}"))["data"]["result"]

    def value(self, expression: str) -> float:
        """The only value of a query."""
        found = self.ask("query", query=expression)
        return float(found[0]["value"][1]) if found else float("nan")

    def own(self, *names: str) -> float:
        """The sum of metrics of the store itself, whatever their labels."""
        lines = [line for line in self.get("metrics").splitlines() if not line.startswith("#")]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] in names
        )

    def head_series(self) -> float:
        """Series that a Prometheus has in memory."""
        return float(json.loads(self.get("api/v1/status/tsdb"))["data"]["headStats"]["numSeries"])


def ready(url: str, path: str = "-/ready") -> bool:
    """Whether a server answers there."""
    with contextlib.suppress(OSError):
        return bool(get(f"{url}/{path}"))
    return False


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until ``condition`` holds, and end with a word about ``what`` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} took more than {seconds:.0f} s")
        time.sleep(0.2)


@contextlib.contextmanager
def program(words: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told to end afterwards."""
    with subprocess.Popen(words) as process:
        try:
            yield process
        finally:
            process.terminate()


def prometheus(home: Path, hosts: list[str], interval: int, port: int) -> list[str | Path]:
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
        discovery.render(discovery.groups(nodes, discovery.CLUSTER, port))
    )
    return [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]


def measure(store: Store, minutes: float, bricks_in_all: int) -> dict[str, str]:
    """Let it run; what it took, by name."""
    warm = minutes / 2
    time.sleep(warm * 60)
    appended, cpu = "prometheus_tsdb_head_samples_appended_total", "process_cpu_seconds_total"
    before, spent, began = store.own(appended), store.own(cpu), time.monotonic()
    missed = store.own("prometheus_rule_group_iterations_missed_total")
    time.sleep((minutes - warm) * 60)
    passed = time.monotonic() - began
    series, scraped = store.head_series(), store.value("sum(scrape_samples_scraped)")
    memory = store.own("process_resident_memory_bytes")
    return {
        "series scraped": f"{scraped:,.0f}",
        "series scraped, of a brick": f"{scraped / bricks_in_all:,.0f}",
        "active series": f"{series:,.0f}",
        "active series, of a brick": f"{series / bricks_in_all:,.0f}",
        "samples a second": f"{(store.own(appended) - before) / passed:,.0f}",
        "memory of Prometheus": f"{memory / 2**30:.1f} GiB",
        "of an active series": f"{memory / series / 1024:.1f} KiB",
        "processors: Prometheus": f"{(store.own(cpu) - spent) / passed:.2f}",
        "processors: all exporters": f"{store.value(f'sum(rate({cpu}[{minutes:.0f}m]))'):.2f}",
        "memory of an exporter, largest": (
            f"{store.value('max(process_resident_memory_bytes)') / 2**20:.0f} MiB"
        ),
        "a scrape, median": f"{store.value('quantile(0.5, scrape_duration_seconds)'):.2f} s",
        "a scrape, slowest": f"{store.value('max(scrape_duration_seconds)'):.2f} s",
        "targets up": f"{store.value('sum(up)'):.0f} of {store.value('count(up)'):.0f}",
        "one evaluation of all rules": (
            f"{store.own('prometheus_rule_group_last_duration_seconds'):.1f} s"
        ),
        "evaluations missed": (
            f"{store.own('prometheus_rule_group_iterations_missed_total') - missed:.0f}"
        ),
    }


def costly(store: Store) -> None:
    """Print what the rules that take longest take, and each group."""
    groups = json.loads(store.get("api/v1/rules"))["data"]["groups"]
    print("| rule | seconds |\n| --- | --- |")
    for group in groups:
        print(f"| group {group['name']} | {group['evaluationTime']:.2f} |")
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in sorted(rules, key=lambda rule: -rule["evaluationTime"])[:COSTLY]:
        kind = rule.get("labels", {}).get("kind", "")
        print(f"| {rule['name']} {kind} | {rule['evaluationTime']:.2f} |", flush=True)


def table(figures: dict[str, str]) -> None:
    """Print figures by name."""
    print("| | |\n| --- | --- |")
    for name, figure in figures.items():
        print(f"| {name} | {figure} |", flush=True)


def recalls(store: Store) -> list[int]:
    """How many of each brick's 20 busiest files are among the 20 busiest that Prometheus knows."""
    work = "sum by (host, brick, path) (increase(glupy_file_fops_total[5m]))"
    found: dict[tuple[str, str], int] = {}
    for each in store.ask("query", query="glupy_brick_up"):
        found[each["metric"]["host"], each["metric"]["brick"]] = 0
    for each in store.ask("query", query=f"topk by (host, brick) ({BUSY}, {work} > 0)"):
        labels = each["metric"]
        name = labels["path"].rpartition("/data-")[2].removesuffix(".bin")
        if name.isdigit() and int(name) % 2**32 < BUSY:
            found[labels["host"], labels["brick"]] += 1
    return [*found.values()]


def watch(store: Store, minutes: float, bricks_in_all: int) -> None:
    """Print, again and again, how many series a brick has, and how many busy files are known."""
    names = (
        *("minutes", "scraped, of a brick", "in memory, of a brick", "recall, mean and least"),
        *("fops a second without series: flash", "rank", "budget", "memory of Prometheus"),
    )
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}", flush=True)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < minutes * 60:
        time.sleep(min(LOOK_EVERY, minutes * 60 - passed))
        known = recalls(store)
        unexported = 'sum(rate(glupy_file_unexported_fops_total{{reason="{}"}}[5m]))'
        cells = [
            f"{(time.monotonic() - began) / 60:.0f}",
            f"{store.value('sum(scrape_samples_scraped)') / bricks_in_all:,.0f}",
            f"{store.head_series() / bricks_in_all:,.0f}",
            f"{statistics.mean(known):.2f}, {min(known)}",
            *(
                f"{store.value(unexported.format(reason)) / bricks_in_all:.1f}"
                for reason in ("flash", "rank", "budget")
            ),
            f"{store.own('process_resident_memory_bytes') / 2**30:.2f} GiB",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def busiest(store: Store, label: str, metric: str) -> str:
    """A value of a label that a dashboard may be opened with."""
    (found,) = store.ask("query", query=f"topk(1, {metric})")
    return str(found["metric"][label])


def time_of(store: Store, question: Question) -> float:
    """Seconds that a panel's query takes, once or for each point; PATIENCE without an end."""
    instant = question.instant
    end = time.time()
    points = {"time": f"{end:.3f}"}
    if not instant:
        step = f"{RANGE / (question.points or POINTS):.0f}"
        points = {"start": f"{end - RANGE:.3f}", "end": f"{end:.3f}", "step": step}
    started = time.perf_counter()
    try:
        store.ask(
            "query" if instant else "query_range",
            query=question.expression,
            timeout=f"{PATIENCE:.0f}s",
            **points,
        )
    except Refused:
        return PATIENCE
    return time.perf_counter() - started


CHOSEN = {"volume": "one volume", "brick": "one volume on one node", "file": "one file"}
"""Pages to which one comes from others, narrowed."""


def dashboards(store: Store) -> dict[str, str]:
    """Print how long the queries of each dashboard take, one after the other; the slowest ones."""
    files = "cluster_volume_gfid_path_type:glupy_file_fops:rate5m"
    clients = "cluster_volume_client_kind:glupy_client_fops:rate5m"
    one = {
        "file": busiest(store, "gfid", files),
        "client": busiest(store, "client", clients),
    }
    narrow = {
        "volume": busiest(store, "volume", files),
        "host": busiest(store, "host", "glupy_brick_up"),
    }
    times: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for question in questions(one | narrow):
        if what := CHOSEN.get(question.dashboard):
            found = times.setdefault((question.dashboard, what), [])
            found.append((time_of(store, question), question.panel))
    for question in questions(one):
        if question.dashboard != "file":
            what = "one client" if question.dashboard == "client" else "all"
            found = times.setdefault((question.dashboard, what), [])
            found.append((time_of(store, question), question.panel))
    print("| dashboard | chosen | queries | all of them | median | slowest | which |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    slow: dict[str, str] = {}
    for (dashboard, what), found in sorted(times.items()):
        slowest, panel = max(found)
        cells = [
            f"{len(found)}",
            f"{sum(seconds for seconds, _ in found):.1f} s",
            f"{statistics.median(seconds for seconds, _ in found):.2f} s",
            "given up" if slowest == PATIENCE else f"{slowest:.2f} s",
            panel,
        ]
        print(f"| {dashboard} | {what} | {' | '.join(cells)} |", flush=True)
        slow[f"dashboard {dashboard}, {what}: all, slowest"] = f"{cells[1]}, {cells[3]}"
    return slow


def written(
    home: Path, source: Store, process: subprocess.Popen[bytes], target: Store, minutes: float
) -> dict[str, str]:
    """Have the Prometheus of a process write to a VictoriaMetrics for so long; what that took."""
    path = home / "prometheus.yml"
    url = f"http://{target.address}/api/v1/write"
    path.write_text(
        yaml.safe_dump({**yaml.safe_load(path.read_text()), "remote_write": [{"url": url}]})
    )
    process.send_signal(signal.SIGHUP)
    time.sleep(minutes * 30)
    cpu, rows = "process_cpu_seconds_total", "vm_rows_inserted_total"
    before = [target.own(cpu), target.own(rows), source.own(cpu)]
    began = time.monotonic()
    time.sleep(minutes * 30)
    passed = time.monotonic() - began
    after = [target.own(cpu), target.own(rows), source.own(cpu)]
    spent, inserted, sending = ((new - old) / passed for old, new in zip(before, after))
    memory = "process_resident_memory_bytes"
    failed, waiting = (
        f"prometheus_remote_storage_samples_{what}" for what in ("failed_total", "pending")
    )
    return {
        "samples a second": f"{inserted:,.0f}",
        "memory of VictoriaMetrics": f"{target.own(memory) / 2**30:.1f} GiB",
        "on its disk": f"{target.own('vm_data_size_bytes') / 2**20:,.0f} MiB",
        "processors: VictoriaMetrics": f"{spent:.2f}",
        "processors: Prometheus, which also writes": f"{sending:.2f}",
        "memory of Prometheus, which also writes": f"{source.own(memory) / 2**30:.1f} GiB",
        "samples lost": f"{source.own(failed):,.0f}",
        "samples waiting": f"{source.own(waiting):,.0f}",
    }


def main() -> None:
    """Build it up, measure, and take it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=42, help="a multiple of 3")
    parser.add_argument("--bricks", type=int, default=24, help="of a node")
    parser.add_argument("--churn", type=int, default=0, help="new files a second, on each brick")
    parser.add_argument("--fops", type=int, default=35, help="how many different ones are used")
    parser.add_argument("--flag", action="append", default=[], help="of exporters, such as --a=b")
    parser.add_argument("--interval", type=int, default=60, help="seconds between scrapes")
    parser.add_argument("--minutes", type=float, default=12, help="how long to run")
    parser.add_argument("--port", type=int, default=PORT, help="of exporters and Prometheus")
    parser.add_argument(
        "--store", choices=["victoriametrics"], help="also measure this one, for as many minutes"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    nodes = args.nodes // 3 * 3
    hosts = [f"127.0.1.{node + 1}" for node in range(nodes)]
    exporter = str(Path(sys.executable).with_name("glupy-exporter"))
    with contextlib.ExitStack() as stack:
        segments = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        load = {"fops": FOPS_A_SET, "kinds": args.fops, "clients": CLIENTS, "sets": args.bricks}
        load |= {"files": LASTING if args.churn else FILES, "churn": args.churn}
        stack.enter_context(bricks(segments, nodes, **load))
        for node, host in enumerate(hosts):
            flags = {
                "segment.dir": segments / str(node),
                "web.listen-address": f"{host}:{args.port}",
                "log.level": "error",
            }
            words = [*(f"--{flag}={value}" for flag, value in flags.items()), *args.flag]
            stack.enter_context(program([exporter, "serve", *words]))
        for host in hosts:
            wait_for(
                functools.partial(ready, f"http://{host}:{args.port}"), f"the exporter on {host}"
            )
        store = Store(f"127.0.0.1:{args.port}")
        process = stack.enter_context(program(prometheus(home, hosts, args.interval, args.port)))
        wait_for(lambda: ready(f"http://{store.address}"), "Prometheus")
        all_bricks = nodes * args.bricks
        with_churn = f", {args.churn} new files a second on each" if args.churn else ""
        print(
            f"{all_bricks} bricks on {nodes} nodes, {args.fops} fops{with_churn}, "
            f"{' '.join(args.flag) or 'default limits'}, a scrape every {args.interval} s",
            flush=True,
        )
        if args.churn:
            watch(store, args.minutes, all_bricks)
        else:
            figures = measure(store, args.minutes, all_bricks)
            costly(store)
            table(figures | dashboards(store))
        if args.store:
            target = Store(f"127.0.0.1:{args.port + 1}")
            words = [f"-storageDataPath={home / 'victoria'}", f"-httpListenAddr={target.address}"]
            stack.enter_context(program(["victoria-metrics", *words, "-loggerLevel=ERROR"]))
            wait_for(lambda: ready(f"http://{target.address}", "health"), "VictoriaMetrics")
            figures = written(home, store, process, target, args.minutes)
            table(figures | dashboards(target))


if __name__ == "__main__":
    main()
