"""Writes to standard output."""

from __future__ import annotations

import contextlib
import os
import sys


def write(content: bytes) -> None:
    """Write all of ``content``; a reader that has gone is no error."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(content)
    flush()


def flush() -> None:
    """Write what was printed so far; a reader that has gone is no error, now or at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, grep -q) has closed the pipe; a flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
