"""Work in a thread of its own: one piece at a time, and hosts take turns."""

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
"""Requests that may wait for a thread; any more are refused with :class:`Busy`."""

MAX_WAITING_OF_HOST = MAX_WAITING // 2
"""Requests of one host that may wait for a thread."""

PAUSE_SECONDS = 0.01
"""How long the event loop, between two rounds, leaves the interpreter to work that goes first."""

_T = TypeVar("_T")


def host(address: str) -> str:
    """The host that an address stands for: an IPv6 host may take any address of its /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # of a Unix socket, for example
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))


class Busy(Exception):
    """Too many pieces of work wait already."""


class Turns:
    """A thread, and the work that waits for it.

    The host that was served longest ago is next, so a host that asks all the time delays another
    one by one piece of work. When all places are taken, a host that has fewer of them than another
    gets the last place of the host that has most. Work is dropped when its task is cancelled.
    """

    def __init__(self, name: str, first: bool = False) -> None:
        """An idle thread; if it goes ``first``, the event loop pauses while it works."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._first = first
        self._waiting: dict[
            str, deque[tuple[Future[Any], Callable[[], Any]]]
        ] = {}  # the next one first
        self._busy = False  # until the event loop has seen that the work is done
        self._resting = threading.Event()
        self._resting.set()

    def give_way(self, seconds: float) -> None:
        """Block the calling thread until this one is idle, for ``seconds`` at most."""
        self._resting.wait(seconds)

    async def run(self, host: str, work: Callable[..., _T], *args: Any) -> _T:
        """The result of ``work``, called in the thread when it is the host's turn.

        Raises:
            Busy: no place is free, or another host got the place of this work.
        """
        self._forget_the_cancelled()
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

    def _forget_the_cancelled(self) -> None:
        for host, pieces in list(self._waiting.items()):
            self._waiting[host] = deque(piece for piece in pieces if not piece[0].done())
            if not self._waiting[host]:
                del self._waiting[host]

    def _next(self) -> None:
        self._forget_the_cancelled()
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
        """Block the event loop for most of the time that the work takes.

        Each time that the work reads a file it gives the interpreter away. An event loop with
        hundreds of busy connections would keep it for longer than the whole work takes.
        """
        if not self._resting.is_set():
            self.give_way(PAUSE_SECONDS)
            asyncio.get_running_loop().call_soon(self._pause)

    def _done(self, host: str, answer: Future[Any], done: Future[Any]) -> None:
        if host in self._waiting:  # behind the others
            self._waiting[host] = self._waiting.pop(host)
        self._next()
        if answer.done():  # cancelled
            return
        error = done.exception()
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())
