"""The whole chain on one machine: brick, translator, exporter, Prometheus; see `make help`."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from deploy.demo import machine, monitoring, panels
from deploy.demo.machine import say
from deploy.demo.workload import HangError, Workload
from glupy_exporter.errors import UserError
from glupy_exporter.metrics import COLLECTORS
from glupy_exporter.metrics.exporter import SCRAPE_FAMILIES
from glupy_exporter.metrics.family import Family

WORKLOAD_SECONDS = 40.0
BACKGROUND_PAUSE = 0.5
ANSWER_SECONDS = 120.0

FAMILIES: tuple[Family, ...] = (
    *(family for collector in COLLECTORS for family in collector.families),
    *SCRAPE_FAMILIES,
)


def _families(*subjects: str) -> list[str]:
    """The families whose names begin with ``glupy_`` and one of the subjects."""
    beginnings = tuple(f"glupy_{subject}" for subject in subjects)
    return [family.name for family in FAMILIES if family.name.startswith(beginnings)]


NOT_FED = {
    "glupy_fops_in_flight": "nothing is in flight once the workload is over",
    "glupy_files_evicted_total": "all files of the workload fit into the table",
    "glupy_file_untracked_fops_total": "all files of the workload fit into the table",
    "glupy_file_count_error_bound": "counts are exact while no file is evicted",
    "glupy_clients_evicted_total": "all clients fit into the table",
    "glupy_client_count_error_bound": "counts are exact while no client is evicted",
    "glupy_internal_fops_total": "the workload is an application's",
    "glupy_internal_io_bytes_total": "the workload is an application's",
    "glupy_internal_fop_seconds_total": "the workload is an application's",
    "glupy_client_untracked_fops_total": "all clients fit into the table",
    "glupy_file_unexported_fops_total": "the workload may be over before the second scrape",
    "glupy_client_unexported_fops_total": "all clients have series",
    "glupy_segment_errors_total": "no segment is broken",
    "glupy_brick_unlisted_fops_total": "few fops are in flight at a time",
    "glupy_brick_unlisted_locks_total": "few locks are held at a time",
    "glupy_recorder_dropped_total": "few fops are slow at a time",
    **dict.fromkeys(
        (
            "glupy_recorded_fops_total",
            "glupy_fops_in_flight_oldest_seconds",
            "glupy_fop_in_flight_seconds",
            "glupy_fops_in_flight_overdue",
            "glupy_brick_io_threads_queue",
        ),
        "the disk may be fast enough for the workload",
    ),
    **dict.fromkeys(
        ("glupy_brick_heal_pending_entries", "glupy_heal_blame"), "both bricks run all the time"
    ),
    **dict.fromkeys(
        ("glupy_brick_arbiter", "glupy_volume_arbiter_bricks", "glupy_volume_redundancy_bricks"),
        "the volume has two replicas",
    ),
    **dict.fromkeys(
        (
            "glupy_brick_quarantined_objects",
            *_families("quota", "georep", "snapshot", "rebalance"),
        ),
        "the volume does not use this feature",
    ),
    **dict.fromkeys(
        _families("pool_peer", "thin_pool", "brick_thin_pool"), "the machine is alone, without LVM"
    ),
}
"""Families that may be missing or 0 after the workload, and why."""

BUSIEST = (
    "topk(10, sum by (gfid, path) "
    "(cluster_volume_gfid_path_type:glupy_file_fops:rate5m"
    f'{{volume="{machine.VOLUME}",path!=""}}))'
)
BUSIEST_CLIENT = (
    "topk(1, sum by (client) "
    f'(cluster_volume_client_kind:glupy_client_fops:rate5m{{volume="{machine.VOLUME}"}}))'
)


def missing_families(prometheus: monitoring.Prometheus) -> list[str]:
    """The families that the workload feeds and of which Prometheus has nothing above 0."""
    missing = []
    for family in FAMILIES:
        if family.name in NOT_FED:
            continue
        series = f"{family.name}_count" if family.type == "histogram" else family.name
        label = f'volume="{machine.VOLUME}"' if family.of_brick else 'job="glupy"'
        if not any(value > 0 for _, value in prometheus.query(f"max({series}{{{label}}})")):
            missing.append(family.name)
    return missing


def report(exporter: str, prometheus: monitoring.Prometheus) -> None:
    """Print some of the metrics, and where to see more."""
    say(f"the top of {exporter}/metrics")
    for line in monitoring.top_of_metrics(exporter, 20):
        print(f"  {line}")
    say("the busiest files, as Prometheus knows them (fops a second, both replicas folded)")
    for labels, value in sorted(prometheus.query(BUSIEST), key=lambda row: -row[1]):
        print(f"  {value:8.1f}  {labels['path']}")
    volume = f'{{volume="{machine.VOLUME}"}}'
    say("to look at")
    print(f"  exporter        {exporter}/")
    print(f"  metrics         {exporter}/metrics")
    print(f"  busiest files   {prometheus.graph(BUSIEST)}")
    print(f"  fops            {prometheus.graph(f'cluster_volume_fop:glupy_fops:rate5m{volume}')}")
    buckets = f"cluster_volume_fop_le:glupy_fop_duration_seconds_bucket:rate5m{volume}"
    latency = f"histogram_quantile(0.99, {buckets})"
    print(f"  p99 latency     {prometheus.graph(latency)}")
    print(f"  alerts          {prometheus.pages}/alerts", flush=True)


def demo(once: bool, then: str | None) -> int:
    """Set everything up, work and report; return the exit code.

    Unless ``once``, go on working until the command ``then`` has ended or, without it, until
    interrupted.
    """
    machine.LOGS.mkdir()
    machine.start_glusterd()
    machine.install_translator()
    machine.create_volume()
    exporter = monitoring.start_exporter()
    prometheus = monitoring.Prometheus(exporter)
    workload = Workload([mount_point / "work" for mount_point in machine.MOUNT_POINTS])
    try:
        # A command looks at graphs, in which seconds at full speed would dwarf all others.
        code = show(workload, exporter, prometheus, BACKGROUND_PAUSE if then else 0.0)
        if once or (code != 0 and then):
            return code
        return go_on(workload, prometheus, then)
    finally:
        workload.stop.set()


def show(workload: Workload, exporter: str, prometheus: monitoring.Prometheus, pause: float) -> int:
    """Work, check what Prometheus has, and report; return 1 if anything is missing, else 0."""
    say(f"working on the volume for {WORKLOAD_SECONDS:.0f} s")
    for line in workload.run(WORKLOAD_SECONDS, pause):
        print(f"  {line}", flush=True)
    complete = families_are_there(prometheus) and dashboards_are_fed(prometheus)
    if not complete:
        machine.print_logs()
    report(exporter, prometheus)
    return 0 if complete else 1


def families_are_there(prometheus: monitoring.Prometheus) -> bool:
    """Wait for every family that was fed; whether Prometheus has all. Print those it lacks."""
    say("asking Prometheus for every family that the workload fed")
    missing: list[str] = []

    def complete() -> bool:
        missing[:] = missing_families(prometheus)
        # The rules of files and of clients are evaluated once a minute, each at its own moment.
        return not missing and all(map(prometheus.query, (BUSIEST, BUSIEST_CLIENT)))

    try:
        machine.wait_for("an answer for every family", complete, ANSWER_SECONDS)
    except UserError:
        print(f"demo: Prometheus has nothing for: {', '.join(missing) or 'the busiest'}")
        return False
    fed = len(FAMILIES) - len(NOT_FED)
    print(f"  all {fed} are there; the workload does not feed the other {len(NOT_FED)}:")
    for name, reason in NOT_FED.items():
        print(f"    {name}: {reason}")
    return True


def dashboards_are_fed(prometheus: monitoring.Prometheus) -> bool:
    """Wait for an answer to every dashboard query; whether all have one. Print those without."""
    say("asking Prometheus every query of the Grafana dashboards")
    busiest = max(prometheus.query(BUSIEST), key=lambda row: row[1])[0]["gfid"]
    client = prometheus.query(BUSIEST_CLIENT)[0][0]["client"]
    asked = list(panels.questions({"file": busiest, "client": client}))
    missing: list[panels.Question] = []

    def complete() -> bool:
        missing[:] = panels.unanswered(prometheus, missing or asked)
        return not missing

    try:
        machine.wait_for("an answer to every query", complete, ANSWER_SECONDS)
    except UserError:
        for question in missing:
            print(f"demo: no answer: {question.dashboard}: {question.panel}: {question.expression}")
        return False
    print(f"  all {len(asked)} find something, but for panels that the workload does not feed:")
    for (dashboard, panel), reason in panels.NO_ANSWER.items():
        print(f"    {dashboard}: {panel}: {reason}")
    return True


def go_on(workload: Workload, prometheus: monitoring.Prometheus, then: str | None) -> int:
    """Work lightly while a shell command runs, and return its exit code; without one, for ever."""
    work = workload.run(float("inf"), pause=BACKGROUND_PAUSE)
    if then is None:
        say("a light workload goes on; Ctrl-C ends the demo and removes everything that it made")
        for _ in work:
            pass
        return 0
    say(f"a light workload goes on while this runs: {then}")
    process = subprocess.Popen(then, shell=True, env={**os.environ, "PROMETHEUS": prometheus.url})
    try:
        for _ in work:
            if process.poll() is not None:
                break
    finally:
        process.terminate()
        try:
            code = process.wait(machine.COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait(machine.COMMAND_SECONDS)
    return code


@contextmanager
def only_one() -> Iterator[None]:
    """Make the demo's directory and lock it for the block; remove it afterwards if it is empty."""
    machine.DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    handle = os.open(machine.DIRECTORY, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        with suppress(OSError):  # not empty
            machine.DIRECTORY.rmdir()
    except BlockingIOError:
        raise UserError("a demo is running already; end that one first") from None
    finally:
        os.close(handle)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run, or clean up after, a demo and return the exit code."""
    parser = argparse.ArgumentParser("python -m deploy.demo", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--once", action="store_true", help="exit after the check")
    mode.add_argument("--clean", action="store_true", help="remove what an earlier demo left")
    mode.add_argument(
        "--then",
        metavar="COMMAND",
        help="after the check, run COMMAND with Prometheus's URL in $PROMETHEUS, and exit with it",
    )
    args = parser.parse_args()
    if os.geteuid() != 0:
        raise UserError("the demo starts bricks and mounts a volume, so it has to be run by root")
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        signal.signal(number, _interrupt)
    with only_one():
        code = 0
        try:
            if not args.clean:
                if any(machine.DIRECTORY.iterdir()):
                    say("removing what an earlier demo left")
                    if not machine.remove():
                        raise UserError("what an earlier demo left cannot be removed")
                code = demo(args.once, args.then)
        except KeyboardInterrupt:
            print()
            code = 130 if args.once or args.then else 0
        except (UserError, OSError, subprocess.SubprocessError) as error:
            machine.print_logs()
            if isinstance(error, HangError):
                machine.print_hang()
            print(f"demo: {error}", file=sys.stderr)
            code = 1
        finally:
            for number in signals:
                signal.signal(number, signal.SIG_IGN)
            say("removing everything that the demo made")
            if not machine.remove():
                print("demo: something is left; `make demo-clean` tries again", file=sys.stderr)
                code = 1
        return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"demo: {error}")
