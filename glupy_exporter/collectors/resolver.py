"""The names of files as the file systems of the bricks have them."""

from __future__ import annotations

import errno
import os
import queue
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from glupy_exporter.segment.reader import escape, unescape

ROOT = "00000000-0000-0000-0000-000000000001"
"""The gfid of a volume's root directory."""

_GFID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PARENT_LINK = re.compile(rb"\.\./\.\./[0-9a-f]{2}/[0-9a-f]{2}/(%b)/([^/\0]+)" % _GFID, re.DOTALL)
_PARENT_XATTR = re.compile(rb"(%b)/([^/\0]+)" % _GFID, re.DOTALL)
_XATTR_PREFIX = "trusted.gfid2path."
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


class Name(NamedTuple):
    """Where a file is in its volume; ``path`` is escaped as the reader escapes paths."""

    path: str
    type: str


def find(brick: Path, gfid: str) -> Name | None:
    """The name of a file in the ``.glusterfs`` directory of a brick, None if it has none there.

    A directory has a symbolic link to its place in its parent there. Anything else has a hard link
    whose xattrs ``trusted.gfid2path.*`` hold the gfid of the parent and the name, one for each of
    its names (GlusterFS: xlators/storage/posix/src/posix-gfid-path.c).

    Raises:
        OSError: it may not be looked at: that needs CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN.
    """
    entry = _entry(brick, gfid)
    try:
        mode = os.lstat(entry).st_mode
        place = _place_by_xattr(entry)
        if place is None:
            if not stat.S_ISLNK(mode):
                return None
            place = _place_by_link(entry)
            mode = stat.S_IFDIR
        names: list[bytes] = []
        while place and len(names) < _DEPTH_MAX:
            parent, name = place
            names.append(name)
            if parent == ROOT:
                path = escape(b"/" + b"/".join(reversed(names)))
                return Name(path, _TYPES.get(stat.S_IFMT(mode), ""))
            place = _place_by_link(_entry(brick, parent))
    except FileNotFoundError:
        pass
    return None


def _entry(brick: Path, gfid: str) -> Path:
    return brick / ".glusterfs" / gfid[:2] / gfid[2:4] / gfid


def _place_by_xattr(entry: Path) -> tuple[str, bytes] | None:
    for key in sorted(os.listxattr(entry, follow_symlinks=False)):
        if key.startswith(_XATTR_PREFIX):
            value = os.getxattr(entry, key, follow_symlinks=False)
            match = _PARENT_XATTR.fullmatch(value)
            if match:
                return match[1].decode("ascii"), match[2]
    return None


def _place_by_link(entry: Path) -> tuple[str, bytes] | None:
    try:
        match = _PARENT_LINK.fullmatch(os.fsencode(entry.readlink()))
    except OSError as error:
        if error.errno != errno.EINVAL:  # not a link: no directory
            raise
        return None
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

    @property
    def kept(self) -> int:
        """Answers that are kept."""
        return len(self._known)

    @property
    def pending(self) -> int:
        """Questions that are not answered yet."""
        return len(self._asked)

    def wait(self) -> None:
        """Wait until all that was asked for has been looked up."""
        self._work.join()

    def _run(self) -> None:
        while True:
            key, bricks = self._work.get()
            name = None
            for brick in bricks:
                with suppress(OSError):  # no privilege, a brick that is gone: the gfid is shown
                    name = find(brick, key[1])
                if name:
                    break
            with self._lock:
                self._known[key] = _Known(name, time.monotonic() + self._lifetime)
                self._known.move_to_end(key)
                if len(self._known) > self._size:
                    self._known.popitem(last=False)
                self._asked.discard(key)
            self._work.task_done()
