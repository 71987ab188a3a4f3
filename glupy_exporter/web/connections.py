"""The connections that are open: at most so many, and none may keep all others out."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter

from tornado.iostream import IOStream

MAX_CONNECTIONS = 512

MAX_CONNECTIONS_OF_HOST = MAX_CONNECTIONS // 2
"""More than are accepted at once, lest a flood close a newcomer before its request is read."""

WRITE_TIMEOUT = 30.0
"""Seconds that a client may take to read an answer."""

_LOOK_SECONDS = 1.0
_MANY = 100


def _release(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


class Connections:
    """When all places are taken, those of a host or those of all, a newcomer gets one of them.

    It is that of the host that has most connections which has been idle longest, or if none is
    idle, which has been answered longest: a host that opens more and more of them, and sends
    nothing, a byte now and then, or reads nothing, closes its own.
    """

    def __init__(self) -> None:
        self._hosts: dict[IOStream, str] = {}  # those that have been idle longest come first
        self._crowds: Counter[str] = Counter()  # connections by host
        self._busy: set[IOStream] = set()
        self._new: set[IOStream] = set()
        self._writing: dict[IOStream, float] = {}  # since when they have been seen to be written to
        self._gone = 0
        self._requests: dict[str, dict[IOStream, asyncio.Future[None]]] = {}

    @property
    def new(self) -> bool:
        """Whether there is a connection whose first request has not been read yet."""
        return bool(self._new)

    def admit(self, stream: IOStream, host: str) -> None:
        """Give a new connection a place."""
        if self._crowds[host] >= MAX_CONNECTIONS_OF_HOST:
            self._make_room(host)
        elif len(self._hosts) >= MAX_CONNECTIONS:
            self._make_room(max(self._crowds, key=self._crowds.__getitem__))
        self._hosts[stream] = host
        self._crowds[host] += 1
        self._new.add(stream)

    def _make_room(self, host: str) -> None:
        crowd = [stream for stream, owner in self._hosts.items() if owner == host]
        leaves = next((stream for stream in crowd if stream not in self._busy), crowd[0])
        self.forget(leaves)
        leaves.close()

    async def heard(self, stream: IOStream) -> bool:
        """A request was read: wait until it may be looked at; whether its connection is still open.

        In a round of the event loop, one of a host's requests is, lest those of hundreds of
        connections of it come before any of another host.
        """
        self._writing.pop(stream, None)  # the client has read the answer to the request before
        host = self._hosts.get(stream)
        if host is None:
            return False
        loop = asyncio.get_running_loop()
        if host in self._requests:
            turn = self._requests[host][stream] = loop.create_future()
            await turn
        else:
            self._requests[host] = {}
            loop.call_soon(self._next, host)
        self._new.discard(stream)
        return not stream.closed()

    def _next(self, host: str) -> None:
        """A round of the event loop is over, in which a request of the host was looked at."""
        waiting = self._requests[host]
        if waiting:
            _release(waiting.pop(next(iter(waiting))))
            asyncio.get_running_loop().call_soon(self._next, host)
        else:
            del self._requests[host]

    def begin(self, stream: IOStream) -> None:
        """A request of this connection is being answered."""
        self._busy.add(stream)

    def end(self, stream: IOStream) -> None:
        """It has been."""
        self._busy.discard(stream)
        if stream in self._hosts:
            self._hosts[stream] = self._hosts.pop(stream)

    def forget(self, stream: IOStream) -> None:
        """The connection is gone, if it had a place at all."""
        host = self._hosts.pop(stream, None)
        if host is not None:
            self._gone += 1
            self._crowds[host] -= 1
            if not self._crowds[host]:
                del self._crowds[host]
            turn = self._requests.get(host, {}).pop(stream, None)
            if turn:
                _release(turn)
        self._busy.discard(stream)
        self._new.discard(stream)
        self._writing.pop(stream, None)

    async def watch(self) -> None:
        """Close, for ever, the connections of clients that take too long to read an answer.

        Whatever it is: errors, and what Tornado answers by itself, can stay unread as well.

        Many that were closed are collected, as they refer to themselves.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._gone > _MANY:
                self._gone = 0
                gc.collect()
            now = time.monotonic()
            for stream in list(self._hosts):
                if not stream.writing():
                    self._writing.pop(stream, None)
                elif now - self._writing.setdefault(stream, now) > WRITE_TIMEOUT:
                    stream.close()
