"""`glupy-exporter top` on a real brick."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from functools import partial

import pytest
from cluster import HOST, volume, wait_for
from compare import files

BLOCK = 1000


def test_once_shows_what_goes_on(xlator: None) -> None:
    """Two files, written and read through two mounts of this host."""
    with volume(bricks=1) as subject, subject.mount("direct-io-mode=enable") as one:
        with subject.mount("direct-io-mode=enable") as two:
            (one / "dir").mkdir()
            (one / "dir" / "read").write_bytes(b"x" * BLOCK)
            done = threading.Event()

            def write() -> None:
                with (two / "written").open("wb", buffering=0) as file:
                    while not done.is_set():
                        file.write(b"x" * BLOCK)

            def read() -> None:
                with (one / "dir" / "read").open("rb", buffering=0) as file:
                    while not done.is_set():
                        file.seek(0)
                        file.read(BLOCK)

            def known() -> bool:
                with subject.segment(subject.bricks[0]) as segment:
                    return {"/written", "/dir/read"} <= {file.path for file in files(segment)}

            threads = [threading.Thread(target=work) for work in (write, read)]
            for thread in threads:
                thread.start()
            try:
                wait_for(known, "the names")
                command = [sys.executable, "-m", "glupy_exporter.cli", "top", "--json"]
                printed = subprocess.run(
                    [*command, "--interval=1", f"--filter={subject.name}"],
                    check=True,
                    capture_output=True,
                )
            finally:
                done.set()
                for thread in threads:
                    thread.join()
    found = json.loads(printed.stdout)
    paths = {row["path"]: row for row in found["files"]}
    written, read_from = paths["/written"], paths["/dir/read"]
    address = socket.gethostbyname(HOST)
    assert (written["top_client"], written["type"]) == (address, "file")
    # The brick goes on while its counters are read, one after the other.
    about = partial(pytest.approx, rel=0.1)
    assert written["write_bytes_per_second"] == about(BLOCK * written["fops_per_second"])
    assert read_from["read_bytes_per_second"] == about(BLOCK * read_from["fops_per_second"])
    assert written["read_bytes_per_second"] == read_from["write_bytes_per_second"] == 0
    (client,) = (row for row in found["clients"] if not row["internal"])
    assert (client["client"], client["connections"]) == (address, 2)
    calls = {row["fop"]: row["calls_per_second"] for row in found["fops"]}
    assert calls["write"] == about(written["fops_per_second"])
    assert calls["read"] == about(read_from["fops_per_second"])
