"""GlusterFS's mounts of this machine, also those whose file system is dead."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_FORCE, _MNT_DETACH = 1, 2

WITHOUT_CLIENTS = """
mount --make-rprivate /
while read -r _ _ _ _ target _ words; do
    case $words in
        *fuse.glusterfs*) umount --lazy --no-canonicalize "$(printf %b "$target")" ;;
    esac
done < /proc/self/mountinfo
"""
"""What a shell does first in a new namespace of mounts. The namespace has copies of all mounts, and
a client of GlusterFS does not end at the unmount while others have a copy."""


def mounts(prefix: str) -> list[str]:
    """The mount points of GlusterFS whose path begins so, in whatever state their volumes are."""
    found = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [
        words[4] for words in found if "fuse.glusterfs" in words and words[4].startswith(prefix)
    ]


def abandon(mount_point: str) -> None:
    """Unmount by force: all calls that wait for this file system fail.

    Not by umount(8), since a child of a process with files there may hang before it becomes that
    program, when it closes those files.

    Raises:
        OSError: nothing is mounted there any more, for example.
    """
    if _LIBC.umount2(os.fsencode(mount_point), _MNT_FORCE | _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), mount_point)
