"""Whether the translator counted what GlusterFS's own io-stats counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glupy_exporter.segment import reader
from glupy_exporter.segment.records import Client, File, FileIdentity
from glupy_exporter.segment.table import Known
from tests.gluster.workload import COPY
from tests.support.gluster.volumes import Profile, Volume, wait_for

NOT_FOPS = {
    "forget": "io-stats counts its callback for an inode that leaves the inode table",
    "release": "io-stats counts its callback for a file descriptor that goes away",
    "releasedir": "io-stats counts its callback for a directory's descriptor that goes away",
}
"""Rows of ``volume profile`` that stand for callbacks: nothing is called and nothing returns."""

COUNTED_AS = {"fsetattr": "setattr"}
"""io-stats unwinds fsetattr through setattr's callback, so it counts both as SETATTR."""


@dataclass(frozen=True)
class Counts:
    """One brick's segment in the terms of ``volume profile``."""

    fops: dict[str, int]
    bytes: dict[str, int]
    sizes: dict[str, tuple[int, ...]]
    copies: int
    """By copy_file_range, of which ``volume profile`` has no bytes."""
    in_flight: int


def read_counts(volume: Volume, brick: Path) -> Counts:
    """What the translator has counted on one brick; completed calls only."""
    with volume.segment(brick) as segment:
        fops, io = segment.fops(), segment.io()
    return Counts(
        fops={fop.name: fop.completed for fop in fops},
        bytes={direction: moved.bytes for direction, moved in io.items()},
        sizes={direction: moved.buckets for direction, moved in io.items()},
        copies=sum(fop.completed - fop.errors for fop in fops if fop.name == "copy_file_range"),
        in_flight=sum(fop.in_flight for fop in fops),
    )


def settled(volume: Volume) -> dict[Path, tuple[Profile, Counts]]:
    """Profile and segment of every brick, from a moment in which nothing was going on.

    The self-heal daemon may still look around on its own: read the profile before and after the
    segments and take them only when both profiles are the same.
    """

    def attempt() -> dict[Path, tuple[Profile, Counts]] | None:
        before = volume.profile()
        counts = {brick: read_counts(volume, brick) for brick in volume.bricks}
        quiet = volume.profile() == before and not any(c.in_flight for c in counts.values())
        return {brick: (before[brick], counts[brick]) for brick in volume.bricks} if quiet else None

    return wait_for(attempt, f"volume {volume.name} to be quiet")


def assert_equal(profile: Profile, counts: Counts) -> None:
    """Every fop, byte and I/O size was counted alike.

    io-stats counts a write's bytes on its way down, we when it has succeeded: nothing that is
    compared here may hold writes that failed. It counts no bytes of copies, each of which has to
    be of ``COPY`` bytes.
    """
    fops: dict[str, int] = {}
    for name, calls in counts.fops.items():
        name = COUNTED_AS.get(name, name)
        fops[name] = fops.get(name, 0) + calls
    assert fops == {name: hits for name, hits in profile.fops.items() if name not in NOT_FOPS}
    sizes = [*profile.sizes["write"]]
    sizes[COPY.bit_length() - 1] += counts.copies
    copied = counts.copies * COPY
    assert counts.bytes == {**profile.bytes, "write": profile.bytes["write"] + copied}
    assert counts.sizes == {**profile.sizes, "write": tuple(sizes)}


def files(segment: reader.Segment, known: Known[FileIdentity] | None = None) -> list[File]:
    """Every tracked file whose slot did not just change hands; ``known`` as the reader has it."""
    return [file for _, file in segment.file_table().records(known=known)]


def clients(segment: reader.Segment) -> list[Client]:
    """Every tracked client host."""
    table = segment.client_table()
    return [client for _, client in table.records()]
