"""Where glusterd keeps its files, and how they are read; glusterd itself is not asked."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from glupy_exporter.segment.text import escape

VOLFILE = Path("/etc/glusterfs/glusterd.vol")
WORKING_DIRECTORY = Path("/var/lib/glusterd")
"""The default, unless the volfile names another directory."""
RUN_DIRECTORY = Path("/var/run/gluster")
"""The default, unless the volfile names another directory."""

MAX_SIZE = 2**20
"""The most bytes of one of glusterd's files; the info of a volume of 20,000 bricks fits."""
TEMPORARY = ".tmp"
"""The end of the names of files that glusterd has not finished writing."""

# Quoted or not, as GlusterFS's parser takes it; core/identity.c and the peer script do the same.
_OPTION = rb'^\s*option\s+%s\s+"?([^"\s]+)'


def _directory(option: bytes, default: Path) -> Path:
    try:
        found = re.findall(_OPTION % option, VOLFILE.read_bytes(), re.MULTILINE)
    except OSError:
        return default
    return Path(os.fsdecode(found[-1])) if found else default


def working_directory() -> Path:
    """The directory that holds ``glusterd.info``, ``peers``, ``vols`` and ``snaps``."""
    return _directory(b"working-directory", WORKING_DIRECTORY)


def run_directory() -> Path:
    """The directory that holds the pid files of bricks and daemons."""
    return _directory(b"run-directory", RUN_DIRECTORY)


def content(path: Path, most: int = MAX_SIZE) -> bytes:
    """The bytes of a regular file that is no link.

    Raises:
        OSError: it cannot be read, is something else, or has more than ``most`` bytes.
    """
    with open(path, "rb", opener=_opened) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"more than {most} bytes", str(path))
    return found


def _opened(path: str, flags: int) -> int:
    # O_NONBLOCK: a FIFO must not hold up the caller.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def record(path: Path) -> dict[str, str]:
    """The KEY=VALUE lines of one of glusterd's files, escaped as labels are.

    Raises:
        OSError: the file cannot be read.
    """
    lines = map(escape, content(path).split(b"\n"))
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}
