"""Alerts on real volumes, as Prometheus itself tells: what must raise one does, peace does not."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Volume, volume, wait_for
from monitored import HURRIED, SHIPPED, Prometheus, hurried, monitored

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


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """An ext4 of 64 MiB in a loop device, mounted."""
    image, target = directory / "disk", directory / "mounted"
    with image.open("xb") as file:
        file.truncate(64 << 20)
    target.mkdir()
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


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
