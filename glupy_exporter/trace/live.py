"""Has the bricks of a volume record fops, and follows their rings.

The brick applies the filters that cost it little (:class:`control.Filters`), and marks in each
record the tracers whose filters it passed. This process filters by the names of files and clients.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from glupy_exporter.errors import UserError
from glupy_exporter.node.bricks import OpenBrick, open_bricks
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Names, Recorded
from glupy_exporter.segment import control, recorder
from glupy_exporter.segment.check import SegmentError

POLL_SECONDS = 0.05
"""Seconds between two looks at a ring. A ring of 8192 records then holds 160,000 fops a second."""

_LOOK_SECONDS = 0.3  # between two looks for new bricks, and for slots that files got meanwhile
_NAME_SECONDS = 1.2  # for which a record waits for its file's name: bricks learn names each second
_WAITING_MAX = 50_000  # records that may wait


def running(bricks: Iterable[OpenBrick]) -> list[OpenBrick]:
    """Those bricks that run."""
    return [brick for brick in bricks if brick.about.alive]


def none_runs(bricks: Iterable[OpenBrick], volume: str | None) -> UserError:
    """What to say if no brick of the volume, or none at all, is among those that run."""
    of = f" of volume {volume!r}" if volume else ""
    others = ", ".join(sorted({brick.about.volume for brick in running(bricks)}))
    return UserError(
        f"no brick{of} runs on this node with the translator"
        + (f"; volumes with one: {others}" if others else "")
    )


@dataclass(frozen=True)
class Lost:
    """Records of a brick that were overwritten before they were read."""

    volume: str
    brick: str
    count: int


@dataclass(frozen=True)
class Wanted:
    """The filters of a trace."""

    fops: frozenset[str] = frozenset()
    """By name; empty for all."""
    client: re.Pattern[str] | None = None
    """A pattern for the client's address; None: all clients."""
    address: str = ""
    """The client's address, if the pattern matches only one."""
    uid: int | None = None
    path: re.Pattern[str] | None = None
    """A pattern for the path as it is shown; None: all files."""
    errno: int | None = None
    """-1 for every error."""
    slower: int = 0
    """Nanoseconds that a fop has to take at least."""
    sample: int = 1
    """One of so many fops, at random."""

    def named(self, row: Recorded) -> bool:
        """Whether a record is wanted, by the names of its file and client."""
        return (self.path is None or bool(self.path.match(row.path))) and (
            self.client is None or bool(self.client.match(row.client))
        )


class _Traced:
    """A brick that is traced."""

    def __init__(self, brick: OpenBrick, privacy: Privacy, filters: control.Filters) -> None:
        self.identity = brick.identity
        """A brick that was restarted has another segment."""
        self.key = brick.key
        self.names = Names(brick, privacy)
        self.tracer = control.Tracer(brick.segment.path, filters)
        self.tracer.__enter__()
        self.bit = self.tracer.bit
        self.position = self.tracer.position
        self.active = True

    def end(self) -> None:
        """Have the brick record no more for this tracer; what it has recorded can be read."""
        if self.active:
            self.active = False
            self.tracer.__exit__(None, None, None)


class _Waiting(NamedTuple):
    """A record that is not shown yet."""

    ended: int
    due: float
    """When it is shown even if its file has no name."""
    traced: _Traced
    fop: recorder.Fop


class Trace:
    """The tracers of a volume's bricks; used as a context, at whose end nothing is traced any more.

    Raises:
        UserError: on entering, if no brick of the volume can be traced here.
    """

    def __init__(
        self, directory: Path, expiry: float, volume: str, privacy: Privacy, wanted: Wanted
    ) -> None:
        self.problems: list[str] = []
        """The reasons why bricks are not traced, each once."""
        self._directory = directory
        self._expiry = expiry
        self._volume = volume
        self._privacy = privacy
        self._wanted = wanted
        self._traced: dict[tuple[str, str], _Traced] = {}
        self._waiting: deque[_Waiting] = deque()
        self._late: list[_Waiting] = []
        self._gone: list[Lost] = []

    def __enter__(self) -> Trace:
        try:
            with open_bricks(self._directory, self._expiry) as (bricks, _):
                here = self._running(bricks)
                if not here:
                    raise none_runs(bricks, self._volume)
                self._check_fops(here)
                self._follow(here)
                if not self._traced:
                    raise UserError("; ".join(self.problems))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for traced in self._traced.values():
            traced.end()

    def _running(self, bricks: Sequence[OpenBrick]) -> list[OpenBrick]:
        return [brick for brick in running(bricks) if brick.about.volume == self._volume]

    def _check_fops(self, bricks: Sequence[OpenBrick]) -> None:
        known = {name for brick in bricks for name in brick.segment.fop_names() if name}
        unknown = sorted(self._wanted.fops - known)
        if unknown:
            raise UserError(
                f"there is no fop {unknown[0]!r}; the fops are {', '.join(sorted(known))}"
            )

    def _follow(self, bricks: Sequence[OpenBrick], ended: bool = False) -> None:
        """Trace these bricks, and no others; ``ended``: no others than up to now."""
        here = {brick.key: brick for brick in bricks}
        for key, traced in list(self._traced.items()):
            if key in here and here[key].identity == traced.identity:
                traced.names.look_at(here[key])
                if ended or self._goes_on(traced):
                    continue
            elif key not in here:
                self._say(f"{':'.join(key)} is not traced any more: the brick has stopped")
            else:
                self.problems.append(
                    f"{':'.join(key)} has a new segment, as it was restarted or its options were "
                    "changed: some fops of that moment are not traced"
                )
            del self._traced[key]
            traced.end()
            before = len(self._waiting) + len(self._late)
            self._waiting = deque(each for each in self._waiting if each.traced is not traced)
            self._late = [each for each in self._late if each.traced is not traced]
            dropped = before - len(self._waiting) - len(self._late)
            if dropped:
                self._gone.append(Lost(*key, dropped))
        for key, brick in here.items():
            if key not in self._traced and not ended:
                try:
                    self._traced[key] = _Traced(brick, self._privacy, self._filters(brick))
                except (OSError, SegmentError, control.ControlError) as error:
                    self._say(f"{':'.join(key)} is not traced: {error}")

    def _goes_on(self, traced: _Traced) -> bool:
        """Renew the trace of a brick, and say so if the brick has recorded nothing for a while."""
        try:
            missed = traced.tracer.renew()
        except (OSError, control.ControlError) as error:
            self._say(f"{':'.join(traced.key)}: {error}")
            return False
        if missed:
            self.problems.append(
                f"{':'.join(traced.key)} was not traced for {missed:.0f} s, as this process or the "
                "reader of its output stood still"
            )
        return True

    def _say(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _filters(self, brick: OpenBrick) -> control.Filters:
        wanted = self._wanted
        names = brick.segment.fop_names()
        return control.Filters(
            fops=[index for index, name in enumerate(names) if name in wanted.fops]
            if wanted.fops
            else None,
            client=self._tag(brick),
            uid=wanted.uid,
            error=wanted.errno,
            least_ns=wanted.slower,
            one_in=wanted.sample,
        )

    def _tag(self, brick: OpenBrick) -> int | None:
        """The tag of the client, if the pattern matches one client here and cannot match more."""
        pattern = self._wanted.client
        if pattern is None:
            return None
        found = [
            row
            for row, client in brick.segment.client_table().records()
            if client.address == self._wanted.address and not client.process
        ]
        return found[0][1] if len(found) == 1 else None

    def events(self, stopped: Callable[[], bool]) -> Iterator[Recorded | Lost | None]:
        """The traced fops and losses until ``stopped`` is true, and then the rest of the rings.

        Yields None after each look, when there is nothing more for a moment.
        """
        ended = False
        while True:
            with open_bricks(self._directory, self._expiry) as (bricks, _):
                self._follow(self._running(bricks), ended)
                here = [brick for brick in bricks if brick.key in self._traced]
                yield from self._gone
                self._gone.clear()
                again = time.monotonic() + _LOOK_SECONDS
                while time.monotonic() < again:
                    if not ended:
                        ended = stopped()
                        if ended:
                            self.__exit__()
                        yield from self._read(here, ended)
                    yield from self._named()
                    yield None
                    if ended and not self._waiting:
                        return
                    time.sleep(POLL_SECONDS)
                yield from self._read(here, ended)  # a segment may have been replaced

    def _read(self, bricks: Sequence[OpenBrick], last: bool) -> Iterator[Lost]:
        """Take what the bricks have recorded, in the order in which it came back.

        A fop that came back while the rings were read waits for the next time, since another brick
        may have one that came back before. ``last``: there is no next time.
        """
        horizon = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        fresh, self._late = self._late, []
        for brick in bricks:
            traced = self._traced[brick.key]
            try:
                batch = brick.segment.recorded(traced.position, recorder.TRACE)
            except SegmentError:
                continue  # the next look finds out what has become of the brick
            traced.position = batch.next
            if batch.lost:
                yield Lost(*brick.key, batch.lost)
            due = time.monotonic() + _NAME_SECONDS
            for fop in batch.fops:
                if fop.tracers & traced.bit:
                    into = fresh if last or fop.ended <= horizon else self._late
                    into.append(_Waiting(fop.ended, due, traced, fop))
        fresh.sort(key=attrgetter("ended"))
        self._waiting.extend(fresh)

    def _named(self) -> Iterator[Recorded]:
        """The records whose files have names by now, in their order, or have waited for long."""
        waiting = self._waiting
        now = time.monotonic()
        while waiting:
            _, due, traced, fop = waiting[0]
            names = traced.names
            try:
                patient = now < due and len(waiting) < _WAITING_MAX
                nameable = any(fop.gfid) or any(fop.parent)
                if patient and nameable and not names.file_of(fop).path:
                    return
                row = names.recorded(fop)
            except SegmentError:
                row = None
            waiting.popleft()
            if row is not None and self._wanted.named(row):
                yield row
