"""The processes that glusterd has pid files of."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from glupy_exporter.node import glusterd

PROC = Path("/proc")
_MAX_PID_FILE = 32
_MAX_COMMAND = 2**16
_PROGRAMS = {b"glusterd", b"glusterfs", b"glusterfsd"}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A process that runs."""

    pid: int
    command: tuple[bytes, ...]
    """Its program and arguments."""

    @property
    def gluster(self) -> str:
        """The name of its program if that is one of GlusterFS, or else nothing."""
        program = self.command[0].rpartition(b"/")[2]
        return program.decode() if program in _PROGRAMS else ""

    def called(self, name: str) -> bool:
        """Whether glusterd started it under this name (``--process-name``)."""
        pairs = zip(self.command, self.command[1:])
        return bool(self.gluster) and (b"--process-name", name.encode()) in pairs


class Use(NamedTuple):
    """The processor time and memory of a process."""

    cpu: float
    """Seconds of processor time."""
    resident: int
    """Bytes of memory."""
    started: float
    """Seconds since the epoch."""
    stopped: bool
    """Whether a signal or a debugger has stopped it, so that it does nothing."""


def of_pid_file(path: Path) -> Process | None:
    """The process with the pid that a file holds; None if there is none.

    Another program may have got the pid after the process ended: look at its command.
    """
    try:
        pid = int(glusterd.content(path, _MAX_PID_FILE))
    except (OSError, ValueError):
        return None
    return of_pid(pid) if pid > 0 else None


def of_pid(pid: int) -> Process | None:
    """The process with a pid; None if it has ended."""
    try:
        with (PROC / str(pid) / "cmdline").open("rb") as file:
            command = tuple(file.read(_MAX_COMMAND).split(b"\0")[:-1])
    except OSError:
        return None
    return Process(pid, command) if command else None


def every() -> Iterator[Process]:
    """All processes of this namespace, without those of containers."""
    here = _depth("self")
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and _depth(entry.name) == here:
            process = of_pid(int(entry.name))
            if process:
                yield process


def _depth(pid: str) -> int:
    """The number of process namespaces that a process is in; a container adds one."""
    try:
        lines = (PROC / pid / "status").read_bytes().splitlines()
    except OSError:
        return 0
    # The link ns/pid would tell as well, but the reader needs all capabilities of the process.
    return next((len(line.split()) for line in lines if line.startswith(b"NSpid:")), 0)


def use(process: Process) -> Use | None:
    """The processor time and memory of a process; None if it has ended."""
    try:
        text = (PROC / str(process.pid) / "stat").read_bytes()
        uptime = float((PROC / "uptime").read_text().split()[0])
        # The name of the program is in parentheses and may hold any bytes.
        fields = text[text.rindex(b")") + 2 :].split()
        ran = (int(fields[11]) + int(fields[12])) / _TICKS
        started = time.time() - uptime + int(fields[19]) / _TICKS
        return Use(ran, int(fields[21]) * _PAGE, round(started, 1), fields[0] in (b"T", b"t"))
    except (OSError, ValueError, IndexError):
        return None
