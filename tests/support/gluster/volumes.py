"""Real volumes on this machine: bricks, mounts, profiles, statedumps, segments."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from glupy_exporter.builder import build
from glupy_exporter.segment import reader

HOST = socket.gethostname()
RUN = Path("/var/run/gluster")
LOGS = Path("/var/log/glusterfs")
SEGMENTS = RUN / "glupy"
PREFIX = f"/var/tmp/glupytest-{os.getpid()}-"
"""What the paths of all mounts and bricks of this process begin with."""

NO_CLIENT_CACHES = {
    f"performance.{cache}": "off"
    for cache in (
        "write-behind",
        "quick-read",
        "io-cache",
        "read-ahead",
        "readdir-ahead",
        "open-behind",
        "stat-prefetch",
        "nl-cache",
    )
}
"""With these every request of a client reaches a brick as it is."""

PROFILE = {"diagnostics.latency-measurement": "on", "diagnostics.count-fop-hits": "on"}
"""What ``volume profile start`` sets; set before the start, io-stats counts the first fop too."""

_numbers = itertools.count()
_T = TypeVar("_T")


def wait_for(condition: Callable[[], _T], what: str, timeout: float = 30) -> _T:
    """The first true value of ``condition()``; AssertionError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for: {what}"
        time.sleep(0.05)
    return value


def gluster(*arguments: str) -> str:
    """Run one ``gluster`` command; while another one holds glusterd's lock, try again."""
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(
            ["gluster", "--mode=script", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,  # it gives up by itself after two minutes, unless it hangs as well
        )
        output = done.stdout + done.stderr
        busy = "Another transaction" in output or "Locking failed" in output
        if busy and time.monotonic() < deadline:
            time.sleep(0.2)
            continue
        assert done.returncode == 0, f"gluster {' '.join(arguments)}: {output}"
        return done.stdout


def glusterd_pid() -> int | None:
    """By name: the pid file goes away when somebody starts a second glusterd in vain."""
    here = ["--ns", str(os.getpid()), "--nslist", "pid"]  # not in a test's namespaces
    words = ["pgrep", "--exact", *here, "glusterd"]
    found = subprocess.run(words, capture_output=True, text=True)
    return next(filter(runs, map(int, found.stdout.split())), None)


@contextlib.contextmanager
def glusterd() -> Iterator[None]:
    """A glusterd: the one that runs, or else one that ends at the exit."""
    if glusterd_pid():
        yield
        return
    start_glusterd()
    try:
        yield
    finally:
        end_glusterd(signal.SIGTERM)


def start_glusterd() -> None:
    """Start it, and wait until it answers."""
    subprocess.run(["glusterd"], check=True)
    wait_for(
        lambda: not subprocess.run(["gluster", "volume", "list"], capture_output=True).returncode,
        "glusterd to answer",
    )


def end_glusterd(number: signal.Signals) -> None:
    """Send it a signal that ends it; its bricks stay."""
    pid = glusterd_pid()
    assert pid, "no glusterd runs"
    os.kill(pid, number)
    wait_for(lambda: not runs(pid), "glusterd to end")


@contextlib.contextmanager
def translator(work: Path) -> Iterator[None]:
    """This tree's translator, built in ``work``, where GlusterFS looks; then what was there."""
    built = build.build(work)
    target = build.xlator_dir() / "user" / build.SHARED_OBJECT
    before = target.read_bytes() if target.exists() else None
    target.parent.mkdir(exist_ok=True)
    _put(target, built.read_bytes())
    try:
        yield
    finally:
        if before is None:
            target.unlink()
        else:
            _put(target, before)


def _put(target: Path, content: bytes) -> None:
    """Replace a shared object that may be mapped: a new file, never other bytes in the old one."""
    temporary = target.with_suffix(".so.test")
    temporary.write_bytes(content)
    temporary.replace(target)


@dataclass(frozen=True)
class Profile:
    """What ``gluster volume profile`` has counted on one brick since the brick started."""

    fops: dict[str, int]
    """Calls by lower-case fop name, life-cycle callbacks included."""
    bytes: dict[str, int]
    """Bytes by direction."""
    sizes: dict[str, tuple[int, ...]]
    """I/Os by direction, then by log2 of their size."""


def _profile(brick: ElementTree.Element) -> Profile:
    def number(element: ElementTree.Element, tag: str) -> int:
        return int(element.findtext(tag, "0"))

    total = brick.find("cumulativeStats")
    assert total is not None, "the brick has no cumulative statistics: is profiling on?"
    blocks = sorted(total.iterfind("blockStats/block"), key=lambda block: number(block, "size"))
    return Profile(
        fops={
            fop.findtext("name", "").lower(): number(fop, "hits")
            for fop in total.iterfind("fopStats/fop")
        },
        bytes={"read": number(total, "totalRead"), "write": number(total, "totalWrite")},
        sizes={
            "read": tuple(number(block, "reads") for block in blocks),
            "write": tuple(number(block, "writes") for block in blocks),
        },
    )


class Volume:
    """A volume that :func:`volume` made."""

    def __init__(self, name: str, directory: Path, bricks: list[Path]) -> None:
        self.name = name
        self.directory = directory
        self.bricks = bricks

    def set(self, **options: str) -> None:
        """Set options; ``__`` in a keyword stands for ``.`` and ``_`` for ``-``."""
        self.set_options({k.replace("__", ".").replace("_", "-"): v for k, v in options.items()})

    def set_options(self, options: dict[str, str]) -> None:
        """Set options by their real names, in one transaction."""
        if options:
            gluster("volume", "set", self.name, *itertools.chain(*options.items()))

    def start(self, *, force: bool = False) -> None:
        """Start the bricks that are down and wait until all run.

        ``start force`` does nothing for a brick that glusterd has not yet missed: so, again.
        """
        command = ("volume", "start", self.name, *(["force"] if force else []))
        gluster(*command)
        wait_for(
            lambda: all(map(self.pid, self.bricks)) or (force and not gluster(*command)),
            f"the bricks of {self.name} to run",
        )

    def stop(self) -> None:
        """Stop all bricks and wait until they are gone."""
        pids = [self.pid(brick) for brick in self.bricks]
        gluster("volume", "stop", self.name, "force")
        for pid in filter(None, pids):
            wait_for(lambda pid=pid: not runs(pid) or self._shared(pid), f"brick {pid} to end")

    def _shared(self, pid: int) -> bool:
        """Another volume's brick lives in the process ``pid``."""
        others = (file for file in RUN.glob("vols/*/*.pid") if file.parent.name != self.name)
        return any(_pid(file) == pid for file in others)

    def pid(self, brick: Path) -> int | None:
        """The pid of a brick's process, None while it does not run."""
        pid = _pid(RUN / "vols" / self.name / f"{HOST}{_dashed(brick)}.pid")
        return pid if pid and runs(pid) else None

    def client(self, mount: Path) -> int | None:
        """The pid of the process behind a mount."""
        return process_of(str(mount))

    def log(self, brick: Path) -> str:
        """All that a brick has logged."""
        return _brick_log(brick).read_text(errors="replace")

    def active_inodes(self, pid: int) -> int:
        """Inodes that something in a brick's process holds a reference to, from a statedump."""
        return self.inodes(pid)["active_size"]

    def statedump(self, pid: int) -> str:
        """What a brick's process says of itself."""

        def dumps() -> set[Path]:
            found = RUN.glob(f"*.{pid}.dump.*")
            return {path for path in found if "DUMP-END-TIME" in path.read_text()}

        before = dumps()
        os.kill(pid, signal.SIGUSR1)
        (dump,) = wait_for(lambda: dumps() - before, "the statedump")
        text = dump.read_text()
        for path in dumps():
            path.unlink()
        return text

    def inodes(self, pid: int) -> dict[str, int]:
        """What a statedump says of the inode table of a brick alone in its process.

        A brick only tells of them while a client is connected.
        """
        text = self.statedump(pid)
        sizes = re.findall(r"\.(active_size|lru_size|lru_limit)=(\d+)$", text, re.M)
        assert sizes, "is no client connected?"
        return {name: int(size) for name, size in sizes}

    def kill(self, brick: Path) -> int:
        """SIGKILL one brick process and return the pid it had."""
        pid = self.pid(brick)
        assert pid, f"brick {brick} does not run"
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not runs(pid), f"brick {pid} to die")
        return pid

    def connected(self, mount: Path, brick: Path) -> bool:
        """Whether the client behind a mount has a connection to a brick, asked of the client."""
        translator = f"{self.name}-client-{self.bricks.index(brick)}"
        private = mount / ".meta" / "graphs" / "active" / translator / "private"
        return "connected = 1\n" in private.read_text()

    def profile(self) -> dict[Path, Profile]:
        """Cumulative statistics of each brick."""
        answer = gluster("volume", "profile", self.name, "info", "cumulative", "--xml")
        bricks = ElementTree.fromstring(answer).iterfind("volProfile/brick")
        return {Path(b.findtext("brickName", "").split(":", 1)[1]): _profile(b) for b in bricks}

    def segment_path(self, brick: Path) -> Path:
        """Where the translator must put a brick's segment."""
        return SEGMENTS / f"{self.name}.{_dashed(brick)[1:]}{reader.SUFFIX}"

    def segment(self, brick: Path) -> reader.Segment:
        """A brick's segment, freshly opened; waits for a brick that is just starting."""
        path = self.segment_path(brick)
        wait_for(path.exists, f"segment {path}")
        return reader.Segment(path)

    @contextlib.contextmanager
    def mount(self, *options: str) -> Iterator[Path]:
        """Mount the volume through FUSE; on exit wait until the client has gone."""
        target = Path(tempfile.mkdtemp(prefix="mount-", dir=self.directory))
        log = self.directory / "mount.log"
        timeouts = ("attribute-timeout=0", "entry-timeout=0", "negative-timeout=0")
        every = (*timeouts, f"log-file={log}", *options)
        subprocess.run(
            ["mount", "-t", "glusterfs", "-o", ",".join(every), f"{HOST}:/{self.name}", target],
            check=True,
        )
        client = wait_for(lambda: process_of(str(target)), f"the client of {target}")
        try:
            yield target
        finally:
            try:
                _unmount(target)
                wait_for(lambda: not runs(client), f"client {client} to end")
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(client, signal.SIGKILL)
                raise
            target.rmdir()


def _dashed(path: Path) -> str:
    return str(path).replace("/", "-")


def _brick_log(brick: Path) -> Path:
    return LOGS / "bricks" / f"{_dashed(brick)[1:]}.log"


def _pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def runs(pid: int) -> bool:
    """A process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def process_of(word: str) -> int | None:
    """The pid of GlusterFS's process here that has ``word`` as one word of its command line."""
    namespace = Path("/proc/self/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "ns/pid").readlink() != namespace:
                    continue
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if b"glusterfs" in command[0] and word.encode() in command:
                    return int(entry.name)
    return None


def _unmount(target: Path) -> None:
    done = subprocess.run(["umount", target], capture_output=True, text=True, check=False)
    if done.returncode:
        subprocess.run(["umount", "--lazy", target], check=True)
        raise AssertionError(f"{target} was still busy: {done.stderr}")


@contextlib.contextmanager
def volume(
    *kind: str,
    bricks: int,
    options: dict[str, str] | None = None,
    parents: Sequence[Path] = (),
    start: bool = True,
    counted: bool = True,
    profiled: bool = True,
) -> Iterator[Volume]:
    """A new volume with the translator in it, profiled from its start and without client caches.

    Args:
        kind: as ``gluster volume create`` takes it, ``"replica", "2"``; nothing: distribute.
        bricks: how many.
        options: set before the start, over the defaults.
        parents: directories for the bricks, by default in a temporary one of the volume's own.
        start: False to leave the volume stopped.
        counted: False to leave the translator out.
        profiled: False to leave profiling off.
    """
    name = f"{Path(PREFIX).name}{next(_numbers)}"
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=Path(PREFIX).parent))
    directory.chmod(0o755)
    paths = [
        (parents[number] if parents else directory) / f"brick{number}" for number in range(bricks)
    ]
    for path in paths:
        path.mkdir()
    made = Volume(name, directory, paths)
    passed = False
    try:
        words = [*kind, *(f"{HOST}:{path}" for path in paths), "force"]
        gluster("volume", "create", name, *words)
        inserted = {"user.xlator.glupy": "quota"} if counted else {}
        profile = PROFILE if profiled else {}
        made.set_options({**profile, **NO_CLIENT_CACHES, **inserted, **(options or {})})
        if start:
            made.start()
        yield made
        passed = True
    finally:
        _remove(made)
        left = _remaining(made)
        for path in left:
            path.unlink()
        if passed:
            _forget(made)
            assert not left, "segments of bricks that the volume no longer has"


def _remove(made: Volume) -> None:
    if made.name in gluster("volume", "list").split():
        if any(made.pid(brick) for brick in made.bricks):
            made.stop()
        elif "Status: Started" in gluster("volume", "info", made.name):
            gluster("volume", "stop", made.name, "force")
        gluster("volume", "delete", made.name)
    for brick in made.bricks:
        made.segment_path(brick).unlink(missing_ok=True)
    # Not rmtree, which calls itself for every level of directories.
    subprocess.run(["rm", "-rf", made.directory], check=True)


def _remaining(made: Volume) -> list[Path]:
    """What is among the segments that carries the volume's name, hidden files included."""
    there = SEGMENTS.iterdir() if SEGMENTS.exists() else ()
    return [path for path in there if f"{made.name}." in path.name]


def _forget(made: Volume) -> None:
    """Remove what GlusterFS keeps of a deleted volume; after a failure the logs may help."""
    for directory in (RUN / "vols", RUN / "shd", LOGS / "snaps", LOGS / "gfproxy"):
        shutil.rmtree(directory / made.name, ignore_errors=True)
    logs = [LOGS / f"glfsheal-{made.name}.log", LOGS / f"{made.name}-replace-brick-mount.log"]
    for log in (*logs, *map(_brick_log, made.bricks)):
        log.unlink(missing_ok=True)


def heal(made: Volume) -> None:
    """Heal all that a brick missed while it was down, and wait until nothing is left."""

    def started() -> bool:
        with contextlib.suppress(AssertionError):
            gluster("volume", "heal", made.name)
            return True
        return False

    wait_for(started, "a heal to start")
    wait_for(lambda: pending_heals(made) == 0, "all entries to be healed", 60)


def pending_heals(made: Volume) -> int | None:
    """Entries that wait to be healed on all bricks, None while a brick cannot tell."""
    answer = gluster("volume", "heal", made.name, "info", "--xml")
    counts = [e.text for e in ElementTree.fromstring(answer).iter("numberOfEntries")]
    return sum(map(int, counts)) if counts and all(c and c.isdigit() for c in counts) else None
