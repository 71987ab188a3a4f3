"""Totals of files and clients, and the merging of rows of one file or client."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from glupy_exporter.segment.records import Activity, Client, ClientIdentity, File
from glupy_exporter.segment.table import BYTES, FOPS, NANOSECONDS, ClientTable, FileTable, Known

ORDERS = 4
"""Number of orders in which rows are ranked: fops, bytes read, bytes written, time."""

_MOST = 2**64 - 1
"""The largest total that a selector can hold."""

_R = TypeVar("_R", File, Client)


def totals(table: FileTable | ClientTable, slots: Sequence[int]) -> list[Sequence[int]]:
    """The totals of ``slots``, in columns: fops, bytes read, bytes written, nanoseconds."""
    columns = table.columns(slots)
    fops, times = ([*map(sum, zip(*columns[words]))] for words in (FOPS, NANOSECONDS))
    return [_held(fops), *columns[BYTES], _held(times)]


def _held(sums: list[int]) -> list[int]:
    """The totals as a selector holds them; only a hostile segment has larger sums."""
    return sums if max(sums, default=0) <= _MOST else [min(each, _MOST) for each in sums]


def lasting(table: FileTable | ClientTable, seconds: float, slots: Sequence[int]) -> list[bool]:
    """Whether at least so many seconds lie between first and last fop of each of ``slots``."""
    least = seconds * 1e9
    return [age >= least for age in table.ages(slots)]


def recent(
    table: FileTable | ClientTable, half_life: float, now: float, slots: Sequence[int]
) -> list[float]:
    """The share of the totals of each of ``slots`` that is left if what was done ``half_life``
    seconds ago counts half, and each row did the same in every second from its first to its last
    fop. A row that ended long ago has nearly nothing left, and neither has one that only somebody
    looks at who passes by.

    ``now`` is in seconds on the monotonic clock. Of a row that worked for x times ``half_life /
    log(2)``, evenly, ``(1 - exp(-x)) / x`` is left at its last fop. ``1 / (1 + x)`` is close enough
    (0.77 of it at worst) and takes half the time.
    """
    rate = math.log(2) / (half_life * 1e9)  # of decay, a nanosecond
    first, last = table.first_seen, table.last_seen
    now_ns = max(now * 1e9, max(last, default=0))  # no exponent is above 0, whatever a segment says
    columns = zip(map(first.__getitem__, slots), map(last.__getitem__, slots))
    exp = math.exp
    return [exp(rate * (end - now_ns)) / (1 + rate * abs(end - begin)) for begin, end in columns]


def _add(a: Activity, b: Activity) -> Activity:
    leader = max(a, b, key=lambda activity: activity.top_client_lead)
    return Activity(
        fops=tuple(map(sum, zip(a.fops, b.fops))),
        nanoseconds=tuple(map(sum, zip(a.nanoseconds, b.nanoseconds))),
        bytes=tuple(map(sum, zip(a.bytes, b.bytes))),
        errors=a.errors + b.errors,
        first_seen=min(a.first_seen, b.first_seen),
        last_seen=max(a.last_seen, b.last_seen),
        error_bound=a.error_bound + b.error_bound,
        top_client=leader.top_client,
        top_client_lead=leader.top_client_lead,
        connections=a.connections + b.connections,
    )


def who(row: File | Client) -> Hashable:
    """The identity of a file or client, which a rename does not change."""
    return row.gfid if isinstance(row, File) else (row.address, row.process)


def merge(rows: Iterable[_R]) -> list[_R]:
    """Each file or client once, its rows added up: two threads that meet it at once may each have
    given it a slot.
    """
    merged: dict[Hashable, _R] = {}
    for row in rows:
        identity = who(row)
        same = merged.get(identity)
        if same is not None:
            named = same if isinstance(row, Client) or same.path else row
            row = named._replace(activity=_add(same.activity, row.activity))
        merged[identity] = row
    return list(merged.values())


def top_clients(
    table: ClientTable, files: Iterable[File], known: Known[ClientIdentity] | None = None
) -> dict[int, ClientIdentity]:
    """The top clients of ``files`` by tag; those that have lost their slot are missing.

    ``table`` is that of the same brick's clients, and ``known`` is as for :meth:`Table.identities`.

    Raises:
        SegmentError: the segment cannot be read.
    """
    wanted = {file.activity.top_client for file in files} - {0}
    return table.identities(wanted, known)
