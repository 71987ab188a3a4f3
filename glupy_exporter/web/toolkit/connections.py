"""Bounds the open connections, so that no host keeps all others out."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Union

from tornado.iostream import IOStream

MAX_CONNECTIONS = 512

MAX_CONNECTIONS_OF_HOST = MAX_CONNECTIONS // 2
"""More than are accepted at once, lest a flood close a newcomer before its request is read."""

WRITE_TIMEOUT = 30.0
"""Seconds that a client may take to read an answer."""

_LOOK_SECONDS = 1.0
_MANY = 100

Connection = Union[socket.socket, IOStream]
"""A socket until its host's turn comes, then a stream."""


def _release(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


class Connections:
    """When all places are taken, those of a host or those of all, a newcomer gets one of them.

    The host that has most connections loses the one that has been idle longest or, if none is idle,
    that has been answered longest. So a host that opens more and more of them, and sends nothing, a
    byte now and then, or reads nothing, closes its own.
    """

    def __init__(self) -> None:
        self._hosts: dict[Connection, str] = {}  # those that have been idle longest come first
        self._crowds: Counter[str] = Counter()  # connections by host
        self._busy: set[Connection] = set()
        self._new: set[Connection] = set()
        self._writing: dict[Connection, float] = {}  # since when an answer is seen being written
        self._gone = 0
        self._waiting: dict[str, dict[Connection, Callable[[], None]]] = {}  # for their turn

    @property
    def new(self) -> bool:
        """Whether there is a connection whose first request has not been read yet."""
        return bool(self._new)

    def admit(self, connection: Connection, host: str) -> None:
        """Give a new connection a place."""
        if self._crowds[host] >= MAX_CONNECTIONS_OF_HOST:
            self._make_room(host)
        elif len(self._hosts) >= MAX_CONNECTIONS:
            self._make_room(max(self._crowds, key=self._crowds.__getitem__))
        self._hosts[connection] = host
        self._crowds[host] += 1
        self._new.add(connection)

    def _make_room(self, host: str) -> None:
        idle = (e for e, owner in self._hosts.items() if owner == host and e not in self._busy)
        leaves = next(idle, None) or next(e for e, owner in self._hosts.items() if owner == host)
        leaves.close()
        self.forget(leaves)

    def in_turn(self, connection: Connection, work: Callable[[], None]) -> None:
        """Call ``work`` now or in a later round of the event loop, or when the connection is gone.

        A round does one piece of work for each host. Else hundreds of a host's connections would
        come before another host's: a handshake takes a millisecond, a request not much less.
        """
        host = self._hosts[connection]
        if host in self._waiting:
            self._waiting[host][connection] = work
        else:
            self._waiting[host] = {}
            asyncio.get_running_loop().call_soon(self._next, host)
            work()

    def _next(self, host: str) -> None:
        """Do the next piece of work for a host, as a round of the event loop is over."""
        waiting = self._waiting[host]
        if waiting:
            asyncio.get_running_loop().call_soon(self._next, host)
            waiting.pop(next(iter(waiting)))()
        else:
            del self._waiting[host]

    async def heard(self, stream: IOStream) -> bool:
        """Wait for the turn of a request that was read; return whether its connection is open."""
        self._writing.pop(stream, None)  # the client has read the answer to the request before
        if stream not in self._hosts:
            return False
        self._busy.add(stream)
        turn = asyncio.get_running_loop().create_future()
        self.in_turn(stream, partial(_release, turn))
        await turn
        self._new.discard(stream)
        return not stream.closed()

    def begin(self, stream: IOStream) -> None:
        """Note that a request of this connection is being answered."""
        self._busy.add(stream)

    def end(self, stream: IOStream) -> None:
        """Note that it has been answered."""
        self._busy.discard(stream)
        if stream in self._hosts:
            self._hosts[stream] = self._hosts.pop(stream)

    def forget(self, connection: Connection) -> None:
        """Take the place from a connection that is gone, if it has one."""
        host = self._hosts.pop(connection, None)
        if host is not None:
            self._gone += 1
            self._crowds[host] -= 1
            if not self._crowds[host]:
                del self._crowds[host]
            work = self._waiting.get(host, {}).pop(connection, None)
            if work:
                work()
        self._busy.discard(connection)
        self._new.discard(connection)
        self._writing.pop(connection, None)

    async def watch(self) -> None:
        """Close the connections of clients that take too long to read an answer; never return.

        That goes for all answers: a client can also leave errors unread, and what Tornado answers
        by itself.

        Connections that were closed refer to themselves, so many of them are worth a collection.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._gone > _MANY:
                self._gone = 0
                gc.collect()
            now = time.monotonic()
            for each in list(self._hosts):
                if not isinstance(each, IOStream) or not each.writing():
                    self._writing.pop(each, None)
                elif now - self._writing.setdefault(each, now) > WRITE_TIMEOUT:
                    each.close()
