"""The bricks of this node, each with its segment open; a bad segment costs only its own brick."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from glupy_exporter import values
from glupy_exporter.node import labels
from glupy_exporter.node.nodestate import NodeState
from glupy_exporter.schema import layout
from glupy_exporter.segment import check, reader
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.reader import Segment
from glupy_exporter.segment.records import Brick, Fop
from glupy_exporter.segment.table import ClientTable
from glupy_exporter.values import Setting, Settings

SETTINGS: Settings = {
    "segment.dir": Setting(
        values.absolute, layout.DIRECTORY, "directory of the bricks' segments", "DIR"
    ),
    "segment.expiry": Setting(
        values.duration, "24h", "how long a dead brick is served as down", "DURATION"
    ),
}

REASONS = (*check.REASONS, "duplicate", "no_directory", "descriptors", "internal")
"""Every value of the label ``reason`` of glupy_segment_errors_total."""

_DESCRIPTORS = 640  # kept for connections and everything else that is not a segment


Identity = tuple[str, str, int, int]
"""What :attr:`OpenBrick.identity` gives."""


@dataclass(frozen=True)
class OpenBrick:
    """A brick of this node, and its segment, which is open for one scrape."""

    segment: Segment
    about: Brick
    """The brick as its segment describes it."""
    siblings: list[OpenBrick] = field(default_factory=list, compare=False, repr=False)
    """The other bricks of its volume that run on this node."""

    @cached_property
    def key(self) -> tuple[str, str]:
        """The values of the labels ``volume`` and ``brick``; no two bricks of a scrape share it."""
        return (self.about.volume, labels.fitting(self.about.path))

    @cached_property
    def identity(self) -> Identity:
        """Tells the segment from earlier and later ones of its brick. A step of the wall clock
        changes ``about.created``, and not this.
        """
        return (*self.key, self.about.pid, self.segment.header.created_monotonic)

    @cached_property
    def fops(self) -> list[Fop]:
        """Its fops, read once a scrape.

        Raises:
            SegmentError: the segment cannot be read.
        """
        return self.segment.fops()

    @cached_property
    def clients(self) -> ClientTable:
        """Its table of clients, copied once a scrape.

        Raises:
            SegmentError: the segment cannot be read.
        """
        return self.segment.client_table()


@dataclass(frozen=True)
class Problem:
    """A segment, or the directory of segments, that cannot be used."""

    path: Path
    reason: str
    """One of :data:`REASONS`."""
    message: str
    error: Exception | None = None
    """Set if the fault is the exporter's own (reason ``internal``)."""


@contextmanager
def open_bricks(
    directory: Path, expiry: float, state: NodeState | None = None
) -> Iterator[tuple[list[OpenBrick], list[Problem]]]:
    """The bricks whose segments are in ``directory``, sorted by volume and path, and the problems.

    Bricks dead for more than ``expiry`` seconds are left out, and so are dead ones whose segments
    are obsolete by ``state``. If two segments claim the same brick, the live one is taken, or else
    the newest, and the other is a problem. A missing directory holds no bricks; it is a problem
    only if ``state`` names volumes whose bricks should have segments. Never raises because of a
    segment.
    """
    bricks: dict[tuple[str, str], OpenBrick] = {}
    problems: list[Problem] = []
    with ExitStack() as stack:
        for brick in _open_all(directory, stack, problems, state.counted if state else ()):
            about = brick.about
            if not about.alive and (
                time.time() - about.heartbeat > expiry
                or (state and state.obsolete(about.volume, about.path, about.heartbeat))
            ):
                continue
            rivals = [brick, *filter(None, [bricks.get(brick.key)])]
            rivals.sort(key=lambda rival: (rival.about.alive, rival.about.created))
            bricks[brick.key] = rivals.pop()
            for loser in rivals:
                winner = bricks[brick.key].segment.path.name
                message = f"{winner} is of the same brick: remove the one that is not in use"
                problems.append(Problem(loser.segment.path, "duplicate", message))
        for brick in bricks.values():
            brick.siblings.extend(
                other
                for other in bricks.values()
                if other is not brick
                and other.about.alive
                and other.about.volume == brick.about.volume
            )
        try:
            yield [bricks[key] for key in sorted(bricks)], problems
        finally:
            for brick in bricks.values():
                brick.siblings.clear()  # breaks the cycle of references: see GARBAGE_THRESHOLD


def _open_all(
    directory: Path, stack: ExitStack, problems: list[Problem], volumes: Sequence[str]
) -> Iterator[OpenBrick]:
    """The bricks with a good segment; bricks of ``volumes`` should have segments here."""
    try:
        paths = reader.scan(directory)
    except OSError as error:
        message = error.strerror or str(error)
        if isinstance(error, FileNotFoundError):
            if not volumes:
                return
            message += f", though bricks of {', '.join(volumes)} should count here"
        problems.append(Problem(directory, "no_directory", message))
        return
    most = _segments_max()
    if len(paths) > most:
        message = (
            f"there are {len(paths)} segments, and the limit of open files lets {most} be read: "
            "raise LimitNOFILE of the unit, or `ulimit -n`"
        )
        problems.append(Problem(directory, "descriptors", message))
    for path in paths[:most]:
        try:
            segment, brick = reader.open_segment(path)
            stack.enter_context(segment)
            yield OpenBrick(segment, brick)
        except FileNotFoundError:
            continue  # its brick stopped after the directory was listed
        except SegmentError as error:
            problems.append(Problem(path, error.reason, str(error)))


def _segments_max() -> int:
    """How many segments a scrape may open, if a page opens as many at the same time."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(0, soft - _DESCRIPTORS) // 2
