"""Work that takes a thread: one piece at a time, and hosts take turns."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from asyncio import Future
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

MAX_WAITING = 16
"""Requests that may wait for a thread; more are told to come back later."""

MAX_WAITING_OF_HOST = MAX_WAITING // 2
"""Of those, for one host."""

PAUSE_SECONDS = 0.01
"""For which the event loop leaves the interpreter to work that goes first, between two rounds."""

_T = TypeVar("_T")


def host(address: str) -> str:
    """Whose an address is: for IPv6 the /64, as who has one address there may take any other."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a socket that has no addresses
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))


class Busy(Exception):
    """Too many wait already."""


class Turns:
    """A thread, and who waits for it.

    The host that was served longest ago is next: who asks all the time delays another host by one
    piece of work. When all places are taken, the last one of the host that has most of them is
    given to a host that has fewer.
    """

    def __init__(self, name: str, first: bool = False) -> None:
        """An idle thread; if it goes ``first``, the event loop pauses while it works."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._first = first
        self._waiting: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}  # next first
        self._busy = False  # until the event loop has seen that the work is done
        self._resting = threading.Event()
        self._resting.set()

    def give_way(self, seconds: float) -> None:
        """Wait, in another thread, until this one has done its work, but no longer than that."""
        self._resting.wait(seconds)

    async def run(self, host: str, work: Callable[..., _T], *args: Any) -> _T:
        """The result of ``work``, called in the thread when it is the host's turn.

        Raises:
            Busy: too many wait already.
        """
        own = len(self._waiting.get(host, ()))
        if own >= MAX_WAITING_OF_HOST:
            raise Busy
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            crowd = max(self._waiting.values(), key=len)
            if len(crowd) <= own + 1:
                raise Busy
            crowd.pop()[0].set_exception(Busy())
        answer: Future[_T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, deque()).append((answer, partial(work, *args)))
        if not self._busy:
            self._next()
        return await answer

    def _next(self) -> None:
        self._busy = bool(self._waiting)
        if not self._busy:
            return
        self._resting.clear()
        host = next(iter(self._waiting))
        answer, work = self._waiting[host].popleft()
        if not self._waiting[host]:
            del self._waiting[host]
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._work, work)
        done.add_done_callback(partial(self._done, host, answer))
        if self._first:
            loop.call_soon(self._pause)

    def _work(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        finally:
            self._resting.set()

    def _pause(self) -> None:
        """Keep the event loop waiting for most of the time that the work takes.

        A loop that hundreds of connections keep busy would have the interpreter each time that the
        work reads from a file, and the work would wait longer than it takes.
        """
        if not self._resting.is_set():
            self.give_way(PAUSE_SECONDS)
            asyncio.get_running_loop().call_soon(self._pause)

    def _done(self, host: str, answer: Future[Any], done: Future[Any]) -> None:
        if host in self._waiting:  # the others come first
            self._waiting[host] = self._waiting.pop(host)
        self._next()
        if answer.done():  # nobody waits for it any more
            return
        error = done.exception()
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())
