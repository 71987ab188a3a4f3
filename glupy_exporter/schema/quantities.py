"""Every number that a translator counts, with what is said of it wherever it is shown.

A new number of a brick is one :class:`Quantity` at the end of one of the tuples below, and one
``glupy_add`` or ``glupy_store`` to the field of its name in C.
"""

from __future__ import annotations

from dataclasses import dataclass

READ, WRITE, METADATA = 0, 1, 2
KINDS = ("read", "write", "metadata")
"""Index into every ``[KINDS]`` array: fops that return file data, fops that store it, the rest."""

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
    """Name in /metrics, of a row after ``glupy_ROW_``; empty if it is not exported."""
    help: str = ""
    """One sentence, in which ``{of_row}`` and the like are those of a :class:`Subject`."""
    parts: tuple[str, ...] = ()
    label: str = ""
    """The label that tells the parts."""
    whole: bool = False
    """The sum of the parts is shown as well, where a row is one line."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels, with their values, by which quantities of one metric differ."""
    unknown: int | None = None
    """The value that stands for "not known"."""

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
)
"""Of the whole brick."""

ACTIVITY = (
    Quantity(
        "fops",
        COUNTER,
        "fops_total",
        "Fops {of_row} that came back through the translator, failed ones included.",
        KINDS,
        "kind",
        whole=True,
    ),
    Quantity(
        "nanoseconds",
        DURATION,
        "fop_seconds_total",
        "Time that fops {of_row} spent below the translator in the brick.",
        KINDS,
        "kind",
        whole=True,
    ),
    Quantity(
        "bytes",
        COUNTER,
        "io_bytes_total",
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
        "fop_errors_total",
        "Fops {of_row} that came back with an error, ENOENT of a lookup included.",
    ),
    Quantity(
        "first_seen",
        TIME,
        "first_seen_timestamp_seconds",
        "When {row} got its slot, which is when its counters began at 0.",
    ),
    # Stored after all else: readers tell by it what has changed.
    Quantity(
        "last_seen",
        TIME,
        "last_seen_timestamp_seconds",
        "When the last fop {of_row} came back.",
    ),
    Quantity(
        "error_bound",
        GAUGE,
        help="Fops that {row} did at most before it got its slot, and that its fops lack.",
    ),
    Quantity("top_client"),  # of a file: tag of the client that does most on it, 0 for none
    Quantity("top_client_lead"),  # by how many fops, about
    Quantity("connections", GAUGE, "connections", "Connections that {row} has open to the brick."),
)
"""Of a row in a table of the busiest, since it has its slot."""

HEALTH = (
    Quantity(
        "tracked", GAUGE, "glupy_{rows}_tracked", "{Rows} that have a slot in the brick's table."
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
        "Fops {of_rows} that found no slot in the brick's table; glupy_{name}_ metrics miss them.",
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
"""Any of them."""
