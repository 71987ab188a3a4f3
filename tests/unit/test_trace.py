"""The commands that show the flight recorder: slow, inflight and trace."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from glupy_exporter import cli
from glupy_exporter.errors import UserError
from glupy_exporter.node.privacy import Privacy, glob
from glupy_exporter.node.recorder import Recorded
from glupy_exporter.schema import layout
from glupy_exporter.trace import lines
from glupy_exporter.trace.live import Lost, Trace, Wanted
from glupy_exporter.trace.summary import Latencies, Summary
from tests.support import segments
from tests.support.exporters import COMMAND

A, B, GONE = (uuid.UUID(int=number << 64) for number in (1, 2, 3))
ALL = Wanted()
F_SETPIPE_SZ = 1031  # in fcntl since Python 3.10
TYPES = {"string": str, "integer": int, "number": (int, float), "array": list}
SCHEMA = Path(__file__).parents[2] / "docs" / "trace.schema.json"


def check(event: dict[str, Any]) -> None:
    """Fail if a line does not follow the schema."""
    (schema,) = (
        each
        for each in lines.schema()["oneOf"]
        if each["properties"]["event"]["const"] == event["event"]
    )
    check_object({**event, "event": ""}, schema)


def check_object(value: dict[str, Any], schema: dict[str, Any]) -> None:
    assert list(value) == schema["required"]
    for name, each in value.items():
        known = schema["properties"][name]
        assert isinstance(each, TYPES[known.get("type", "string")]), name
        for item in each if isinstance(each, list) else ():
            check_object(item, known["items"])


def made(**fields: Any) -> segments.Segment:
    return segments.Segment(
        **{
            "files": {1: segments.File(b"/a", A), 2: segments.File(b"/db/b", B)},
            "clients": {
                0: segments.Client(b"192.0.2.1"),
                1: segments.Client(b"192.0.2.2"),
            },
            **fields,
        }
    )


RING_ENDS = {"slow": "trace_ring", "trace": "flights"}
"""The tables behind the records of each ring."""


class FakeBrick:
    """A segment into whose rings a test records fops, as the brick does."""

    def __init__(self, path: Path, written: segments.Segment) -> None:
        self.path = path
        self._made = written
        self._recorded = {ring: list(rows) for ring, rows in written.recorded.items()}

    def tracers(self) -> list[layout.Tracer]:
        """The filters of those who trace."""
        data = self.path.read_bytes()
        active = data[segments.offset(data, "control") :][: layout.TRACERS]
        start = segments.offset(data, "tracers")
        size = len(bytes(layout.Tracer()))
        return [
            layout.Tracer.from_buffer_copy(data, start + slot * size)
            for slot, on in enumerate(active)
            if on
        ]

    def record(self, *records: segments.Recorded, ring: str = "trace") -> None:
        """Add to a ring."""
        self._recorded.setdefault(ring, []).extend(records)
        self._made.recorded = self._recorded
        new = self._made.build()
        with self.path.open("r+b") as file:
            for table, after in ((f"{ring}_records", RING_ENDS[ring]), (f"{ring}_ring", "")):
                start = segments.offset(new, table)
                end = segments.offset(new, after) if after else start + len(bytes(layout.Ring()))
                file.seek(start)
                file.write(new[start:end])


@contextlib.contextmanager
def brick(directory: Path, **fields: Any) -> Iterator[FakeBrick]:
    written = made(**fields)
    with written.live(directory) as path:
        yield FakeBrick(path, written)


def traced(
    fop: str = "read", gfid: uuid.UUID = A, client: int = 1, tracers: int = 1, **fields: Any
) -> segments.Recorded:
    return segments.Recorded(
        fop, 1_000_000, gfid, client, cause=4, fields={"tracers": tracers, **fields}
    )


def trace(
    directory: Path, records: Callable[[], None], wanted: Wanted = ALL, **options: Any
) -> list[Recorded | Lost]:
    """What a trace gets that ends after ``records`` was called."""
    calls = 0

    def stopped() -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            records()
        return calls > 1

    with Trace(directory, 60.0, "v0", options.get("privacy", Privacy()), wanted) as tracing:
        return [event for event in tracing.events(stopped) if event is not None]


ROOT_ONLY = pytest.mark.usefixtures("as_root")


@ROOT_ONLY
def test_a_trace_has_what_its_tracer_gets(tmp_path: Path) -> None:
    with brick(tmp_path) as subject:
        subject.record(traced("write"))  # before it began
        found = trace(
            tmp_path,
            lambda: subject.record(traced(error=2), traced(tracers=2), traced("lookup", B)),
        )
        assert [(row.fop, row.path, row.error) for row in found if isinstance(row, Recorded)] == [
            ("read", "/a", "ENOENT"),
            ("lookup", "/db/b", ""),
        ]
        assert subject.tracers() == []


@ROOT_ONLY
def test_filters_go_to_the_brick(tmp_path: Path) -> None:
    wanted = Wanted(frozenset({"read", "lookup"}), None, "", 1000, None, -1, 5_000_000, 7)
    with brick(tmp_path) as subject:
        seen: list[layout.Tracer] = []
        trace(tmp_path, lambda: seen.extend(subject.tracers()), wanted)
    (tracer,) = seen
    fops = [fop for fop in range(layout.FOPS_MAX) if tracer.fops[fop // 64] >> fop % 64 & 1]
    assert [segments.FOP_NAMES[fop] for fop in fops] == ["read", "lookup"]
    assert (tracer.uid, tracer.error, tracer.least_ns, tracer.one_in) == (1000, -1, 5_000_000, 7)
    assert tracer.filters == layout.TRACE_UID | layout.TRACE_ERRNO
    assert tracer.owner == os.getpid()


@ROOT_ONLY
@pytest.mark.parametrize(
    ("address", "in_brick"), [("192.0.2.1", True), ("192.0.2.*", False), ("192.0.2.9", False)]
)
def test_one_client_is_a_filter_in_the_brick(tmp_path: Path, address: str, in_brick: bool) -> None:
    exact = "" if "*" in address else address
    wanted = Wanted(client=glob(address), address=exact)
    with brick(tmp_path) as subject:
        seen: list[layout.Tracer] = []
        trace(tmp_path, lambda: seen.extend(subject.tracers()), wanted)
    assert bool(seen[0].filters & layout.TRACE_CLIENT) == in_brick
    assert seen[0].client == (1 if in_brick else 0)


@ROOT_ONLY
def test_names_are_filtered_here(tmp_path: Path) -> None:
    wanted = Wanted(client=glob("*.2"), path=glob("/db/*"))
    records = [traced("read", file, client) for file in (A, B) for client in (1, 2)]
    with brick(tmp_path) as subject:
        (row,) = trace(tmp_path, lambda: subject.record(*records), wanted)
    assert isinstance(row, Recorded) and (row.path, row.client) == ("/db/b", "192.0.2.2")


@ROOT_ONLY
def test_hidden_files_are_not_traced(tmp_path: Path) -> None:
    with brick(tmp_path) as subject:
        found = trace(
            tmp_path,
            lambda: subject.record(traced(gfid=A), traced(gfid=B)),
            privacy=Privacy(exclude=("/a",), users="none"),
        )
    assert [(row.path, row.uid) for row in found if isinstance(row, Recorded)] == [("/db/b", "")]


@ROOT_ONLY
def test_records_that_were_overwritten_are_reported(tmp_path: Path) -> None:
    with brick(tmp_path) as subject:
        found = trace(tmp_path, lambda: subject.record(*[traced()] * 50))
    assert found[0] == Lost("v0", "/bricks/b0", 50 - 16)
    assert len(found) == 17


@ROOT_ONLY
def test_a_name_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    calls = 0

    with brick(tmp_path) as subject:

        def stopped() -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:
                subject.record(traced(gfid=GONE), traced(gfid=A))
            elif calls == 3:  # its brick learns the name
                named = made(files={3: segments.File(b"/late", GONE), 1: segments.File(b"/a", A)})
                new, old = named.build(), subject.path.read_bytes()
                start, end = (segments.offset(old, t) for t in ("files_tags", "clients_health"))
                with subject.path.open("r+b") as file:
                    file.seek(start)
                    file.write(new[start:end])
            return calls > 60

        with Trace(tmp_path, 60.0, "v0", Privacy(), Wanted()) as tracing:
            for event in tracing.events(stopped):
                if event is not None:
                    break
    assert isinstance(event, Recorded) and event.path == "/late"


def traced_once_it_comes(
    directory: Path, segment: segments.Segment
) -> tuple[list[Recorded | Lost], list[str]]:
    """What a trace gives of a segment that a brick makes while it goes on, and its problems.

    The brick records one fop, once it is traced.
    """
    found: list[Recorded | Lost] = []
    calls = 0
    with contextlib.ExitStack() as stack:

        def stopped() -> bool:
            nonlocal calls, later
            calls += 1
            if calls == 1:
                later = FakeBrick(stack.enter_context(segment.live(directory)), segment)
            elif later.tracers() and not later._recorded:
                later.record(traced())
            return bool(found) or calls > 200

        later: FakeBrick
        with Trace(directory, 60.0, "v0", Privacy(), Wanted()) as tracing:
            for event in filter(None, tracing.events(stopped)):
                found.append(event)
    return found, tracing.problems


@ROOT_ONLY
def test_a_brick_that_comes_later_is_traced_too(tmp_path: Path) -> None:
    with brick(tmp_path):
        found, _ = traced_once_it_comes(tmp_path, made(brick="/bricks/b1"))
    assert [row.brick for row in found] == ["/bricks/b1"]


@ROOT_ONLY
def test_fops_of_several_bricks_are_in_the_order_in_which_they_came_back(tmp_path: Path) -> None:
    second = made(brick="/bricks/b1")
    with brick(tmp_path) as first, second.live(tmp_path) as path:
        other = FakeBrick(path, second)
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        future = now + 3_600_000_000_000  # a hostile brick's: shown all the same

        def records() -> None:
            first.record(*(traced(ended=ended, offset=ended) for ended in (now - 9, now - 3)))
            other.record(*(traced(ended=ended, offset=ended) for ended in (future, now - 5)))

        found = trace(tmp_path, records)
    assert [row.offset for row in found if isinstance(row, Recorded)] == [
        *(now - 9, now - 5, now - 3, future)
    ]


@ROOT_ONLY
def test_a_brick_that_stops_is_said_to_have_stopped(tmp_path: Path) -> None:
    with brick(tmp_path), contextlib.ExitStack() as stack:
        second = made(brick="/bricks/b1")
        stack.enter_context(second.live(tmp_path))
        calls = 0

        def stopped() -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:
                stack.close()
            return bool(tracing.problems) or calls > 200

        with Trace(tmp_path, 60.0, "v0", Privacy(), Wanted()) as tracing:
            assert list(filter(None, tracing.events(stopped))) == []
    assert tracing.problems == ["v0:/bricks/b1 is not traced any more: the brick has stopped"]


@ROOT_ONLY
def test_a_brick_with_a_new_segment_is_traced_on(tmp_path: Path) -> None:
    new = made(header={"created_monotonic": segments.CREATED_MONOTONIC + 10**9})
    with brick(tmp_path):
        found, problems = traced_once_it_comes(tmp_path, new)
    assert len(found) == 1
    (problem,) = problems
    assert problem.startswith("v0:/bricks/b0 has a new segment")


@ROOT_ONLY
def test_a_trace_goes_on_when_the_wall_clock_is_set(tmp_path: Path) -> None:
    with brick(tmp_path) as subject:
        found: list[Recorded | Lost] = []
        calls = 0

        def stopped() -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:  # as glupy_segment_follow_clock does
                with subject.path.open("r+b") as file:
                    file.seek(layout.Header.created_realtime.offset)
                    file.write(struct.pack("Q", segments.CREATED_REALTIME + 3600 * 10**9))
            elif calls == 20:  # segments have been opened anew since
                subject.record(traced())
            return bool(found) or calls > 200

        with Trace(tmp_path, 60.0, "v0", Privacy(), Wanted()) as tracing:
            for event in filter(None, tracing.events(stopped)):
                found.append(event)
    assert len(found) == 1 and tracing.problems == []


@ROOT_ONLY
@pytest.mark.parametrize("taken", [False, True])
def test_a_tracer_that_stood_still_says_what_is_missing(tmp_path: Path, taken: bool) -> None:
    with brick(tmp_path) as subject:
        calls = 0

        def stopped() -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:  # as if 12 seconds had gone by
                (mine,) = tracing._traced.values()
                late = mine.tracer._heartbeat - 12_000_000_000
                mine.tracer._heartbeat = late + taken
                with subject.path.open("r+b") as file:
                    file.seek(segments.offset(subject.path.read_bytes(), "tracers"))
                    file.write(late.to_bytes(8, "little"))
            return bool(tracing.problems) or calls > 200

        with Trace(tmp_path, 60.0, "v0", Privacy(), Wanted()) as tracing:
            assert list(filter(None, tracing.events(stopped))) == []
            assert tracing._traced  # it goes on
    (problem,) = tracing.problems
    if taken:
        assert problem.endswith("was not renewed in time")
    else:
        assert problem.startswith("v0:/bricks/b0 was not traced for 7 s, as this process")


@ROOT_ONLY
def test_a_brick_that_cannot_be_traced_costs_only_itself(tmp_path: Path) -> None:
    full = made(brick="/bricks/b1")
    with brick(tmp_path) as subject, full.live(tmp_path) as path, contextlib.ExitStack() as stack:
        for _ in range(layout.TRACERS):
            stack.enter_context(Trace(tmp_path, 60.0, "v0", Privacy(), Wanted()))
        with pytest.raises(UserError, match="is being traced by 8 others already"):
            stack.enter_context(Trace(tmp_path, 60.0, "v0", Privacy(), Wanted()))
        stack.close()
        assert path.exists() and subject.tracers() == []


@ROOT_ONLY
@pytest.mark.parametrize(
    ("volume", "wanted", "message"),
    [
        ("v1", Wanted(), "no brick of volume 'v1' runs on this node.*; volumes with one: v0$"),
        ("v0", Wanted(frozenset({"raed"})), "there is no fop 'raed'; the fops are lookup, read"),
    ],
)
def test_what_cannot_be_traced(tmp_path: Path, volume: str, wanted: Wanted, message: str) -> None:
    with brick(tmp_path), pytest.raises(UserError, match=message):
        Trace(tmp_path, 60.0, volume, Privacy(), wanted).__enter__()


ROW = Recorded(
    time=1_700_000_000.25,
    volume="v0",
    brick="/bricks/b0",
    fop="write",
    seconds=0.0125,
    error="",
    gfid=str(A),
    path="/a",
    client="192.0.2.1",
    process="",
    uid="1000",
    gid="100",
    pid=4711,
    offset=8192,
    size=4096,
    cause="traced",
)


def test_a_line_is_like_one_of_strace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    who = "v0:/bricks/b0 192.0.2.1 uid=1000 pid=4711"
    assert lines.recorded(ROW) == (f"22:13:20.250000 {who} write(/a, 4096 @ 8192) = 0 <0.012500>")
    failed = ROW._replace(error="ENOENT", path="", gfid="", size=0, offset=0, uid="", pid=-6)
    assert lines.recorded(failed, date=True) == (
        "2023-11-14 22:13:20.250000 v0:/bricks/b0 192.0.2.1 write() = -1 ENOENT <0.012500>"
    )
    missed = failed._replace(path="/home/ann/x", fop="lookup")  # a file that there is not
    assert "lookup(/home/ann/x) = -1 ENOENT" in lines.recorded(missed)


def test_a_time_of_another_day_has_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert lines.clock(ROW.time) == "2023-11-14 22:13:20"
    assert re.fullmatch(r"\d\d:\d\d:\d\d", lines.clock(time.time()))


def test_the_schema_is_that_of_the_document() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == lines.schema()


def test_quantiles_are_right_to_a_sixteenth_of_an_octave() -> None:
    latencies = Latencies()
    for number in range(1, 1001):
        latencies.add(number / 1e6)
    assert 500e-6 <= latencies.quantile(0.5) <= 500e-6 * 2 ** (1 / 16)
    assert 990e-6 <= latencies.quantile(0.99) <= 990e-6 * 2 ** (1 / 16)
    assert Latencies().quantile(0.5) == 0


def test_a_summary_has_the_fops_and_the_busiest() -> None:
    summary = Summary()
    for number in range(30):
        summary.add(ROW._replace(path=f"/{number % 15}", gfid=str(number % 15)))
    summary.add(ROW._replace(fop="lookup", error="ENOENT", seconds=2.0))
    fields = summary.fields(10.0)
    assert [(row["fop"], row["count"], row["errors"]) for row in fields["fops"]] == [
        ("lookup", 1, 1),
        ("write", 30, 0),
    ]
    assert len(fields["files"]) == 10
    assert fields["clients"][0]["count"] == fields["traced"] == 31
    check(fields)
    text = "\n".join(summary.text(10.0))
    assert "31 fops in 10.0 s; 0 records lost" in text
    assert "192.0.2.1" in text


@contextlib.contextmanager
def start(
    directory: Path, *arguments: str, before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*before, *COMMAND, "trace", "v0", f"--segment.dir={directory}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def unread(pipe: IO[str] | None) -> int:
    assert pipe
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def wait(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@ROOT_ONLY
def test_json_is_one_object_a_line_as_documented(tmp_path: Path) -> None:
    with brick(tmp_path) as subject, start(tmp_path, "--json", "--summary") as process:
        wait(subject.tracers)
        subject.record(*[traced()] * 20)
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, trouble = process.stdout.read(), process.stderr.read()
        process.wait(timeout=20)
        assert subject.tracers() == []
    assert (process.returncode, trouble) == (0, "")
    events = [json.loads(line) for line in (first + output).splitlines()]
    for event in events:
        check(event)
    assert [event["event"] for event in events] == ["lost", *["fop"] * 16, "summary"]
    assert (events[0]["count"], events[-1]["lost"], events[-1]["traced"]) == (4, 4, 16)


@ROOT_ONLY
def test_text_and_a_limit(tmp_path: Path) -> None:
    with brick(tmp_path) as subject, start(tmp_path, "--limit=2", "--summary") as process:
        wait(subject.tracers)
        subject.record(*[traced()] * 20)
        output, trouble = process.communicate(timeout=20)
    assert process.returncode == 0
    assert trouble == "glupy-exporter: lost 4 records of v0:/bricks/b0\n"
    shown = output.splitlines()
    assert [line.endswith("read(/a) = 0 <0.001000>") for line in shown[:2]] == [True, True]
    assert shown[3].startswith("2 fops in")


@ROOT_ONLY
@pytest.mark.parametrize("duration", ["0", "100ms"])
def test_duration_ends_a_trace(tmp_path: Path, duration: str) -> None:
    with brick(tmp_path), start(tmp_path, f"--duration={duration}") as process:
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


@ROOT_ONLY
def test_a_reader_that_leaves_ends_a_trace(tmp_path: Path) -> None:
    with brick(tmp_path) as subject, start(tmp_path) as process:
        wait(subject.tracers)
        assert process.stdout and process.stderr
        process.stdout.close()
        subject.record(traced())
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
        assert subject.tracers() == []


@ROOT_ONLY
def test_a_reader_that_leaves_while_nothing_happens_ends_a_trace(tmp_path: Path) -> None:
    with brick(tmp_path) as subject, start(tmp_path) as process:
        wait(subject.tracers)
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
        assert subject.tracers() == []


FULL = "glupy-exporter: cannot write to standard output: No space left on device\n"


@ROOT_ONLY
def test_a_trace_into_a_full_disk_ends(tmp_path: Path) -> None:
    redirected = ("sh", "-c", 'exec "$@" > /dev/full', "sh")
    with brick(tmp_path) as subject, start(tmp_path, before=redirected) as process:
        wait(subject.tracers)
        subject.record(traced())
        assert process.wait(timeout=20) == 2
        assert process.stderr and process.stderr.read() == FULL
        assert subject.tracers() == []


@pytest.mark.parametrize("command", ["slow", "dump"])
def test_a_full_disk_is_one_line(tmp_path: Path, command: str) -> None:
    with brick(tmp_path, recorded={"slow": [traced()]}), Path("/dev/full").open("w") as full:
        words = [*COMMAND, command, f"--segment.dir={tmp_path}"]
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert (done.returncode, done.stderr) == (2, FULL)


@ROOT_ONLY
def test_a_second_signal_ends_a_trace_that_nobody_reads(tmp_path: Path) -> None:
    more = {"recorder": {**made().recorder, "trace": 4096}}
    with brick(tmp_path, **more) as subject, start(tmp_path, "--json") as process:
        wait(subject.tracers)
        assert process.stdout and process.stderr
        fcntl.fcntl(process.stdout, F_SETPIPE_SZ, 4096)
        subject.record(*[traced()] * 1000)
        wait(lambda: unread(process.stdout))
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 128 + signal.SIGTERM
        assert process.stderr.read() == "glupy-exporter: interrupted by SIGTERM\n"
        assert subject.tracers() == []


@ROOT_ONLY
def test_a_trace_goes_on_after_its_terminal(tmp_path: Path) -> None:
    """As with nohup."""
    ignoring = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    with brick(tmp_path) as subject, start(tmp_path, before=ignoring) as process:
        wait(subject.tracers)
        process.send_signal(signal.SIGHUP)
        subject.record(traced())
        assert process.stdout and "read(/a)" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_only_root_may_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with brick(tmp_path):
        assert cli.main(["trace", "v0", f"--segment.dir={tmp_path}"]) == 2
    assert capsys.readouterr().err == (
        "glupy-exporter: trace has to be run by root: it asks the bricks to record every fop\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--errno=ENOPE"],
        ["--uid=-1"],
        ["--slower=10"],
        ["--sample=0"],
        ["--client="],
        ["--fop="],
        [],
    ],
)
def test_wrong_arguments(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    given = ["trace", "v0", *arguments] if arguments else ["trace"]
    with pytest.raises(SystemExit) as caught:
        cli.main(given)
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out.splitlines()


def test_slow_has_the_latest_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [segments.Recorded(fop, gfid=A, client=1) for fop in ("read", "write", "lookup")]
    where = f"--segment.dir={tmp_path}"
    with brick(tmp_path, recorded={"slow": records}):
        shown = run(capsys, "slow", where)
        assert [line.split("(")[0].split()[-1] for line in shown] == ["read", "write", "lookup"]
        # Each run turns monotonic times into wall times by itself, so microseconds may differ.
        limited = run(capsys, "slow", "v0", where, "--limit=2")
        assert [line.split()[2:] for line in limited] == [line.split()[2:] for line in shown[1:]]
        rows = [json.loads(line) for line in run(capsys, "slow", where, "--json")]
        assert [row["fop"] for row in rows] == ["read", "write", "lookup"]
        assert cli.main(["slow", "v1", where]) == 2
    assert "volumes with one: v0" in capsys.readouterr().err


def test_inflight_names_the_holder_and_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    fields: dict[str, Any] = {
        "names": (*segments.FOP_NAMES, "inodelk"),
        "flights": {
            0: segments.Flight("inodelk", now - 10**11, A, 1, b"v0-replicate-0", {"lock_type": 2}),
            1: segments.Flight("read", now - 10**9, B, 1),
        },
        "held_locks": {
            0: segments.HeldLock("inodelk", "write", b"v0-replicate-0", A, 2, now - 2 * 10**11)
        },
    }
    where = f"--segment.dir={tmp_path}"
    with brick(tmp_path, **fields):
        waiter, why, reader, empty, remedy = run(capsys, "inflight", where)
        assert re.match(r" *10\d\.\d s  inodelk ", waiter)
        assert re.search(r"client 192\.0\.2\.1 waits 10\d s for a write lock of /a", why)
        assert "in domain v0-replicate-0 that client 192.0.2.2 has held since" in why
        assert reader.split()[2] == "read" and not empty
        assert "issue 4425" in remedy and "clear-locks" in remedy
        rows = [json.loads(line) for line in run(capsys, "inflight", "--json", where)]
        assert [row["holder"] for row in rows] == ["192.0.2.2", ""]
        assert len(run(capsys, "inflight", "--limit=1", "--json", where)) == 1


def test_no_brick_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inflight", f"--segment.dir={tmp_path}"]) == 2
    assert capsys.readouterr().err == (
        "glupy-exporter: no brick runs on this node with the translator\n"
    )
