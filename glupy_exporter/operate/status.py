"""Shows, brick by brick, whether the translator is where it should be and works."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glupy_exporter import __version__
from glupy_exporter.operate import gluster, install, options, peer, plan
from glupy_exporter.operate.gluster import Brick, Volume
from glupy_exporter.schema import layout, option_table
from glupy_exporter.segment import reader
from glupy_exporter.segment.check import SegmentError


@dataclass(frozen=True)
class Row:
    """The state of one brick. None stands for "cannot be told from this node"."""

    volume: str
    brick: str
    volfile: bool | None
    """Whether glusterd has put the translator into the brick's graph."""
    loaded: bool | None
    """Whether the running brick has a segment open."""
    segment: str | None
    """``alive``, ``dead``, ``none``, or why it cannot be read."""
    version: str | None
    """``match``, or what does not fit."""
    ok: bool
    note: str


@dataclass(frozen=True)
class _Pool:
    """The nodes of the pool, and what each of them answered."""

    here: str
    """UUID of this node."""
    members: Mapping[str, gluster.Peer]
    answers: Mapping[str, peer.Node]
    lacking: Sequence[str] = ()
    """Hosts without a peer script, because of which no other node could be asked."""

    @classmethod
    def ask(cls) -> _Pool:
        here, members = gluster.this_node(), gluster.pool()
        try:
            return cls(here, members, peer.nodes())
        except peer.NoScriptError as error:
            return cls(here, members, peer.this_node(), error.hosts)

    def silent(self, brick: Brick) -> str:
        """Why it is not known what a brick has loaded."""
        node = self.members.get(brick.node)
        if node is None or not node.connected:
            return f"node {brick.host} is not connected: bring it back"
        if node.host in self.lacking:
            return "no translator is installed there: run `xlator install` on that node"
        if self.lacking:
            return f"cannot be told while {', '.join(self.lacking)} has no translator installed"
        return "node does not answer"

    def at_work(self, volume: Volume) -> str:
        """Which command works on the volume, or has not brought it back; nothing if none."""
        for uuid, node in self.answers.items():
            host = self.members[uuid].host if uuid in self.members else uuid
            if volume.name in node.busy:
                return f"a command on {host} works on it"
            if volume.name in node.unfinished:
                command = node.unfinished[volume.name]
                note = f"`xlator {command} {volume.name}` on {host} did not end: run it there again"
                if command == "disable":
                    # The note on that node may hold the only record of the options.
                    note += "; until then do not start the volume, whose options may be reset"
                return note
        return ""


def rows(name: str | None) -> list[Row]:
    """The bricks of the volume ``name``, or of all volumes.

    Raises:
        UserError: there is no such volume, or glusterd does not answer.
    """
    volumes = [gluster.volume(name)] if name else gluster.volumes()
    if not volumes:
        return []
    pool = _Pool.ask()
    found = []
    for owner in volumes:
        status = gluster.status(owner.name) if owner.started else None
        found += [_row(owner, brick, status, pool) for brick in owner.bricks]
    return found


def _row(owner: Volume, brick: Brick, status: gluster.Status | None, pool: _Pool) -> Row:
    wanted = options.OPTION in owner.options
    node = pool.answers.get(brick.node)
    loaded = None if node is None else plan.counts(owner, brick, pool.answers)
    in_volfile: bool | None = wanted
    segment = None if loaded is None else "alive" if loaded else "none"
    if brick.node == pool.here:
        volfile = options.volfile(owner, brick)
        in_volfile = volfile.exists() and options.names_translator(volfile)
        paths = options.segment_paths(owner, brick)
        segment = _segment(next(filter(Path.exists, paths), paths[0]))
    version = _version(owner, brick, node) if wanted and node else None
    note = pool.at_work(owner)
    if note or not owner.started:
        pass
    elif status and not brick.online(status):
        note = _offline(owner, brick, pool)
    elif node is None and wanted:
        note = pool.silent(brick)
    else:
        note = _note(owner, wanted, in_volfile, loaded)
    ok = not note and version in (None, "match")
    return Row(owner.name, str(brick), in_volfile, loaded, segment, version, ok, note)


def _segment(path: Path) -> str:
    try:
        segment, writer = reader.open_segment(path)
        segment.close()
    except FileNotFoundError:
        return "none"
    except SegmentError as error:
        return error.reason
    return "alive" if writer.alive else "dead"


def _version(owner: Volume, brick: Brick, node: peer.Node) -> str:
    """``match`` if brick, installed translator and this exporter fit each other, else why not."""
    if node.stamp is None:
        return "no translator installed"
    problem = install.check(node.stamp, node.glusterfs_version)
    if problem:
        return problem
    if plan.counts(owner, brick, {brick.node: node}):
        running = plan.loaded(owner, brick, node)
        if running is None:
            return "the translator that it runs is not known: run `xlator install` on its node"
        if not running.installed:
            runs = "another build" if running.stamp == node.stamp else _named(running.stamp)
            return (
                f"brick runs {runs}, installed is {_named(node.stamp)}: "
                f"run `xlator restart {owner.name}`"
            )
    if node.stamp.xlator_version != __version__:
        return f"exporter {__version__}, installed {node.stamp.xlator_version}"
    return "match"


def _named(stamp: peer.Stamp | None) -> str:
    if stamp is None:
        return "another"
    older = f" with segment layout {stamp.layout}" if stamp.layout != layout.VERSION else ""
    return f"{stamp.xlator_version} for GlusterFS {stamp.glusterfs_version}{older}"


def _offline(owner: Volume, brick: Brick, pool: _Pool) -> str:
    node = pool.members.get(brick.node)
    if node is None or not node.connected:
        return pool.silent(brick)
    return f"brick is offline: see its log, then run `gluster volume start {owner.name} force`"


def _note(owner: Volume, wanted: bool, in_volfile: bool | None, loaded: bool | None) -> str:
    """The fault of a running brick and its remedy; empty if there is none."""
    ignores = "brick ignores changed options"
    if not wanted:
        if not loaded:
            return ""
        return (
            f"{ignores}, as it runs the translator and its volfile lacks it: run `xlator enable "
            f"{owner.name}`, which restarts nothing"
        )
    if not in_volfile:
        return "volfile lacks the translator: see glusterd's log"
    if not loaded:
        return (
            f"not loaded; {ignores} if it has not been restarted since: run `xlator enable "
            f"{owner.name}` or see the brick's log"
        )
    return option_table.ignored(owner.options)


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
