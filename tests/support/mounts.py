"""GlusterFS's mounts on this machine, also those whose file system is dead."""

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
"""A script for a shell to begin with in a new mount namespace. That has copies of all mounts, and a
client of GlusterFS does not end when it is unmounted while there is a copy."""


def mounts(prefix: str) -> list[str]:
    """GlusterFS's mount points whose paths begin with ``prefix``, also those that do not answer."""
    found = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [
        words[4] for words in found if "fuse.glusterfs" in words and words[4].startswith(prefix)
    ]


def abandon(mount_point: str) -> None:
    """Unmount by force: all calls that wait for this file system fail.

    This does without umount(8): a child of a process with open files there may hang when it closes
    them, before it becomes that program.

    Raises:
        OSError: it cannot be unmounted; nothing is mounted there any more, for example.
    """
    if _LIBC.umount2(os.fsencode(mount_point), _MNT_FORCE | _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), mount_point)
