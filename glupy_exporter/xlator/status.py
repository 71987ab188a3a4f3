"""Shows, brick by brick, whether the translator is where it should be and works."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glupy_exporter import __version__
from glupy_exporter.errors import UserError
from glupy_exporter.segment import reader
from glupy_exporter.xlator import gluster, install, peer, volume
from glupy_exporter.xlator.gluster import Brick, Volume


@dataclass(frozen=True)
class Row:
    """The state of one brick. None stands for "cannot be told from this node"."""

    volume: str
    brick: str
    volfile: bool | None
    """glusterd has put the translator into the brick's graph."""
    loaded: bool | None
    """The running brick has a segment open."""
    segment: str | None
    """``alive``, ``dead``, ``none``, or why it cannot be read."""
    version: str | None
    """``match``, or what does not fit."""
    ok: bool
    note: str


def rows(name: str | None) -> list[Row]:
    """The bricks of the volume ``name``, or of all volumes.

    Raises:
        UserError: there is no such volume, or glusterd does not answer.
    """
    volumes = [gluster.volume(name)] if name else gluster.volumes()
    if not volumes:
        return []
    try:
        nodes = peer.nodes()
    except UserError:
        nodes = {}
    here = _this_node()
    found = []
    for each in volumes:
        pids = gluster.status(each.name).bricks if each.started else {}
        for brick in each.bricks:
            process = pids.get(str(brick))
            pid = process.pid if process else 0
            found.append(_row(each, brick, pid, nodes.get(brick.node), brick.node == here))
    return found


def _this_node() -> str:
    path = Path(gluster.working_directory()) / "glusterd.info"
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return next((line[5:] for line in lines if line.startswith("UUID=")), "")


def _row(owner: Volume, brick: Brick, pid: int, node: peer.Node | None, local: bool) -> Row:
    wanted = volume.OPTION in owner.options
    name = peer.segment_name(owner.name, brick.path)
    in_volfile: bool | None = wanted
    segment: str | None = None
    writer: reader.Brick | None = None
    loaded = None if node is None else name in node.segments
    version = None
    if local:
        path = volume.volfile(owner, brick)
        in_volfile = path.exists() and volume.names_translator(path)
        segment, writer = _segment(volume.segment_directory(owner) / name)
        loaded = writer is not None and writer.alive and writer.pid == pid
        version = _version(writer) if wanted else None
    elif node is not None:
        version = _remote_version(node) if wanted else None
        segment = "alive" if loaded else "none"
    note = _note(owner, wanted, in_volfile, loaded, pid)
    ok = not note and version in (None, "match")
    return Row(owner.name, str(brick), in_volfile, loaded, segment, version, ok, note)


def _segment(path: Path) -> tuple[str, reader.Brick | None]:
    try:
        segment, writer = reader.open_segment(path)
        segment.close()
    except FileNotFoundError:
        return "none", None
    except reader.SegmentError as error:
        return error.reason, None
    return ("alive" if writer.alive else "dead"), writer


def _version(writer: reader.Brick | None) -> str:
    """Whether the running and the installed translator fit this node and this exporter."""
    try:
        stamp = install.read_stamp(install.library())
    except UserError:
        return "no translator installed"
    problem = install.check(stamp, install.gluster_version())
    if problem:
        return problem
    versions = [stamp.xlator_version, __version__]
    if writer is not None and writer.alive:
        if writer.glusterfs_version != stamp.glusterfs_version:
            return f"brick runs GlusterFS {writer.glusterfs_version}: restart it"
        versions.append(writer.xlator_version)
    if len(set(versions)) == 1:
        return "match"
    running = f", brick runs {versions[2]}" if len(versions) > 2 else ""
    return f"exporter {__version__}, installed {stamp.xlator_version}{running}"


def _remote_version(node: peer.Node) -> str:
    if node.stamp is None:
        return "no translator installed"
    problem = install.check(node.stamp, node.glusterfs_version)
    if problem:
        return problem
    if node.stamp.xlator_version != __version__:
        return f"exporter {__version__}, installed {node.stamp.xlator_version}"
    return "match"


def _note(
    owner: Volume, wanted: bool, in_volfile: bool | None, loaded: bool | None, pid: int
) -> str:
    """What is wrong and what to do, or nothing."""
    if not wanted:
        return "brick still runs the translator: restart it" if loaded else ""
    if not in_volfile:
        return "volfile lacks the translator: see glusterd's log"
    if not owner.started:
        return ""
    if not pid:
        return "brick is offline: see its log"
    if loaded is None:
        return "node does not answer"
    if not loaded:
        return f"not loaded: run `xlator enable {owner.name}` or see the brick's log"
    return ""


def render(found: Sequence[Row]) -> str:
    """``found`` as an aligned table, one brick a line."""
    header = ("VOLUME", "BRICK", "VOLFILE", "LOADED", "SEGMENT", "VERSION", "NOTE")
    words: Mapping[bool | None, str] = {True: "yes", False: "no", None: "-"}
    table = [header] + [
        (
            row.volume,
            row.brick,
            words[row.volfile],
            words[row.loaded],
            row.segment or "-",
            row.version or "-",
            row.note,
        )
        for row in found
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table
    )


def render_json(found: Sequence[Row]) -> str:
    """``found`` as a JSON array of objects with the fields of :class:`Row`."""
    return json.dumps([dataclasses.asdict(row) for row in found], indent=2)
