"""The names of files that a brick has not learned, from elsewhere on this node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.records import File
from glupy_exporter.segment.table import Row


def complete(brick: OpenBrick, files: Iterable[tuple[Row, File]]) -> Iterator[File]:
    """The files, with names where the brick has none and another brick of the volume knows one.

    The brick with the base file of a sharded one does, where those with its shards do not.
    """
    for (_, tag, _), file in files:
        if not file.path:
            file = _from_siblings(brick, tag, file)
        yield file


def _from_siblings(brick: OpenBrick, tag: int, file: File) -> File:
    for sibling in brick.siblings:
        with suppress(SegmentError):  # told of where the sibling itself is served
            other = sibling.segment.file_by_tag(tag)
            if other and other.path and other.gfid == file.gfid:
                return file._replace(
                    path=other.path,
                    type=other.type,
                    truncated=other.truncated,
                    unlinked=other.unlinked,
                )
    return file
