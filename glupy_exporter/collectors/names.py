"""The names of files that a brick has not learned, from elsewhere on this node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from glupy_exporter.collectors.base import OpenBrick
from glupy_exporter.collectors.resolver import Resolver
from glupy_exporter.segment.reader import File, Row, SegmentError


def complete(
    brick: OpenBrick, files: Iterable[tuple[Row, File]], resolver: Resolver | None = None
) -> Iterator[File]:
    """The files, with names where the brick has none and this node knows one.

    Another brick of the volume may know it, as the brick with the base file of a sharded one does.
    What none knows is asked of ``resolver``.
    """
    for (_, tag, _), file in files:
        if not file.path:
            file = _from_siblings(brick, tag, file)
        if not file.path and resolver:
            bricks = (each.brick.brick for each in (brick, *brick.siblings))
            name = resolver.name(brick.brick.volume, file.gfid, bricks)
            if name:
                file = file._replace(path=name.path, type=name.type, truncated=name.truncated)
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
