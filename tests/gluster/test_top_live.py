"""`glupy-exporter top` on a real brick."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from cluster import HOST, volume, wait_for
from compare import files

BLOCK = 1000
DIRECT = "direct-io-mode=enable"


@contextlib.contextmanager
def over_and_over(path: Path, mode: str, work: Callable[..., object]) -> Iterator[None]:
    """Do ``work`` with the open file in a thread until the context ends."""
    done = threading.Event()

    def run() -> None:
        with path.open(mode, buffering=0) as file:
            while not done.is_set():
                work(file)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_once_shows_what_goes_on(xlator: None) -> None:
    """Two files, one written and one read through two mounts of this host."""
    with volume(bricks=1) as subject, subject.mount(DIRECT) as one, subject.mount(DIRECT) as two:
        (one / "dir").mkdir()
        (one / "dir" / "read").write_bytes(b"x" * BLOCK)

        def known() -> bool:
            with subject.segment(subject.bricks[0]) as segment:
                return {"/written", "/dir/read"} <= {file.path for file in files(segment)}

        with (
            over_and_over(two / "written", "wb", lambda file: file.write(b"x" * BLOCK)),
            over_and_over(
                one / "dir" / "read", "rb", lambda file: file.read(BLOCK) or file.seek(0)
            ),
        ):
            wait_for(known, "the names")
            command = [sys.executable, "-m", "glupy_exporter.cli", "top", "--json"]
            printed = subprocess.run(
                [*command, "--interval=1", f"--filter={subject.name}"],
                check=True,
                capture_output=True,
            )
    found = json.loads(printed.stdout)
    paths = {row["path"]: row for row in found["files"]}
    written, been_read = paths["/written"], paths["/dir/read"]
    address = socket.gethostbyname(HOST)
    assert (written["top_client"], written["type"]) == (address, "file")
    # The brick goes on while its counters are read, one after the other.
    about = partial(pytest.approx, rel=0.1)
    assert written["write_bytes_per_second"] == about(BLOCK * written["fops_per_second"])
    assert written["read_bytes_per_second"] == been_read["write_bytes_per_second"] == 0
    (client,) = (row for row in found["clients"] if not row["internal"])
    assert (client["client"], client["connections"]) == (address, 2)
    assert client["read_bytes_per_second"] == about(been_read["read_bytes_per_second"])
    calls = {row["fop"]: row["calls_per_second"] for row in found["fops"]}
    assert calls["write"] == about(written["fops_per_second"])
    assert calls["read"] == about(been_read["fops_per_second"])
