"""A bounded mix of what applications do to a file system."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THREADS = 4
SHARED_FILES = 20
SIZES = (0, 700, 4 << 10, 64 << 10, 1 << 20)
BLOCK = 64 << 10
PROGRESS_SECONDS = 5.0
SWELL_SECONDS = 600.0


class Workload:
    """Works in a directory until told to stop, seen through one or more mounts."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.stop = threading.Event()
        self._directories = directories
        self._shared = [f"shared/table-{i:02}.db" for i in range(SHARED_FILES)]
        self._weights = [1 / (rank + 1) for rank in range(SHARED_FILES)]
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        shutil.rmtree(directories[0], ignore_errors=True)
        (directories[0] / "shared").mkdir(parents=True)
        for name in self._shared:
            (directories[0] / name).write_bytes(os.urandom(1 << 20))

    def run(self, seconds: float, pause: float = 0.0) -> Iterator[str]:
        """Work for ``seconds`` with ``pause`` after every step, on average, yielding a line of
        progress now and then.

        Raises:
            OSError: the file system did not do what it should.
        """
        start = time.monotonic()
        end = start + seconds
        with ThreadPoolExecutor(THREADS) as pool:
            workers = [pool.submit(self._work, number, end, pause) for number in range(THREADS)]
            try:
                while not all(worker.done() for worker in workers):
                    self.stop.wait(min(PROGRESS_SECONDS, max(0.1, end - time.monotonic())))
                    yield self._progress(time.monotonic() - start, seconds)
            except BaseException:
                self.stop.set()
                raise
            for worker in workers:
                worker.result()

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

    def _work(self, number: int, end: float, pause: float) -> None:
        dice = random.Random(number)
        steps = (self._files, self._names, self._attributes, self._locks, self._errors)
        directory = self._directories[number % len(self._directories)]
        own = directory / f"worker-{number}"
        while True:
            own.mkdir()
            for step in steps:
                step(own, dice)
                for _ in range(10):
                    self._database(directory, number, dice)
                # Graphs have a shape if the load comes and goes, of each worker at another time.
                swell = math.sin(2 * math.pi * time.monotonic() / SWELL_SECONDS + number)
                if time.monotonic() > end or self.stop.wait(pause * (1 + 0.8 * swell)):
                    shutil.rmtree(own)
                    return
            shutil.rmtree(own)
            self._count(steps=1)

    def _database(self, directory: Path, number: int, dice: random.Random) -> None:
        """Three reads and a write in one of the shared files, a few of them far more often; each
        worker has other favourites.
        """
        [rank] = dice.choices(range(SHARED_FILES), self._weights)
        name = self._shared[(rank + number) % SHARED_FILES]
        with (directory / name).open("r+b", buffering=0) as file:
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
