"""Computes rates: how the counters of this node's bricks changed between two looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar, Union

from glupy_exporter.node import names, nodestate, recorder
from glupy_exporter.node.activity import merge
from glupy_exporter.node.bricks import Identity, OpenBrick, Problem, open_bricks
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Recorded, Waiting
from glupy_exporter.schema import layout
from glupy_exporter.schema.quantities import COLUMNS, DURATION
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.records import Activity, Client, File, Fop
from glupy_exporter.segment.table import ClientTable, FileTable, Row


@dataclass(frozen=True)
class FopRate:
    """One fop of one brick. Times are in seconds, and None if no call came back."""

    volume: str
    brick: str
    fop: str
    calls_per_second: float
    errors_per_second: float
    mean_seconds: float | None
    p99_seconds: float | None
    in_flight: int


@dataclass(frozen=True)
class _Work:
    volume: str
    brick: str
    fops_per_second: float
    read_bytes_per_second: float
    write_bytes_per_second: float
    errors_per_second: float | None
    """None if errors are not counted."""
    seconds_per_second: float
    """Time that fops spent below the translator; more than 1 if fops overlap."""


@dataclass(frozen=True)
class FileRate(_Work):
    """One file of one brick; ``type`` is empty while the brick has not learned it."""

    gfid: str
    path: str
    """The path as :meth:`Privacy.path` shows it."""
    type: str
    unlinked: bool
    top_client: str | None
    """The name of the client that does most on it of late, an estimate; None while unknown."""


@dataclass(frozen=True)
class ClientRate(_Work):
    """One client of one brick."""

    client: str
    connections: int | None
    """Open connections; None if ``internal``."""
    internal: bool
    """Whether it is a service of GlusterFS's own."""


Rate = Union[FopRate, FileRate, ClientRate, Recorded, Waiting]

FOPS_MAX = 500
"""The most slow fops, and the most fops in flight, of a brick."""


@dataclass(frozen=True)
class Rates:
    """One look, with the rates since the look before; idle rows are left out."""

    time: float
    """When the look was taken, in seconds since the epoch."""
    interval: float
    """Seconds since the look before; 0 for the first look, which has no rates."""
    up: int
    """Number of bricks that run."""
    down: tuple[str, ...]
    """The bricks whose process is gone, as ``volume:brick``."""
    problems: tuple[Problem, ...]
    fops: tuple[FopRate, ...] = ()
    files: tuple[FileRate, ...] = ()
    clients: tuple[ClientRate, ...] = ()
    slow: tuple[Recorded, ...] = ()
    """The slow fops that the bricks remember, not only those since the look before."""
    inflight: tuple[Waiting, ...] = ()
    """The fops that had not come back when the look was taken."""


_E = TypeVar("_E", File, Client)
_T = TypeVar("_T", FileTable, ClientTable)


@dataclass(frozen=True)
class _Slot(Generic[_E]):
    fops: int
    """Compared by the next look, which reads the slot again only if it has changed."""
    entry: _E


_Slots = dict[tuple[int, int], _Slot[_E]]
"""The records that were read of a table's slots, by slot and tag."""


@dataclass(frozen=True)
class _Look:
    """The tables of one brick as one look read them."""

    identity: Identity
    """The segment's, which differs if the brick was restarted."""
    taken: float
    """Seconds on the sampler's clock."""
    fops: dict[str, Fop]
    files: _Slots[File]
    clients: _Slots[Client]
    internal: dict[str, Activity]


class Sampler:
    """Looks at the bricks whose segments are in ``directory``, and remembers the last look.

    Bricks dead for more than ``expiry`` seconds are left out, and so are files that ``privacy``
    hides. ``clock`` gives seconds.
    """

    def __init__(
        self,
        directory: Path,
        expiry: float,
        privacy: Privacy | None = None,
        clock: Callable[[], float] = time.monotonic,
        state_file: Path | None = None,
    ) -> None:
        self._clock = clock
        self._privacy = privacy or Privacy()
        self._directory = directory
        self._expiry = expiry
        self._state_file = state_file
        self._looks: dict[tuple[str, str], _Look] = {}
        self._taken: float | None = None

    def sample(self) -> Rates:
        """Take a look, and compute the rates since the one before.

        A brick that the look before did not see, or that has been restarted since, has no rates
        yet. Never raises because of a segment.
        """
        now = self._clock()
        looks: dict[tuple[str, str], _Look] = {}
        down = []
        fops: list[FopRate] = []
        files: list[FileRate] = []
        clients: list[ClientRate] = []
        slow: list[Recorded] = []
        inflight: list[Waiting] = []
        known = nodestate.read(self._state_file) if self._state_file else None
        with open_bricks(self._directory, self._expiry, known) as (bricks, problems):
            for brick in bricks:
                if not brick.about.alive:
                    down.append(":".join(brick.key))
                    continue
                before = self._looks.get(brick.key)
                try:
                    look = _look(brick, before, self._clock())
                    slow += islice(recorder.slow(brick, self._privacy), FOPS_MAX)
                    inflight += islice(recorder.in_flight(brick, self._privacy), FOPS_MAX)
                except SegmentError as error:
                    problems.append(Problem(brick.segment.path, error.reason, str(error)))
                    continue
                looks[brick.key] = look
                if before and before.identity == look.identity:
                    fops += _fop_rates(brick.key, before, look)
                    files += _file_rates(brick.key, before, look, self._privacy)
                    clients += _client_rates(brick.key, before, look)
        interval = now - self._taken if self._taken is not None else 0.0
        self._looks, self._taken = looks, now
        return Rates(
            time=time.time(),
            interval=interval,
            up=len(looks),
            down=tuple(down),
            problems=tuple(problems),
            fops=tuple(fops),
            files=tuple(files),
            clients=tuple(clients),
            slow=tuple(slow),
            inflight=tuple(inflight),
        )


def _look(brick: OpenBrick, before: _Look | None, taken: float) -> _Look:
    segment = brick.segment

    def named(table: FileTable, row: Row) -> File | None:
        file = table.record(row)
        return next(names.complete(brick, [(row, file)])) if file else None

    if before and before.identity != brick.identity:
        before = None
    return _Look(
        identity=brick.identity,
        taken=taken,
        fops={fop.name: fop for fop in segment.fops()},
        files=_slots(segment.file_table(), named, before.files if before else {}),
        clients=_slots(
            segment.client_table(), ClientTable.record, before.clients if before else {}
        ),
        internal={origin: Activity(*done) for origin, done in segment.internal().items()},
    )


def _slots(table: _T, read: Callable[[_T, Row], _E | None], before: _Slots[_E]) -> _Slots[_E]:
    """Every slot in use; only slots whose fops have changed since ``before`` are read."""
    slots: _Slots[_E] = {}
    for row in table.rows:
        slot, tag, fops = row
        known = before.get((slot, tag))
        if known is None or known.fops != fops:
            entry = read(table, row)
            if entry is not None:
                known = _Slot(fops, entry)
        if known is not None:
            slots[slot, tag] = known
    return slots


def _fop_rates(key: tuple[str, str], before: _Look, now: _Look) -> list[FopRate]:
    elapsed = now.taken - before.taken
    rates = []
    for name, fop in now.fops.items():
        old = before.fops.get(name) or Fop(name, 0, 0, 0, (0,) * layout.LATENCY_BUCKETS)
        buckets = [max(0, new - was) for new, was in zip(fop.buckets, old.buckets)]
        calls = sum(buckets)
        if not calls and not fop.in_flight:
            continue
        nanoseconds = max(0, fop.nanoseconds - old.nanoseconds)
        rates.append(
            FopRate(
                *key,
                fop=name,
                calls_per_second=calls / elapsed,
                errors_per_second=max(0, fop.errors - old.errors) / elapsed,
                mean_seconds=nanoseconds / calls / 1e9 if calls else None,
                p99_seconds=quantile(0.99, buckets),
                in_flight=fop.in_flight,
            )
        )
    return rates


def quantile(q: float, buckets: Sequence[int]) -> float | None:
    """The ``q`` quantile of ``buckets`` (see :data:`layout.LATENCY_BUCKETS`) in seconds; None if
    nothing was counted.

    Latencies count as spread evenly within a bucket, as in PromQL's ``histogram_quantile``; those
    in the last, open bucket count as its lower bound.
    """
    rank = q * sum(buckets)
    if not rank:
        return None
    low = 0.0
    for high, count in zip(layout.LATENCY_BOUNDS, buckets):
        if count and rank <= count:
            return low + (high - low) * rank / count
        low = high
        rank -= count
    return low


_RATED = tuple(
    next(column for column in COLUMNS if f"{column.name}_per_second" == field.name)
    for field in fields(_Work)
    if field.name.endswith("_per_second")
)
"""The columns that are shown of files and clients, in the order of the fields of ``_Work``."""


class _Done:
    """The work of one file or client between two looks, summed over its slots."""

    def __init__(self) -> None:
        self._counts: list[float] = [0] * len(_RATED)

    def add(self, now: Activity, before: Activity | None) -> None:
        # Counters began again at 0 if the slot was lost and taken back in between.
        same = before if before and before.first_seen == now.first_seen else None
        for place, column in enumerate(_RATED):
            old = column.count(same) if same else 0
            self._counts[place] += max(0, column.count(now) - old)

    @property
    def fops(self) -> float:
        return self._counts[0]

    def per_second(self, elapsed: float) -> tuple[float, float, float, float, float]:
        fops, read, write, errors, seconds = (
            count / (1e9 if column.quantity.kind == DURATION else 1) / elapsed
            for column, count in zip(_RATED, self._counts)
        )
        return fops, read, write, errors, seconds


def _file_rates(
    key: tuple[str, str], before: _Look, now: _Look, privacy: Privacy
) -> Iterator[FileRate]:
    elapsed = now.taken - before.taken
    done: dict[str, _Done] = {}
    files = []
    for place, slot in now.files.items():
        old = before.files.get(place)
        if slot is old:
            continue
        file = slot.entry
        done.setdefault(file.gfid, _Done()).add(file.activity, old.entry.activity if old else None)
        files.append(file)
    clients = {tag: slot.entry for (_, tag), slot in now.clients.items()}
    for file in filter(privacy.shown, merge(files)):
        work = done[file.gfid]
        if work.fops:
            client = clients.get(file.activity.top_client)
            yield FileRate(
                *key,
                *work.per_second(elapsed),
                gfid=file.gfid,
                path=privacy.path(file),
                type=file.type,
                unlinked=file.unlinked,
                top_client=client.name if client else None,
            )


def _client_rates(key: tuple[str, str], before: _Look, now: _Look) -> list[ClientRate]:
    elapsed = now.taken - before.taken
    done: dict[str, _Done] = {}
    connections: dict[str, int] = {}
    for place, slot in now.clients.items():
        old = before.clients.get(place)
        if slot is old:
            continue
        client = slot.entry
        name = client.name
        done.setdefault(name, _Done()).add(client.activity, old.entry.activity if old else None)
        connections[name] = connections.get(name, 0) + client.activity.connections
    rates = [
        ClientRate(
            *key,
            *work.per_second(elapsed),
            client=name,
            connections=connections[name],
            internal=False,
        )
        for name, work in done.items()
        if work.fops
    ]
    for origin, counts in now.internal.items():
        work = _Done()
        work.add(counts, before.internal.get(origin))
        if work.fops:
            rate = ClientRate(
                *key, *work.per_second(elapsed), client=origin, connections=None, internal=True
            )
            rates.append(replace(rate, errors_per_second=None))
    return rates
