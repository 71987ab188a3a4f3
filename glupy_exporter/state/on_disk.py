"""Reads a brick's disk: directories with a quota, and entries that blame other replicas.

All of it is read through ``.glusterfs`` of the brick, from extended attributes that only root sees.
A function here runs in a child of its own (apart.py), as the disk may hang.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from glupy_exporter.segment.text import escape

MAX_LISTED = 1000
"""The most entries of the index that are looked at."""
MAX_BLAMING = 64
"""The most entries of a brick whose blame is told."""
SETTLED = 600.0
"""Seconds for which an entry has to be as it is, so that a heal that goes on is left alone."""

_QUOTA = "trusted.glusterfs.quota."
_AFR = "trusted.afr."
KINDS = ("data", "metadata", "entry")
"""The kinds of changes that AFR counts, in this order (afr_transaction_type)."""

_ROOT = str(uuid.UUID(int=1))
_GFID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The handle of a directory is a link to its name in its parent's handle.
_PARENT = re.compile(rb"\.\./\.\./[0-9a-f]{2}/[0-9a-f]{2}/(%s)/([^/]+)" % _GFID.pattern)
_DEPTH = 128  # of directories, beyond which a quota's path is not looked up


class Quota(NamedTuple):
    """A directory with a quota as one brick has it; -1 for a limit that is not set."""

    gfid: str
    path: str
    limit: int
    soft_percent: int
    """-1: the volume's default."""
    object_limit: int
    used: int
    """Bytes, on a dispersed volume those of a fragment."""
    files: int
    directories: int


def _handle(brick: bytes, gfid: str) -> bytes:
    return b"%b/.glusterfs/%b/%b/%b" % (brick, *(p.encode() for p in (gfid[:2], gfid[2:4], gfid)))


def _link(path: bytes) -> bytes:
    return os.readlink(path)  # noqa: PTH115 (bytes)


def _path(brick: bytes, gfid: str) -> bytes:
    """The path of a directory on the volume.

    Raises:
        OSError: it is not on this brick.
        ValueError: its handle is something else.
    """
    names: list[bytes] = []
    while gfid != _ROOT:
        found = _PARENT.fullmatch(_link(_handle(brick, gfid)))
        if not found or len(names) == _DEPTH or found[2] in (b".", b".."):
            raise ValueError(f"{gfid} is no directory's handle")
        gfid = found[1].decode()
        names.append(found[2])
    return b"/" + b"/".join(reversed(names))


def check(brick: bytes) -> None:
    """Check that this process sees attributes of ``trusted.``, which the kernel hides from others.

    Raises:
        PermissionError: it does not.
        OSError: the brick cannot be read.
    """
    try:
        os.getxattr(brick, "trusted.glusterfs.volume-id")  # glusterd gives it to each brick
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        raise PermissionError("attributes of trusted. are hidden without CAP_SYS_ADMIN") from None


def quotas(brick: bytes, gfids: Sequence[str], version: int) -> list[Quota]:
    """The directories with quotas that the brick has, those of ``gfids``.

    ``version`` is that of the volume's quota, which names its attributes.
    """
    found = []
    for gfid in gfids:
        try:
            path = _path(brick, gfid)
            found.append(_quota(brick, gfid, path, f".{version}" if version else ""))
        except (OSError, ValueError, struct.error):
            continue  # deleted, renamed just now, or not healed to this brick yet
    return found


def _quota(brick: bytes, gfid: str, path: bytes, suffix: str) -> Quota:
    directory = brick + path

    def numbers(name: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        try:
            value = os.getxattr(directory, f"{_QUOTA}{name}{suffix}", follow_symlinks=False)
        except OSError:
            return otherwise
        return struct.unpack(f">{len(value) // 8}q", value)

    limit, soft = numbers("limit-set", (-1, -1))[:2]
    objects = numbers("limit-objects", (-1,))[0]
    used, files, directories = (*numbers("size", ()), 0, 0, 0)[:3]
    used, files, directories = (max(0, number) for number in (used, files, directories))
    return Quota(gfid, escape(path), limit, soft, objects, used, files, directories)


def blames(brick: bytes, ids: Mapping[str, int], place: int) -> list[tuple[str, str, int]]:
    """Entries that the brick blames other replicas for: gfid, kind, and the replica's place.

    Args:
        brick: its path.
        ids: the places of the set's bricks by their ids.
        place: that of this brick.

    An entry of which this brick blames itself says nothing of the others, as in
    afr_selfheal_find_direction.
    """
    found: list[tuple[str, str, int]] = []
    blaming = 0
    for gfid in sorted(_pending(brick)):
        handle = _handle(brick, gfid)
        try:
            status = os.lstat(handle)
            if time.time() - status.st_ctime < SETTLED:
                continue
            directory = stat.S_ISLNK(status.st_mode) and _PARENT.fullmatch(_link(handle))
            pending = dict(_blamed(handle, ids, follow=bool(directory)))
        except (OSError, struct.error):
            continue  # healed just now
        entries = [
            (gfid, kind, other)
            for number, kind in enumerate(KINDS)
            for other, counts in pending.items()
            if other != place and counts[number] and not pending.get(place, (0, 0, 0))[number]
        ]
        blaming += bool(entries)
        found += entries
        if blaming == MAX_BLAMING:
            break
    return found


def _pending(brick: bytes) -> Iterator[str]:
    """Gfids in the index of entries to heal."""
    with os.scandir(brick + b"/.glusterfs/indices/xattrop") as entries:
        for number, entry in enumerate(entries):
            if number == MAX_LISTED:
                break
            if _GFID.fullmatch(entry.name):
                yield entry.name.decode()


def _blamed(
    handle: bytes, ids: Mapping[str, int], *, follow: bool
) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """The places that the entry's attributes blame, with the counts by kind."""
    for name in os.listxattr(handle, follow_symlinks=follow):
        other = ids.get(name[len(_AFR) :]) if name.startswith(_AFR) else None
        if other is not None:
            value = os.getxattr(handle, name, follow_symlinks=follow)
            data, metadata, entry = struct.unpack(">3i", value[:12])
            yield other, (data, metadata, entry)
