"""An application that works on a volume all the time and would notice if anything went wrong."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.gluster.volumes import wait_for


class Work:
    """Runs of fio, one after the other: each writes, reads back and verifies what it wrote."""

    def __init__(self, mount: Path) -> None:
        self.done = 0
        self._stop = threading.Event()
        self._error: subprocess.CalledProcessError | None = None
        self._thread = threading.Thread(target=self._run, args=(mount,))
        self._thread.start()

    def _run(self, mount: Path) -> None:
        command = ["fio", "--name=work", f"--directory={mount}", "--rw=randwrite", "--bs=8k"]
        command += ["--nrfiles=8", "--filesize=64k", "--direct=1", "--ioengine=psync"]
        command += ["--verify=crc32c", "--verify_fatal=1", "--rate_iops=200"]
        command += ["--verify_state_save=0"]  # else it leaves a file where it was started
        while not self._stop.is_set() and not self._error:
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except subprocess.CalledProcessError as error:
                self._error = error
            self.done += 1

    def go_on(self) -> None:
        """Wait until a run that began after this call has ended well."""
        wanted = self.done + 2
        wait_for(lambda: self.done >= wanted or self._error, "fio to get on", 120)
        assert not self._error, f"{self._error.stdout}{self._error.stderr}"

    def end(self) -> None:
        """Let the run under way end, and begin no other."""
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def work(mount: Path) -> Iterator[Work]:
    """Work while the context lasts."""
    made = Work(mount)
    try:
        yield made
    finally:
        made.end()
