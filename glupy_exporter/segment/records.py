"""The records that a segment is read into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Brick:
    """The brick that writes a segment. Times are seconds since the epoch."""

    volume: str
    path: str
    host: str
    pid: int
    glusterfs_version: str
    xlator_version: str
    subvolume: int | None
    """Index of its replica or disperse set; None if unknown."""
    created: float
    """When the segment was made."""
    alive: bool
    """The brick's process still holds the segment open."""
    numbers: Mapping[str, float]
    """The known ones of :data:`NUMBERS`, by name; times in seconds since the epoch,
    durations in nanoseconds."""
    facts: Mapping[str, float]
    """The known ones of :data:`FACTS`, in the same form."""

    @property
    def heartbeat(self) -> float:
        """When the brick's maintenance thread last ran: for a dead brick, about when it ended."""
        return self.numbers.get("heartbeat", self.created)


class Fop(NamedTuple):
    """One fop of a brick, summed over its lanes."""

    name: str
    started: int
    errors: int
    nanoseconds: int
    """Sum of the latencies."""
    buckets: tuple[int, ...]
    """Calls by latency, not cumulative; see :data:`layout.LATENCY_BUCKETS`."""
    recorded: tuple[int, ...] = ()
    """Calls that the flight recorder kept, by :data:`layout.CAUSES`; empty if it has none."""

    @property
    def completed(self) -> int:
        """Calls that came back."""
        return sum(self.buckets)

    @property
    def in_flight(self) -> int:
        """Calls that have not come back yet."""
        return max(0, self.started - self.completed)


class Io(NamedTuple):
    """Reads or writes of a brick, summed over its lanes."""

    bytes: int
    buckets: tuple[int, ...]
    """I/Os by size, not cumulative; see :data:`layout.SIZE_BUCKETS`."""


class Counts(NamedTuple):
    """Work on a brick: fops and nanoseconds by :data:`layout.KINDS`, bytes by ``DIRECTIONS``."""

    fops: tuple[int, ...]
    nanoseconds: tuple[int, ...]
    bytes: tuple[int, ...]


class Activity(NamedTuple):
    """The numbers of :data:`COUNTERS` of one file or client since it got its slot.

    Tuples are as in :class:`Counts`. Times are seconds since the epoch.
    """

    fops: tuple[int, ...]
    nanoseconds: tuple[int, ...]
    bytes: tuple[int, ...]
    errors: int = 0
    first_seen: float = 0.0
    last_seen: float = 0.0
    error_bound: int = 0
    """The most fops that may have come before it got its slot; ``fops`` lacks them."""
    top_client: int = 0
    """Tag of the client that does most on a file, an estimate; 0 while there is none."""
    top_client_lead: int = 0
    """About how many fops that client leads by."""
    connections: int = 0
    """Open connections of a client; 0 for a file."""


class FileIdentity(NamedTuple):
    """The name in a file's slot, which stays the same until the slot's seq changes."""

    gfid: str
    path: str
    truncated: bool
    unlinked: bool
    type: str


class File(NamedTuple):
    """One tracked file. ``path`` is empty while the brick has not learned it."""

    gfid: str
    path: str
    truncated: bool
    unlinked: bool
    """``path`` is the last name that the file had."""
    type: str
    """One of :data:`layout.FILE_TYPES`, empty while the brick has not learned it."""
    activity: Activity


class ClientIdentity(NamedTuple):
    """The name in a client's slot; the fields are as in :class:`Client`."""

    address: str
    process: str


class Client(NamedTuple):
    """One tracked client: a host, or one process on it."""

    address: str
    process: str
    """Its process id on that host; empty if the row is the whole host's."""
    activity: Activity

    @property
    def name(self) -> str:
        """Address and process in one text, for people."""
        return f"{self.address} {self.process}" if self.process else self.address
