"""The past of a small cluster as Prometheus would have it, made in minutes.

Two volumes of two replicas each, on two nodes, and an exporter's series of them: fops, sizes,
clients, and of each brick 50 files of which 40 are others every ten minutes, as when a loop makes
new ones. A third volume is without the translator. Shipped rules are evaluated for all of it. In
the last part a brick is down and two alerts fire; one file has all that may be wrong with a name.

Usage: ``python -m benchmarks.history COMMAND`` runs a command of the shell on two hours of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import yaml
from prometheus_client.utils import floatToGoString

from glupy_exporter import __version__

ROOT = Path(__file__).resolve().parents[1]
WINDOW = 7200  # seconds of a block of Prometheus
DOWN = 1500
"""For how many seconds a brick has been down now."""
ODD = "/odd/\"double\" 'single' `back` \\ $HOME ${USER} {a,b} (x|y) [z]* \\x0a.txt"
CLUSTER = "main"
HOSTS = ("gluster1.example.org", "gluster2.example.org")
CLIENTS = tuple(f"192.0.2.{number}" for number in range(1, 11))
FOPS = {  # a second
    "lookup": 90.0,
    "read": 60.0,
    "write": 40.0,
    "stat": 30.0,
    "fstat": 25.0,
    "readdirp": 12.0,
    "opendir": 11.0,
    "getxattr": 10.0,
    "finodelk": 80.0,
    "inodelk": 6.0,
    "flush": 9.0,
    "create": 8.0,
    "open": 8.0,
    "unlink": 7.0,
    "entrylk": 14.0,
    "xattrop": 20.0,
    "fallocate": 2.0,
    "setattr": 4.0,
}
BOUNDS = [2.0**power for power in range(-16, 5)]
PLAIN = "archive"
"""A volume without the translator, of which only glusterd's state is known."""
CHURN = 600
STABLE, PASSING = 10, 40


class Brick(NamedTuple):
    """One brick and how much more it does than others."""

    volume: str
    host: str
    path: str
    share: float
    subvolume: int


BRICKS = [
    Brick(volume, host, f"/var/lib/gluster/{volume}/brick{number + 1}", share, 0)
    for volume, share in (("media", 1.0), ("home", 0.3))
    for number, host in enumerate(HOSTS)
]


def labels(**values: object) -> str:
    """Labels as the exposition formats have them."""

    def quoted(value: object) -> str:
        return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return ",".join(f'{name}="{quoted(value)}"' for name, value in values.items())


def shape(distance: float) -> float:
    """The part of a histogram that is below a bound, by its distance from the middle.

    At both ends there is nothing, as where work has a shortest and a longest time.
    """
    part = 1 / (1 + math.exp(-distance))
    return float(round(part)) if min(part, 1 - part) < 1e-4 else part


class Writer:
    """Writes the samples of a span of time, series by series."""

    def __init__(self, out: TextIO, origin: int, span: range, now: int) -> None:
        self.out, self.origin, self.span, self.now = out, origin, span, now
        # Work goes up and down; counters are its integral.
        self.work = {at: self.work_at(at) for at in span}

    def counter(self, name: str, said: str, rate: float, since: int = 0, until: int = 0) -> None:
        """A counter of so much a second."""
        base = self.work_at(since) if since else 0.0
        self.write(
            name,
            said,
            ((at, rate * (self.work[at] - base)) for at in self.within(since, until)),
        )

    def gauge(self, name: str, said: str, value: float, since: int = 0, until: int = 0) -> None:
        """A number that stays."""
        self.write(name, said, ((at, value) for at in self.within(since, until)))

    def work_at(self, at: int) -> float:
        """The integral of the work from the origin on, in seconds of mean work."""
        return at - self.origin + 600 * (1 - math.cos((at - self.origin) / 900))

    def within(self, since: int, until: int) -> Iterator[int]:
        """The times of samples from ``since`` on and before ``until``, if that is not 0."""
        return (at for at in self.span if at >= since and (not until or at < until))

    def write(self, name: str, said: str, samples: Iterator[tuple[int, float]]) -> None:
        """A series."""
        head = f"{name}{{{said}}}"
        self.out.writelines(f"{head} {value:.10g} {at}\n" for at, value in samples)


def of_brick(writer: Writer, number: int, brick: Brick) -> None:
    """All series of a brick; the last one goes down."""
    dies = writer.now - DOWN if number == len(BRICKS) - 1 else 0
    who = {"cluster": CLUSTER, "host": brick.host, "instance": f"{brick.host}:9714", "job": "glupy"}
    common = {**who, "volume": brick.volume, "brick": brick.path}
    base = labels(**common)
    writer.gauge("glupy_brick_up", base, 1, until=dies)
    if dies:
        writer.gauge("glupy_brick_up", base, 0, since=dies)
    info = {"hostname": brick.host, "pid": 4711 + number, "glusterfs_version": "11.1"}
    info |= {"xlator_version": __version__, "subvolume": brick.subvolume}
    writer.gauge("glupy_brick_info", labels(**common, **info), 1)
    writer.gauge("glupy_volume_bricks", base, 2)
    writer.gauge("glupy_volume_started", labels(**who, volume=brick.volume), 1)
    writer.gauge("glupy_volume_translator_configured", labels(**who, volume=brick.volume), 1)
    writer.gauge("glupy_segment_created_timestamp_seconds", base, writer.now - 5400 + 60 * number)
    writer.gauge("glupy_segment_heartbeat_age_seconds", base, 0.4, until=dies)
    writer.gauge("glupy_brick_counting_enabled", base, 1)
    of_disk(writer, number, brick, base, dies)
    of_fops(writer, brick, base, dies)
    of_files(writer, brick, base, dies)
    of_clients(writer, brick, base, dies)
    if number == 0:
        of_recorder(writer, brick, base)
    if brick.volume == "media":
        of_replication(writer, brick, base)


def of_disk(writer: Writer, number: int, brick: Brick, base: str, dies: int) -> None:
    """The file system, which fills, and what waits for self-heal since the last brick is down."""
    said = f"{base},{labels(device=f'sd{chr(98 + number)}', fsid=f'fd{number:02}')}"
    size = 8e12
    writer.gauge("glupy_brick_filesystem_size_bytes", said, size, until=dies)
    free = ((at, size * (0.14 + number / 9) - 2e7 * (at - writer.origin)) for at in writer.span)
    writer.write("glupy_brick_filesystem_avail_bytes", said, free)
    writer.gauge("glupy_brick_filesystem_files", said, 4e8, until=dies)
    writer.gauge("glupy_brick_filesystem_files_free", said, 3e8 - 2e7 * number, until=dies)
    writer.gauge("glupy_brick_arbiter", base, 0, until=dies)
    writer.gauge("glupy_brick_quarantined_objects", base, 0, until=dies)
    waiting = number == len(BRICKS) - 2
    since = writer.now - DOWN
    entries = ((at, max(0, at - since) // 3 if waiting else 0) for at in writer.span)
    writer.write("glupy_brick_heal_pending_entries", f'{base},index="xattrop"', entries)
    writer.gauge("glupy_brick_online", f'{base},subvolume="{brick.subvolume}"', 0 if dies else 1)


def of_recorder(writer: Writer, brick: Brick, base: str) -> None:
    """Slow fops, and one that does not come back."""
    for fop, rate in (("fsync", 0.2), ("write", 0.05), ("finodelk", 0.4)):
        writer.counter(
            "glupy_recorded_fops_total", f'{base},fop="{fop}",cause="slow"', rate * brick.share
        )
    since = writer.now - 400
    stuck = f'{base},fop="finodelk"'
    ages = ((at, at - since) for at in writer.span if at > since)
    writer.write("glupy_fops_in_flight_oldest_seconds", stuck, ages)
    space = uuid.uuid5(uuid.NAMESPACE_URL, brick.volume)
    which = {"gfid": uuid.uuid5(space, ODD), "path": ODD, "client": CLIENTS[3]}
    which |= {"process": "", "domain": brick.volume, "holder": CLIENTS[1], "holder_process": ""}
    ages = ((at, at - since) for at in writer.span if at > since)
    writer.write("glupy_fop_in_flight_seconds", f"{stuck},{labels(**which)}", ages)


def of_fops(writer: Writer, brick: Brick, base: str, dies: int) -> None:
    """Latencies, errors and sizes."""
    for place, (fop, rate) in enumerate(FOPS.items()):
        rate *= brick.share * (1.0 if brick.host == HOSTS[0] or fop != "read" else 0.4)
        said = f'{base},fop="{fop}"'
        middle = 5 + place % 9
        for bucket, bound in enumerate(BOUNDS):
            part = shape((bucket - middle) * 1.2)
            counted = f'{said},le="{floatToGoString(bound)}"'
            writer.counter("glupy_fop_duration_seconds_bucket", counted, rate * part, until=dies)
        writer.counter("glupy_fop_duration_seconds_bucket", f'{said},le="+Inf"', rate, until=dies)
        writer.counter("glupy_fop_duration_seconds_count", said, rate, until=dies)
        mean = BOUNDS[middle] * 0.8
        writer.counter("glupy_fop_duration_seconds_sum", said, rate * mean, until=dies)
        writer.gauge("glupy_fops_in_flight", said, 0, until=dies)
    for fop, errno, rate in (
        ("lookup", "ENOENT", 20),
        ("getxattr", "ENODATA", 6),
        ("write", "EDQUOT", 0.1),
    ):
        said = f'{base},fop="{fop}",errno="{errno}"'
        writer.counter("glupy_fop_errors_total", said, rate * brick.share, until=dies)
    for direction in ("read", "write"):
        said = f'{base},direction="{direction}"'
        rate = FOPS[direction] * brick.share
        writer.counter("glupy_io_bytes_total", said, rate * 48_000, until=dies)
        for power in range(1, 32):
            part = shape(power - 14)
            counted = f'{said},le="{float(2**power - 1)!r}"'
            writer.counter("glupy_io_size_bytes_bucket", counted, rate * part, until=dies)
        writer.counter("glupy_io_size_bytes_bucket", f'{said},le="+Inf"', rate, until=dies)
        writer.counter("glupy_io_size_bytes_count", said, rate, until=dies)
    said = f'{base},origin="self-heal",kind="metadata"'
    writer.counter("glupy_internal_fops_total", said, 0.2, until=dies)


def files(brick: Brick, span: range) -> Iterator[tuple[str, str, float, int, int]]:
    """gfid, path, fops a second, from and until: those that stay, and those that pass.

    A directory's path ends in a slash here.
    """
    space = uuid.uuid5(uuid.NAMESPACE_URL, brick.volume)
    for rank, path in enumerate(("/work/queue/", "/projects/2026/", "/odd/")):
        yield str(uuid.uuid5(space, path)), path, 9 / (rank + 1), 0, 0
    for rank in range(STABLE):
        path = ODD if rank == 1 else f"/projects/2026/render-{rank:02}/scene.blend"
        yield str(uuid.uuid5(space, path)), path, 40 / (rank + 1), 0, 0
    for start in range(span[0] - span[0] % CHURN, span[-1] + 1, CHURN):
        for rank in range(PASSING):
            path = f"/work/queue/{start}/job-{rank:03}.tmp"
            yield str(uuid.uuid5(space, path)), path, 2 / (rank + 1), start, start + CHURN


def of_files(writer: Writer, brick: Brick, base: str, dies: int) -> None:
    """The exported files."""
    found = list(files(brick, writer.span))
    for kind, part in (("read", 0.5), ("write", 0.3), ("metadata", 0.2)):
        for gfid, path, rate, since, until in found:
            directory = path.endswith("/")
            if directory and kind != "metadata":
                continue
            which = {"path": path.rstrip("/"), "type": "directory" if directory else "file"}
            said = f"{base},{labels(gfid=gfid, **which, kind=kind)}"
            rate *= brick.share * part
            ends = min(filter(None, (until, dies)), default=0)
            writer.counter("glupy_file_fops_total", said, rate, since, ends)
            writer.counter("glupy_file_fop_seconds_total", said, rate * 4e-4, since, ends)
            if kind != "metadata":
                said = f"{base},{labels(gfid=gfid, **which, direction=kind)}"
                writer.counter("glupy_file_io_bytes_total", said, rate * 3e4, since, ends)
    for number, (gfid, path, _, since, until) in enumerate(found):
        client = CLIENTS[number % len(CLIENTS)]
        said = f"{base},{labels(gfid=gfid, path=path.rstrip('/'), client=client, process='')}"
        ends = min(filter(None, (until, dies)), default=0)
        writer.gauge("glupy_file_top_client_info", said, 1, since, ends)


def of_replication(writer: Writer, brick: Brick, base: str) -> None:
    """A session of geo-replication, which the first host's worker serves."""
    active = brick.host == HOSTS[0]
    session = f'{base},secondary="backup.example.net::media"'
    status = {"status": "Active" if active else "Passive"}
    status["crawl"] = "Changelog Crawl" if active else "N/A"
    writer.gauge("glupy_georep_worker_info", f"{session},{labels(**status)}", 1)
    if active:
        synced = ((at, at - 900 - (at - writer.origin) % 1800) for at in writer.span)
        writer.write("glupy_georep_last_synced_timestamp_seconds", session, synced)


def of_state(writer: Writer, host: str, base: str) -> None:
    """What the state file of a node says."""
    writer.write("glupy_state_timestamp_seconds", base, ((at, at - 25) for at in writer.span))
    writer.gauge("glupy_state_part_success", f'{base},part="blames"', 1)
    writer.gauge("glupy_pool_nodes", base, len(HOSTS))
    for daemon in ("glusterd", "shd", "quotad"):
        said = f'{base},daemon="{daemon}",volume=""'
        down = daemon == "quotad" and host == HOSTS[1]
        writer.gauge("glupy_daemon_up", said, 0 if down else 1)
        if not down:
            writer.gauge("glupy_daemon_resident_memory_bytes", said, 2e7 + 4e6 * len(daemon))
            writer.counter("glupy_daemon_cpu_seconds_total", said, 0.004 * len(daemon))
    said = f'{base},volume="{PLAIN}"'
    path = f"/var/lib/gluster/{PLAIN}/brick{HOSTS.index(host) + 1}"
    writer.gauge("glupy_volume_started", said, 1)
    writer.gauge("glupy_volume_translator_configured", said, 0)
    where = {"hostname": host, "port": 49152, "subvolume": 0, "place": HOSTS.index(host)}
    writer.gauge("glupy_brick_config_info", f"{said},{labels(brick=path, **where)}", 1)
    writer.gauge("glupy_brick_online", f"{said},{labels(brick=path, subvolume='0')}", 1)
    for volume in sorted({*(brick.volume for brick in BRICKS), PLAIN}):
        said = f'{base},volume="{volume}"'
        writer.gauge("glupy_volume_set_bricks", said, 2)
        writer.gauge("glupy_volume_set_quorum_bricks", said, 1)
        writer.gauge("glupy_volume_replica_bricks", said, 2)
        writer.gauge("glupy_snapshots", f'{said},state="activated"', 3)
        writer.gauge("glupy_snapshots_limit", f'{said},limit="hard"', 256)
        writer.gauge("glupy_snapshot_oldest_timestamp_seconds", said, writer.now - 864000)
    pool = f'{base},vg="vg0",pool="bricks"'
    for part, size, used in (("", 1.6e13, 1.1e13), ("metadata_", 1e9, 3e8)):
        writer.gauge(f"glupy_thin_pool_{part}size_bytes", pool, size)
        writer.gauge(f"glupy_thin_pool_{part}used_bytes", pool, used)
    for path, used in (("/projects/2026", 0.93e12), ("/odd", 1e11)):
        gfid = uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "media"), f"{path}/")
        said = f"{base},{labels(volume='media', gfid=gfid, path=path)}"
        writer.gauge("glupy_quota_limit_bytes", f'{said},limit="hard"', 1e12)
        writer.gauge("glupy_quota_used_bytes", f'{said},subvolume="0"', used)
    said = f'{base},volume="media",status="completed"'
    writer.gauge("glupy_rebalance_info", said, 1)


def of_clients(writer: Writer, brick: Brick, base: str, dies: int) -> None:
    """Clients, and the tables of both."""
    for rank, client in enumerate(CLIENTS):
        said = f"{base},{labels(client=client, process='')}"
        rate = 80 * brick.share / (rank + 1)
        for kind, part in (("read", 0.5), ("write", 0.3), ("metadata", 0.2)):
            counted = f'{said},kind="{kind}"'
            writer.counter("glupy_client_fops_total", counted, rate * part, until=dies)
            seconds = rate * part * 4e-4
            writer.counter("glupy_client_fop_seconds_total", counted, seconds, until=dies)
        for direction in ("read", "write"):
            counted = f'{said},direction="{direction}"'
            writer.counter("glupy_client_io_bytes_total", counted, rate * 1e4, until=dies)
        writer.counter("glupy_client_fop_errors_total", said, rate / 50, until=dies)
        writer.gauge("glupy_client_connections", said, 1, until=dies)
    for noun, slots in (("file", 4096), ("client", 512)):
        writer.gauge(f"glupy_{noun}s_tracked", base, slots / 2)
        writer.gauge(f"glupy_{noun}s_slots", base, slots)
        writer.counter(f"glupy_{noun}s_evicted_total", base, 0.1, until=dies)
        writer.counter(f"glupy_{noun}_untracked_fops_total", base, 0.2, until=dies)
        writer.gauge(f"glupy_{noun}_count_error_bound", base, 12)


def of_node(writer: Writer, host: str) -> None:
    """What Prometheus and the exporter say of a node."""
    base = labels(cluster=CLUSTER, host=host, instance=f"{host}:9714", job="glupy")
    for name, value in (
        ("up", 1),
        ("scrape_duration_seconds", 0.03),
        ("scrape_samples_scraped", 4000),
        ("scrape_series_added", 30),
        ("process_resident_memory_bytes", 60e6),
        ("process_start_time_seconds", writer.now - 4000),
        (f'glupy_exporter_build_info{{version="{__version__}"}}', 1),
    ):
        name, _, more = name.partition("{")
        writer.gauge(name, f"{base},{more[:-1]}" if more else base, value)
    of_state(writer, host, base)
    writer.counter("process_cpu_seconds_total", base, 0.02)
    writer.counter("glupy_segment_errors_total", f'{base},reason="bad_version"', 0.0)
    for collector in ("bricks", "fops", "files", "clients", "internal", "disks", "exporter"):
        said = f'{base},collector="{collector}"'
        writer.gauge("glupy_collector_success", said, 1)
        writer.gauge("glupy_collector_duration_seconds", said, 0.004)


def of_alerts(writer: Writer) -> None:
    """Two that fire since the brick is down."""
    brick, since = BRICKS[-1], writer.now - DOWN + 60
    for alert, severity, more in (
        ("GlupyBrickDown", "critical", {"host": brick.host, "brick": brick.path}),
        ("GlupyClientDominates", "info", {}),
    ):
        said = {"alertname": alert, "severity": severity, "cluster": CLUSTER}
        said |= {"volume": brick.volume, **more}
        writer.gauge("ALERTS", labels(**said, alertstate="firing"), 1, since)
        writer.gauge("ALERTS_FOR_STATE", labels(**said), since, since)


def write(home: Path, origin: int, now: int, end: int, interval: int) -> None:
    """Put the blocks of what is scraped from ``origin`` to ``end`` into ``home``/data."""
    for start in range(origin - origin % WINDOW, end, WINDOW):
        text = home / "window.om"
        span = range(max(start, origin), min(start + WINDOW, end), interval)
        with text.open("w", encoding="utf-8") as out:
            writer = Writer(out, origin, span, now)
            for number, brick in enumerate(BRICKS):
                of_brick(writer, number, brick)
            for host in HOSTS:
                of_node(writer, host)
            of_alerts(writer)
            out.write("# EOF\n")
        blocks("openmetrics", text, home / "data")
        text.unlink()


def blocks(kind: str, *words: str | Path) -> None:
    """Have promtool make blocks."""
    command = ["promtool", "tsdb", "create-blocks-from", kind, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    # It says nothing with its exit code when a rule cannot be evaluated.
    if done.returncode or "level=error" in done.stderr:
        raise SystemExit(f"promtool: {done.stdout}{done.stderr}")


def passes() -> Iterator[list[dict[str, Any]]]:
    """The recording rules in an order in which each finds what it asks for."""
    files = (ROOT / "prometheus" / "rules").glob("*.yml")
    groups = [g for file in files for g in yaml.safe_load(file.read_text("utf-8"))["groups"]]
    rules = [rule for group in groups for rule in group["rules"] if "record" in rule]
    while rules:
        names = {rule["record"] for rule in rules}
        ready = [
            rule
            for rule in rules
            if not (set(re.findall(r"[\w:]+", rule["expr"])) - {rule["record"]}) & names
        ]
        yield ready
        rules = [rule for rule in rules if rule not in ready]


@contextlib.contextmanager
def prometheus(home: Path, port: int) -> Iterator[str]:
    """One that serves the history, and neither scrapes nor evaluates anything; its URL."""
    (home / "prometheus.yml").write_text("global: {}\n")
    url = f"http://127.0.0.1:{port}"
    words = [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        "--storage.tsdb.retention.time=10y",
        # Else it would make larger blocks of them meanwhile.
        f"--storage.tsdb.min-block-duration={WINDOW}s",
        f"--storage.tsdb.max-block-duration={WINDOW}s",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with subprocess.Popen(words) as process:
        try:
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/-/ready", timeout=5).close()
                    break
                if process.poll() is not None:
                    raise SystemExit("Prometheus has ended")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def make(home: Path, seconds: int, ahead: int, port: int, interval: int = 15) -> None:
    """Make a history of the last ``seconds``, and of those ``ahead``, in ``home``, with a scrape
    each ``interval``; meanwhile a Prometheus listens on ``port``.
    """
    now = int(time.time()) // interval * interval
    origin, end = now - seconds, now + ahead
    (home / "data").mkdir()
    write(home, origin, now, end, interval)
    for number, rules in enumerate(passes()):
        file = home / "rules.yml"
        groups = [{"name": f"pass-{number}", "interval": "60s", "rules": rules}]
        file.write_text(json.dumps({"groups": groups}), encoding="utf-8")
        with prometheus(home, port) as url:
            span = [f"--start={origin}", f"--end={end}", f"--output-dir={home / 'data'}"]
            blocks("rules", *span, f"--url={url}", "--eval-interval=60s", file)


def main() -> int:
    """Make two hours, serve them, and run a command on them; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=19090, help="for a Prometheus on the loopback")
    parser.add_argument("then", help="a command of the shell, with its URL in $PROMETHEUS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        make(Path(home), 7200, 3600, args.port)
        with prometheus(Path(home), args.port) as url:
            environment = {**os.environ, "PROMETHEUS": url}
            return subprocess.run(args.then, shell=True, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
