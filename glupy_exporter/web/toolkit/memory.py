"""Bounds the free memory that the C library keeps."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h
_C = ctypes.CDLL(None)


def share() -> None:
    """Have all threads share a heap, as each would keep its own; call this before they start."""
    with suppress(AttributeError):  # another library than glibc
        _C.mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give free memory back to the kernel."""
    with suppress(AttributeError):
        _C.malloc_trim(0)
