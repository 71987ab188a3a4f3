"""What befalls segments, bricks and exporters while applications work: their I/O goes on.

All the time fio writes to a mount, reads back and verifies what it wrote. A fault is over when the
brick, whose process must be the one it was, counts into a segment of its own again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from glupy_exporter.builder import build
from glupy_exporter.operate import install
from glupy_exporter.schema import layout
from glupy_exporter.segment import naming, reader
from glupy_exporter.segment.check import SegmentError
from tests.gluster.work import Work, work
from tests.support.gluster.monitored import bricks_up, exporter, free_port, get
from tests.support.gluster.volumes import (
    HOST,
    Volume,
    end_glusterd,
    gluster,
    glusterd_pid,
    heal,
    start_glusterd,
    volume,
    wait_for,
)

OPTIONS = {"user.xlator.glupy.file-slots": "64", "user.xlator.glupy.client-slots": "16"}
STALE = 1000


class Subject(NamedTuple):
    volume: Volume
    mount: Path
    work: Work
    exporter: str

    @property
    def brick(self) -> Path:
        """The one to which things happen."""
        return self.volume.bricks[0]

    @property
    def segment(self) -> Path:
        return self.volume.segment_path(self.brick)

    def up(self) -> dict[Path, float]:
        """What a scrape says of the bricks of the volume."""
        return bricks_up(self.exporter, self.volume.name)

    def counts_again(self) -> bool:
        """Whether the brick has a good segment in which fops appear."""

        def fops() -> int:
            with reader.Segment(self.segment) as segment:
                assert segment.brick().pid == self.volume.pid(self.brick)
                return sum(fop.completed for fop in segment.fops())

        with contextlib.suppress(SegmentError, FileNotFoundError, AssertionError):
            before = fops()
            wait_for(lambda: fops() > before, "fops to be counted", 10)
            return True
        return False

    def spare_the_wait(self) -> None:
        """Start the brick again if it has few attempts left at making its segment anew.

        It has 8 from its start, and then one every 30 s.
        """
        since = self.volume.log(self.brick).rpartition("Started running")[2]
        if since.count(" anew") >= 6:
            self.volume.kill(self.brick)
            self.volume.start(force=True)


@pytest.fixture(scope="module")
def subject(xlator: None, need: Callable[[object, str], None]) -> Iterator[Subject]:
    need(shutil.which("fio"), "fio")
    with (
        volume("replica", "2", bricks=2, options=OPTIONS) as made,
        made.mount("direct-io-mode=enable") as mount,
        exporter() as serving,
        work(mount) as working,
    ):
        yield Subject(made, mount, working, serving.url)


def put(path: Path, content: bytes) -> None:
    """Put a file in the place of another."""
    other = path.with_name(f"{path.name}.other")
    other.write_bytes(content)
    other.replace(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def overwrite(path: Path) -> None:
    """Noise in the very memory that the brick counts into."""
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def of_another_machine(path: Path) -> None:
    content = bytearray(path.read_bytes())
    field = layout.Header.boot_id
    content[field.offset : field.offset + field.size] = b"x" * (field.size - 1) + b"\0"
    put(path, bytes(content))


def cut_and_extend(path: Path) -> None:
    """As if nothing had happened, but for the content."""
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


FAULTS: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "replaced by noise": lambda path: put(path, os.urandom(16384)),
    "replaced by nothing": lambda path: put(path, b""),
    "replaced by a directory": directory,
    "replaced by a FIFO": fifo,
    "replaced by a symbolic link": symlink,
    "of another machine": of_another_machine,
    "extended": lambda path: os.truncate(path, path.stat().st_size + 2**20),
    "overwritten": overwrite,
    "truncated": lambda path: os.truncate(path, 0),
    "truncated within its tables": lambda path: os.truncate(path, path.stat().st_size // 2),
    "truncated and extended": cut_and_extend,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_segment(subject: Subject, fault: Callable[[Path], object]) -> None:
    subject.spare_the_wait()
    pid = subject.volume.pid(subject.brick)
    wait_for(subject.counts_again, "the brick to count")
    fault(subject.segment)
    try:
        assert subject.up()[subject.volume.bricks[1]] == 1
        subject.work.go_on()
        assert subject.up()[subject.volume.bricks[1]] == 1
    finally:
        # As an operator would mend it: take away what is in the way, and nothing else.
        if subject.segment.is_dir():
            subject.segment.rmdir()
        elif not subject.counts_again():
            subject.segment.unlink(missing_ok=True)
    wait_for(subject.counts_again, "the brick to count", 60)
    assert subject.volume.pid(subject.brick) == pid
    assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)


def test_a_thousand_stale_segments(subject: Subject) -> None:
    wait_for(subject.counts_again, "the brick to count")
    content = bytearray(subject.segment.read_bytes())
    field = layout.Header.brick
    made = []
    try:
        for number in range(STALE):
            brick = f"/stale/{number}"
            content[field.offset : field.offset + field.size] = brick.encode().ljust(
                field.size, b"\0"
            )
            made.append(subject.segment.with_name(naming.names(subject.volume.name, brick)[0]))
            made[-1].write_bytes(content)
        up = subject.up()
        assert sum(value == 0 for value in up.values()) == STALE
        assert all(up[brick] == 1 for brick in subject.volume.bricks)
        subject.work.go_on()
    finally:
        for path in made:
            path.unlink()
    assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)


def test_a_brick_that_is_stopped_for_a_moment(subject: Subject) -> None:
    pid = subject.volume.pid(subject.brick)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)  # its lock is held
    finally:
        os.kill(pid, signal.SIGCONT)
    subject.work.go_on()
    wait_for(subject.counts_again, "the brick to count")


def test_a_brick_that_is_killed_again_and_again(subject: Subject) -> None:
    for _ in range(3):
        subject.volume.kill(subject.brick)
        dead = {subject.brick: 0, subject.volume.bricks[1]: 1}
        wait_for(lambda dead=dead: subject.up() == dead, "the brick to be seen as dead")
        subject.volume.start(force=True)
        wait_for(subject.counts_again, "the brick to count", 60)
        assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)
    subject.work.go_on()


def test_a_glusterd_that_is_stopped_and_killed(subject: Subject) -> None:
    pids = [subject.volume.pid(brick) for brick in subject.volume.bricks]
    pid = glusterd_pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)
        subject.work.go_on()
    finally:
        os.kill(pid, signal.SIGCONT)
    end_glusterd(signal.SIGKILL)
    try:
        assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)
        subject.work.go_on()
    finally:
        start_glusterd()
    subject.work.go_on()
    assert [subject.volume.pid(brick) for brick in subject.volume.bricks] == pids
    assert subject.counts_again()


def test_options_that_change_all_the_time(subject: Subject) -> None:
    pid = subject.volume.pid(subject.brick)
    option = "user.xlator.glupy"
    for slots in ("128", "64") * 3:
        subject.volume.set_options({f"{option}.file-slots": slots, f"{option}.enabled": "off"})
        subject.volume.set_options({f"{option}.client-detail": "process"})
        subject.volume.set_options(
            {
                f"{option}.enabled": "on",
                f"{option}.client-detail": "host",
                f"{option}.half-life": slots,
            }
        )
        assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)
    subject.work.go_on()
    wait_for(subject.counts_again, "the brick to count")
    assert subject.volume.pid(subject.brick) == pid


@pytest.mark.parametrize("options", ["size=64k", "size=64m,ro"])
def test_no_room_for_a_segment(subject: Subject, options: str, tmp_path: Path) -> None:
    """A directory that is full or read-only: the brick goes on with the segment it has."""
    pid = subject.volume.pid(subject.brick)
    words = ["mount", "-t", "tmpfs", "-o", f"{options},mode=755", "tmpfs", tmp_path]
    subprocess.run(words, check=True)
    try:
        subject.volume.set_options({"user.xlator.glupy.segment-dir": str(tmp_path)})
        wait_for(
            lambda: f"segment {tmp_path}" in subject.volume.log(subject.brick), "a line in the log"
        )
        subject.work.go_on()
        assert subject.counts_again()
        assert not list(tmp_path.iterdir())
    finally:
        subject.volume.set_options({"user.xlator.glupy.segment-dir": layout.DIRECTORY})
        subprocess.run(["umount", tmp_path], check=True)
    assert subject.volume.pid(subject.brick) == pid
    wait_for(subject.counts_again, "the brick to count")


def test_two_segments_of_one_brick(subject: Subject) -> None:
    """Whatever file says to be the brick's, that of the brick's process counts."""
    copy = subject.segment.with_name(f"another{reader.SUFFIX}")
    shutil.copy(subject.segment, copy)
    try:
        assert subject.up() == dict.fromkeys(subject.volume.bricks, 1)
        text = get(f"{subject.exporter}/metrics")
        lines = [line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"]
        assert len(lines) == len(set(lines))
    finally:
        copy.unlink()


def test_an_exporter_whose_clock_steps(
    subject: Subject, need: Callable[[object, str], None]
) -> None:
    """The monotonic clock, which heartbeats are of, is another than the bricks'."""
    unshare = ["unshare", "--time", "--fork", "--monotonic", "100000000"]
    works = subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    need(works, "time namespaces, and unshare that knows them")
    words = [*unshare, str(Path(sys.executable).with_name("glupy-exporter")), "dump"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    families = {f.name: f for f in text_string_to_metric_families(done.stdout)}
    assert {s.labels["brick"] for s in families["glupy_brick_up"].samples} >= {
        str(brick) for brick in subject.volume.bricks
    }
    assert all(s.value == 1 for s in families["glupy_collector_success"].samples)


def test_an_exporter_that_is_stopped_and_killed(subject: Subject) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("glupy-exporter")), "serve"]
    with subprocess.Popen([*command, f"--web.listen-address={address}"]) as process:

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return bool(get(f"http://{address}/metrics"))
            return False

        wait_for(answers, "the exporter to answer")
        process.send_signal(signal.SIGSTOP)
        subject.work.go_on()
        process.send_signal(signal.SIGCONT)
        assert answers()
        process.kill()
    subject.work.go_on()
    assert subject.counts_again()


def test_a_translator_installed_over_the_one_that_runs(subject: Subject, tmp_path: Path) -> None:
    """By rename: the bricks have the old file mapped, and must not find other bytes in it."""
    pids = [subject.volume.pid(brick) for brick in subject.volume.bricks]
    mapped = install.library().stat().st_ino
    script = install.peer_script()
    before = script.read_bytes() if script.exists() else None
    build.build(tmp_path)
    try:
        for _ in range(3):
            install.install(tmp_path, dry_run=False)
        assert install.library().stat().st_ino != mapped
        subject.work.go_on()
        assert [subject.volume.pid(brick) for brick in subject.volume.bricks] == pids
        assert subject.counts_again()
    finally:
        if before is None:
            script.unlink(missing_ok=True)
        else:
            script.write_bytes(before)


def test_a_volume_that_is_reset(subject: Subject) -> None:
    """It loses the translator with all other options; the bricks lose it when they start again."""
    with (
        volume("replica", "2", bricks=2, options=OPTIONS) as made,
        made.mount("direct-io-mode=enable") as mount,
        work(mount) as working,
    ):
        ours = Subject(made, mount, working, subject.exporter)
        pids = [made.pid(brick) for brick in made.bricks]
        wait_for(ours.counts_again, "the brick to count")
        gluster("volume", "reset", made.name)
        working.go_on()
        assert [made.pid(brick) for brick in made.bricks] == pids
        made.kill(ours.brick)
        made.start(force=True)
        wait_for(lambda: made.connected(mount, ours.brick), "the client to be back")
        working.go_on()
        up = ours.up()
        assert up[ours.brick] == 0, "the segment that the killed process left"
        made.set_options({"user.xlator.glupy": "quota", **OPTIONS})
        made.kill(ours.brick)
        made.start(force=True)
        wait_for(ours.counts_again, "the brick to count", 60)
        working.go_on()


def test_bricks_that_are_added_and_replaced(subject: Subject) -> None:
    """Rebalance and replace-brick while an exporter is scraped: files stay as they are."""
    with volume("replica", "2", bricks=2, options=OPTIONS) as made, made.mount() as mount:
        wrote = {}
        for number in range(100):
            wrote[number] = os.urandom(10_000)
            (mount / f"file{number}").write_bytes(wrote[number])

        def up() -> dict[Path, float]:
            return Subject(made, mount, subject.work, subject.exporter).up()

        added = [made.directory / f"brick{number}" for number in (2, 3)]
        for path in added:
            path.mkdir()
        gluster("volume", "add-brick", made.name, *(f"{HOST}:{path}" for path in added), "force")
        made.bricks.extend(added)
        wait_for(lambda: up() == dict.fromkeys(made.bricks, 1), "four bricks")
        gluster("volume", "rebalance", made.name, "start", "force")

        def balanced() -> bool:
            assert up() == dict.fromkeys(made.bricks, 1)
            return "completed" in gluster("volume", "rebalance", made.name, "status")

        wait_for(balanced, "the rebalance", 120)
        old, new = made.bricks[0], made.directory / "new"
        new.mkdir()
        places = (f"{HOST}:{old}", f"{HOST}:{new}")
        gluster("volume", "replace-brick", made.name, *places, "commit", "force")
        made.bricks[0] = new
        wait_for(lambda: up().get(new) == 1, "the new brick")
        made.segment_path(old).unlink()  # glusterd has killed the old brick, which so left it
        heal(made)
        for number, content in wrote.items():
            assert (mount / f"file{number}").read_bytes() == content
        assert all(up()[brick] == 1 for brick in made.bricks)
        with made.segment(new) as segment:
            assert segment.internal()["self-heal"].fops, "the heal is not counted"
