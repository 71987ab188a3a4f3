"""The names of files as the file systems of the bricks have them."""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from glupy_exporter.segment.layout import PATH_SIZE
from glupy_exporter.segment.reader import escape, unescape

ROOT = "00000000-0000-0000-0000-000000000001"
"""The gfid of a volume's root directory."""

_GFID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_BASENAME = rb"(?!\.{1,2}\Z)[^/\0]+"
_PARENT_LINK = re.compile(rb"\.\./\.\./[0-9a-f]{2}/[0-9a-f]{2}/(%b)/(%b)" % (_GFID, _BASENAME))
_PARENT_XATTR = re.compile(rb"(%b)/(%b)" % (_GFID, _BASENAME))
_XATTR_PREFIX = "trusted.gfid2path."
_XATTR_OF_ALL = "trusted.gfid"
_DEPTH_MAX = 1000
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}

LOG = logging.getLogger(__name__)


class Name(NamedTuple):
    """Where a file is in its volume; ``path`` is cut and escaped as one from a segment is."""

    path: str
    type: str
    truncated: bool = False


def find(brick: Path, gfid: str) -> Name | None:
    """The name of a file in the ``.glusterfs`` directory of a brick, None if it has none there.

    A directory has a symbolic link to its place in its parent there. Anything else has a hard link
    whose xattrs ``trusted.gfid2path.*`` hold the gfid of the parent and the name, one for each of
    its names (GlusterFS: xlators/storage/posix/src/posix-gfid-path.c).

    Raises:
        PermissionError: that needs CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN.
        OSError: the disk cannot be read.
    """
    entry = _entry(brick, gfid)
    try:
        status = os.lstat(entry)
        mode = status.st_mode
        # As GlusterFS tells them: a symbolic link of a user's has a second name in the volume.
        if stat.S_ISLNK(mode) and status.st_nlink == 1:
            mode = stat.S_IFDIR
            place = _place_by_link(entry)
        else:
            place = _place_by_xattr(entry)
        names: list[bytes] = []
        while place and len(names) < _DEPTH_MAX:
            parent, name = place
            names.append(name)
            if parent == ROOT:
                return _name(names, _TYPES.get(stat.S_IFMT(mode), ""))
            place = _place_by_link(_entry(brick, parent))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):  # it is gone; it is no link
            raise
    return None


def _name(names: list[bytes], kind: str) -> Name:
    path = b"/" + b"/".join(reversed(names))
    end = min(len(path), PATH_SIZE)
    while end < len(path) and path[end] & 0xC0 == 0x80:  # within a character
        end -= 1
    return Name(escape(path[:end]), kind, end < len(path))


def _entry(brick: Path, gfid: str) -> Path:
    return brick / ".glusterfs" / gfid[:2] / gfid[2:4] / gfid


def _place_by_xattr(entry: Path) -> tuple[str, bytes] | None:
    keys = os.listxattr(entry, follow_symlinks=False)
    if _XATTR_OF_ALL not in keys:  # the kernel hides what may not be seen
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(entry))
    for key in sorted(keys):
        if key.startswith(_XATTR_PREFIX):
            match = _PARENT_XATTR.fullmatch(os.getxattr(entry, key, follow_symlinks=False))
            if match:
                return match[1].decode("ascii"), match[2]
    return None


def _place_by_link(entry: Path) -> tuple[str, bytes] | None:
    match = _PARENT_LINK.fullmatch(os.fsencode(entry.readlink()))
    return (match[1].decode("ascii"), match[2]) if match else None


class _Known(NamedTuple):
    name: Name | None
    until: float


class Resolver:
    """Asks the file systems of the bricks for names, in a thread of its own.

    A disk that hangs must not hold up a scrape: :meth:`name` only says what is known by now, and
    what it is asked for is looked up until the next time. At most ``size`` answers are kept, each
    for ``lifetime`` seconds, after which it is looked up again, as a file may have been renamed.
    """

    def __init__(self, lifetime: float = 30.0, size: int = 10_000) -> None:
        self._lifetime = lifetime
        self._size = size
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._asked: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._work: queue.Queue[tuple[tuple[str, str], tuple[Path, ...]]] = queue.Queue(1000)
        self._thread: threading.Thread | None = None
        self._refused = False

    def name(self, volume: str, gfid: str, bricks: Iterable[str]) -> Name | None:
        """The name of a file, None while it is not known; ``bricks`` are escaped paths of those of
        the volume on this node."""
        key = (volume, gfid)
        with self._lock:
            known = self._known.get(key)
            stale = known is None or known.until <= time.monotonic()
            if stale and key not in self._asked and not self._work.full():
                paths = tuple(Path(os.fsdecode(unescape(brick))) for brick in bricks)
                self._work.put_nowait((key, paths))
                self._asked.add(key)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="names", daemon=True)
                    self._thread.start()
        return known.name if known else None

    def wait(self) -> None:
        """Wait until all that was asked for has been looked up."""
        self._work.join()

    def _run(self) -> None:
        while True:
            key, bricks = self._work.get()
            name = self._find(bricks, key[1])
            with self._lock:
                self._known[key] = _Known(name, time.monotonic() + self._lifetime)
                self._known.move_to_end(key)
                if len(self._known) > self._size:
                    self._known.popitem(last=False)
                self._asked.discard(key)
            self._work.task_done()

    def _find(self, bricks: Iterable[Path], gfid: str) -> Name | None:
        for brick in bricks:
            try:
                name = find(brick, gfid)
            except PermissionError as error:
                if not self._refused:
                    LOG.warning(
                        "files.resolve is on, but needs CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN",
                        extra={"fields": {"path": error.filename}},
                    )
                self._refused = True
            except OSError:
                pass  # the other bricks may have it
            else:
                if name:
                    return name
        return None
