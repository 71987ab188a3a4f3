"""What a segment says, as Python has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Brick:
    """Who wrote a segment. Times are seconds since the epoch."""

    volume: str
    path: str
    host: str
    pid: int
    glusterfs_version: str
    xlator_version: str
    subvolume: int | None
    created: float
    alive: bool
    """The writing process still holds the segment open."""
    numbers: Mapping[str, float]
    """Of :data:`NUMBERS` those that are known, by name; times as all others here."""

    @property
    def heartbeat(self) -> float:
        """For a dead brick, when it ended, about."""
        return self.numbers.get("heartbeat", self.created)


@dataclass(frozen=True)
class Fop:
    """One fop of a brick, summed over its lanes."""

    name: str
    started: int
    errors: int
    nanoseconds: int
    buckets: tuple[int, ...]
    """Fops by latency, not cumulative; see :data:`layout.LATENCY_BUCKETS`."""

    @property
    def completed(self) -> int:
        """Calls that came back."""
        return sum(self.buckets)

    @property
    def in_flight(self) -> int:
        """Calls that have not come back yet."""
        return max(0, self.started - self.completed)


@dataclass(frozen=True)
class Io:
    """Reads or writes of a brick, summed over its lanes."""

    bytes: int
    buckets: tuple[int, ...]
    """I/Os by size, not cumulative; see :data:`layout.SIZE_BUCKETS`."""


class Counts(NamedTuple):
    """What somebody did. Tuples follow :data:`layout.KINDS` and ``DIRECTIONS``."""

    fops: tuple[int, ...]
    nanoseconds: tuple[int, ...]
    bytes: tuple[int, ...]


class Activity(NamedTuple):
    """The numbers of :data:`COUNTERS`, by name, of one file or client since it has its slot.

    Times are seconds since the epoch.
    """

    fops: tuple[int, ...]
    nanoseconds: tuple[int, ...]
    bytes: tuple[int, ...]
    errors: int = 0
    first_seen: float = 0.0
    last_seen: float = 0.0
    error_bound: int = 0
    """Fops that may have been done at most before there was a slot; ``fops`` lacks them."""
    top_client: int = 0
    """Tag of the client that does most on a file, an estimate; 0 while there is none."""
    top_client_lead: int = 0
    """By how many fops that client leads, about."""
    connections: int = 0


class FileIdentity(NamedTuple):
    """Which file a slot stands for: what a file's slot keeps until its seq changes."""

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
    """Which client a slot stands for."""

    address: str
    process: str


class Client(NamedTuple):
    """One tracked client: a host, or one process on it."""

    address: str
    process: str
    """Its process id there, empty for all of the host's."""
    activity: Activity

    @property
    def name(self) -> str:
        """Both in one, for people."""
        return f"{self.address} {self.process}" if self.process else self.address
