"""The file names of segments."""

from __future__ import annotations

import os

SUFFIX = ".seg"

_NAME_MAX = 255
_OFFSET, _PRIME = 0xCBF29CE484222325, 0x100000001B3


def _hash(text: bytes) -> int:
    """FNV-1a (Fowler, Noll, Vo) with 64 bits, as segment_file.c has it."""
    value = _OFFSET
    for byte in text:
        value = (value ^ byte) * _PRIME % (1 << 64)
    return value


def names(volume: str, brick: str) -> tuple[str, ...]:
    """The file names that the segment of a brick may have, the usual one first.

    The usual name is ``VOLUME.PATH.seg``, where ``-`` stands for each ``/`` of the brick's path. A
    brick gets the second name, which contains a hash of the path, if the usual one is too long or
    another brick of the volume has it: ``/a-b/c`` and ``/a/b-c`` would have the same.
    """
    path = os.fsencode(brick)
    stem = (os.fsencode(volume) + b"." + path.lstrip(b"/")).replace(b"/", b"-")
    suffix = SUFFIX.encode()
    hashed = f".{_hash(path):016x}".encode() + suffix
    found = [stem + suffix] if len(stem + suffix) <= _NAME_MAX else []
    found.append(stem[: _NAME_MAX - len(hashed)] + hashed)
    return tuple(map(os.fsdecode, found))
