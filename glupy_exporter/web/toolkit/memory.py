"""What the C library keeps of the memory that it was given back."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h
_C = ctypes.CDLL(None)


def share() -> None:
    """Have all threads take memory from one heap, before there are any: else each keeps its own."""
    with suppress(AttributeError):  # another library than glibc
        _C.mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give the kernel back what is free."""
    with suppress(AttributeError):
        _C.malloc_trim(0)
