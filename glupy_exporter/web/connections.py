"""The connections that are open: at most so many, and none may keep all others out."""

from __future__ import annotations

from collections import Counter

from tornado.iostream import IOStream

MAX_CONNECTIONS = 512
"""More than are accepted at once, lest a flood close a newcomer before its request is read."""


class Connections:
    """When all places are taken, a newcomer gets that of an idle connection.

    It is the one that has been idle longest of the host that has most connections: a host that
    opens more and more of them, and sends nothing or a byte now and then, closes its own.
    """

    def __init__(self) -> None:
        self._hosts: dict[IOStream, str] = {}  # those that have been idle longest come first
        self._busy: set[IOStream] = set()
        self._new: set[IOStream] = set()

    @property
    def new(self) -> bool:
        """Whether there is a connection whose first request has not been read yet."""
        return bool(self._new)

    def admit(self, stream: IOStream, host: str) -> bool:
        """Give a new connection a place; False if there is none."""
        if len(self._hosts) >= MAX_CONNECTIONS:
            idle = [known for known in self._hosts if known not in self._busy]
            if not idle:
                return False
            crowd = Counter(self._hosts.values())
            longest = max(idle, key=lambda known: crowd[self._hosts[known]])
            self.forget(longest)
            longest.close()
        self._hosts[stream] = host
        self._new.add(stream)
        return True

    def begin(self, stream: IOStream) -> None:
        """A request of this connection is being answered."""
        self._busy.add(stream)
        self._new.discard(stream)

    def end(self, stream: IOStream) -> None:
        """It has been."""
        self._busy.discard(stream)
        if stream in self._hosts:
            self._hosts[stream] = self._hosts.pop(stream)

    def forget(self, stream: IOStream) -> None:
        """The connection is gone, if it had a place at all."""
        self._hosts.pop(stream, None)
        self._busy.discard(stream)
        self._new.discard(stream)
