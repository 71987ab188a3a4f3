"""`glupy-exporter top` on a real brick: what it shows is what was done."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.gluster.compare import files
from tests.support.gluster.volumes import HOST, Volume, volume, wait_for
from tests.support.terminal import Terminal

COMMAND = [str(Path(sys.executable).with_name("glupy-exporter")), "top"]
DIRECT = "direct-io-mode=enable"
PROCESSES = {"user.xlator.glupy.client-detail": "process"}
BLOCK = 1000
ADDRESS = socket.gethostbyname(HOST)


def wait_for_names(subject: Volume, *wanted: str) -> None:
    def known() -> bool:
        with subject.segment(subject.bricks[0]) as segment:
            return {*wanted} <= {file.path for file in files(segment)}

    wait_for(known, f"the brick to know {wanted}")


def sleeps(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is between its two looks: nothing else in it sleeps."""
    assert process.poll() is None, f"top ended with {process.returncode}"
    return "nanosleep" in Path(f"/proc/{process.pid}/wchan").read_text()


def test_once_has_exactly_what_was_done_meanwhile(xlator: None) -> None:
    """Two mounts do so many reads and writes of three files between the looks."""
    done = {  # writes and reads, of the first mount and of the second
        "/written": ((120, 0), (0, 0)),
        "/dir/read": ((0, 0), (0, 70)),
        "/both": ((40, 0), (10, 5)),
    }
    with volume(bricks=1, options=PROCESSES) as subject, contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(subject.mount(DIRECT)) for _ in range(2)]
        pids = [subject.client(mount) for mount in mounts]
        (mounts[0] / "dir").mkdir()
        for path in done:
            (mounts[0] / path[1:]).write_bytes(b"x" * BLOCK)
        opened = [
            (stack.enter_context((mount / path[1:]).open("r+b", buffering=0)), *counts[number])
            for number, mount in enumerate(mounts)
            for path, counts in done.items()
        ]
        wait_for_names(subject, *done)
        words = [*COMMAND, "--once", "--json", "--interval=15", f"--filter={subject.name}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            wait_for(lambda: sleeps(process), "the first look")
            for file, writes, reads in opened:
                for _ in range(writes):
                    os.pwrite(file.fileno(), b"y" * BLOCK, 0)
                for _ in range(reads):
                    assert len(os.pread(file.fileno(), BLOCK, 0)) == BLOCK
            assert sleeps(process), "the second look came too early for this test"
            printed, _ = process.communicate()
        assert process.returncode == 0
    found = json.loads(printed)
    calls = {row["fop"]: row["calls_per_second"] for row in found["fops"]}
    # Only rates are shown: one number that is known tells the seconds, to more digits than needed.
    seconds = (120 + 40 + 10) / calls["write"]
    assert seconds == pytest.approx(found["interval_seconds"], rel=0.05)

    def blocks(row: dict[str, float]) -> Sequence[float]:
        rates = row["write_bytes_per_second"], row["read_bytes_per_second"]
        return [rate * seconds / BLOCK for rate in rates]

    assert calls["read"] * seconds == pytest.approx(70 + 5)
    paths = {row["path"]: row for row in found["files"]}
    for path, (first, second) in done.items():
        assert blocks(paths[path]) == pytest.approx([sum(both) for both in zip(first, second)])
        assert (paths[path]["type"], paths[path]["errors_per_second"]) == ("file", 0)
        busier = pids[sum(second) > sum(first)]
        assert paths[path]["top_client"] == f"{ADDRESS} {busier}"
    clients = {row["client"]: row for row in found["clients"]}
    assert set(clients) == {f"{ADDRESS} {pid}" for pid in pids}
    for number, pid in enumerate(pids):
        row = clients[f"{ADDRESS} {pid}"]
        mine = [counts[number] for counts in done.values()]
        assert blocks(row) == pytest.approx([sum(kind) for kind in zip(*mine)])
        assert (row["connections"], row["internal"]) == (1, False)
        assert 0 < row["seconds_per_second"] < 1


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


@contextlib.contextmanager
def busy_brick() -> Iterator[Volume]:
    """A brick on which ``/written`` is written and ``/dir/read`` is read, each by a mount."""
    with volume(bricks=1) as subject, subject.mount(DIRECT) as one, subject.mount(DIRECT) as two:
        (one / "dir").mkdir()
        (one / "dir" / "read").write_bytes(b"x" * BLOCK)
        with (
            over_and_over(two / "written", "wb", lambda file: file.write(b"x" * BLOCK)),
            over_and_over(
                one / "dir" / "read", "rb", lambda file: file.read(BLOCK) or file.seek(0)
            ),
        ):
            wait_for_names(subject, "/written", "/dir/read")
            yield subject


def test_once_under_load(xlator: None) -> None:
    """All views agree with each other about what goes on."""
    with busy_brick() as subject:
        words = [*COMMAND, "--json", "--interval=1", f"--filter={subject.name}"]
        printed = subprocess.run(words, check=True, capture_output=True).stdout
    found = json.loads(printed)
    paths = {row["path"]: row for row in found["files"]}
    written, been_read = paths["/written"], paths["/dir/read"]
    # The brick goes on while its counters are read, one after the other.
    about = partial(pytest.approx, rel=0.1)
    assert written["write_bytes_per_second"] > 0
    assert written["write_bytes_per_second"] == about(BLOCK * written["fops_per_second"])
    assert written["read_bytes_per_second"] == been_read["write_bytes_per_second"] == 0
    (client,) = (row for row in found["clients"] if not row["internal"])
    assert (client["client"], client["connections"]) == (ADDRESS, 2)
    assert client["read_bytes_per_second"] == about(been_read["read_bytes_per_second"])
    calls = {row["fop"]: row["calls_per_second"] for row in found["fops"]}
    assert calls["write"] == about(written["fops_per_second"])
    assert calls["read"] == about(been_read["fops_per_second"])


def names(lines: Sequence[str]) -> list[str]:
    """The last words of the rows of a screen."""
    return [line.split()[-1] for line in lines[3:-1] if line]


def test_the_live_view_under_load(xlator: None) -> None:
    """Views, sorting, filter, pause and a resize, all while the brick works."""
    with busy_brick() as subject:
        command = [*COMMAND, "--interval=0.5", f"--filter={subject.name}"]
        with Terminal(command) as terminal:
            terminal.wait_until(lambda lines: {"/written", "/dir/read"} <= {*names(lines)})
            terminal.press("1")
            terminal.wait_until(lambda lines: {"write", "read"} <= {*names(lines)})
            terminal.press("3")
            terminal.wait_until(lambda lines: names(lines) == [ADDRESS])

            terminal.press("2ss")
            terminal.wait_for("by wrB/s, descending")
            terminal.wait_until(lambda lines: names(lines)[:1] == ["/written"])
            terminal.press("S")
            terminal.wait_for("by wrB/s, ascending")
            terminal.wait_until(lambda lines: names(lines)[-1:] == ["/written"])
            terminal.press("/dir/\r")
            terminal.wait_for("filter: dir/")
            terminal.wait_until(lambda lines: names(lines) == ["/dir/read"])

            terminal.press("p")
            terminal.wait_for("PAUSED")
            before = terminal.drawn()
            assert terminal.drawn() == before
            terminal.press("p")
            terminal.wait_until(lambda lines: lines[0] != before[0] and "PAUSED" not in lines[0])

            terminal.resize(120, 40)
            terminal.wait_until(lambda lines: "top client" in lines[2])
            terminal.wait_until(lambda lines: lines[3].split()[-2:] == [ADDRESS, "/dir/read"])
            terminal.resize(80, 24)
            terminal.wait_until(lambda lines: "top client" not in lines[2])
            terminal.wait_until(lambda lines: names(lines) == ["/dir/read"])
            terminal.press("q")
            assert terminal.end() == 0
