"""Gives the records of a brick's flight recorder the names of their files, clients and fops.

A segment has a gfid, the tag of a client and the index of a fop. This module turns them into a
path, an address and a name, by the rules of :mod:`privacy`: no record of a file that may not be
shown gets out.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from glupy_exporter.node import errnos, names
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.schema import layout
from glupy_exporter.segment.recorder import Fop, HeldLock, InFlight
from glupy_exporter.segment.records import Activity, Client, File
from glupy_exporter.segment.table import file_tag
from glupy_exporter.segment.text import escape

LOCK_KINDS = {
    "inodelk": "inodelk",
    "finodelk": "inodelk",
    "entrylk": "entrylk",
    "fentrylk": "entrylk",
    "lk": "lk",
}
"""The fops that may wait for another client, with the kind of lock that they ask for.

A request for a lease is never among them, as features/leases grants or refuses it at once.
"""

_CHANGES = frozenset(
    (
        *("write", "truncate", "ftruncate", "fallocate", "discard", "zerofill", "flush", "fsync"),
        *("setattr", "fsetattr", "link", "rename", "unlink", "open"),
    )
)
"""The fops that wait for others' read leases, see GET_FLAGS of features/leases. An open for reading
does not wait, but the entry of an open does not have its flags."""

_LEASED = _CHANGES | {"read"}
"""The fops that wait for others' write leases."""

EAGER_LOCK = (
    "If the holder's log has `Assertion failed` of __afr_eager_lock_handle, it has lost the lock: "
    "GlusterFS issue 4425, fixed in the clients of GlusterFS 11.2. Free the lock with "
    "`gluster volume clear-locks VOLUME PATH kind granted inode`, then update that client or set "
    "cluster.eager-lock off. The runbook is docs/runbooks/GlupyLocksStuck.md."
)
"""The advice for a lock that its holder has forgotten."""

_NO_GFID = bytes(16)
_NAMED_SECONDS = 5.0  # for which a file's name is not looked up again: it may be renamed
_NAMELESS_SECONDS = 0.2  # the same for a file without a name: the brick may learn it soon
_REST = 20  # times as long as it took to read a table it is not read again
_REMEMBERED = 1 << 13  # files of a brick, each of 0.5 to 3 KB
_COMPARED = 1 << 16  # pairs of a fop and a lock in one look, some 0.1 s
_IDLE_SECONDS = (
    1.0  # a fop that comes back this soon after a grant may be the one that asked for it
)


class Field(NamedTuple):
    """A field of a record, for everything that shows one."""

    name: str
    type: str
    """A type of JSON Schema."""
    help: str


class Recorded(NamedTuple):
    """A fop that came back; the fields are described by :data:`RECORDED`."""

    time: float
    volume: str
    brick: str
    fop: str
    seconds: float
    error: str
    gfid: str
    path: str
    client: str
    process: str
    uid: str
    gid: str
    pid: int
    offset: int
    size: int
    cause: str


_WHAT = (
    Field("gfid", "string", "GlusterFS's id of the file; empty if the fop names none."),
    Field("path", "string", "As in the label path of /metrics."),
    Field("client", "string", "Address of the client's host; a service of GlusterFS in brackets."),
    Field("process", "string", "Process of the client, as in the table of clients."),
    Field("uid", "string", "Id of the user that the client acts for."),
    Field("gid", "string", "Id of that user's group."),
    Field("pid", "integer", "Process id on the client's host; negative for GlusterFS's services."),
    Field("offset", "integer", "Where in the file the fop reads, writes or locks, in bytes."),
    Field(
        "size",
        "integer",
        "Bytes of data that the fop moves; for a lock, its length, 0 to the end of the file.",
    ),
)
RECORDED = (
    Field("time", "number", "When the fop came back, in seconds since the epoch."),
    Field("volume", "string", "Volume."),
    Field("brick", "string", "Path of the brick."),
    Field("fop", "string", "Name of the fop."),
    Field("seconds", "number", "Time that the fop took below the translator, in seconds."),
    Field("error", "string", "Name or number of its errno; empty if it succeeded."),
    *_WHAT,
    Field(
        "cause",
        "string",
        "Why the brick kept it: slow, sampled, traced, or several of these with a comma between.",
    ),
)
"""The fields of :class:`Recorded`, in its order."""


class Waiting(NamedTuple):
    """A fop that has not come back; the fields are described by :data:`WAITING`."""

    started: float
    volume: str
    brick: str
    fop: str
    seconds: float
    gfid: str
    path: str
    client: str
    process: str
    uid: str
    gid: str
    pid: int
    offset: int
    size: int
    domain: str
    lock: str
    holder: str
    holder_process: str
    held_since: float | None
    holder_connected: bool | None
    holder_idle: bool | None


WAITING = (
    Field("started", "number", "When the fop came to the brick, in seconds since the epoch."),
    Field("volume", "string", "Volume."),
    Field("brick", "string", "Path of the brick."),
    Field("fop", "string", "Name of the fop."),
    Field("seconds", "number", "Age: the time since then, in seconds."),
    *_WHAT,
    Field("domain", "string", "Domain of the lock that it asks for; empty if it has none."),
    Field("lock", "string", "The kind of that lock: read, write or unlock; empty if none."),
    Field("holder", "string", "Address of the client that holds a lock or a lease in its way."),
    Field("holder_process", "string", "Process of that client."),
    Field("held_since", "number", "When that was granted, in seconds since the epoch."),
    Field("holder_connected", "boolean", "Whether that client is connected to the brick."),
    Field(
        "holder_idle",
        "boolean",
        "Whether that client has done no fop since on any file, nor has one in flight but requests "
        "for locks; null if the brick has no count.",
    ),
)
"""The fields of :class:`Waiting`, in its order."""

NULLABLE = frozenset(("held_since", "holder_connected", "holder_idle"))
"""The fields that are None if no holder is known."""


class Held:
    """The granted locks of a brick. It compares them with so many fops as takes little time: a
    file may have thousands of locks and of waiters.
    """

    def __init__(self, locks: Iterable[HeldLock], under_way: Iterable[InFlight]) -> None:
        self.busy = {fop.client for fop in under_way if not fop.kind}
        """Tags of the clients that have a fop in flight beside requests for locks."""
        self._left = _COMPARED
        self._by_file: dict[bytes, list[HeldLock]] = {}
        for lock in locks:
            self._by_file.setdefault(lock.gfid, []).append(lock)

    def in_the_way(self, fop: InFlight, name: str) -> HeldLock | None:
        """The oldest lock for which a fop has to wait; None if none is found."""
        for lock in islice(self._by_file.get(fop.gfid, ()), self._left):
            self._left -= 1
            if _blocks(lock, fop, name):
                return lock
        return None


class Names:
    """Finds the files and clients of a brick's records, and remembers them for a while.

    A segment has one of these, which one thread uses. :meth:`look_at` gives it another open copy of
    the same segment, as a scrape opens all segments anew.

    Args:
        brick: the brick of the records.
        privacy: what may be shown of files and users.
        remembered: the most files that are remembered.

    Raises:
        SegmentError: from everything that looks names up, when the segment cannot be read.
    """

    def __init__(self, brick: OpenBrick, privacy: Privacy, remembered: int = _REMEMBERED) -> None:
        self.privacy = privacy
        self._remembered = remembered
        self._files: dict[bytes, tuple[float, File]] = {}
        self._clients: dict[int, Client] = {}
        self._clients_due = 0.0  # when the table may be read again
        self.look_at(brick)

    def look_at(self, brick: OpenBrick) -> None:
        """Use this copy of the segment from now on."""
        self._brick = brick
        # The writer lives, so its monotonic clock is that of this process.
        self._epoch = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def when(self, monotonic: int) -> float:
        """The writer's monotonic time, given in nanoseconds, in seconds since the epoch."""
        return (self._epoch + monotonic) / 1e9

    def file(self, gfid: bytes) -> File:
        """The file; its path is empty while no brick here knows it."""
        now = time.monotonic()
        due, file = self._files.get(gfid) or (0.0, _nameless(gfid))
        if now < due:
            return file
        if len(self._files) >= self._remembered:
            for oldest in list(islice(self._files, (self._remembered + 1) // 2)):
                del self._files[oldest]
        found = names.by_tag(self._brick, file_tag(gfid), file.gfid)
        if found is not None:
            file = found  # one that has lost its slot keeps the name that it had
        self._files[gfid] = now + (_NAMED_SECONDS if file.path else _NAMELESS_SECONDS), file
        return file

    def client(self, tag: int) -> Client | None:
        """The client; None if it is not known, or not any more."""
        began = time.monotonic()
        if tag not in self._clients and began >= self._clients_due:
            table = self._brick.segment.client_table()
            self._clients = {row[1]: client for row, client in table.records()}
            now = time.monotonic()
            self._clients_due = now + max(_NAMELESS_SECONDS, _REST * (now - began))
        return self._clients.get(tag)

    def recorded(self, fop: Fop) -> Recorded | None:
        """The record with names; None if its file may not be shown."""
        name = self._brick.segment.fop_names()[fop.fop]
        file = self.file_of(fop)
        if not self.privacy.shown(file):
            return None
        volume, brick = self._brick.key
        causes = (cause for bit, cause in enumerate(layout.CAUSES) if fop.cause >> bit & 1)
        return Recorded(
            self.when(fop.ended),
            volume,
            brick,
            name,
            fop.ns / 1e9,
            errnos.NAMES.get(fop.errno, str(fop.errno)) if fop.errno else "",
            *self._what(file, fop, name, fop.size),
            ",".join(causes),
        )

    def waiting(self, fop: InFlight, held: Held) -> Waiting | None:
        """The fop in flight, with names and with the holder of the lock for which it waits; None
        if the fop's file may not be shown.
        """
        name = self._brick.segment.fop_names()[fop.fop]
        file = self.file_of(fop)
        if not self.privacy.shown(file):
            return None
        lock = held.in_the_way(fop, name)
        age = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - fop.started
        volume, brick = self._brick.key
        holder = (
            self._holder(lock, lock.client in held.busy) if lock else ("", "", None, None, None)
        )
        asked = escape(fop.domain), layout.LOCK_TYPES[fop.type]
        size = fop.length if fop.kind else fop.size
        what = (*self._what(file, fop, name, size), *asked, *holder)
        return Waiting(self.when(fop.started), volume, brick, name, max(0, age) / 1e9, *what)

    def _holder(self, lock: HeldLock, busy: bool) -> tuple[str, str, float, bool, bool | None]:
        client = self.client(lock.client) if lock.client else None
        granted = self.when(lock.granted)
        if client is None:
            # The brick drops the locks of a client that leaves. But it has no counts of this one,
            # which is a service of GlusterFS or has lost its slot, and may be busy.
            return (*self._who(lock.client, lock.pid), granted, True, None)
        # Both by the segment's own idea of the wall clock, as records of clients have times.
        since = self._brick.segment.realtime(lock.granted) + _IDLE_SECONDS
        # What it did may hang below, as on a disk that does not answer.
        idle = client.activity.last_seen <= since and not busy
        connected = bool(client.activity.connections)
        return (*self._who(lock.client, lock.pid), granted, connected, idle)

    def file_of(self, fop: Fop | InFlight) -> File:
        """The file of a fop, by its gfid, or else by the entry that the fop names."""
        file = self.file(fop.gfid) if any(fop.gfid) else _NO_FILE
        if file.path or not fop.name or not any(fop.parent):
            return file
        parent = self.file(fop.parent)
        if not parent.path:
            return file
        return file._replace(
            path=f"{parent.path.rstrip('/')}/{escape(fop.name)}",
            truncated=parent.truncated or fop.cut,
        )

    def _what(
        self, file: File, fop: Fop | InFlight, name: str, size: int
    ) -> tuple[str, str, str, str, str, str, int, int, int]:
        # A lock on a directory's entries has no place in a file, but the hash of a name.
        place = (0, 0) if LOCK_KINDS.get(name) == "entrylk" else (fop.offset, size)
        return (
            file.gfid,
            self.privacy.path(file) if file.gfid or file.path else "",
            *self._who(fop.client, fop.pid),
            self.privacy.user(fop.uid),
            self.privacy.user(fop.gid),
            fop.pid,
            *place,
        )

    def _who(self, tag: int, pid: int) -> tuple[str, str]:
        client = self.client(tag) if tag else None
        if client:
            return client.address, client.process
        if pid < 0:
            return f"[{layout.ORIGINS[-pid if -pid < len(layout.ORIGINS) else 0]}]", ""
        return "", ""


_NO_FILE = File("", "", False, False, "", Activity((), (), ()))


def _nameless(gfid: bytes) -> File:
    return _NO_FILE._replace(gfid=str(uuid.UUID(bytes=gfid)))


def _blocks(held: HeldLock, fop: InFlight, name: str) -> bool:
    """Whether a fop has to wait for a lock or a lease.

    features/locks decides this for fops that ask for a lock, features/leases for many others. Both
    locks may have a domain of which the brick kept only the beginning.
    """
    kind = LOCK_KINDS.get(name)
    if held.gfid != fop.gfid:
        return False
    if layout.LOCK_KINDS[held.kind] == "lease":
        stopped = _LEASED if layout.LOCK_TYPES[held.type] == "write" else _CHANGES
        return name in stopped and fop.pid >= 0 and held.client != fop.client
    if layout.LOCK_KINDS[held.kind] != kind:
        return False
    size = min(len(held.domain), len(fop.domain), layout.FLIGHT_TEXT)
    if held.domain[:size] != fop.domain[:size] or bool(held.domain) != bool(fop.domain):
        return False
    asked = layout.LOCK_TYPES[fop.type]
    if asked not in ("read", "write") or "write" not in (layout.LOCK_TYPES[held.type], asked):
        return False  # an unlock or a test waits for nobody, even if it is slow
    if held.client == fop.client and held.owner == fop.owner:
        return False
    if kind == "entrylk":  # the hash of a name each, 0 for all names of the directory
        return not held.start or not fop.offset or held.start == fop.offset
    return _before_end(held.start, fop.offset, fop.length) and _before_end(
        fop.offset, held.start, held.length
    )


def _before_end(place: int, start: int, length: int) -> bool:
    return not length or place < start + length


def slow(brick: OpenBrick, privacy: Privacy) -> Iterator[Recorded]:
    """The slow fops that the brick still remembers, the latest first.

    Raises:
        SegmentError: the segment cannot be read.
    """
    look_up = Names(brick, privacy)
    yield from filter(None, map(look_up.recorded, brick.segment.latest()))


def in_flight(
    brick: OpenBrick, privacy: Privacy, look_up: Names | None = None
) -> Iterator[Waiting]:
    """The fops that are in flight in the brick, the oldest first.

    Raises:
        SegmentError: the segment cannot be read.
    """
    look_up = look_up or Names(brick, privacy)
    under_way = brick.segment.in_flight()
    held = Held(brick.segment.held_locks() if under_way else (), under_way)
    for fop in under_way:
        row = look_up.waiting(fop, held)
        if row is not None:
            yield row


def sentence(row: Waiting, clock: Callable[[float], str]) -> str:
    """A sentence, without a full stop, that names the lock for which the fop waits and its holder.

    ``clock`` writes a time in seconds since the epoch.
    """
    who = _client(row.client, row.process)
    what = row.path or row.gfid or "no file"
    if row.lock in ("", "unlock"):
        wait = f"{who} waits {row.seconds:.0f} s for {row.fop} of {what}"
    else:
        wait = f"{who} waits {row.seconds:.0f} s for a {row.lock} lock of {what}"
        wait += f" in domain {row.domain}" if row.domain else ""
    if row.held_since is None:
        return wait
    holder = _client(row.holder, row.holder_process)
    wait += f"{' that' if row.lock else ', on which'} {holder} has held"
    wait += f"{'' if row.lock else ' a lease'} since {clock(row.held_since)}"
    wait += ", without a fop since then" if row.holder_idle else ""
    return wait + ("" if row.holder_connected else " (not connected)")


def forgotten(row: Waiting) -> bool:
    """Whether the holder of the lock has probably lost it: it is idle or not connected.

    Not so for a lease: GlusterFS asks its holder to give it back, and takes it back after a while.
    """
    idle = row.holder_idle or not row.holder_connected
    return bool(row.lock) and row.held_since is not None and bool(idle)


def _client(address: str, process: str) -> str:
    return f"client {address or 'unknown'}" + (f" {process}" if process else "")
