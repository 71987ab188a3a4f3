"""What files and clients have in common: the same counts, under other names and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import attrgetter

from glupy_exporter.collectors.family import Family, Sample
from glupy_exporter.collectors.selector import Order
from glupy_exporter.segment.reader import (
    Activity,
    Client,
    ClientTable,
    Counts,
    File,
    FileTable,
    Segment,
)


def orders(table: FileTable | ClientTable) -> list[Order]:
    """What a row can be busiest by: fops, bytes read, bytes written, time."""
    fops, nanoseconds = table.columns("fops"), table.columns("nanoseconds")
    return [fops, *([column] for column in table.columns("bytes")), nanoseconds]


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
            file = replace(
                same if same.path else file,
                activity=_add(same.activity, file.activity),
                error_bound=same.error_bound + file.error_bound,
                top_client=leader.top_client,
                top_client_lead=leader.top_client_lead,
            )
        merged[file.gfid] = file
    return list(merged.values())


def merge_clients(clients: Iterable[Client]) -> list[Client]:
    """The clients, each once."""
    merged: dict[str, Client] = {}
    for client in clients:
        same = merged.get(client.name)
        if same is not None:
            client = replace(
                client,
                activity=_add(same.activity, client.activity),
                error_bound=same.error_bound + client.error_bound,
                connections=same.connections + client.connections,
            )
        merged[client.name] = client
    return list(merged.values())


def top_clients(segment: Segment, files: Iterable[File]) -> dict[int, Client]:
    """The files' top clients by tag, of those that still have a slot."""
    wanted = {file.top_client for file in files}
    table = segment.client_table()
    slots = [slot for slot, tag in enumerate(table.tags) if tag in wanted]
    return {tag: client for (_, tag, _), client in segment.clients(table, slots)}


def samples(
    activities: Iterable[tuple[tuple[str, ...], Counts]],
    fops: Family,
    io_bytes: Family,
    seconds: Family,
) -> Iterator[Sample]:
    """The three families of the activities, each with the labels that name its row."""
    for labels, activity in activities:
        yield fops, labels, tuple(activity.fops)
        yield seconds, labels, tuple([nanoseconds / 1e9 for nanoseconds in activity.nanoseconds])
        yield io_bytes, labels, tuple(activity.bytes)
