"""Writes to standard output."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator

from glupy_exporter.errors import UserError


def stand_in() -> None:
    """Open a stand-in for each standard stream that is closed. Otherwise a file that is opened
    later has the stream's number, and gets what is written to the stream. To write to the stand-in
    of standard output fails.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn a failed write of the block, as to a full disk, into a UserError. That a reader has gone
    stays a BrokenPipeError.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop()
        raise UserError(f"cannot write to standard output: {error.strerror}") from error


def write(content: bytes) -> None:
    """Write all of ``content``; a reader that has gone is no error."""
    with contextlib.suppress(BrokenPipeError), told():
        sys.stdout.buffer.write(content)
    flush()


def flush() -> None:
    """Write what was printed so far; a reader that has gone is no error, now or at exit."""
    try:
        with told():
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, grep -q) has closed the pipe; a flush at exit must not fail again.
        drop()


def drop() -> None:
    """Write nothing more, not even what was printed before, at exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def takes(number: int) -> bool:
    """Whether a write to descriptor ``number`` would not block, at the latest after a second.

    It would block for as long as the terminal is stopped (Ctrl-S), or its ssh connection hangs.
    """
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(1000))


def offer(line: str) -> None:
    """Print a line, but leave it out rather than wait for a reader or fail."""
    with contextlib.suppress(OSError):
        if takes(1):
            print(line, flush=True)


def abandoned() -> bool:
    """Whether standard output is a pipe or a terminal whose reader has gone."""
    poll = select.poll()
    poll.register(1, 0)  # with no event asked for, errors are told all the same
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
