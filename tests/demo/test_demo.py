"""The demo as `make demo` starts it, on a volume that stops to answer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gluster.volumes import process_of

REPOSITORY = Path(__file__).resolve().parents[2]
DIRECTORY = Path("/var/lib/glupy-demo")
MOUNT = DIRECTORY / "mnt-2"


@pytest.fixture
def demo(need: Callable[[object, str], None]) -> Iterator[subprocess.Popen[str]]:
    """One that checks and exits, at work on its volume."""
    need(os.geteuid() == 0, "root")
    for program in ("glusterd", "mount.glusterfs", "prometheus"):
        need(shutil.which(program), program)
    need(not DIRECTORY.exists(), "that no other demo runs")
    command = [sys.executable, "-B", "-m", "deploy.demo", "--once"]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    guard = threading.Timer(300, process.send_signal, [signal.SIGTERM])  # it cleans up
    guard.start()
    try:
        assert process.stdout
        printed = []
        for line in process.stdout:
            printed.append(line)
            if re.match(r" +\d+ of 40 s", line):
                break
        else:
            pytest.fail("".join(["it did not get to work:\n", *printed]))
        yield process
    finally:
        guard.cancel()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def stop_a_client() -> int:
    """Stop the process behind one of the mounts: no call through it comes back."""
    client = process_of(str(MOUNT))
    assert client, f"no client of {MOUNT}"
    os.kill(client, signal.SIGSTOP)
    return client


def assert_nothing_is_left(client: int) -> None:
    assert not Path(f"/proc/{client}").exists()
    assert not DIRECTORY.exists()
    assert str(DIRECTORY) not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/var/lib/glusterd/vols/glupy-demo").exists()


def test_a_demo_on_a_volume_that_hangs_says_where_and_ends(demo: subprocess.Popen[str]) -> None:
    client = stop_a_client()
    printed, _ = demo.communicate(timeout=240)
    assert demo.returncode == 1, printed
    # Others may wait for a lock that the stopped client has.
    hung = re.findall(r"^(worker-\d): for (\d+) s at (\S+)$", printed, re.MULTILINE)
    ((seconds, path),) = [(int(row[1]), row[2]) for row in hung if row[0] == "worker-1"]
    assert seconds > 50
    assert path.startswith(f"{MOUNT}/work")
    assert re.search(r"^  line \d+, _\w+: \S", printed, re.MULTILINE), printed
    assert re.search(r"^  in the kernel: .*fuse", printed, re.MULTILINE), printed
    assert len(re.findall(r"^in flight on brick \S+: ", printed, re.MULTILINE)) == 2
    assert_nothing_is_left(client)


def test_a_demo_on_a_volume_that_hangs_can_be_interrupted(demo: subprocess.Popen[str]) -> None:
    client = stop_a_client()
    demo.send_signal(signal.SIGINT)
    printed, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, printed
    assert_nothing_is_left(client)
