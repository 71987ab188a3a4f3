"""The flight recorder of real bricks: slow fops, fops in flight, held locks, traces."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.segment import recorder
from glupy_exporter.segment.control import Filters, Tracer
from glupy_exporter.segment.recorder import HeldLock, InFlight
from tests.gluster import workload
from tests.gluster.compare import COUNTED_AS, NOT_FOPS, settled
from tests.support.exporters import events
from tests.support.gluster.volumes import Volume, gluster, volume, wait_for

GLUPY = "user.xlator.glupy"
NEVER_SLOW = {f"{GLUPY}.slow-{kind}": "0" for kind in ("read", "write", "metadata", "lock")}


def gfid(path: Path) -> bytes:
    """The gfid of a file on a brick."""
    return os.getxattr(path, "trusted.gfid")


def in_flight(made: Volume, name: str) -> list[InFlight]:
    with made.segment(made.bricks[0]) as segment:
        names = segment.fop_names()
        return [fop for fop in segment.in_flight() if names[fop.fop] == name]


def held(made: Volume, kind: str = "") -> list[HeldLock]:
    with made.segment(made.bricks[0]) as segment:
        return [
            lock
            for lock in segment.held_locks()
            if not kind or layout.LOCK_KINDS[lock.kind] == kind
        ]


def tags(made: Volume) -> dict[str, int]:
    """The tag of each client by its process id."""
    with made.segment(made.bricks[0]) as segment:
        table = segment.client_table()
        return {client.process: row[1] for row, client in table.records()}


def test_slow_lists_exactly_the_delayed_fops(xlator: None) -> None:
    options = {
        "debug.delay-gen": "posix",
        "delay-gen.delay-duration": "1000000",
        "delay-gen.delay-percentage": "100",
        "delay-gen.enable": "fsync",
        **NEVER_SLOW,
        f"{GLUPY}.slow-write": "800",
    }
    with volume(bricks=1, options=options) as made, made.mount() as mount:
        written = [mount / "a", mount / "b", mount / "a"]
        for number, path in enumerate(written):
            with path.open("r+b" if path.exists() else "wb") as file:
                file.write(b"x" * number)
                file.flush()
                os.fsync(file)
        gfids = [gfid(made.bricks[0] / path.name) for path in written]
        with made.segment(made.bricks[0]) as segment:
            names, batch = segment.fop_names(), segment.recorded()
            (client,) = tags(made).values()
            slow = {fop.name: fop.recorded[0] for fop in segment.fops() if fop.recorded[0]}
    assert [names[fop.fop] for fop in batch.fops] == ["fsync"] * 3
    assert [fop.gfid for fop in batch.fops] == gfids
    assert all(1e9 <= fop.ns < 3e9 and fop.cause & recorder.CAUSE_SLOW for fop in batch.fops)
    assert {(fop.client, fop.uid, fop.errno) for fop in batch.fops} == {(client, 0, 0)}
    assert (batch.lost, slow) == (0, {"fsync": 3})


@contextlib.contextmanager
def locker(path: Path, call: str) -> Iterator[subprocess.Popen[str]]:
    """A process that calls ``call`` on the open file ``file`` and then says so and waits."""
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+'); "
        f"{call}; print('locked', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def locked(process: subprocess.Popen[str]) -> bool:
    assert process.stdout
    return process.stdout.readline() == "locked\n"


@pytest.mark.parametrize("kind", ["flock", "lockf"])
def test_a_waiter_is_shown_with_the_holder(xlator: None, kind: str) -> None:
    options = {f"{GLUPY}.client-detail": "process"}
    call = f"fcntl.{kind}(file, fcntl.LOCK_EX)"
    with (
        volume(bricks=1, options=options) as made,
        made.mount() as first,
        made.mount() as second,
    ):
        (first / "file").write_bytes(b"x")
        wanted = gfid(made.bricks[0] / "file")
        by_process = {made.client(mount): mount for mount in (first, second)}
        with locker(first / "file", call) as holder:
            assert locked(holder)
            (lock,) = held(made, "lk")
            with locker(second / "file", call) as waiter:
                (waiting,) = wait_for(lambda: in_flight(made, "lk"), "the waiter", 5)
                clients = {by_process[int(process)]: tag for process, tag in tags(made).items()}
                assert (waiting.gfid, waiting.client) == (wanted, clients[second])
                assert layout.LOCK_TYPES[waiting.type] == "write"
                assert (waiting.offset, waiting.length, waiting.domain) == (0, 0, b"")
                assert held(made, "lk") == [lock]
                assert (lock.gfid, lock.client) == (wanted, clients[first])
                assert layout.LOCK_TYPES[lock.type] == "write"
                assert lock.owner != waiting.owner
                assert lock.granted < waiting.started
                # The process that holds the lock dies, so its descriptor is closed.
                holder.kill()
                assert locked(waiter)
                assert not in_flight(made, "lk")
                (now,) = held(made, "lk")
                assert (now.client, now.owner) == (waiting.client, waiting.owner)
        wait_for(lambda: not held(made), "all locks to be gone", 10)


_LEASER = """
import struct, sys
from tests.gluster.gfapi import Gfapi

def lease(what, kind):
    api("lease", file, struct.pack("ii16sI", what, kind, ID, 0), None, None)

ID, GET, SET, UNLOCK = b"mine", 1, 2, 3
api = Gfapi(*sys.argv[1:3])
api("setfsleaseid", ID)
file = api("open", api.fs, "/file", 2)
for line in sys.stdin:
    lease(*map(int, line.split()))
    print("done", flush=True)
"""


@contextlib.contextmanager
def leaser(subject: Volume) -> Iterator[Callable[[int, int], None]]:
    """A client with a lease id: called with a command and a type as libgfapi numbers them."""
    words = [sys.executable, "-c", _LEASER, socket.gethostname(), subject.name]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=Path.cwd()) as process:

        def ask(what: int, kind: int) -> None:
            assert process.stdin and process.stdout
            process.stdin.write(f"{what} {kind}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        try:
            yield ask
        finally:
            process.kill()


def test_who_waits_for_a_lease_is_shown_with_its_holder(xlator: None) -> None:
    take, give, read, write = 2, 3, 1, 2
    options = {
        "features.leases": "on",
        "performance.open-behind": "off",
        f"{GLUPY}.client-detail": "process",
    }
    with volume(bricks=1, options=options) as made, made.mount() as mount:
        os.mknod(mount / "file")  # a descriptor of `create` has no lease id, and so is in the way
        wanted = gfid(made.bricks[0] / "file")
        mine = tags(made)[str(made.client(mount))]
        with leaser(made) as ask:
            ask(take, read)
            ask(take, read)
            ask(give, read)
            (lease,) = held(made, "lease")
            assert (lease.gfid, layout.LOCK_TYPES[lease.type]) == (wanted, "read")
            (holder,) = set(tags(made).values()) - {mine}
            assert lease.client == holder
            ask(take, write)
            assert len(held(made, "lease")) == 2
            with subprocess.Popen(["cat", mount / "file"]) as reader:
                (waiting,) = wait_for(lambda: in_flight(made, "open"), "the waiter")
                assert (waiting.gfid, waiting.client) == (wanted, mine)
                (row,) = events("inflight", made.name)
                assert (row["fop"], row["gfid"]) == ("open", str(uuid.UUID(bytes=wanted)))
                assert (row["holder"], row["holder_connected"]) == ("127.0.0.1", True)
                assert row["held_since"] < row["started"]
                ask(give, read)
                assert in_flight(made, "open") == [waiting]
                ask(give, write)
                assert reader.wait(20) == 0
            assert not held(made, "lease")
            ask(take, read)
            assert held(made, "lease")
        # The client was killed with its lease.
        wait_for(lambda: not held(made, "lease"), "its lease to go")


_ACTIVE = re.compile(
    r"^(inodelk|entrylk|posixlk)\.\w+\[\d+\]\(ACTIVE\)=type=(?:ENTRYLK_)?(READ|WRITE|RDLCK|WRLCK)"
    r"(?:, whence=\d+, start=(\d+), len=(\d+))?",
    re.M,
)
_KINDS = {"inodelk": "inodelk", "entrylk": "entrylk", "posixlk": "lk"}


def dumped(made: Volume) -> list[tuple[str, str, str, int, int]]:
    """The locks that a brick's statedump lists: domain, kind, type, start, length."""
    pid = made.pid(made.bricks[0])
    assert pid
    found, domain = [], ""
    for line in made.statedump(pid).splitlines():
        if line.startswith("lock-dump.domain.domain="):
            domain = line.split("=", 1)[1]
        match = _ACTIVE.match(line)
        if match:
            kind = _KINDS[match[1]]
            kind_of = "read" if match[2] in ("READ", "RDLCK") else "write"
            start, length = int(match[3] or 0), int(match[4] or 0)
            found.append(("" if kind == "lk" else domain, kind, kind_of, start, length))
    return sorted(found)


def listed(made: Volume) -> list[tuple[str, str, str, int, int]]:
    """The same of the translator."""
    found = []
    for lock in held(made):
        kind, kind_of = layout.LOCK_KINDS[lock.kind], layout.LOCK_TYPES[lock.type]
        # The dump has a name where the translator has its hash.
        range_ = (0, 0) if kind == "entrylk" else (lock.start, lock.length)
        found.append((lock.domain.decode(), kind, kind_of, *range_))
    return sorted(found)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a file, whose client may die meanwhile."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_held_locks_are_those_of_the_statedump(xlator: None) -> None:
    # The client keeps the lock by which it writes for as long as nobody else wants it.
    exclusive, shared = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB
    options = {"cluster.post-op-delay-secs": "100", f"{GLUPY}.client-detail": "process"}
    with (
        volume("replica", "2", bricks=2, options=options) as made,
        made.mount() as first,
        # A client that was killed may be unmounted already.
        contextlib.suppress(subprocess.CalledProcessError),
        made.mount() as second,
        contextlib.ExitStack() as stack,
    ):
        (first / "ranges").write_bytes(b"x")
        (first / "whole").write_bytes(b"x")
        files = [stack.enter_context(opened(first / "ranges"))]
        for take, start, length in (
            (exclusive, 0, 100),
            (shared, 40, 20),  # splits the first
            (fcntl.LOCK_UN, 90, 100),
            (exclusive, 1000, 0),  # to the end
            (fcntl.LOCK_UN, 2000, 10),
            (shared, 500, 10),
            (shared, 510, 10),  # stays apart from the one before
            (shared, 600, 10),
            (shared, 605, 10),  # is joined with the one before
        ):
            fcntl.lockf(files[0], take, length, start)
        files.append(stack.enter_context(opened(second / "ranges")))
        fcntl.lockf(files[1], shared, 5, 502)
        files.append(stack.enter_context(opened(second / "whole")))
        fcntl.flock(files[2], exclusive)
        os.write(stack.enter_context(opened(second / "written")), b"x")

        def agreed() -> list[tuple[str, str, str, int, int]]:
            found = dumped(made)
            return found if found and found == listed(made) else []

        try:
            found = wait_for(agreed, "translator and statedump to agree", 20)
        except AssertionError:
            assert listed(made) == dumped(made)
            raise
        assert Counter(kind for _, kind, *_ in found)["lk"] == 10
        domain = f"{made.name}-replicate-0"
        assert (domain, "inodelk", "write", 0, 0) in found
        writing = {lock.client for lock in held(made, "inodelk")}
        assert writing == {tags(made)[str(made.client(second))]}

        # An administrator clears a part of what applications hold, and then all that one holds.
        def of_applications() -> Counter[tuple[str, int, int]]:
            locks = wait_for(agreed, "translator and statedump to agree", 20)
            return Counter(lock[2:] for lock in locks if lock[1] == "lk")

        def clear(path: str, *which: str) -> Counter[tuple[str, int, int]]:
            before = of_applications()
            gluster("volume", "clear-locks", made.name, path, "kind", *which)
            return before - of_applications()

        assert not clear("/ranges", "granted", "posix", "0,0-0")
        assert not clear("/ranges", "granted", "posix", "0,500-11")
        assert not clear("/ranges", "granted", "posix", "1,500-10")
        assert not clear("/ranges", "blocked", "posix")
        assert clear("/ranges", "granted", "posix", "0,500-10") == {("read", 500, 10): 1}
        assert clear("/ranges", "all", "posix", "0,60-30") == {("write", 60, 30): 1}
        whole = gfid(made.bricks[0] / "whole")
        assert [lock for lock in held(made, "lk") if lock.gfid == whole]
        assert clear("/whole", "granted", "posix") == {("write", 0, 0): 1}
        assert not [lock for lock in held(made, "lk") if lock.gfid == whole]

        # A client dies with all that it holds.
        client = made.client(second)
        assert client
        gone = tags(made)[str(client)]
        os.kill(client, 9)
        wait_for(lambda: not [x for x in held(made) if x.client == gone], "its locks to go", 20)
        assert wait_for(lambda: dumped(made) == listed(made), "both to agree again", 20)


def counted(fops: Counter[str]) -> dict[str, int]:
    """Fops by the names under which io-stats counts them."""
    sums: Counter[str] = Counter()
    for name, calls in fops.items():
        sums[COUNTED_AS.get(name, name)] += calls
    return dict(sums)


@pytest.mark.parametrize("records", [layout.TRACE_RECORDS_DEFAULT, 16])
def test_a_trace_of_all_is_what_io_stats_counts(xlator: None, records: int) -> None:
    options = {f"{GLUPY}.trace-records": str(records), f"{GLUPY}.sample": "0"}
    with volume(bricks=1, options=options) as made, made.mount() as mount:
        (brick,) = made.bricks
        before = settled(made)[brick][0].fops
        kept: Counter[str] = Counter()
        lost = 0
        with made.segment(brick) as segment, Tracer(segment.path) as tracer:
            since = tracer.position
            names = segment.fop_names()
            for number in range(60):
                path = mount / f"file{number}"
                path.write_bytes(os.urandom(10_000))
                assert len(path.read_bytes()) == 10_000
                path.rename(mount / f"other{number}")
                (mount / f"other{number}").unlink()
                with contextlib.suppress(FileNotFoundError):
                    (mount / "nothing").stat()
                tracer.renew()
                batch = segment.recorded(since, recorder.TRACE)
                assert all(fop.tracers & tracer.bit for fop in batch.fops)
                kept.update(names[fop.fop] for fop in batch.fops)
                lost += batch.lost
                since = batch.next
            after = settled(made)[brick][0].fops
            batch = segment.recorded(since, recorder.TRACE)
            kept.update(names[fop.fop] for fop in batch.fops)
            lost += batch.lost
    new = {
        name: calls - before.get(name, 0)
        for name, calls in after.items()
        if name not in NOT_FOPS and calls != before.get(name, 0)
    }
    assert sum(kept.values()) + lost == sum(new.values())
    if records == layout.TRACE_RECORDS_DEFAULT:
        assert lost == 0
        assert counted(kept) == new
    else:
        assert lost > 0


def test_filters_work_in_the_brick(xlator: None) -> None:
    options = {f"{GLUPY}.sample": "0", **NEVER_SLOW}
    with volume(bricks=1, options=options) as made, made.mount() as mount:
        (mount / "a").write_bytes(b"a")
        (mount / "b").write_bytes(b"b")
        with made.segment(made.bricks[0]) as segment:
            names = segment.fop_names()
            path = segment.path
            read = names.index("read")
            filters = {
                "reads of a": Filters({read}, gfid=gfid(made.bricks[0] / "a")),
                "errors": Filters(error=-1),
                "missing": Filters(error=2),
                "another user": Filters(uid=77),
                "slow": Filters(least_ns=10**12),
                "another client": Filters(client=1),
            }
            with contextlib.ExitStack() as stack:
                tracers = {
                    name: stack.enter_context(Tracer(path, each)) for name, each in filters.items()
                }
                for name in ("a", "b"):
                    assert (mount / name).read_bytes() == name.encode()
                with contextlib.suppress(FileNotFoundError):
                    (mount / "nothing").stat()
                fops = segment.recorded(tracers["errors"].position, recorder.TRACE).fops
            passed = {
                name: [fop for fop in fops if fop.tracers & tracer.bit]
                for name, tracer in tracers.items()
            }
            reads = passed["reads of a"]
            # An empty read ends each.
            assert {names[fop.fop] for fop in reads} == {"read"}
            assert sum(fop.size for fop in reads) == 1
            failed = [fop for fop in passed["errors"] if fop.name == b"nothing"]
            assert failed and all(fop.errno == 2 for fop in failed)
            assert failed[0].parent == uuid.UUID(int=1).bytes
            assert set(failed) <= set(passed["missing"])
            assert not passed["another user"] + passed["slow"] + passed["another client"]
            # Nobody traces any more.
            position = segment.position(recorder.TRACE)
            (mount / "a").read_bytes()
            assert segment.position(recorder.TRACE) == position


def test_the_death_of_a_tracer_ends_its_trace(xlator: None) -> None:
    options = {f"{GLUPY}.sample": "0", **NEVER_SLOW}
    with volume(bricks=1, options=options) as made, made.mount() as mount:
        path = made.segment_path(made.bricks[0])
        code = (
            "import sys, pathlib; from glupy_exporter.segment.control import Tracer\n"
            "with Tracer(pathlib.Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
        )
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, "-c", code, path], stdin=pipe, stdout=pipe, cwd=Path.cwd()
        ) as process:
            assert process.stdout and process.stdout.readline()
            process.kill()
        with made.segment(made.bricks[0]) as segment:
            (mount / "a").write_bytes(b"a")
            assert segment.position(recorder.TRACE)

            def over() -> bool:
                control = layout.Control.from_buffer_copy(segment.elements("control"))
                return not any(control.active)

            wait_for(over, "the brick to end the trace", 20)
            position = segment.position(recorder.TRACE)
            (mount / "b").write_bytes(b"b")
            assert segment.position(recorder.TRACE) == position


def test_nothing_is_left_after_all_kinds_of_work(xlator: None) -> None:
    with volume("replica", "2", bricks=2) as made:
        with made.mount() as mount:
            workload.through_mount(mount)
        workload.through_gfapi(made.name)
        settled(made)
        with made.segment(made.bricks[0]) as segment:
            wait_for(lambda: not segment.in_flight(), "all fops to be back", 10)
            wait_for(lambda: not segment.held_locks(), "all locks to be given back", 30)
            health, numbers = segment.recorder_health(), segment.numbers()
        assert (numbers["unlisted_fops"], numbers["unlisted_locks"]) == (0, 0)
        assert health["trace_dropped"] == health["slow_dropped"] == 0


def test_switched_off_it_lists_nothing(xlator: None) -> None:
    with volume(bricks=1) as made, made.mount() as mount:
        (mount / "file").write_bytes(b"x")
        with (mount / "file").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert held(made)
            made.set_options({f"{GLUPY}.recorder": "off"})
            wait_for(lambda: not held(made), "the locks to be forgotten")
            fcntl.flock(file, fcntl.LOCK_UN)
            made.set_options({f"{GLUPY}.recorder": "on"})
        with made.segment(made.bricks[0]) as segment:
            (mount / "file").read_bytes()
            assert not segment.held_locks() and not segment.in_flight()
