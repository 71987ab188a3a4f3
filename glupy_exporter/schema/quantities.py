"""Every number that a translator counts, with the text that describes it wherever it is shown.

A new number of a brick is one :class:`Quantity` at the end of one of the tuples below, and one
``glupy_add`` or ``glupy_store`` to the field of its name in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

READ, WRITE, METADATA = 0, 1, 2
KINDS = ("read", "write", "metadata")
"""Index into every ``[KINDS]`` array: fops that return file data, fops that store it, the rest."""

FOPS_OF_KIND = {"read": ("read",), "write": ("write", "put", "copy_file_range")}
"""Fops of each kind; all others are metadata. The recording rules of Prometheus say the same."""

FOPS_OF_CLASS = {
    "read": ("read",),
    "write": (
        *("write", "put", "copy_file_range", "truncate", "ftruncate", "fallocate", "discard"),
        *("zerofill", "flush", "fsync", "fsyncdir"),
    ),
    "lock": ("lk", "inodelk", "finodelk", "entrylk", "fentrylk", "lease"),
}
"""Fops of each class that has a threshold of its own; all others are of the class metadata."""

DIRECTIONS = ("read", "write")

UNKNOWN = 2**64 - 1
"""The value of each of :data:`FACTS` that is not known."""

COUNTER, GAUGE, DURATION, TIME = "counter", "gauge", "duration", "time"
"""Kinds of number. A counter only grows and a gauge may fall. A duration is a counter of
nanoseconds, shown in seconds. A time is in nanoseconds on the monotonic clock, shown in seconds
since the epoch."""


@dataclass(frozen=True)
class Quantity:
    """A number, or one for each of ``parts``."""

    name: str
    """The field's name in C and in Python."""
    kind: str = COUNTER
    metric: str = ""
    """Name in /metrics; empty if it is not exported."""
    help: str = ""
    """One sentence, and the unit unless it counts. A :class:`Subject` fills in ``{of_row}`` and
    other places, here and in ``metric``."""
    parts: tuple[str, ...] = ()
    label: str = ""
    """The label whose values are ``parts``."""
    whole: bool = False
    """Whether a table that shows a row as one line has a column for the sum of the parts, too."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels and their values, by which quantities that share a metric differ."""
    unknown: int | None = None
    """The value that means "not known"."""
    of: tuple[str, ...] = ()
    """Names of the subjects that have it; empty: all have it."""
    exported_of: tuple[str, ...] = ()
    """Names of the subjects for which /metrics shows it; empty: all that have it."""

    @property
    def size(self) -> int:
        """64-bit words."""
        return len(self.parts) or 1

    @property
    def seconds(self) -> bool:
        """Whether it is shown in seconds."""
        return self.kind in (DURATION, TIME)


NUMBERS = (
    Quantity(
        "volume_bricks",
        GAUGE,
        "glupy_volume_bricks",
        "Bricks of the volume on all nodes, as glusterd of this brick's node has them on record; "
        "missing while the record is unreadable.",
        unknown=0,
    ),
    Quantity(
        "heartbeat",
        TIME,
        "glupy_segment_heartbeat_timestamp_seconds",
        "When the translator's maintenance thread last made its round in the brick, in seconds "
        "since the epoch.",
    ),
    Quantity(
        "enabled",
        GAUGE,
        "glupy_brick_counting_enabled",
        "1 while the translator counts, 0 while the volume option user.xlator.glupy.enabled is "
        "off.",
    ),
    Quantity("half_life", GAUGE),  # seconds, of the scores by which rows keep their slots
    *(
        Quantity(
            f"inodes_{state}",
            GAUGE,
            "glupy_brick_inodes",
            "Inodes that the brick has in memory: clients or fops use the active ones, and the lru "
            "list keeps unused ones for later.",
            labels=(("state", state),),
        )
        for state in ("active", "lru")
    ),
    Quantity(
        "inodes_lru_limit",
        GAUGE,
        "glupy_brick_inodes_lru_limit",
        "The most inodes that the brick keeps in its lru list, 0 if there is no limit (volume "
        "option network.inode-lru-limit).",
    ),
    Quantity(
        "unlisted_fops",
        COUNTER,
        "glupy_brick_unlisted_fops_total",
        "Fops that the brick did not list while they were in flight, as too many others were.",
    ),
    Quantity(
        "unlisted_locks",
        COUNTER,
        "glupy_brick_unlisted_locks_total",
        "Granted locks that the brick did not list, as its table of them was full.",
    ),
)
"""Numbers of the whole brick."""


def _fact(name: str, kind: str, metric: str, text: str, *label: tuple[str, str]) -> Quantity:
    """One of :data:`FACTS`."""
    return Quantity(name, kind, f"glupy_brick_{metric}", text, labels=label, unknown=UNKNOWN)


FILESYSTEM = (
    _fact(
        "filesystem_size",
        GAUGE,
        "filesystem_size_bytes",
        "Size of the file system that the brick is on, in bytes.",
    ),
    _fact(
        "filesystem_free",
        GAUGE,
        "filesystem_free_bytes",
        "Free space of the brick's file system, with what is reserved for root, in bytes.",
    ),
    _fact(
        "filesystem_avail",
        GAUGE,
        "filesystem_avail_bytes",
        "Space of the brick's file system that is left for everybody, in bytes.",
    ),
    _fact(
        "filesystem_files",
        GAUGE,
        "filesystem_files",
        "Inodes that the brick's file system has room for; missing if it has no such limit.",
    ),
    _fact(
        "filesystem_files_free",
        GAUGE,
        "filesystem_files_free",
        "Inodes that are left in the brick's file system; missing if it has no such limit.",
    ),
)
"""Facts about a brick's file system. Bricks may share one."""

PROCESS = (
    _fact(
        "process_cpu",
        DURATION,
        "process_cpu_seconds_total",
        "Processor time that the brick's process has used, in seconds.",
    ),
    _fact(
        "process_resident",
        GAUGE,
        "process_resident_memory_bytes",
        "Resident memory of the brick's process, in bytes.",
    ),
    _fact(
        "process_descriptors",
        GAUGE,
        "process_open_fds",
        "Descriptors that the brick's process has open; before Linux 6.2 up to a minute old.",
    ),
)
"""Facts about a brick's process. Multiplexed bricks share one."""

QUEUES = ("high", "normal", "low", "least")
"""Priorities of the queues of performance/io-threads, the most urgent first."""

CONDITION = (
    _fact(
        "time",
        TIME,
        "facts_timestamp_seconds",
        "When the translator's maintenance thread last learned what this collector shows, in "
        "seconds since the epoch.",
    ),
    *(
        _fact(
            f"heal_{index.replace('-', '_')}",
            GAUGE,
            "heal_pending_entries",
            "Entries of the brick's index, that is files or names that may need healing, by the "
            "link counts of the index's base files.",
            ("index", index),
        )
        for index in ("xattrop", "dirty", "entry-changes")
    ),
    *(
        _fact(
            f"queue_{priority}",
            GAUGE,
            "io_threads_queue",
            "Fops that wait for one of the brick's I/O threads; missing without "
            "performance/io-threads below the translator.",
            ("priority", priority),
        )
        for priority in QUEUES
    ),
    _fact(
        "health_check",
        TIME,
        "health_check_timestamp_seconds",
        "When storage/posix last wrote to the brick's disk to check its health, in seconds since "
        "the epoch; missing if it has not since the last boot.",
    ),
    _fact(
        "health_check_interval",
        GAUGE,
        "health_check_interval_seconds",
        "Time between two checks, 0 if there are none (volume option "
        "storage.health-check-interval), in seconds.",
    ),
    _fact(
        "quarantined",
        GAUGE,
        "quarantined_objects",
        "Objects of the brick that bit-rot detection found damaged and has put out of use; missing "
        "where detection was never on.",
    ),
    _fact(
        "arbiter",
        GAUGE,
        "arbiter",
        "1 if the brick is the arbiter of its set, which has names but no file data.",
    ),
)
"""Facts about the brick itself."""

FACTS = (
    *FILESYSTEM,
    *PROCESS,
    *CONDITION,
    Quantity("filesystem_id", unknown=UNKNOWN),  # tells the file systems of a node apart
    Quantity("filesystem_device", unknown=UNKNOWN),  # its st_dev
)
"""The facts that the maintenance thread learns. It writes all of them at once."""

ACTIVITY = (
    Quantity(
        "fops",
        COUNTER,
        "glupy_{name}_fops_total",
        "Fops {of_row} that came back through the translator, failed ones included.",
        KINDS,
        "kind",
        whole=True,
    ),
    Quantity(
        "nanoseconds",
        DURATION,
        "glupy_{name}_fop_seconds_total",
        "Time that fops {of_row} spent below the translator in the brick, in seconds.",
        KINDS,
        "kind",
        whole=True,
    ),
    Quantity(
        "bytes",
        COUNTER,
        "glupy_{name}_io_bytes_total",
        "Bytes of file data that reads {of_row} returned and writes stored.",
        DIRECTIONS,
        "direction",
    ),
)
"""Numbers of files, of clients, and of GlusterFS's own clients."""

COUNTERS = (
    *ACTIVITY,
    Quantity(
        "errors",
        COUNTER,
        "glupy_{name}_fop_errors_total",
        "Fops {of_row} that came back with an error, ENOENT of a lookup included.",
        exported_of=("client",),
    ),
    Quantity(
        "first_seen",
        TIME,
        help="When {row} got its slot and its counters began at 0, in seconds since the epoch.",
    ),
    # The translator stores it after all else: readers see by it whether the row has changed.
    Quantity(
        "last_seen",
        TIME,
        help="When the last fop {of_row} came back, in seconds since the epoch.",
    ),
    Quantity(
        "error_bound",
        GAUGE,
        help="The most fops {of_row} that may have come before it got its slot, uncounted.",
    ),
    Quantity("top_client", of=("file",)),  # tag of the client that does most on it, 0 for none
    Quantity("top_client_lead", of=("file",)),  # by how many fops, about
    Quantity(
        "connections",
        GAUGE,
        "glupy_{name}_connections",
        "Connections that {row} has open to the brick.",
        of=("client",),
    ),
)
"""Numbers of a row in a table of the busiest, since the row got its slot."""

HEALTH = (
    Quantity(
        "tracked",
        GAUGE,
        "glupy_{rows}_tracked",
        "{Rows} that have a slot in the brick's {name} table.",
    ),
    Quantity(
        "evicted",
        COUNTER,
        "glupy_{rows}_evicted_total",
        "{Rows} that lost their slot to a busier one.",
    ),
    Quantity(
        "untracked_fops",
        COUNTER,
        "glupy_{name}_untracked_fops_total",
        "Fops {of_rows} that found no slot in the brick's {name} table, so that other "
        "glupy_{name}_ metrics lack them.",
    ),
)
"""Numbers of a table of the busiest: how full it is, and what it could not count."""


@dataclass(frozen=True)
class Subject:
    """The words for what a table has numbers of."""

    name: str
    """The part of its metrics' names that follows ``glupy_``."""
    row: str
    """In the singular, with an article."""
    rows: str
    """In the plural."""
    of: str = "of"
    """The preposition after "fops"."""

    def has(self, quantity: Quantity) -> bool:
        """Whether this subject has the quantity."""
        return not quantity.of or self.name in quantity.of

    def exports(self, quantity: Quantity) -> bool:
        """Whether /metrics shows the quantity for this subject."""
        exported = not quantity.exported_of or self.name in quantity.exported_of
        return bool(quantity.metric) and self.has(quantity) and exported

    def say(self, sentence: str) -> str:
        """The help or the metric's name of a :class:`Quantity`, its places filled in."""
        return sentence.format(
            name=self.name,
            row=self.row,
            rows=self.rows,
            Rows=self.rows.capitalize(),
            of_row=f"{self.of} {self.row}",
            of_rows=f"{self.of} {self.rows}",
        )


FILE = Subject("file", "a file", "files", "on")
CLIENT = Subject("client", "a client", "clients")
INTERNAL = Subject("internal", "GlusterFS's own clients", "GlusterFS's own clients")
ROW = Subject("row", "the row", "rows")
"""A file or a client."""
BRICK = Subject("brick", "the brick", "bricks")


@dataclass(frozen=True)
class Column:
    """One number of a row that is shown as a line: a quantity, a part of it, or its parts' sum."""

    name: str
    help: str
    quantity: Quantity
    part: int | None = None
    """Index of the part; None for the whole quantity."""

    def count(self, activity: Any) -> int | float:
        """The number in ``activity``, which has the quantities by name; durations in ns."""
        value = getattr(activity, self.quantity.name)
        if not self.quantity.parts:
            return cast(float, value)
        return cast(float, sum(value) if self.part is None else value[self.part])

    def value(self, activity: Any) -> int | float:
        """The number as it is shown: a duration in seconds."""
        count = self.count(activity)
        return count / 1e9 if self.quantity.kind == DURATION else count


def _columns() -> Iterator[Column]:
    for each in COUNTERS:
        if not each.help:
            continue
        name = "seconds" if each.kind == DURATION else each.name
        text = ROW.say(each.help)
        if each.whole or not each.parts:
            yield Column(name, text, each)
        for index, part in enumerate(each.parts):
            yield Column(f"{part}_{name}", f"{text} Only the {each.label} {part}.", each, index)


COLUMNS = tuple(_columns())
"""The columns of files and of clients; :meth:`Subject.has` tells which of the two has a column."""
