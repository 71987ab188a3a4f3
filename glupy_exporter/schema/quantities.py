"""Every number that a translator counts, with what is said of it wherever it is shown.

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

DIRECTIONS = ("read", "write")

COUNTER, GAUGE, DURATION, TIME = "counter", "gauge", "duration", "time"
"""Kinds of number: one that only grows; one that does not; a counter of nanoseconds; nanoseconds on
the monotonic clock. The last two are shown in seconds, a time in seconds since the epoch."""


@dataclass(frozen=True)
class Quantity:
    """A number, or one for each of ``parts``."""

    name: str
    """Of the field in C and in Python."""
    kind: str = COUNTER
    metric: str = ""
    """Name in /metrics; empty if it is not exported."""
    help: str = ""
    """Sentences. A :class:`Subject` fills in ``{of_row}`` and the like, here and in the metric."""
    parts: tuple[str, ...] = ()
    label: str = ""
    """The label that tells the parts."""
    whole: bool = False
    """The sum of the parts is shown as well, where a row is one line."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels, with their values, by which quantities of one metric differ."""
    unknown: int | None = None
    """The value that stands for "not known"."""
    of: tuple[str, ...] = ()
    """Names of the subjects that have it, if not all do."""
    exported_of: tuple[str, ...] = ()
    """Names of those of which it is in /metrics, if it is not of all that have it."""

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
        "Bricks that the volume has on all nodes, by the record of the brick's glusterd; missing "
        "where that is unreadable. More than there are glupy_brick_info means bricks without "
        "translator.",
        unknown=0,
    ),
    Quantity(
        "heartbeat",
        TIME,
        "glupy_segment_heartbeat_timestamp_seconds",
        "When the translator's maintenance thread last made its round in the brick.",
    ),
    Quantity(
        "enabled",
        GAUGE,
        "glupy_brick_counting_enabled",
        "1 while the translator counts, 0 while the volume option user.xlator.glupy.enabled is "
        "off.",
    ),
    Quantity("half_life", GAUGE),  # seconds, of the scores that decide who stays in the tables
    *(
        Quantity(
            f"inodes_{state}",
            GAUGE,
            "glupy_brick_inodes",
            "Inodes that the brick has in memory: active ones are in use by clients or fops, those "
            "of the lru list are kept for when they are next asked for, up to "
            "glupy_brick_inodes_lru_limit.",
            labels=(("state", state),),
        )
        for state in ("active", "lru")
    ),
    Quantity(
        "inodes_lru_limit",
        GAUGE,
        "glupy_brick_inodes_lru_limit",
        "Inodes that the brick keeps in its lru list at most, 0 if there is no limit: the volume "
        "option network.inode-lru-limit.",
    ),
)
"""Of the whole brick."""

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
        "Time that fops {of_row} spent below the translator in the brick.",
        KINDS,
        "kind",
        whole=True,
    ),
    Quantity(
        "bytes",
        COUNTER,
        "glupy_{name}_io_bytes_total",
        "Bytes that reads {of_row} returned and writes stored, at the translator.",
        DIRECTIONS,
        "direction",
    ),
)
"""Of whoever does something, GlusterFS's own clients included."""

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
        "glupy_{name}_first_seen_timestamp_seconds",
        "When {row} got its slot, which is when its counters began at 0.",
        exported_of=("client",),
    ),
    # Stored after all else: readers tell by it what has changed.
    Quantity(
        "last_seen",
        TIME,
        "glupy_{name}_last_seen_timestamp_seconds",
        "When the last fop {of_row} came back.",
        exported_of=("client",),
    ),
    Quantity(
        "error_bound",
        GAUGE,
        help="Fops that {row} did at most before it got its slot, and that its fops lack.",
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
"""Of a row in a table of the busiest, since it has its slot."""

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
        "Fops {of_rows} that found no slot in the brick's {name} table; glupy_{name}_ metrics miss "
        "them.",
    ),
)
"""Of a table of the busiest: how full it is and what it had to leave out."""


@dataclass(frozen=True)
class Subject:
    """Whose numbers a table has: the words for it."""

    name: str
    """What metrics have after ``glupy_``."""
    row: str
    """One of them, with an article."""
    rows: str
    of: str = "of"
    """What joins fops and whose they are."""

    def has(self, quantity: Quantity) -> bool:
        """Whether it is one of this subject's."""
        return not quantity.of or self.name in quantity.of

    def exports(self, quantity: Quantity) -> bool:
        """Whether it is in /metrics for this subject."""
        exported = not quantity.exported_of or self.name in quantity.exported_of
        return bool(quantity.metric) and self.has(quantity) and exported

    def say(self, sentence: str) -> str:
        """A sentence, or the name of a metric, of :class:`Quantity` for this subject."""
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
"""Any of the two before."""
BRICK = Subject("brick", "the brick", "bricks")


@dataclass(frozen=True)
class Column:
    """One number of a row where rows are lines: of a quantity with parts, a part or the whole."""

    name: str
    help: str
    quantity: Quantity
    part: int | None = None

    def count(self, activity: Any) -> int | float:
        """The number in what has the quantities by name; durations in nanoseconds."""
        value = getattr(activity, self.quantity.name)
        if not self.quantity.parts:
            return cast(float, value)
        return cast(float, sum(value) if self.part is None else value[self.part])

    def value(self, activity: Any) -> int | float:
        """The same as it is shown."""
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
"""Of files and clients alike, but for those that only one of them has."""
