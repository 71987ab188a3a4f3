"""The processes that glusterd has pid files of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from glupy_exporter.node import glusterd

PROC = Path("/proc")
_MAX_PID_FILE = 32
_MAX_COMMAND = 2**16
_PROGRAMS = {b"glusterd", b"glusterfs", b"glusterfsd"}


class Process(NamedTuple):
    """A process of GlusterFS that runs."""

    pid: int
    command: tuple[bytes, ...]
    """Its program and arguments."""

    def has(self, *words: bytes) -> bool:
        """Whether its arguments contain ``words``, one after the other."""
        pairs = range(len(self.command) - len(words) + 1)
        return any(self.command[at : at + len(words)] == words for at in pairs)


def of_pid_file(path: Path) -> Process | None:
    """The process of GlusterFS with the pid that a file holds; None if there is none.

    Another program may have got the pid after the process ended, so callers also look at the
    arguments.
    """
    try:
        pid = int(glusterd.content(path, _MAX_PID_FILE))
    except (OSError, ValueError):
        return None
    found = command(pid) if pid > 0 else ()
    program = found[0].rpartition(b"/")[2] if found else b""
    return Process(pid, found) if program in _PROGRAMS else None


def command(pid: int) -> tuple[bytes, ...]:
    """The program and arguments of a process; empty if it has ended."""
    try:
        with (PROC / str(pid) / "cmdline").open("rb") as file:
            return tuple(file.read(_MAX_COMMAND).split(b"\0")[:-1])
    except OSError:
        return ()
