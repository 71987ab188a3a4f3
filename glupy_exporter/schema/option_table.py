"""The volume options of the translator: the table from which C, Python and documents are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from glupy_exporter.schema import layout

PREFIX = "user.xlator.glupy"
"""The option that puts the translator into a volume; all other names begin with it and a dot."""

_PATH_MAX = 4096 // 4  # bytes of a directory's path, so that paths below it fit into PATH_MAX

_SLOW_MAX = 24 * 3_600_000  # a day; the most that a threshold may be

_SWITCH = ("on", "off", "yes", "no", "true", "false", "enable", "disable", "1", "0")
"""The words that GlusterFS takes for a truth value, in upper or lower case."""


@dataclass(frozen=True)
class Option:
    """One option. GlusterFS takes it as a text: a value that it refused would keep bricks down."""

    key: str
    kind: str
    """``switch``, ``choice``, ``number``, ``slots`` (a number that is rounded up to a power of two)
    or ``directory``."""
    default: str
    help: str
    least: int = 0
    most: int = 0
    """``least`` and ``most`` are the bounds of a number or of slots."""
    choices: tuple[str, ...] = ()
    """The values of a choice."""
    anew: bool = False
    """Whether a change starts all counters anew."""

    @property
    def name(self) -> str:
        """The name that ``gluster volume set`` takes."""
        return f"{PREFIX}.{self.key}"

    @property
    def expected(self) -> str:
        """The condition on a value, in words."""
        return {
            "switch": "on or off",
            "choice": " or ".join(self.choices),
            "directory": "the absolute path of a directory",
        }.get(self.kind, f"a whole number from {self.least} to {self.most}")

    @property
    def description(self) -> str:
        """The help, and what a change of the option does."""
        change = "A change starts all counters anew." if self.anew else "A change needs no restart."
        return f"{self.help} {change}"

    def takes(self, value: str) -> bool:
        """Whether the translator takes the value."""
        if self.kind == "switch":
            return value.lower() in _SWITCH
        if self.kind == "choice":
            return value in self.choices
        if self.kind == "directory":
            path = value.rstrip("/")
            return path.startswith("/") and len(path.encode()) <= _PATH_MAX
        return bool(re.fullmatch("0*[0-9]{1,9}", value)) and self.least <= int(value) <= self.most


OPTIONS = (
    Option("enabled", "switch", "on", "Whether fops are counted."),
    Option(
        "file-slots",
        "slots",
        str(layout.FILE_SLOTS_DEFAULT),
        "The most files that a brick tracks, rounded up to a power of two.",
        layout.FILE_SLOTS_MIN,
        layout.FILE_SLOTS_MAX,
        anew=True,
    ),
    Option(
        "client-slots",
        "slots",
        str(layout.CLIENT_SLOTS_DEFAULT),
        "The most clients that a brick tracks, rounded up to a power of two.",
        layout.CLIENT_SLOTS_MIN,
        layout.CLIENT_SLOTS_MAX,
        anew=True,
    ),
    Option(
        "client-detail",
        "choice",
        "host",
        "What counts as one client. host: all mounts and programs of a host together. process: "
        "each mount or program by itself, with its process id.",
        choices=("host", "process"),
        anew=True,
    ),
    Option(
        "half-life",
        "number",
        str(layout.HALF_LIFE_DEFAULT),
        "Seconds after which a fop weighs half when the brick decides which files and clients keep "
        "their slots.",
        layout.HALF_LIFE_MIN,
        layout.HALF_LIFE_MAX,
    ),
    Option(
        "recorder",
        "switch",
        "on",
        "Whether the brick lists fops in flight and granted locks, and records slow, sampled and "
        "traced fops.",
    ),
    *(
        Option(
            f"slow-{each}",
            "number",
            default,
            f"Milliseconds from which {which} counts as slow and is recorded; 0: never.",
            0,
            _SLOW_MAX,
        )
        for each, which, default in (
            ("read", "a read", "1000"),
            ("write", "a write, a sync or a change of a file's size", "1000"),
            ("metadata", "a fop of no other class", "1000"),
            ("lock", "a request for a lock or a lease", "10000"),
        )
    ),
    Option(
        "sample",
        "number",
        "1024",
        "One fop in this many is recorded, at random; 0: none.",
        0,
        999_999_999,
    ),
    Option(
        "slow-records",
        "slots",
        str(layout.SLOW_RECORDS_DEFAULT),
        "How many of the last slow fops a brick keeps, rounded up to a power of two; each takes "
        "128 bytes.",
        layout.RECORDS_MIN,
        layout.RECORDS_MAX,
        anew=True,
    ),
    Option(
        "trace-records",
        "slots",
        str(layout.TRACE_RECORDS_DEFAULT),
        "How many of the last sampled and traced fops a brick keeps, rounded up to a power of two; "
        "each takes 128 bytes.",
        layout.RECORDS_MIN,
        layout.RECORDS_MAX,
        anew=True,
    ),
    Option(
        "in-flight-slots",
        "slots",
        str(layout.FLIGHTS_DEFAULT),
        "The most fops that a brick lists while they are in flight, rounded up to a power of two.",
        layout.FLIGHTS_MIN,
        layout.FLIGHTS_MAX,
        anew=True,
    ),
    Option(
        "lock-slots",
        "slots",
        str(layout.HELD_LOCKS_DEFAULT),
        "The most granted locks that a brick lists, rounded up to a power of two.",
        layout.HELD_LOCKS_MIN,
        layout.HELD_LOCKS_MAX,
        anew=True,
    ),
    Option(
        "segment-dir",
        "directory",
        layout.DIRECTORY,
        "Directory of the segments. It should be on a tmpfs, and only root should own it and write "
        "to it.",
        anew=True,
    ),
)


def ignored(given: Mapping[str, str]) -> str:
    """Why the translator ignores one of the volume options ``given``; empty if it ignores none.

    glusterd accepts any option that begins with ``user.``.
    """
    known = {option.name: option for option in OPTIONS}
    for name, value in sorted(given.items()):
        option = known.get(name)
        if option and not option.takes(value):
            return f"{name} {value!r} is not {option.expected}, so it has no effect"
        if not option and name.startswith(f"{PREFIX}."):
            return f"{name} is not an option of this release, so it has no effect"
    return ""
