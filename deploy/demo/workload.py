"""A bounded mix of what applications do to a file system."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from glupy_exporter.errors import UserError

SHARED_FILES = 20
SIZES = (0, 700, 4 << 10, 64 << 10, 1 << 20)
BLOCK = 64 << 10
PROGRESS_SECONDS = 5.0
SWELL_SECONDS = 600.0
PATIENCE_SECONDS = 60.0
"""How long a worker may be at one step of its work; none takes a second if nothing hangs."""

END_SECONDS = 5.0


class HangError(UserError):
    """A worker does not come back from the file system; the text says where each of them is."""


class Worker(threading.Thread):
    """A thread that notes the path that it works on.

    It is a daemon thread, since nothing interrupts a system call that waits for FUSE, and the demo
    has to end nevertheless.
    """

    def __init__(self, name: str, directory: Path, task: Callable[[Worker], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.directory = directory
        self.error: Exception | None = None
        self._task = task
        self.note(directory)

    def run(self) -> None:
        """Do the task, and keep the exception that it raises."""
        try:
            self._task(self)
        except Exception as error:
            self.error = error

    def note(self, path: Path) -> None:
        """Begin a step, on a file or in a directory."""
        self._path, self._since = path, time.monotonic()

    def hangs(self) -> bool:
        """Whether it has been at one step for too long."""
        return self.is_alive() and time.monotonic() - self._since > PATIENCE_SECONDS

    def whereabouts(self) -> str:
        """Its path and since when, its line of code, and the kernel's functions that it is in."""
        lines = [f"{self.name}: for {time.monotonic() - self._since:.0f} s at {self._path}"]
        frame = sys._current_frames().get(self.ident or 0)
        called = [call for call in traceback.extract_stack(frame) if call.filename == __file__]
        lines += [f"  line {call.lineno}, {call.name}: {call.line}" for call in called[-1:]]
        for name in ("stack", "wchan"):  # either may be refused, even to root
            with contextlib.suppress(OSError):
                kernel = Path(f"/proc/self/task/{self.native_id}/{name}").read_text()
                functions = [line.split()[-1].split("+")[0] for line in kernel.splitlines()]
                return "\n".join([*lines, f"  in the kernel: {' < '.join(functions)}"])
        return "\n".join(lines)


def _ended(workers: Sequence[Worker], seconds: float) -> bool:
    """Wait until all have ended, for ``seconds`` at most; whether they have."""
    give_up = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, give_up - time.monotonic()))
    return not any(worker.is_alive() for worker in workers)


class Workload:
    """Workers in one directory of a volume, each of which has a mount of its own.

    So no mount has two threads that write to one file at a time. If one had, GlusterFS up to 11.1
    might lose an inode lock (its issue 4425) when a flush of one thread and a write of the other
    meet in the replication of that client, and all would wait for that file for ever. A lock of
    this program around the writes would not keep them apart, since close() flushes after the last
    write. A lock from open() to the end of close() would, but then nothing would meet at all.
    Workers of different mounts do meet, on the bricks, whose locks are in order.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self.stop = threading.Event()
        self._directories = directories
        self._shared = [f"shared/table-{i:02}.db" for i in range(SHARED_FILES)]
        self._weights = [1 / (rank + 1) for rank in range(SHARED_FILES)]
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._prepared = False

    def run(self, seconds: float, pause: float = 0.0) -> Iterator[str]:
        """Work for ``seconds``, and yield a line of progress now and then.

        ``pause`` is the mean time in seconds after each step.

        Raises:
            OSError: the file system failed.
            HangError: a worker waits for the file system for too long.
        """
        if not self._prepared:
            for _ in self._until_all_end([Worker("setup", self._directories[0], self._prepare)]):
                pass
            self._prepared = True
        start = time.monotonic()

        def work(worker: Worker) -> None:
            self._work(worker, start + seconds, pause)

        workers = [
            Worker(f"worker-{number}", directory, work)
            for number, directory in enumerate(self._directories)
        ]
        for _ in self._until_all_end(workers):
            yield self._progress(time.monotonic() - start, seconds)

    def _until_all_end(self, workers: Sequence[Worker]) -> Iterator[None]:
        """Start workers; yield now and then until all have ended."""
        for worker in workers:
            worker.start()
        try:
            running = True
            while running:
                running = not _ended(workers, PROGRESS_SECONDS)
                for worker in workers:
                    if worker.error:
                        raise worker.error
                if any(worker.hangs() for worker in workers):
                    where = [worker.whereabouts() for worker in workers if worker.is_alive()]
                    raise HangError("\n".join(["the volume hangs", *where]))
                yield
        except BaseException:
            self.stop.set()
            _ended(workers, END_SECONDS)  # those that can
            raise

    def _prepare(self, worker: Worker) -> None:
        shutil.rmtree(worker.directory, ignore_errors=True)
        (worker.directory / "shared").mkdir(parents=True)
        for name in self._shared:
            worker.note(worker.directory / name)
            (worker.directory / name).write_bytes(os.urandom(1 << 20))

    def _progress(self, now: float, seconds: float) -> str:
        with self._lock:
            done = dict(self._done)
        return (
            f"{min(now, seconds):3.0f} of {seconds:.0f} s: {done.get('steps', 0)} rounds, "
            f"{done.get('written', 0) >> 20} MiB written, {done.get('read', 0) >> 20} MiB read"
        )

    def _count(self, **amounts: int) -> None:
        with self._lock:
            self._done.update(amounts)

    def _work(self, worker: Worker, end: float, pause: float) -> None:
        number = self._directories.index(worker.directory)
        dice = random.Random(number)
        steps = (self._files, self._names, self._attributes, self._locks, self._errors)
        own = worker.directory / worker.name
        while True:
            worker.note(own)
            own.mkdir()
            for step in steps:
                worker.note(own)
                step(own, dice)
                for _ in range(10):
                    # Each worker uses a few of the shared files far more often than the others.
                    [rank] = dice.choices(range(SHARED_FILES), self._weights)
                    path = worker.directory / self._shared[(rank + number) % SHARED_FILES]
                    worker.note(path)
                    self._database(path, dice)
                worker.note(own)
                # The load of each worker comes and goes at another time, to give graphs a shape.
                swell = math.sin(2 * math.pi * time.monotonic() / SWELL_SECONDS + number)
                if time.monotonic() > end or self.stop.wait(pause * (1 + 0.8 * swell)):
                    shutil.rmtree(own)
                    return
            shutil.rmtree(own)
            self._count(steps=1)

    def _database(self, path: Path, dice: random.Random) -> None:
        """Three reads and a write."""
        with path.open("r+b", buffering=0) as file:
            for _ in range(3):
                file.seek(dice.randrange(16) * BLOCK)
                self._count(read=len(file.read(BLOCK)))
            file.seek(dice.randrange(256) * 4096)
            self._count(written=file.write(os.urandom(4096)))

    def _files(self, own: Path, dice: random.Random) -> None:
        for size in SIZES:
            path = own / f"{size}.dat"
            with path.open("wb", buffering=0) as file:
                for start in range(0, size, BLOCK):
                    self._count(written=file.write(os.urandom(min(BLOCK, size - start))))
                os.fsync(file.fileno())
            self._count(read=len(path.read_bytes()))
        with path.open("r+b", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, 2 << 20)
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
            file.truncate(10)

    def _names(self, own: Path, dice: random.Random) -> None:
        path = own / "name"
        path.touch()
        path.rename(own / "renamed")
        os.link(own / "renamed", path)
        (own / "symbolic").symlink_to("name")
        (own / "symbolic").readlink()
        os.mkfifo(own / "pipe")
        (own / "directory").mkdir()
        for entry in os.scandir(own):
            entry.stat(follow_symlinks=False)
        (own / "directory").rmdir()

    def _attributes(self, own: Path, dice: random.Random) -> None:
        path = own / "attributes"
        path.touch()
        path.chmod(0o600)
        os.utime(path, (0, dice.randrange(1 << 30)))
        os.setxattr(path, "user.glupy", b"demo")
        os.getxattr(path, "user.glupy")
        os.listxattr(path)
        os.removexattr(path, "user.glupy")
        os.truncate(path, 1000)
        os.access(path, os.R_OK)
        os.statvfs(path)

    def _locks(self, own: Path, dice: random.Random) -> None:
        with (own.parent / self._shared[0]).open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_UN)

    def _errors(self, own: Path, dice: random.Random) -> None:
        full = own / "full"
        full.mkdir()
        (full / "file").touch()
        with contextlib.suppress(FileNotFoundError):
            (own / f"missing-{dice.random()}").stat()
        with contextlib.suppress(FileExistsError):
            full.mkdir()
        with contextlib.suppress(OSError):  # ENOTEMPTY
            full.rmdir()
        with contextlib.suppress(OSError):  # ENODATA
            os.getxattr(full, "user.missing")
