"""The commands slow, inflight and trace on real bricks, against io-stats and what the test did."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter.probes import examples
from glupy_exporter.schema import layout
from tests.gluster import workload
from tests.gluster.compare import COUNTED_AS, NOT_FOPS, settled
from tests.support.exporters import COMMAND, ask, events, exporter
from tests.support.gluster.volumes import Volume, volume, wait_for

DIRECT = "direct-io-mode=enable"
UNSAMPLED = {"user.xlator.glupy.sample": "0"}
HOSTILE = [b"\x1b[2J\x1b]0;x\x07", b"new\nline", b"\xff\xfe", '"{}\u202e'.encode(), b"back\\slash"]

pytestmark = pytest.mark.usefixtures("xlator")


def tracers(subject: Volume, brick: Path) -> list[int]:
    """The process ids of those who trace the brick."""
    with subject.segment(brick) as segment:
        active = bytes(segment.elements("control"))[: layout.TRACERS]
        slots = bytes(segment.elements("tracers"))
    size = len(slots) // layout.TRACERS
    made = (layout.Tracer.from_buffer_copy(slots, place * size) for place in range(layout.TRACERS))
    return [slot.owner for slot, on in zip(made, active) if on]


class Tracing:
    """A `trace` that runs; its output is there once it has ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.output = b""
        self.trouble = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.output, self.trouble = self.process.communicate()

    def end(self, number: int = signal.SIGINT) -> None:
        """Have it end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self._reader.join(30)
        assert not self._reader.is_alive()

    def events(self) -> list[dict[str, Any]]:
        """The lines of its JSON."""
        return [json.loads(line) for line in self.output.splitlines()]


@contextlib.contextmanager
def tracing(subject: Volume, *arguments: str) -> Iterator[Tracing]:
    """A trace of the volume; it is at work when the block begins."""
    command = [*COMMAND, "trace", subject.name, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running = Tracing(process)
    try:
        wait_for(
            lambda: all(process.pid in tracers(subject, brick) for brick in subject.bricks),
            "the trace to begin",
        )
        yield running
    finally:
        running.end()


def hits(subject: Volume) -> Counter[tuple[str, str]]:
    """What io-stats has counted, by brick and fop, in a quiet moment."""
    return Counter(
        {
            (str(brick), name): count
            for brick, (profile, _) in settled(subject).items()
            for name, count in profile.fops.items()
            if name not in NOT_FOPS
        }
    )


def traced(found: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    names = ((row["brick"], row["fop"]) for row in found if row["event"] == "fop")
    return Counter((brick, COUNTED_AS.get(name, name)) for brick, name in names)


def test_a_trace_has_every_fop_that_io_stats_has() -> None:
    quiet = {**UNSAMPLED, "cluster.self-heal-daemon": "off"}
    with (
        volume("replica", "2", bricks=2, options=quiet) as subject,
        contextlib.ExitStack() as stack,
    ):
        mount = stack.enter_context(subject.mount(DIRECT, "use-readdirp=no"))
        before = hits(subject)
        with tracing(subject, "--json", "--summary") as running:
            workload.through_mount(mount)
            after = hits(subject)
        found = running.events()
    assert (running.trouble, running.process.returncode) == (b"", 0)
    assert {row["event"] for row in found} == {"fop", "summary"}
    assert traced(found) == after - before
    assert found[-1]["traced"] == sum((after - before).values()) > 400
    assert {row["client"] for row in found[:-1]} == {"127.0.0.1"}
    named = [row for row in found[:-1] if row["path"].startswith("/")]
    assert len(named) > 0.9 * len(found)


def test_what_is_lost_is_counted() -> None:
    small = {**UNSAMPLED, "user.xlator.glupy.trace-records": "8"}
    with volume(bricks=1, options=small) as subject, subject.mount(DIRECT) as mount:
        before = hits(subject)
        with tracing(subject, "--json") as running:
            workload.through_mount(mount)
            after = hits(subject)
        found = running.events()
    lost = sum(row["count"] for row in found if row["event"] == "lost")
    kept = traced(found)
    assert lost > 100
    assert sum(kept.values()) + lost == sum((after - before).values())
    assert not kept - (after - before)


def test_tracers_do_not_disturb_each_other_and_end_with_their_process() -> None:
    with volume(bricks=1, options=UNSAMPLED) as subject, subject.mount(DIRECT) as mount:
        (brick,) = subject.bricks
        with contextlib.ExitStack() as stack:
            writes = stack.enter_context(tracing(subject, "--json", "--fop=write"))
            errors = stack.enter_context(tracing(subject, "--json", "--errno=ENOENT"))
            files = stack.enter_context(tracing(subject, "--json", "--path=/dir/*"))
            killed = stack.enter_context(tracing(subject, "--json"))
            assert len(tracers(subject, brick)) == 4
            killed.end(signal.SIGKILL)
            (mount / "dir").mkdir()
            for name in ("one", "dir/two"):
                (mount / name).write_bytes(b"x" * 100)
            with contextlib.suppress(FileNotFoundError):
                (mount / "dir" / "none").stat()
            wait_for(lambda: killed.process.pid not in tracers(subject, brick), "its end", 15)
            assert len(tracers(subject, brick)) == 3
        wait_for(lambda: not tracers(subject, brick), "the end of all")
    assert [(row["fop"], row["path"], row["size"]) for row in writes.events()] == [
        ("write", "/one", 100),
        ("write", "/dir/two", 100),
    ]
    assert {row["error"] for row in errors.events()} == {"ENOENT"}
    assert "/dir/none" in {row["path"] for row in errors.events() if row["fop"] == "lookup"}
    assert {row["path"] for row in files.events()} == {"/dir/two", "/dir/none"}
    assert {"write", "lookup"} <= {row["fop"] for row in files.events()}


def test_hostile_names_stay_on_their_lines() -> None:
    with volume(bricks=1, options=UNSAMPLED) as subject, contextlib.ExitStack() as stack:
        mount = stack.enter_context(subject.mount(DIRECT))
        with tracing(subject) as text, tracing(subject, "--json") as as_json:
            for name in HOSTILE:
                Path(os.fsdecode(os.fsencode(mount) + b"/" + name)).write_bytes(b"x")
            settled(subject)
    shown = text.output.decode()
    assert not [c for c in shown if ord(c) < 32 and c != "\n"] and "\u202e" not in shown
    assert all(line[2] == line[5] == ":" for line in shown.splitlines())
    written = {row["path"] for row in as_json.events() if row["fop"] == "write"}
    assert written == {
        r"/\x1b[2J\x1b]0;x\x07",
        r"/new\x0aline",
        r"/\xff\xfe",
        '/"{}\u202e',
        r"/back\\slash",
    }


def test_slow_has_exactly_the_fops_that_were_delayed() -> None:
    delay = {
        "debug.delay-gen": "posix",
        "delay-gen.delay-duration": "400000",
        "delay-gen.delay-percentage": "100",
        "delay-gen.enable": "write",
        "user.xlator.glupy.slow-write": "300",
    }
    with volume(bricks=1, options=delay) as subject, subject.mount(DIRECT) as mount:
        for name in ("a", "b"):
            (mount / name).write_bytes(b"x" * 10)
            assert (mount / name).read_bytes()
        wait_for(
            lambda: {row["path"] for row in events("slow", subject.name)} == {"/a", "/b"}, "it"
        )
        rows = events("slow", subject.name)
    assert [(row["fop"], row["path"], row["size"]) for row in rows] == [
        ("write", "/a", 10),
        ("write", "/b", 10),
    ]
    assert all(0.4 <= row["seconds"] < 2 and row["cause"] == "slow" for row in rows)


@contextlib.contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have a test that fails not wait for it."""
    try:
        yield
    finally:
        process.kill()


def test_who_waits_for_a_lock_and_who_holds_it() -> None:
    detail = {"user.xlator.glupy.client-detail": "process"}
    with volume(bricks=1, options=detail) as subject, contextlib.ExitStack() as stack:
        holder, waiter = (stack.enter_context(subject.mount(DIRECT)) for _ in range(2))
        processes = [str(subject.client(mount)) for mount in (holder, waiter)]
        held = stack.enter_context((holder / "file").open("w"))
        fcntl.flock(held, fcntl.LOCK_EX)
        flags = [f"--segment.dir={layout.DIRECTORY}", "--web.listen-address=127.0.0.1:0"]
        port = stack.enter_context(exporter(*flags)).port()

        def in_flight() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(ask(port, "/api/v1/inflight")[1])["inflight"]
            return found

        command = ["flock", str(waiter / "file"), "true"]
        with subprocess.Popen(command) as waiting, killed(waiting):
            (row,) = wait_for(in_flight, "the waiter", 5)
            assert row["seconds"] < 1  # since its fop came to the brick
            (same,) = events("inflight", subject.name)
            # Each process turns monotonic times into wall times by itself.
            times = ("started", "held_since")
            assert all(abs(same[name] - row[name]) < 0.001 for name in times)
            apart = dict.fromkeys((*times, "seconds", "path"))
            assert {**same, **apart} == {**row, **apart}
            assert (row["fop"], row["lock"], row["domain"]) == ("lk", "write", "")
            assert (row["client"], row["process"]) == ("127.0.0.1", processes[1])
            assert (row["holder"], row["holder_process"]) == ("127.0.0.1", processes[0])
            assert (row["holder_connected"], row["gfid"] != "") == (True, True)
            wait_for(lambda: events("inflight", subject.name)[0]["path"] == "/file", "its name")
            fcntl.flock(held, fcntl.LOCK_UN)
            assert waiting.wait(20) == 0
        wait_for(lambda: not in_flight(), "nobody to wait", 1)
        assert not events("inflight", subject.name)


def test_a_probe_finds_the_directory_of_lookups_that_miss() -> None:
    probe = Path(*examples.__path__) / "lookup_misses.py"
    with volume(bricks=1) as subject, subject.mount(DIRECT) as mount:
        (mount / "lib").mkdir()
        with tracing(subject, f"--probe={probe}", "--fop=lookup", "--errno=ENOENT") as running:
            for number in range(7):
                assert not (mount / "lib" / f"missing{number}").exists()
            settled(subject)
        output = running.output.decode().splitlines()
    rows = {tuple(line.split()[1:]): int(line.split()[0]) for line in output}
    where = (f"volume={subject.name},", "directory=/lib,", "client=127.0.0.1")
    assert rows == {("lookup_misses_total", *where): 7}
