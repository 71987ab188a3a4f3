"""A command that goes on while the test does other things."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from tests.support.gluster.nodes import children


class Running:
    """One command on a machine: its output line by line, and signals for it."""

    def __init__(self, command: Sequence[str]) -> None:
        self.output = ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._changed:
                self.output += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(self, pattern: str, timeout: float, after: int = 0) -> str:
        """The first whole line with ``pattern`` in it, after so many characters of output."""
        wanted = re.compile(rf"^.*{pattern}.*\n", re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (found := wanted.search(self.output, after)):
                left = deadline - time.monotonic()
                assert left > 0 and not self._ended, (
                    f"no line with {pattern!r} {'at the end' if self._ended else 'in time'}; "
                    f"there is: {self.output}"
                )
                self._changed.wait(left)
        return found.group()

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's process group, as a terminal does."""
        # nsenter itself stays outside, with the command as its child.
        for child in children(self._process.pid):
            os.killpg(os.getpgid(child), number)

    def finish(self, timeout: float) -> tuple[int, str]:
        """The exit code, negative for a signal that ended it, and all output."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end within {timeout} s: {self.output}") from None
        self._reader.join(10)
        return code, self.output

    def kill(self) -> None:
        """End it whatever it does."""
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.kill()
            self._process.wait(10)
