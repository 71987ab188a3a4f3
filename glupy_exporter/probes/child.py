"""The process of one probe: gives it records, and sends the exporter its counts.

The exporter writes one line of JSON to standard input (:class:`Task`), and closes it to end the
process. Each second the process reads the rings of this node's bricks, and answers with one line
of JSON (:class:`Answer`). The process ends itself if one call of the probe takes too long, and
takes no more memory and processor time than the limits here.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from glupy_exporter.errors import UserError
from glupy_exporter.node.bricks import Identity, open_bricks
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Names, Recorded
from glupy_exporter.probes import loading
from glupy_exporter.probes.base import Probe
from glupy_exporter.segment import recorder
from glupy_exporter.segment.check import SegmentError

INTERVAL = 1.0
"""Seconds between two looks at the rings."""

CALL_SECONDS = 10
"""Seconds that one call of a probe may take; then the kernel ends its process."""

SHARE = 0.1
"""The share of a processor that a probe may use; records beyond it are skipped."""

MEMORY = 256 << 20
"""The most bytes of address space."""

_BATCH = 256  # records of one call
_REMEMBERED = 1 << 10  # files of each brick
_RECORDS = 1 << 13  # the most of a ring in one look: time and memory are limited
_LINES_MAX = 10  # errors of a probe that are written to the log
_NICE = 10


@dataclass(frozen=True)
class Task:
    """The task of a process."""

    probe: str
    """The file of the probe."""
    directory: str
    """The directory of the segments."""
    expiry: float
    privacy: dict[str, Any]
    """The fields of :class:`Privacy`."""


@dataclass
class Answer:
    """The work of a process since it began."""

    records: int = 0
    """Records that the probe got."""
    lost: int = 0
    """Records that were overwritten before they were read."""
    skipped: int = 0
    """Records that the probe had no time for."""
    errors: int = 0
    """Calls of the probe that raised an exception."""
    seconds: float = 0.0
    """Processor time of the probe."""
    families: list[dict[str, Any]] = field(default_factory=list)


class Feeder:
    """Reads the rings for a probe."""

    def __init__(self, probe: Probe, task: Task, log: TextIO) -> None:
        self.answer = Answer()
        self._probe = probe
        self._task = task
        self._log = log
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in task.privacy.items()
        }
        self._privacy = Privacy(**given)
        self._names: dict[Identity, Names] = {}
        self._positions: dict[tuple[Identity, str], int] = {}

    def look(self) -> None:
        """Give the probe the records since the last look, while its share of processor time lasts.

        The first look only finds the positions of the rings.
        """
        budget = SHARE * INTERVAL
        batch: list[Recorded] = []
        for record in self._records():
            batch.append(record)
            if len(batch) == _BATCH:
                budget -= self._give(batch, budget)
                batch = []
        self._give(batch, budget)
        self.answer.families = [
            {
                "name": family.name,
                "type": family.type,
                "help": family.help,
                "labels": family.labels,
                "rows": list(family.rows.items()),
            }
            for family in self._probe.families()
        ]

    def _records(self) -> Iterator[Recorded]:
        positions: dict[tuple[Identity, str], int] = {}
        names: dict[Identity, Names] = {}
        with open_bricks(Path(self._task.directory), self._task.expiry) as (bricks, _):
            for brick in bricks:
                if not brick.about.alive:
                    continue
                key = brick.identity
                known = self._names.get(key)
                look_up = names[key] = known or Names(brick, self._privacy, _REMEMBERED)
                look_up.look_at(brick)
                fops: list[recorder.Fop] = []
                try:
                    for ring in recorder.RINGS:
                        place = key, ring
                        kept = brick.segment.kept(ring)
                        since = self._positions.get(place, kept.stop)
                        first = since
                        if kept.stop - since > _RECORDS:
                            first = kept.stop - _RECORDS
                            self.answer.lost += max(0, min(first, kept.start) - since)
                            self.answer.skipped += max(0, first - max(since, kept.start))
                        batch = brick.segment.recorded(first, ring)
                        positions[place] = batch.next
                        self.answer.lost += batch.lost
                        fops += (f for f in batch.fops if ring == recorder.SLOW or _only(f))
                    fops.sort(key=lambda fop: fop.ended)
                    yield from filter(None, map(look_up.recorded, fops))
                except SegmentError:
                    continue  # the exporter reports it
        self._positions, self._names = positions, names

    def _give(self, batch: list[Recorded], budget: float) -> float:
        """The processor time that the probe took for the batch."""
        if not batch:
            return 0.0
        if budget <= 0:
            self.answer.skipped += len(batch)
            return 0.0
        began = time.process_time()
        signal.alarm(CALL_SECONDS)
        try:
            self._probe.record(batch)
            self.answer.records += len(batch)
        except Exception as error:
            self.answer.errors += 1
            if self.answer.errors <= _LINES_MAX:
                print(f"probe {self._task.probe}: {error!r:.500}", file=self._log, flush=True)
        finally:
            signal.alarm(0)
        took = time.process_time() - began
        self.answer.seconds += took
        return took


def _only(fop: recorder.Fop) -> bool:
    """Whether the fop is in the ring of traced fops alone."""
    return not fop.cause & recorder.CAUSE_SLOW


def _confine() -> None:
    # Each limit is a help for the exporter; where the system forbids it, the probe runs without.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        # If memory runs out, the kernel is to end this process and not the exporter.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def main() -> int:
    """Run until standard input is closed."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what the probe prints goes to the log
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exporter ends this process
    task = Task(**json.loads(sys.stdin.readline()))
    _confine()
    signal.alarm(CALL_SECONDS)
    try:
        probe = loading.load(Path(task.probe))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    signal.alarm(0)
    feeder = Feeder(probe, task, sys.stderr)
    while True:
        began = time.monotonic()
        feeder.look()
        try:
            answers.write(json.dumps(asdict(feeder.answer)) + "\n")
            answers.flush()
        except BrokenPipeError:
            return 0
        rest = max(0.0, INTERVAL - (time.monotonic() - began))
        readable, _, _ = select.select([sys.stdin], [], [], rest)
        if readable:
            return 0


if __name__ == "__main__":
    sys.exit(main())
