"""What files and clients have in common: the same counts, under other names and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from glupy_exporter import values
from glupy_exporter.collectors.family import Block, Family, Labels
from glupy_exporter.segment.reader import (
    BYTES,
    FOPS,
    NANOSECONDS,
    Activity,
    Client,
    ClientIdentity,
    ClientTable,
    Counts,
    File,
    FileTable,
    Known,
    Segment,
)
from glupy_exporter.values import Setting, Settings

ORDERS = 4
"""What a row can be busiest by: fops, bytes read, bytes written, time."""

MORE = """\
What was done a half-life (volume option `user.xlator.glupy.half-life`) ago weighs half. Those that
were among the busiest in the last five minutes stay as well, unless they lost their slot, up to
four times as many in all."""

_MOST = 2**64 - 1
"""What a selector can remember; three counters together reach it in a hostile segment only."""


def settings(limit: int) -> Settings:
    """Those of a collector that serves the busiest rows of a table, with its limit's default."""
    return {
        "limit": Setting(
            values.whole(1, 10_000),
            limit,
            "how many a brick are served by each order: fops, bytes read, bytes written, time",
            "N",
        )
    }


def totals(table: FileTable | ClientTable, slots: Iterable[int]) -> list[tuple[int, ...]]:
    """Of each of the slots, what it counts in each order."""
    return [
        (
            min(sum(counters[FOPS]), _MOST),
            *counters[BYTES],
            min(sum(counters[NANOSECONDS]), _MOST),
        )
        for counters in map(table.counters, slots)
    ]


def _add(a: Activity, b: Activity) -> Activity:
    return Activity(
        fops=tuple(map(sum, zip(a.fops, b.fops))),
        nanoseconds=tuple(map(sum, zip(a.nanoseconds, b.nanoseconds))),
        bytes=tuple(map(sum, zip(a.bytes, b.bytes))),
        errors=a.errors + b.errors,
        first_seen=min(a.first_seen, b.first_seen),
        last_seen=max(a.last_seen, b.last_seen),
    )


def merge_files(files: Iterable[File]) -> list[File]:
    """The files, each gfid once: it may have two slots when two threads meet it at once."""
    merged: dict[str, File] = {}
    for file in files:
        same = merged.get(file.gfid)
        if same is not None:
            leader = max(same, file, key=attrgetter("top_client_lead"))
            file = (same if same.path else file)._replace(
                activity=_add(same.activity, file.activity),
                error_bound=same.error_bound + file.error_bound,
                top_client=leader.top_client,
                top_client_lead=leader.top_client_lead,
            )
        merged[file.gfid] = file
    return list(merged.values())


def merge_clients(clients: Iterable[Client]) -> list[Client]:
    """The clients, each once."""
    merged: dict[tuple[str, str], Client] = {}
    for client in clients:
        key = client.address, client.process
        same = merged.get(key)
        if same is not None:
            client = client._replace(
                activity=_add(same.activity, client.activity),
                error_bound=same.error_bound + client.error_bound,
                connections=same.connections + client.connections,
            )
        merged[key] = client
    return list(merged.values())


def top_clients(
    segment: Segment, files: Iterable[File], known: Known[ClientIdentity] | None = None
) -> dict[int, ClientIdentity]:
    """The files' top clients by tag, of those that still have a slot."""
    wanted = {file.top_client for file in files} - {0}
    table = segment.client_table()
    slots = [slot for slot, tag in enumerate(table.tags) if tag in wanted]
    return {tag: identity for (_, tag, _), _, identity in table.entries(slots, known)}


def blocks(
    labels: Sequence[Labels],
    activities: Sequence[Activity] | Sequence[Counts],
    fops: Family,
    io_bytes: Family,
    seconds: Family,
) -> Iterator[Block]:
    """The three families of the activities, each with the labels that name its row."""
    yield Block(fops, labels, [done.fops for done in activities])
    in_seconds = [tuple([ns / 1e9 for ns in done.nanoseconds]) for done in activities]
    yield Block(seconds, labels, in_seconds)
    yield Block(io_bytes, labels, [done.bytes for done in activities])
