"""Keeps a process for each probe, and their last answers for a scrape."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from glupy_exporter.commands import DIRECTORY, ENVIRONMENT
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.probes import base, child, loading
from glupy_exporter.probes.child import Answer, Task
from glupy_exporter.segment.text import escape

LOG = logging.getLogger(__name__)

SILENCE = 15.0
"""Seconds after its last answer for which a probe counts as running."""

FAMILIES_MAX = 100
"""The most families of a probe."""

EXITS = ("timeout", "killed", "error", "answer")
"""The reasons why a process ended: a call took too long, a signal, an error, or a bad answer."""

_GRACE = 1.0  # seconds in which processes may end by themselves
_ANSWER_MAX = 4 << 20  # bytes of a line
_TEXT_MAX = 1024  # characters of a label or help
_BACKOFF = (1.0, 300.0)  # seconds until a process is started again: at first, and at most
_COMMAND = (sys.executable, "-m", child.__name__)


@dataclass(frozen=True)
class Status:
    """The state and the counters of a probe."""

    name: str
    """The name of its file, without ``.py``, as a label can hold it."""
    up: bool
    answer: Answer
    """The counters of its process; all zero while there is none."""
    exits: dict[str, int]
    """Ends of its process, by :data:`EXITS`."""


class _Probe:
    """A probe and the thread that looks after its process."""

    def __init__(self, path: Path, task: Task) -> None:
        self._name = escape(os.fsencode(path.stem))
        self._task = json.dumps(asdict(task)).encode() + b"\n"
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = float("-inf")
        self._answer = Answer()
        self._exits: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"probe {path.stem}", daemon=True)
        self._thread.start()

    def status(self) -> Status:
        """The state and the counters of the probe."""
        with self._lock:
            up = time.monotonic() - self._answered < SILENCE
            exits = {reason: self._exits[reason] for reason in EXITS}
            return Status(self._name, up, self._answer, exits)

    def ask_to_end(self) -> None:
        """Have the process end, which it does when it has given the probe what it has read."""
        self._stopped.set()
        with self._lock:
            process = self._process
        if process and process.stdin:
            with suppress(OSError):
                process.stdin.close()

    def end(self, deadline: float) -> None:
        """Wait until the process has ended, and kill it at the deadline, a monotonic time."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            process = self._process
        if process and process.poll() is None:
            process.kill()

    def _run(self) -> None:
        wait, longest = _BACKOFF
        while not self._stopped.is_set():
            began = time.monotonic()
            reason = self._live()
            if self._stopped.is_set():
                return
            with self._lock:
                self._exits[reason] += 1
                self._answered = float("-inf")
                self._answer = Answer()
            fields = {"probe": self._name, "reason": reason}
            LOG.warning("a probe's process has ended", extra={"fields": fields})
            if time.monotonic() - began > longest:
                wait = _BACKOFF[0]
            self._stopped.wait(wait)
            wait = min(2 * wait, longest)

    def _live(self) -> str:
        """Run the process until it ends; return why it did."""
        try:
            process = subprocess.Popen(
                _COMMAND,
                cwd=DIRECTORY,
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            LOG.error("a probe cannot be started", extra={"fields": {"error": error}})
            return "error"
        with self._lock:
            self._process = process
        assert process.stdin and process.stdout
        if self._stopped.is_set():
            process.kill()
        reason = ""
        with suppress(OSError, ValueError):  # it has ended, or stop has closed its standard input
            process.stdin.write(self._task)
            process.stdin.flush()
            while line := process.stdout.readline(_ANSWER_MAX + 1):
                try:
                    answer = parsed(line)
                except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
                    fields = {"probe": self._name, "error": repr(error)[:500]}
                    LOG.error("a probe's answer makes no sense", extra={"fields": fields})
                    reason = "answer"
                    process.kill()
                    break
                with self._lock:
                    self._answer, self._answered = answer, time.monotonic()
        with suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        code = process.wait()
        if reason:
            return reason
        return "timeout" if code == -signal.SIGALRM else "killed" if code < 0 else "error"


def parsed(line: bytes) -> Answer:
    """The answer in a line of a probe's process, of which every part is checked.

    Raises:
        ValueError, TypeError, KeyError, ArithmeticError: a part of it is not what it has to be.
    """
    if len(line) > _ANSWER_MAX:
        raise ValueError(f"an answer of more than {_ANSWER_MAX} bytes")
    given = json.loads(line)
    answer = Answer(**{each.name: given[each.name] for each in fields(Answer)})
    for name in ("records", "lost", "skipped", "errors", "seconds"):
        _number(getattr(answer, name))
    if len(answer.families) > FAMILIES_MAX:
        raise ValueError(f"{len(answer.families)} families")
    answer.families = [_family(family) for family in answer.families]
    return answer


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r:.100} is not a number")
    return value


def _text(value: Any) -> str:
    """A text that labels and help can hold: half of a surrogate pair, which UTF-8 has no bytes for,
    becomes an escape."""
    text = str(value).replace("\0", "")[:_TEXT_MAX]
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _family(given: dict[str, Any]) -> dict[str, Any]:
    family = {"counter": base.Counter, "gauge": base.Gauge}[given["type"]](
        given["name"], _text(given["help"]), given["labels"]
    )
    if len(given["rows"]) > base.ROWS_MAX:
        raise ValueError(f"{family.name} has {len(given['rows'])} rows")
    rows = {}
    for labels, value in given["rows"]:
        if len(labels) != len(family.labels):
            raise ValueError(f"{family.name} has a row with {len(labels)} labels")
        rows[tuple(map(_text, labels))] = _number(value)
    return {
        "name": family.name,
        "type": family.type,
        "help": family.help,
        "labels": family.labels,
        "rows": rows,
    }


class Runner:
    """The probes of a directory, each in a process of its own."""

    def __init__(self) -> None:
        self._probes: list[_Probe] = []

    def replace(
        self, directory: Path | None, segments: Path, expiry: float, privacy: Privacy
    ) -> None:
        """End the probes that run, and start those of ``directory``; None: no others.

        Args:
            directory: where the files of the probes are.
            segments: where the segments of the bricks are.
            expiry: for how many seconds a dead brick is looked at.
            privacy: what the probes may see of files and users.

        Raises:
            UserError: the directory cannot be used; the probes before go on.
        """
        paths = loading.found(directory) if directory else []
        self.stop()
        self._probes = [
            _Probe(path, Task(str(path), str(segments), expiry, asdict(privacy))) for path in paths
        ]

    def statuses(self) -> Sequence[Status]:
        """The state and the counters of each probe; waits for nothing."""
        return [probe.status() for probe in self._probes]

    def stop(self) -> None:
        """End all probes, in a second at most."""
        for probe in self._probes:
            probe.ask_to_end()
        deadline = time.monotonic() + _GRACE
        for probe in self._probes:
            probe.end(deadline)
        self._probes = []
