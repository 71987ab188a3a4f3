"""What clients share of the exporter: its threads, its memory for answers, its connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import pytest
from tornado.iostream import IOStream

from glupy_exporter.web.toolkit import answers, connections, turns
from glupy_exporter.web.toolkit.answers import Answers
from glupy_exporter.web.toolkit.connections import Connections
from glupy_exporter.web.toolkit.turns import MAX_WAITING, MAX_WAITING_OF_HOST, Busy, Turns


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
    ],
)
def test_hosts(one: str, other: str, same: bool) -> None:
    assert (turns.host(one) == turns.host(other)) == same


async def served(hosts: Sequence[str]) -> list[str]:
    """Whose work is done, in order, if all want their turn while somebody has it."""
    work, done = Turns("test"), []
    go = threading.Event()
    first = asyncio.create_task(work.run("first", go.wait))
    waiting = [asyncio.create_task(work.run(host, done.append, host)) for host in hosts]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *waiting, return_exceptions=True)
    return done


def test_hosts_take_turns() -> None:
    assert asyncio.run(served("aaaaabbc")) == list("abcabaaa")


def test_a_host_that_has_its_turn_is_the_last() -> None:
    assert asyncio.run(served(["first", "first", "a", "b"])) == ["a", "b", "first", "first"]


def test_a_host_that_wants_more_waits_behind_the_others() -> None:
    assert asyncio.run(served("a" * MAX_WAITING + "b")) == ["a", "b"] + ["a"] * (
        MAX_WAITING_OF_HOST - 1
    )


def test_a_full_house_takes_in_a_host_that_has_less() -> None:
    crowd = "a" * MAX_WAITING_OF_HOST + "b" * MAX_WAITING_OF_HOST
    done = asyncio.run(served(crowd + "cd" + "a"))
    assert done[:4] == list("abcd")
    assert len(done) == MAX_WAITING
    many = [str(number) for number in range(MAX_WAITING)]
    assert asyncio.run(served([*many, "late"])) == many


def test_what_fails_fails_alone() -> None:
    async def scenario() -> None:
        work = Turns("test")
        good = asyncio.create_task(work.run("a", len, "four"))
        bad = asyncio.create_task(work.run("a", len, 4))
        gone = asyncio.create_task(work.run("b", len, "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await good == 4
        with pytest.raises(TypeError):
            await bad
        assert await work.run("a", len, "two") == 3

    asyncio.run(scenario())


def test_work_that_nobody_waits_for_is_not_done_and_has_no_place() -> None:
    async def scenario() -> None:
        work, go, done = Turns("test"), threading.Event(), []
        running = asyncio.create_task(work.run("a", go.wait))
        waiting = [
            asyncio.create_task(work.run(host, done.append, host))
            for host in "a" * MAX_WAITING_OF_HOST + "b" * MAX_WAITING_OF_HOST
        ]
        await asyncio.sleep(0)
        for task in waiting[:-1]:
            task.cancel()
        waiting.append(asyncio.create_task(work.run("a", done.append, "late")))
        await asyncio.sleep(0)
        waiting[-1].cancel()
        go.set()
        await asyncio.gather(running, *waiting, return_exceptions=True)
        assert await work.run("c", len, "four") == 4
        assert done == ["b"]

    asyncio.run(scenario())


@pytest.mark.parametrize("first", [True, False])
def test_the_event_loop_pauses_for_work_that_goes_first(
    monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr(turns, "PAUSE_SECONDS", 60.0)
    began, went_on = threading.Event(), threading.Event()

    def work() -> bool:
        began.set()
        return went_on.wait(1)

    async def go_on() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
            while not began.is_set():
                await asyncio.sleep(0)
        went_on.set()

    async def scenario() -> bool:
        working = asyncio.create_task(Turns("test", first).run("a", work))
        await asyncio.gather(working, go_on())
        return working.result()

    assert asyncio.run(scenario()) != first


def test_too_many_are_told_so() -> None:
    async def scenario() -> None:
        work, go = Turns("test"), threading.Event()
        tasks = [
            asyncio.create_task(work.run("a", go.wait)) for _ in range(MAX_WAITING_OF_HOST + 1)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await work.run("a", len, "x")
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


async def left(
    sizes: Sequence[tuple[str, int]], then: Callable[[list[Callable[[int], None]]], None], last: str
) -> list[bool]:
    """Which answers are still being read after another one of 10 bytes."""
    kept = Answers()
    reads: list[Callable[[int], None]] = []

    async def read(host: str, size: int) -> None:
        with kept.reading(host, size) as progress:
            reads.append(progress)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(read(*each)) for each in sizes]
    await asyncio.sleep(0)
    then(reads)
    tasks.append(asyncio.create_task(read(last, 10)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    found = [not task.done() for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not kept._unread
    return found


@pytest.mark.parametrize(
    ("sizes", "progress", "last", "expected"),
    [
        # There is room.
        ([("a", 10)] * 9, [], "b", [True] * 10),
        # The one that got nothing for the longest time goes, not the oldest.
        ([("a", 25)] * 4, [0, 2], "a", [True, False, True, True, True]),
        ([("a", 25)] * 4, [0, 1, 2, 3], "a", [False, True, True, True, True]),
        # One of the host that has most, though another is slower.
        ([("a", 20), ("b", 40), ("b", 40)], [], "c", [True, False, True, True]),
        # Who has read it does not count.
        ([("a", 100)], [0] * 10, "b", [True, True]),
        # One that is larger than all drops none, and goes if others want room.
        ([("a", 28), ("b", 27), ("c", 56)], [], "d", [True, True, False, True]),
        ([("a", 20), ("b", 200)], [], "c", [True, False, True]),
        ([("a", 95)], [], "a", [False, True]),
    ],
)
def test_slowest_answers_make_room(
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[tuple[str, int]],
    progress: list[int],
    last: str,
    expected: list[bool],
) -> None:
    monkeypatch.setattr(answers, "MAX_UNREAD_BYTES", 100)

    def then(reads: list[Callable[[int], None]]) -> None:
        for number in progress:
            reads[number](1)

    assert asyncio.run(left(sizes, then, last)) == expected


class Stream:
    """Of an :class:`IOStream`, what counts here."""

    closed = False

    def close(self) -> None:
        self.closed = True


def admitted(known: Connections, hosts: Sequence[str]) -> list[Stream]:
    streams = [Stream() for _ in hosts]
    for stream, host in zip(streams, hosts):
        known.admit(cast(IOStream, stream), host)
    return streams


def test_hosts_take_turns_at_rounds_of_the_event_loop() -> None:
    async def scenario() -> None:
        known, done = Connections(), []
        streams = admitted(known, "aaaab")
        for number, stream in enumerate(streams):
            known.in_turn(cast(IOStream, stream), partial(done.append, number))
        assert done == [0, 4]
        known.forget(cast(IOStream, streams[1]))  # waits for nothing any more
        assert done == [0, 4, 1]
        for expected in ([2], [2, 3], [2, 3]):
            await asyncio.sleep(0)
            assert done[3:] == expected
        known.in_turn(cast(IOStream, streams[0]), partial(done.append, 0))
        assert done[5:] == [0]

    asyncio.run(scenario())


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Connections:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 6)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS_OF_HOST", 4)
    return Connections()


def closed(streams: Sequence[Stream]) -> list[int]:
    return [number for number, stream in enumerate(streams) if stream.closed]


def test_a_host_has_so_many_connections(known: Connections) -> None:
    streams = admitted(known, "aaaa")
    known.begin(cast(IOStream, streams[0]))
    admitted(known, "ab")
    assert closed(streams) == [1]  # the longest idle


def test_a_host_whose_connections_are_all_busy_loses_the_longest(known: Connections) -> None:
    streams = admitted(known, "aaaabb")
    for stream in streams:
        known.begin(cast(IOStream, stream))
    admitted(known, "c")
    assert closed(streams) == [0]


def test_an_idle_connection_of_a_small_host_is_safe_from_a_crowd(known: Connections) -> None:
    streams = admitted(known, "baaaac")
    for stream in streams[1:5]:
        known.begin(cast(IOStream, stream))
    assert closed(admitted(known, "ad")) == [0]  # idle again, and of the crowd
    assert closed(streams) == [1]
