"""A real `glupy-exporter serve` on the loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

COMMAND = (sys.executable, "-m", "glupy_exporter.cli")


def events(*arguments: str) -> list[dict[str, Any]]:
    """What a command writes with --json."""
    command = [*COMMAND, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Exporter:
    """A `glupy-exporter serve` that runs for a test."""

    def __init__(self, *flags: str, command: Sequence[str] = COMMAND) -> None:
        self.process = subprocess.Popen(
            [*command, "serve", *flags], stderr=subprocess.PIPE, text=True
        )
        self.log: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.put(line)

    def wait_for(self, text: str) -> str:
        """The next line logged that has ``text`` in it."""
        while True:
            line = self.log.get(timeout=20)
            if text in line:
                return line

    def port(self) -> int:
        match = re.search(r"address=\S+:([0-9]+) ", self.wait_for("msg=listening"))
        assert match
        return int(match[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=20)


@contextlib.contextmanager
def exporter(*flags: str) -> Iterator[Exporter]:
    running = Exporter(*flags)
    try:
        yield running
    finally:
        running.stop()


def ask(
    port: int, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer and its body, to a request with these headers (``_`` for ``-``)."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    with contextlib.closing(connection):
        connection.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer, answer.read()
