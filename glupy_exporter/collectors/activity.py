"""What files and clients have in common: the same counts, under other names and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from glupy_exporter.collectors.family import Family, Sample
from glupy_exporter.segment import layout
from glupy_exporter.segment.reader import Activity


def add(a: Activity, b: Activity) -> Activity:
    """Both together: a writer may give one file two slots when two threads meet it at once."""
    return Activity(
        fops=tuple(map(sum, zip(a.fops, b.fops))),
        nanoseconds=tuple(map(sum, zip(a.nanoseconds, b.nanoseconds))),
        bytes=tuple(map(sum, zip(a.bytes, b.bytes))),
        errors=a.errors + b.errors,
        first_seen=min(a.first_seen, b.first_seen),
        last_seen=max(a.last_seen, b.last_seen),
    )


def samples(
    activities: Iterable[tuple[tuple[str, ...], Activity]],
    fops: Family,
    io_bytes: Family,
    seconds: Family,
) -> Iterator[Sample]:
    """The three families of the activities, each with the labels that name its row."""
    for labels, activity in activities:
        for kind, count, nanoseconds in zip(layout.KINDS, activity.fops, activity.nanoseconds):
            yield fops, (*labels, kind), count
            yield seconds, (*labels, kind), nanoseconds / 1e9
        for direction, count in zip(layout.DIRECTIONS, activity.bytes):
            yield io_bytes, (*labels, direction), count
