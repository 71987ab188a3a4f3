"""Writes to standard output."""

from __future__ import annotations

import os
import sys


def write(content: bytes) -> None:
    """Write all of ``content``; a reader that has gone is no error."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, grep -q) has closed the pipe; a flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
