"""What the maintenance thread learns, beside what df, gluster, /proc and statedumps say."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gluster.disks import frozen, small_disk
from tests.support.gluster.monitored import exporter, get, hurry, prometheus, scrape_one
from tests.support.gluster.volumes import Volume, gluster, heal, volume, wait_for

Need = Callable[[object, str], None]
DIRECT = "direct-io-mode=enable"


def facts(subject: Volume, brick: Path) -> dict[str, float]:
    with subject.segment(brick) as segment:
        return dict(segment.brick().facts)


def learned(subject: Volume, brick: Path) -> dict[str, float]:
    """Facts that are learned from now on."""
    before = time.time()
    return wait_for(
        lambda: found if (found := facts(subject, brick)).get("time", 0) > before else None,
        "new facts",
    )


def df(path: Path) -> dict[str, int]:
    """What df prints, in bytes and inodes."""
    words = ["df", "--block-size=1", "--output=size,used,avail,itotal,iavail", path]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    size, used, avail, files, left = map(int, lines[1].split())
    return {
        "filesystem_size": size,
        "filesystem_free": size - used,
        "filesystem_avail": avail,
        "filesystem_files": files,
        "filesystem_files_free": left,
    }


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_the_file_system_is_that_of_df(xlator: None, tmp_path: Path, kind: str) -> None:
    with (
        small_disk(tmp_path, kind, 400) as disk,
        volume(bricks=2, parents=[disk, disk]) as subject,
        subject.mount() as mount,
    ):

        def equal() -> bool:
            before = df(disk)
            found = [learned(subject, brick) for brick in subject.bricks]
            assert len({(each["filesystem_id"], each["filesystem_device"]) for each in found}) == 1
            assert found[0]["filesystem_device"] == disk.stat().st_dev
            return all(before == {k: each[k] for k in before} for each in found) and (
                before == df(disk)
            )

        wait_for(equal, "the figures of df")
        (mount / "big").write_bytes(b"x" * (5 << 20))
        for number in range(100):
            (mount / str(number)).touch()
        wait_for(equal, "the figures of df once more")
        assert df(disk)["filesystem_free"] < df(disk)["filesystem_size"] - (5 << 20)


def heal_counts(subject: Volume) -> dict[Path, int]:
    """What gluster says of the bricks that run."""
    text = gluster("volume", "heal", subject.name, "statistics", "heal-count")
    found = re.findall(r"^Brick [^:]+:(\S+)\nNumber of entries: (\d+)$", text, re.M)
    return {Path(brick): int(count) for brick, count in found}


def test_the_backlog_is_that_of_heal_count(xlator: None) -> None:
    with volume("replica", "3", bricks=3) as subject:
        *others, killed = subject.bricks

        def equal(least: int) -> bool:
            before = heal_counts(subject)
            found = {b: learned(subject, b)["heal_xattrop"] for b in others}
            return before == found == heal_counts(subject) and min(found.values()) > least

        with subject.mount() as mount:
            wait_for(lambda: set(heal_counts(subject).values()) == {0}, "a count of all bricks")
            subject.kill(killed)
            for number in range(40):
                (mount / str(number)).write_bytes(b"x" * 100)
            wait_for(lambda: equal(39), "what heal-count says")
            named = [learned(subject, brick)["heal_entry_changes"] for brick in others]
            assert named == [40, 40]
            subject.start(force=True)
            wait_for(lambda: subject.connected(mount, killed), "the client to be back")
        heal(subject)
        for brick in subject.bricks:
            wait_for(
                lambda brick=brick: learned(subject, brick)["heal_xattrop"] == 0, "nothing to heal"
            )
        assert set(heal_counts(subject).values()) == {0}


def test_an_arbiter_is_known_as_one(xlator: None) -> None:
    with volume("replica", "3", "arbiter", "1", bricks=3) as subject:
        arbiters = ["arbiter" in learned(subject, brick) for brick in subject.bricks]
    assert arbiters == [False, False, True]


def test_the_process_is_that_of_proc(xlator: None) -> None:
    with volume(bricks=1) as subject, subject.mount() as mount:
        (brick,) = subject.bricks
        pid = subject.pid(brick)
        assert pid
        for number in range(300):
            (mount / str(number)).write_bytes(b"x" * 1000)

        def seconds() -> float:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

        def equal() -> bool:
            before = seconds()
            found = learned(subject, brick)
            after = seconds()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            return (
                before - 0.02 <= found["process_cpu"] / 1e9 <= after + 0.02
                and abs(found["process_resident"] - pages * os.sysconf("SC_PAGESIZE")) < 2 << 20
                and found["process_descriptors"] == len(list(Path(f"/proc/{pid}/fd").iterdir()))
            )

        wait_for(equal, "the figures of /proc")


def queue(subject: Volume, brick: Path) -> dict[str, int]:
    """The lengths of the queues of io-threads in a statedump; only those with fops."""
    pid = subject.pid(brick)
    assert pid
    text = subject.statedump(pid)
    return {
        name: int(n) for name, n in re.findall(r"^(\w+)_priority_queue_length=(\d+)$", text, re.M)
    }


def test_a_frozen_disk(xlator: None, tmp_path: Path) -> None:
    """Nobody can write. The exporter goes on, the age of posix's check grows, fops queue up."""
    options = {"performance.io-thread-count": "1", "storage.health-check-interval": "1"}
    with (
        small_disk(tmp_path, "xfs", 400) as disk,
        volume(bricks=1, parents=[disk], options=options) as subject,
        subject.mount(DIRECT) as mount,
        contextlib.ExitStack() as stack,
        exporter() as serving,
    ):
        (brick,) = subject.bricks
        files = [stack.enter_context((mount / str(n)).open("wb", buffering=0)) for n in range(4)]

        def check_age() -> float:
            return time.time() - facts(subject, brick).get("health_check", 0)

        wait_for(lambda: check_age() < 3, "a check of the disk")
        assert facts(subject, brick)["health_check_interval"] == 1
        assert queue(subject, brick) == {}
        threads = [
            threading.Thread(target=os.pwrite, args=(file.fileno(), b"x" * 4096, 0))
            for file in files
        ]
        with frozen(disk):
            for thread in threads:
                thread.start()
            wait_for(lambda: queue(subject, brick) == {"slow": 3}, "three writes to wait")
            found = learned(subject, brick)
            assert (found["queue_low"], found["queue_high"]) == (3, 0)
            wait_for(lambda: check_age() > 8, "the check to be late")
            started = time.monotonic()
            text = get(f"{serving.url}/metrics")
            assert time.monotonic() - started < 2
            with subject.segment(brick) as segment:
                assert time.time() - segment.brick().heartbeat < 3
            line = r'^glupy_brick_io_threads_queue\{.*priority="low"\} 3$'
            assert re.search(line, text, re.M)
        for thread in threads:
            thread.join()
        wait_for(lambda: check_age() < 7, "the next check")
        assert set(queue(subject, brick)) <= {"high"}
        wait_for(lambda: learned(subject, brick)["queue_low"] == 0, "an empty queue")


def test_no_descriptor_stays_open(xlator: None, tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk, volume(bricks=1, parents=[disk]) as subject:
        (brick,) = subject.bricks
        learned(subject, brick)
        first = facts(subject, brick)["process_descriptors"]
        for _ in range(3):
            learned(subject, brick)
        assert facts(subject, brick)["process_descriptors"] == first


@pytest.mark.parametrize(
    ("kind", "bricks"),
    [
        ((), 2),
        (("replica", "3", "arbiter", "1"), 6),
        (("disperse", "3", "redundancy", "1"), 3),
    ],
    ids=["distribute", "arbiter", "disperse"],
)
def test_the_capacity_of_a_volume_is_that_of_df_on_a_mount(
    xlator: None, need: Need, tmp_path: Path, kind: tuple[str, ...], bricks: int
) -> None:
    """Bricks share file systems of unequal size; the rules say what the volume holds."""
    need(shutil.which("prometheus"), "prometheus")
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        disks = [enter(small_disk(tmp_path, "xfs", size)) for size in (400, 600)]
        subject = enter(volume(*kind, bricks=bricks, parents=[*disks, disks[0]] * 2))
        mount = enter(subject.mount())
        with (mount / "file").open("wb") as file:
            file.write(b"x" * (50 << 20))
        state = tmp_path / "state.json"
        serving = enter(exporter(f"--state.file={state}"))
        learn = [sys.executable, "-m", "glupy_exporter.cli", "state", f"--file={state}"]
        subprocess.run(learn, check=True, stdout=subprocess.DEVNULL)
        hurry(tmp_path)
        scrape_one(tmp_path / "prometheus.yml", serving.url.removeprefix("http://"))
        watching = enter(prometheus(tmp_path))

        selector = f'{{volume="{subject.name}"}}'

        def equal() -> bool:
            whole = df(mount)
            found = [
                watching.query(f"cluster_volume:glupy_capacity_bytes:{what}{selector}")
                for what in ("size", "avail")
            ]
            wanted = (whole["filesystem_size"], whole["filesystem_avail"])
            return all(
                rows and abs(rows[0][1] - value) < 0.01 * whole["filesystem_size"]
                for rows, value in zip(found, wanted)
            )

        wait_for(equal, "what df says", 60)


def test_a_damaged_file_is_in_quarantine(xlator: None) -> None:
    """Bit-rot detection signs a file, and finds later that its content has changed."""
    with volume(bricks=1) as subject, subject.mount() as mount:
        (brick,) = subject.bricks
        gluster("volume", "bitrot", subject.name, "enable")
        gluster("volume", "bitrot", subject.name, "signing-time", "1")
        wait_for(lambda: learned(subject, brick).get("quarantined") == 0, "no damaged file yet")
        (mount / "file").write_bytes(b"x" * 1000)
        wait_for(
            lambda: "trusted.bit-rot.signature" in os.listxattr(brick / "file"), "a signature", 90
        )
        (brick / "file").write_bytes(b"y" * 1000)
        gluster("volume", "bitrot", subject.name, "scrub", "ondemand")
        wait_for(lambda: learned(subject, brick)["quarantined"] == 1, "the damaged file", 60)
        status = gluster("volume", "bitrot", subject.name, "scrub", "status")
        assert re.search(r"^Error count: +1$", status, re.M)
