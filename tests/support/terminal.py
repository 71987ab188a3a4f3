"""Runs a command on a terminal, presses keys and reads the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import pyte

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key not in ("LINES", "COLUMNS")},
    "LC_ALL": "C.UTF-8",
}
PATIENCE = 20


class Terminal:
    """A pseudo terminal of 80x24 with a command on it, and what its screen shows."""

    def __init__(self, command: list[str], term: str = "linux", **environment: str) -> None:
        self.raw = b""
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self._master, self._slave = pty.openpty()
        self._resize(80, 24)
        self._modes = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**ENVIRONMENT, "TERM": term, **environment},
            start_new_session=True,
            # Only a process whose terminal this is gets the signals of its keys and of its size.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        self._resize(columns, lines)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode("utf-8", "surrogateescape"))

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    def _take(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            data = os.read(self._master, 65536)
            self.raw += data
            self._stream.feed(data)

    def wait_until(
        self, condition: Callable[[list[str]], object], meanwhile: Callable[[], None] | None = None
    ) -> list[str]:
        deadline = time.monotonic() + PATIENCE
        while not condition(self.lines()):
            shown = "\n".join(self.lines())
            assert time.monotonic() < deadline, f"the screen still is\n{shown}"
            if meanwhile:
                meanwhile()
            self._take(0.05)
        return self.lines()

    def wait_for(self, wanted: str, meanwhile: Callable[[], None] | None = None) -> list[str]:
        return self.wait_until(lambda lines: any(wanted in line for line in lines), meanwhile)

    def drawn(self) -> list[str]:
        """The screen, once nothing more is being drawn."""
        size = -1
        while size != len(self.raw):
            size = len(self.raw)
            self._take(0.5)
        return self.lines()

    def wait_for_rows(self, *names: str) -> list[str]:
        """The screen, once exactly these are the last words of the title and the rows."""
        return self.wait_until(
            lambda lines: [line.split()[-1] for line in lines[2:-1] if line] == [*names]
        )

    def end(self) -> int:
        """Wait for the end, check that the terminal is as it was, and return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._take(0.05)
        while select.select([self._master], [], [], 0)[0]:
            self._take(0)
        assert termios.tcgetattr(self._slave) == self._modes
        return self.process.returncode
