"""File systems for bricks, each on a loop device of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_FREEZE, _THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of linux/fs.h
_MAKE = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"]}


@contextlib.contextmanager
def small_disk(directory: Path, kind: str = "ext4", megabytes: int = 64) -> Iterator[Path]:
    """A file system in a loop device, mounted."""
    image, target = directory / f"{kind}{megabytes}.disk", directory / f"{kind}{megabytes}"
    with image.open("xb") as file:
        file.truncate(megabytes << 20)
    target.mkdir()
    subprocess.run([*_MAKE[kind], image], check=True)
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@contextlib.contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Whoever writes to the disk waits.

    This does without fsfreeze(8): a child of a process with files open on a volume that waits for
    the disk may hang before it becomes that program.
    """
    directory = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, _FREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(directory, _THAW, 0)
    finally:
        os.close(directory)
