"""Asks other bricks of this node for the names of files that a brick has not learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.records import Activity, File
from glupy_exporter.segment.table import Row


def complete(brick: OpenBrick, files: Iterable[tuple[Row, File]]) -> Iterator[File]:
    """The files; those without a path get the path that another brick of the volume here knows.

    For a sharded file, the brick that holds the base file knows it, and bricks that hold only other
    pieces do not.
    """
    for (_, tag, _), file in files:
        if not file.path:
            file = _from_siblings(brick, tag, file)
        yield file


def by_tag(brick: OpenBrick, tag: int, gfid: str) -> File | None:
    """The file by its tag and gfid, if the brick or another one here knows its path or has a slot
    for it.

    Raises:
        SegmentError: the segment of the brick itself cannot be read.
    """
    file = brick.segment.file_by_tag(tag)
    if file is None or file.gfid != gfid:
        file = File(gfid, "", False, False, "", Activity((), (), ()))
    if not file.path:
        file = _from_siblings(brick, tag, file)
    return file if file.path or file.type else None


def _from_siblings(brick: OpenBrick, tag: int, file: File) -> File:
    for sibling in brick.siblings:
        with suppress(SegmentError):  # the error is reported where the sibling itself is served
            other = sibling.segment.file_by_tag(tag)
            if other and other.path and other.gfid == file.gfid:
                return file._replace(
                    path=other.path,
                    type=other.type,
                    truncated=other.truncated,
                    unlinked=other.unlinked,
                )
    return file
