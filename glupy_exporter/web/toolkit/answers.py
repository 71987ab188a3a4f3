"""Bounds the bytes of answers that are on their way to clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MAX_UNREAD_BYTES = 56 * 2**20
"""Bytes of all answers that clients have not read yet. Clients that do not read must neither use up
the memory of the node nor keep out those that do."""

_PIECE_BYTES = 2**14  # Tornado holds one piece of each answer besides


def emptied(body: list[bytes]) -> Iterator[bytes]:
    """The parts of a body, which the list does not keep."""
    body.reverse()
    while body:
        yield body.pop()


def pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts of a body, joined to pieces that are worth a call."""
    piece, size = [], 0
    for part in parts:
        piece.append(part)
        size += len(part)
        if size >= _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


@dataclass
class _Answer:
    host: str
    unread: int


class Answers:
    """When there is no room for another answer, the slowest reader is dropped.

    That is the client whose last progress is longest ago, among those of the host that has most
    bytes unread. If that host has only the new answer, the new answer is not sent.
    """

    def __init__(self) -> None:
        self._unread: dict[asyncio.Task[Any], _Answer] = {}  # the slowest reader comes first

    @contextmanager
    def reading(self, host: str, size: int) -> Iterator[Callable[[int], None]]:
        """Count the current task's answer while its client, at ``host``, reads it.

        Gives a function that takes the number of bytes that were read since its last call.
        """
        task = asyncio.current_task()
        assert task is not None
        answer = self._unread[task] = _Answer(host, size)

        def read(count: int) -> None:
            answer.unread -= count
            if self._unread.pop(task, None):
                self._unread[task] = answer

        try:
            self._make_room(task)
            yield read
        finally:
            self._unread.pop(task, None)

    def _make_room(self, newest: asyncio.Task[Any]) -> None:
        while sum(answer.unread for answer in self._unread.values()) > MAX_UNREAD_BYTES:
            crowd: Counter[str] = Counter()
            for answer in self._unread.values():
                crowd[answer.host] += answer.unread
            ((host, _),) = crowd.most_common(1)
            slowest = next(
                (t for t, a in self._unread.items() if a.host == host and t is not newest), None
            )
            if slowest is None:
                # The new answer is all that this host has: no other host's is dropped for it.
                if len(self._unread) > 1:
                    newest.cancel()
                return
            del self._unread[slowest]
            slowest.cancel()
