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

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}  # next first
        self._idle = threading.Event()
        self._idle.set()

    def give_way(self, seconds: float) -> None:
        """Wait, in another thread, until this one has nothing to do, but no longer than that."""
        self._idle.wait(seconds)

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
        if self._idle.is_set():
            self._next()
        return await answer

    def _next(self) -> None:
        if not self._waiting:
            self._idle.set()
            return
        self._idle.clear()
        host = next(iter(self._waiting))
        answer, work = self._waiting[host].popleft()
        if not self._waiting[host]:
            del self._waiting[host]
        done = asyncio.get_running_loop().run_in_executor(self._executor, work)
        done.add_done_callback(partial(self._done, host, answer))

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
