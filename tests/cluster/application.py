"""An application that would notice if anything went wrong with its files.

It runs on the client, by the standard library alone: ``python3 application.py DIRECTORY``. Each of
its workers has files of its own, writes, appends, renames and removes them, reads back what it did
and compares. At standard input it takes a command a line and answers with a line of JSON:

report   what was done since the last report
pause    let every operation under way end, begin no other; the same report
resume   go on; an empty report
keep     rename and remove no file from the next operation on; a report
change   rename and remove files again; a report

It ends with its input.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

WORKERS = 3
FILES = 6
PAUSE = 0.05
"""Seconds between two operations of a worker: the machine has other things to do."""

PATIENCE = 120
"""Seconds that an operation may take before a pause gives up."""


class Worker(threading.Thread):
    """Works in a directory of its own; :attr:`idle` is held during each operation."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self.directory = directory
        self.idle = threading.Lock()
        self.doing = ""
        self.keeps = False
        """Whether it renames and removes no file."""
        self._content: dict[Path, bytes] = {}
        self._number = 0
        self._chance = random.Random(directory.name)
        self._last = time.monotonic()
        self._lock = threading.Lock()  # of all that a report takes
        self._forget()

    def _forget(self) -> None:
        """Begin a new report."""
        self._done: dict[str, int] = {}
        self._errors: list[str] = []
        self._mismatches: list[str] = []
        self._longest = 0.0
        self._longest_did = ""

    def take(self) -> dict[str, Any]:
        """What was done since the last time; nothing is in two reports, or in none."""
        with self._lock:
            if self.doing:
                self._gap()
            taken = {
                "done": self._done,
                "errors": self._errors,
                "mismatches": self._mismatches,
                "longest": self._longest,
                "longest_did": self._longest_did,
                "hangs": [self.doing] if self.doing else [],
            }
            self._forget()
        return taken

    def _count(self, name: str) -> None:
        with self._lock:
            self._done[name] = self._done.get(name, 0) + 1

    def _mismatch(self, text: str) -> None:
        with self._lock:
            self._mismatches.append(f"{self.doing}: {text}")

    def run(self) -> None:
        steps = (self.write, self.write, self.append, self.append, self.read, self.rename)
        kept = (self.append, self.read)
        while True:
            with self.idle:
                step = self._chance.choice(kept if self.keeps else steps)
                if len(self._content) < 2:
                    step = self.write
                elif len(self._content) >= FILES and not self.keeps:
                    step = self.remove
                path = self._chance.choice(sorted(self._content)) if self._content else None
                self.doing = f"{step.__name__} {path}"
                try:
                    step(path)
                except OSError as error:
                    # Whatever has become of the file, it is one no more.
                    self._content.pop(path, None)
                    with self._lock:
                        self._errors.append(f"{time.time():.1f} {self.doing}: {error}")
                else:
                    self._count(step.__name__)
                    with self._lock:
                        self._gap()
                        self._last = time.monotonic()
                self.doing = ""
            time.sleep(PAUSE)

    def _gap(self) -> None:
        """Note how long it is since an operation last succeeded."""
        since = time.monotonic() - self._last
        if since > self._longest:
            self._longest, self._longest_did = since, self.doing

    def rested(self) -> None:
        """It did nothing on purpose until now."""
        self._last = time.monotonic()

    def _new(self) -> Path:
        self._number += 1
        return self.directory / f"{self._number}"

    def _put(self, path: Path, flags: int, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | flags, 0o644)
        try:
            written = os.write(descriptor, content)
            self._count("writes")
            if written != len(content):
                self._mismatch(f"wrote {written} of {len(content)} bytes")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _compare(self, path: Path) -> None:
        found, wanted = path.read_bytes(), self._content[path]
        if found != wanted:
            self._mismatch(f"{path} has {len(found)} bytes, not the {len(wanted)} written")

    def write(self, _: Path | None) -> None:
        path = self._new()
        content = os.urandom(self._chance.choice((100, 4096, 30_000, 65_536)))
        self.doing = f"write {path}"
        self._put(path, os.O_CREAT | os.O_EXCL, content)
        self._content[path] = content
        self._compare(path)

    def append(self, path: Path) -> None:
        content = os.urandom(self._chance.choice((1, 1000, 20_000)))
        self._put(path, os.O_APPEND, content)
        self._content[path] += content
        self._compare(path)

    def read(self, path: Path) -> None:
        self._compare(path)

    def rename(self, path: Path) -> None:
        target = self._new()
        path.rename(target)
        self._content[target] = self._content.pop(path)
        self._compare(target)

    def remove(self, path: Path) -> None:
        path.unlink()
        del self._content[path]


def report(workers: list[Worker]) -> dict[str, Any]:
    taken = [worker.take() for worker in workers]
    slowest = max(taken, key=lambda each: each["longest"])
    done: Counter[str] = Counter()
    for each in taken:
        done.update(each["done"])
    return {
        "done": done,
        **{
            name: [text for each in taken for text in each[name]]
            for name in ("errors", "mismatches", "hangs")
        },
        "longest": slowest["longest"],
        "longest_did": slowest["longest_did"],
    }


def main(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    workers = [Worker(directory / f"worker{number}") for number in range(WORKERS)]
    for worker in workers:
        worker.directory.mkdir(exist_ok=True)
    for worker in workers:
        worker.start()
    held: list[Worker] = []
    for line in sys.stdin:
        command = line.strip()
        if command == "pause":
            until = time.monotonic() + PATIENCE
            for worker in workers:
                if not worker.idle.acquire(timeout=max(0.0, until - time.monotonic())):
                    break
                held.append(worker)
        elif command == "resume":
            while held:
                worker = held.pop()
                worker.rested()
                worker.idle.release()
        elif command in ("keep", "change"):
            for worker in workers:
                worker.keeps = command == "keep"
        print(json.dumps(report(workers)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
