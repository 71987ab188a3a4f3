"""What root's timer costs on a node with many volumes, beside `gluster get-state`.

Usage, as root, with GlusterFS: ``python -m tests.support.apart python -m benchmarks.state_cost``.
It makes volumes of three replicas on this node, starts some of them, and runs each command several
times. Figures are medians; those of glusterd include the processor time of its own process.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from glupy_exporter.node import glusterd
from glupy_exporter.state import processes
from tests.support.gluster import volumes

_STATE = (sys.executable, "-I", "-m", "glupy_exporter.entry", "state")


class Cost(NamedTuple):
    """Of one run of a command."""

    seconds: float
    cpu: float


def _use(pid: int) -> float:
    found = processes.of_pid(pid)
    used = processes.use(found) if found else None
    return used.cpu if used else 0.0


def _run(command: Sequence[str | Path]) -> Cost:
    """Run a command; with the processor time of glusterd meanwhile."""
    pid = volumes.glusterd_pid() or 0
    before, of_glusterd = resource.getrusage(resource.RUSAGE_CHILDREN), _use(pid)
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(seconds, cpu + _use(pid) - of_glusterd)


def _median(runs: int, once: Callable[[], Cost]) -> Cost:
    costs = [once() for _ in range(runs)]
    return Cost(*(statistics.median(column) for column in zip(*costs)))


def _copies(pattern: str, number: int) -> None:
    """Volumes that are never started, as copies of glusterd's files of one; glusterd is down."""
    vols = glusterd.working_directory() / "vols"
    for copy in range(number):
        name = f"copy{copy}"
        shutil.copytree(vols / pattern, vols / name)
        for path in sorted((vols / name).rglob("*"), reverse=True):
            if path.is_file():
                text = path.read_text(errors="surrogateescape").replace(pattern, name)
                text = re.sub("volume-id=.*", f"volume-id={uuid.uuid4()}", text)
                path.write_text(text, errors="surrogateescape")
            path.rename(path.with_name(path.name.replace(pattern, name)))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--bricks", type=int, default=24, help="bricks that run, of sets of three")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--former", type=Path, help="a checkout of the release before, to compare")
    args = parser.parse_args()
    started = args.bricks // 3
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="state-cost-") as place:
        volumes.start_glusterd()
        names = [f"bench{number}" for number in range(started + 1)]
        for name in names:
            bricks = [f"{volumes.HOST}:{place}/{name}-{number}" for number in range(3)]
            volumes.gluster("volume", "create", name, "replica", "3", *bricks, "force")
        volumes.end_glusterd(15)
        _copies(names[-1], args.volumes - started - 1)
        volumes.start_glusterd()
        for name in names[:-1]:
            volumes.gluster("volume", "start", name)
        state, targets = f"{place}/state.json", f"{place}/targets.json"
        told = f"{place}/told"
        os.mkdir(told)  # noqa: PTH102
        rows = {
            "`python -c pass`": (sys.executable, "-I", "-c", "pass"),
            "`state --targets`": (*_STATE, f"--targets={targets}"),
            "`state --targets --file`, as the timer": (
                *_STATE,
                f"--targets={targets}",
                f"--file={state}",
            ),
            "`gluster get-state`": ("gluster", "get-state", "odir", told),
            "`gluster volume info`": ("gluster", "volume", "info"),
            f"`gluster volume status NAME` of {started} volumes": (
                *("sh", "-c", 'for name; do gluster volume status "$name"; done', "sh"),
                *names[:-1],
            ),
        }
        if args.former:
            script = f"import sys; sys.path.insert(0, {str(args.former)!r}); "
            script += "from glupy_exporter import cli; cli.main()"
            flags = (f"--file={targets}", f"--state={place}/former.json")
            rows["the former `discover`"] = (sys.executable, "-c", script, "discover", *flags)
        print("| command | time | processor time |\n| --- | --- | --- |")
        for name, command in rows.items():
            cost = _median(args.runs, lambda command=command: _run(command))  # type: ignore[misc]
            print(f"| {name} | {cost.seconds:.2f} s | {cost.cpu:.2f} s |", flush=True)
        print(f"\nThe state file has {Path(state).stat().st_size} bytes.")
        for name in names[:-1]:
            volumes.gluster("volume", "stop", name, "force")
        volumes.end_glusterd(15)


if __name__ == "__main__":
    main()
