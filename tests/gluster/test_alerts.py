"""Alerts on real volumes, as Prometheus itself tells: what must raise one does, peace does not."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gluster.disks import frozen, small_disk
from tests.support.gluster.monitored import HURRIED, SHIPPED, Prometheus, hurried, monitored
from tests.support.gluster.volumes import RUN, Volume, gluster, volume, wait_for

DIRECT = "direct-io-mode=enable"
DELAY = {
    "debug.delay-gen": "posix",
    "delay-gen.delay-duration": "1200000",
    "delay-gen.delay-percentage": "100",
    "delay-gen.enable": "read,write,fsync",
}
NODE = "127.0.0.1"


@pytest.fixture
def monitoring(
    xlator: None, tmp_path: Path, need: Callable[[object, str], None]
) -> Iterator[tuple[Prometheus, subprocess.Popen[bytes]]]:
    need(shutil.which("prometheus"), "prometheus")
    with monitored(tmp_path) as found:
        yield found


@pytest.fixture
def prometheus(monitoring: tuple[Prometheus, subprocess.Popen[bytes]]) -> Prometheus:
    return monitoring[0]


@contextlib.contextmanager
def meanwhile(*work: Callable[[], object]) -> Iterator[None]:
    """Each work over and over, in a thread of its own; what it raises is raised at the end."""
    stop = threading.Event()
    errors: list[Exception] = []

    def run(task: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                task()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[task]) for task in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def fio(*options: str) -> None:
    common = ["--name=work", "--direct=1", "--ioengine=psync", "--thread", "--output-format=terse"]
    subprocess.run(["fio", *common, *options], check=True, stdout=subprocess.DEVNULL)


def test_only_durations_are_hurried() -> None:
    for file in (SHIPPED / "rules").iterdir():
        shipped = file.read_text()
        changed = [
            (before, after)
            for before, after in zip(shipped.splitlines(), hurried(shipped).splitlines())
            if before != after
        ]
        assert changed
        for before, after in changed:
            for pattern, _ in HURRIED:
                before, after = pattern.sub("", before), pattern.sub("", after)
            assert before == after


def test_a_dead_brick_and_a_stopped_volume(prometheus: Prometheus) -> None:
    with volume("replica", "2", bricks=2) as subject:
        alone = {"volume": subject.name}
        of_brick = {**alone, "brick": str(subject.bricks[1])}
        wait_for(
            lambda: prometheus.query(f'sum(glupy_brick_up{{volume="{subject.name}"}}) == 2'),
            "both bricks to be known",
        )
        subject.kill(subject.bricks[1])
        alert = prometheus.wait_for_alert("GlupyBrickDown", **of_brick)
        assert (alert["host"], alert["cluster"], alert["severity"]) == (NODE, "main", "critical")
        assert set(prometheus.firing(**alone)) == {"GlupyBrickDown"}
        subject.start(force=True)
        prometheus.wait_for_peace("GlupyBrickDown", **alone)

        subject.stop()
        prometheus.wait_for_alert("GlupyVolumeDown", **alone)
        assert set(prometheus.firing(**alone)) == {"GlupyVolumeDown"}
        subject.start()
        prometheus.wait_for_peace("GlupyVolumeDown", **alone)


def test_a_full_disk(prometheus: Prometheus, tmp_path: Path) -> None:
    def write() -> None:
        with contextlib.suppress(OSError):
            os.pwrite(file.fileno(), b"x" * (1 << 20), file.seek(0, os.SEEK_END))

    with small_disk(tmp_path) as disk, volume(bricks=1, parents=[disk]) as subject:
        with (
            subject.mount(DIRECT) as mount,
            (mount / "big").open("wb", buffering=0) as file,
            meanwhile(write),
        ):
            alert = prometheus.wait_for_alert("GlupyBrickStorageErrors", volume=subject.name)
        assert (alert["errno"], alert["brick"]) == ("ENOSPC", str(subject.bricks[0]))
        assert shutil.disk_usage(disk).free < 8 << 20


def test_a_frozen_disk(prometheus: Prometheus, tmp_path: Path) -> None:
    """Only what writes waits: no scrape does. Who waits for what is told."""
    options = {"storage.health-check-interval": "1"}
    with (
        small_disk(tmp_path, "xfs", 400) as disk,
        volume(bricks=1, parents=[disk], options=options) as subject,
        subject.mount(DIRECT) as mount,
    ):
        (mount / "file").touch()
        command = ["dd", "if=/dev/zero", f"of={mount}/file", "conv=notrunc", "count=1"]
        alone = {"volume": subject.name}
        selector = f'{{volume="{subject.name}"}}'
        age = f"time() - glupy_brick_health_check_timestamp_seconds{selector}"
        wait_for(lambda: prometheus.query(f"{age} < 5"), "a check of the disk")
        with frozen(disk):
            waiting = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            stuck = prometheus.wait_for_alert("GlupyFopsStuck", **alone)
            assert (stuck["brick"], stuck["fop"]) == (str(subject.bricks[0]), "write")
            named = f"The oldest: /file of client {NODE};"
            assert prometheus.description("GlupyFopsStuck", **alone).endswith(named)
            alert = prometheus.wait_for_alert("GlupyBrickHealthCheckLate", 120, **alone)
            assert (alert["brick"], alert["severity"]) == (str(subject.bricks[0]), "critical")
            fire = {"GlupyBrickHealthCheckLate", "GlupyFopsStuck"}
            assert set(prometheus.firing(**alone)) == fire
            assert waiting.poll() is None
            assert prometheus.query('max_over_time(scrape_duration_seconds{job="glupy"}[1m]) < 1')
            assert prometheus.query(f"glupy_segment_heartbeat_age_seconds{selector} < 5")
            assert prometheus.query(f"{age} > 60")
        assert waiting.wait(30) == 0
        for name in fire:
            prometheus.wait_for_peace(name, **alone)
        assert prometheus.query(f"{age} < 10")


def test_a_slow_disk(prometheus: Prometheus) -> None:
    def work(number: int) -> Callable[[], None]:
        def once() -> None:
            os.pwrite(files[number].fileno(), b"x" * 4096, 0)
            os.pread(files[number].fileno(), 4096, 0)
            os.fsync(files[number].fileno())

        return once

    with volume(bricks=1, options=DELAY) as subject, contextlib.ExitStack() as stack:
        mount = stack.enter_context(subject.mount(DIRECT))
        files = [
            stack.enter_context((mount / str(number)).open("w+b", buffering=0))
            for number in range(12)
        ]
        with meanwhile(*map(work, range(len(files)))):
            for kind in ("Read", "Write", "Metadata"):
                alert = prometheus.wait_for_alert(f"Glupy{kind}LatencyHigh", volume=subject.name)
                assert alert["brick"] == str(subject.bricks[0])


def test_a_hot_file(prometheus: Prometheus) -> None:
    with volume(bricks=1) as subject, subject.mount(DIRECT) as mount:
        fio(f"--filename={mount}/hot", "--size=1m", "--bs=4k", "--rw=write")
        read = ("--rw=randread", "--size=1m", "--bs=4k", "--numjobs=4", "--time_based")
        with meanwhile(lambda: fio(f"--filename={mount}/hot", *read, "--runtime=5")):
            alert = prometheus.wait_for_alert("GlupyFileDominates", volume=subject.name)
        assert alert["path"] == "/hot"


def test_a_brick_without_the_translator(prometheus: Prometheus) -> None:
    """As `volume set` leaves it: a brick has the translator from its next start on."""
    with volume(bricks=2, counted=False) as subject:
        subject.set_options({"user.xlator.glupy": "quota"})
        subject.kill(subject.bricks[0])
        subject.start(force=True)
        prometheus.wait_for_alert("GlupyTranslatorMissing", volume=subject.name)
        subject.kill(subject.bricks[1])
        subject.start(force=True)
        prometheus.wait_for_peace("GlupyTranslatorMissing", volume=subject.name)


def test_a_dead_exporter(monitoring: tuple[Prometheus, subprocess.Popen[bytes]]) -> None:
    prometheus, exporter = monitoring
    wait_for(lambda: prometheus.query('up{job="glupy"} == 1'), "the first scrape")
    assert "GlupyExporterDown" not in prometheus.firing()
    exporter.terminate()
    assert prometheus.wait_for_alert("GlupyExporterDown")["host"] == NODE


LOCK_FOP = "finodelk"
"""The fop by which a client that replicates locks a file that it writes to."""


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def statedump(subject: Volume, brick: Path) -> str:
    """What a brick knows, its locks among it, as `gluster volume statedump` writes it."""
    files = f"{str(brick)[1:].replace('/', '-')}.{subject.pid(brick)}.dump.*"
    gluster("volume", "statedump", subject.name)
    dumped = wait_for(
        lambda: next((f for f in RUN.glob(files) if "DUMP-END-TIME" in f.read_text()), None),
        "the statedump",
    )
    text = dumped.read_text()
    for file in (
        file for one in subject.bricks for file in RUN.glob(f"*.{subject.pid(one)}.dump.*")
    ):
        file.unlink()
    return text


@contextlib.contextmanager
def writer(file: Path) -> Iterator[None]:
    """A process that has written to a file and has it open.

    Not this one: no child could be started while a file hangs that it would have to close first.
    """
    script = "file = open(sys.argv[1], 'wb', 0); file.write(b'x'); print(flush=True)"
    command = [sys.executable, "-c", f"import sys; {script}; sys.stdin.read()", file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield


def test_a_lock_that_is_not_released(prometheus: Prometheus) -> None:
    """And what its runbook has to say about it."""
    # A client keeps its lock so long for its next write.
    keep = {"cluster.post-op-delay-secs": "60"}
    with (
        volume("replica", "2", bricks=2, options=keep) as subject,
        subject.mount(DIRECT) as holder,
        subject.mount(DIRECT) as waiter,
    ):
        client = subject.client(holder)
        assert client
        command = ["dd", "if=/dev/zero", f"of={waiter}/file", "conv=notrunc", "count=1"]
        with writer(holder / "file"), stopped(client):
            waiting = subprocess.Popen(command)
            alert = prometheus.wait_for_alert("GlupyLocksStuck", volume=subject.name)
            first = str(subject.bricks[0])  # where a client that replicates begins
            assert (alert["fop"], alert["brick"], alert["host"]) == (LOCK_FOP, first, NODE)
            assert set(prometheus.firing(volume=subject.name)) == {"GlupyLocksStuck"}
            dump = statedump(subject, subject.bricks[0])
            (locks,) = re.findall(r"^path=/file$(.*?)^$", dump, re.MULTILINE | re.DOTALL)
            states = re.findall(r"^inodelk\.inodelk\[\d\]\((\w+)\)=", locks, re.MULTILINE)
            assert states == ["ACTIVE", "BLOCKED"]
            assert waiting.poll() is None
            gluster("volume", "clear-locks", subject.name, "/file", "kind", "granted", "inode")
            assert waiting.wait(30) == 0
        prometheus.wait_for_peace("GlupyLocksStuck", volume=subject.name)


def test_locks_that_clients_contend_for(prometheus: Prometheus) -> None:
    def writes(mount: Path) -> Callable[[], object]:
        file = stack.enter_context((mount / "file").open("wb", buffering=0))
        return lambda: os.pwrite(file.fileno(), b"x" * 4096, 0)

    # Whoever has the lock takes its time, so that somebody waits for it at every scrape.
    slow = {**DELAY, "delay-gen.delay-duration": "50000", "delay-gen.enable": "write"}
    kind = ("replica", "2")
    with volume(*kind, bricks=2, options=slow) as subject, contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(subject.mount(DIRECT)) for _ in range(4)]
        locks = f'glupy_fops_in_flight{{volume="{subject.name}",fop="{LOCK_FOP}"}}'
        waits = f"max(min_over_time({locks}[10s])) > 0 and max(count_over_time({locks}[1m])) > 30"
        with meanwhile(*map(writes, mounts)):
            wait_for(lambda: prometheus.query(waits), "half a minute of contention", 90)
        stuck = f'volume="{subject.name}",alertname=~"Glupy.*Stuck",alertstate="firing"'
        fired = f"max_over_time(ALERTS{{{stuck}}}[1m])"
        assert prometheus.query(fired) == []


def mixed(subject: Volume, mount: Path) -> None:
    """Reads and writes of many files, and names that come and go, for half a minute."""
    directory = mount / "work"
    directory.mkdir()
    files = ("--nrfiles=20", "--filesize=256k", "--file_service_type=random")
    load = ("--rw=randrw", "--bs=16k", "--numjobs=3", "--runtime=30", "--time_based")

    def names() -> None:
        for number in range(20):
            (directory / f"new{number}").write_bytes(b"x" * 100)
            (directory / f"new{number}").rename(directory / f"old{number}")
        for number in range(20):
            (directory / f"old{number}").unlink()
        with contextlib.suppress(FileNotFoundError):
            (directory / "nothing").stat()

    with meanwhile(names):
        fio(f"--directory={directory}", *files, *load, "--group_reporting")


def test_a_busy_volume_in_peace(prometheus: Prometheus) -> None:
    with volume("replica", "2", bricks=4) as subject, subject.mount(DIRECT) as mount:
        mixed(subject, mount)
        of_volume = f'volume="{subject.name}"'
        rate = f"max_over_time(cluster_volume_kind:glupy_fops:rate5m{{{of_volume}}}[30s])"
        kinds = {labels["kind"]: value for labels, value in prometheus.query(rate)}
        assert all(kinds[kind] > 10 for kind in ("read", "write", "metadata")), kinds
        # Hurried, an alert may be pending for a second; that is what `for` is for.
        fired = f'max_over_time(ALERTS{{{of_volume},alertstate="firing"}}[2m])'
        assert prometheus.query(fired) == []
