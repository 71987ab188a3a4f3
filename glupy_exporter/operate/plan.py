"""Plans how to put the translator into a volume's bricks, to renew it, or to take it out.

GlusterFS puts ``user/glupy`` into a brick's volfile when the volume option ``user.xlator.glupy``
names a position, and running bricks keep the graph and the library that they started with, so
bricks have to be restarted. Where a replica or disperse set carries on with one brick less, they
are restarted one at a time; elsewhere the volume is stopped and started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from glupy_exporter import commands
from glupy_exporter.errors import UserError
from glupy_exporter.operate import gluster, install, peer
from glupy_exporter.operate.gluster import Brick, Volume
from glupy_exporter.operate.options import OPTION, POSITION, of_scrub, ours, segment_paths

OLDEST_GLUSTERFS = 10
"""The first release that knows the options user.xlator.*."""

GRANULAR = "cluster.granular-entry-heal"

# Developers' builds call themselves 9dev and the like.
_RELEASE = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class Plan:
    """The steps of ``enable``, ``restart`` or ``disable`` on one volume."""

    volume: Volume
    command: str
    """``enable``, ``restart`` or ``disable``."""
    rolling: bool = False
    restart: tuple[Brick, ...] = ()
    """The bricks to restart, in this order."""
    pids: Mapping[str, int] = field(default_factory=dict)
    """Pids of the bricks that run now, by ``HOST:PATH``."""
    unhealed: gluster.Unhealed = field(default_factory=gluster.Unhealed)
    """Entries that have to be healed before a brick may be taken down."""

    def describe(self) -> list[str]:
        """The plan in words, a line each."""
        volume = self.volume
        lines = [f"volume {volume.name} ({volume.kind}, {len(volume.bricks)} bricks):"]
        if self.command == "disable":
            lines += [f"  unset {option} (is {volume.options[option]})" for option in ours(volume)]
            lines.append(
                "  for that, reset all options and set the others back: "
                "GlusterFS cannot unset one user option"
            )
        elif OPTION not in volume.options:
            lines.append(f"  set {OPTION} {POSITION}")
        if not self.restart:
            lines.append(
                "  restart nothing: "
                + ("all bricks are up to date" if volume.started else "the volume is not started")
            )
            return lines
        if self.unhealed:
            lines.append(f"  wait until all entries are healed ({self.unhealed})")
        if self.rolling:
            lines.append(
                "  restart bricks one at a time; each is back, healed and reconnected to its "
                "clients before the next:"
            )
        else:
            lines.append(
                "  stop and start the volume: I/O ON IT FAILS OR HANGS until its bricks are back, "
                "usually a few seconds; restarted are:"
            )
        for number, brick in enumerate(self.restart, 1):
            lines.append(
                f"    {number}. {brick} (pid {self.pids.get(str(brick)) or 'not running'})"
            )
        if self.command == "enable" and self.rolling:
            lines.append(
                "  until its restart each of them ignores what `gluster volume set` changes, "
                "though that says success: change options before or afterwards"
            )
        if self.command == "disable":
            lines.append(
                "  (to stop counting without a restart: "
                f"gluster volume set {volume.name} {OPTION}.enabled off)"
            )
        return lines


def _check_connected(volume: Volume) -> None:
    """Raise UserError unless every node that holds a brick is connected."""
    pool = gluster.pool()
    for brick in volume.bricks:
        node = pool.get(brick.node)
        if node is None or not node.connected:
            raise UserError(
                f"node {brick.host}, which holds {brick}, is not connected; bring it back "
                "(`gluster pool list`) and try again"
            )


def _check_translators(volume: Volume, nodes: Mapping[str, peer.Node]) -> None:
    """Raise UserError unless every node that holds a brick has a matching translator."""
    for brick in volume.bricks:
        node = nodes.get(brick.node)
        where = f"node {brick.host} ({brick.node})"
        remedy = "run `glupy-exporter xlator install` there"
        if node is None:
            raise UserError(f"{where} did not answer; see its glusterd's log")
        release = _RELEASE.match(node.glusterfs_version)
        if not release:
            told = node.glusterfs_version or "nothing"
            raise UserError(
                f"{where} does not tell its GlusterFS's version, but {told!r}; see that "
                f"`glusterfsd --version` works there with PATH={commands.PATH}"
            )
        if int(release[0]) < OLDEST_GLUSTERFS:
            raise UserError(
                f"{where} runs GlusterFS {node.glusterfs_version}, whose glusterd cannot insert a "
                f"translator into bricks; update it to {OLDEST_GLUSTERFS} or later"
            )
        if node.stamp is None:
            raise UserError(f"{where} has no translator; {remedy}")
        problem = install.check(node.stamp, node.glusterfs_version)
        if problem:
            raise UserError(f"{where} has no matching translator: {problem}; {remedy}")


def process(volume: Volume, brick: Brick, node: peer.Node) -> int | None:
    """The pid of the process that counts for the brick on its node; None if none does."""
    paths = map(str, segment_paths(volume, brick))
    return next((node.segments[path] for path in paths if path in node.segments), None)


def counts(volume: Volume, brick: Brick, nodes: Mapping[str, peer.Node]) -> bool:
    """Whether the brick runs with the translator."""
    node = nodes.get(brick.node)
    return node is not None and process(volume, brick, node) is not None


def loaded(volume: Volume, brick: Brick, node: peer.Node) -> peer.Loaded | None:
    """The translator that the brick's process runs; None if there is none or it is not known."""
    return node.loaded.get(process(volume, brick, node) or 0)


def current(volume: Volume, brick: Brick, nodes: Mapping[str, peer.Node]) -> bool:
    """Whether the brick runs the translator that is installed on its node.

    Raises:
        UserError: the node cannot tell.
    """
    if not counts(volume, brick, nodes):
        return False
    found = loaded(volume, brick, nodes[brick.node])
    if found is None:
        raise UserError(
            f"node {brick.host} does not tell which translator its bricks run, since its peer "
            "script is of an older release; run `glupy-exporter xlator install` there"
        )
    return found.installed


def survives_restart(volume: Volume) -> bool:
    """Whether clients may go on writing while one brick of a set is down."""
    if not volume.redundant:
        return False
    if volume.disperse:
        return True
    quorum = volume.options.get("cluster.quorum-type", "")
    if quorum == "fixed":
        count = volume.options.get("cluster.quorum-count", "")
        return count.isdigit() and int(count) < volume.replica
    return not (quorum == "auto" and volume.replica == 2)


def check_ready(volume: Volume, status: gluster.Status) -> None:
    """Raise UserError if no brick may be taken down, for a reason that waiting does not mend."""
    down = [str(b) for b in volume.bricks if not b.online(status)]
    if down:
        raise UserError(
            f"bricks are offline: {', '.join(down)}; bring them back with "
            f"`gluster volume start {volume.name} force` and try again"
        )
    for brick in volume.bricks:
        healer = status.healers.get(brick.node)
        if healer is None or not healer.online:
            raise UserError(
                f"no self-heal daemon runs for {volume.name} on {brick.host}, so a restarted brick "
                "would not be healed; switch cluster.self-heal-daemon on"
            )
    _check_idle(volume, status)


def _check_idle(volume: Volume, status: gluster.Status) -> None:
    """Raise UserError while a task runs that keeps glusterd from stopping bricks."""
    if status.tasks:
        raise UserError(f"{volume.name} is busy ({', '.join(status.tasks)}); try again afterwards")


def _check_stops(volume: Volume, status: gluster.Status) -> None:
    """Raise UserError if glusterd would refuse to stop the volume or any of its bricks."""
    _check_idle(volume, status)
    sessions = gluster.geo_replication(volume.name)
    if sessions:
        raise UserError(
            f"geo-replication of {volume.name} to {', '.join(sessions)} is not stopped; run "
            f"`gluster volume geo-replication {volume.name} {sessions[0]} stop`, try again, and "
            "start it afterwards"
        )


def _check_fuse(nodes: Mapping[str, peer.Node]) -> None:
    """Raise UserError if glusterd would refuse to stop one brick, as a node has no FUSE."""
    pool = gluster.pool()
    for uuid, node in nodes.items():
        if peer.FUSE in node.lacks:
            host = pool[uuid].host if uuid in pool else uuid
            raise UserError(
                f"node {host} cannot open {peer.FUSE}, without which GlusterFS stops no single "
                "brick; run `modprobe fuse` there, or let its container have the device"
            )


def _unhealed(volume: Volume) -> gluster.Unhealed:
    """Entries that wait for heal. Raises UserError if they are not known, or never heal."""
    found = gluster.unhealed(volume.name)
    if found is None:
        raise UserError(
            f"`gluster volume heal {volume.name} info summary` cannot ask every brick; wait until "
            "it can and try again"
        )
    if found.split_brain:
        raise UserError(
            f"entries of {volume.name} are in split-brain ({found.split_brain}), which self-heal "
            f"does not end; see `gluster volume heal {volume.name} info split-brain`"
        )
    return found


def _shared_processes(volume: Volume) -> dict[Brick, Brick]:
    """Another brick that lives in the same process, for each brick of the volume that has one."""
    processes = gluster.processes()
    return {
        brick: other
        for brick in volume.bricks
        for other, process in processes.items()
        if other != brick and process == processes.get(brick)
    }


def _check_processes(volume: Volume) -> None:
    """Raise UserError if stopping a brick of the volume would stop bricks that share its process.

    glusterd detaches a brick from a shared process only while multiplexing is on. Once it has been
    switched off, glusterd ends the process instead.
    """
    if gluster.global_options().get("cluster.brick-multiplex") in gluster.ON:
        return
    for brick, other in _shared_processes(volume).items():
        raise UserError(
            f"{brick} and {other} share a process although cluster.brick-multiplex is off, so "
            "stopping one would stop both; switch it on, or restart their volumes first"
        )


def _pids(status: gluster.Status) -> dict[str, int]:
    return {name: process.pid for name, process in status.bricks.items() if process.pid}


def _restarting(
    volume: Volume, command: str, bricks: tuple[Brick, ...], nodes: Mapping[str, peer.Node]
) -> Plan:
    """The plan to restart some bricks of a started volume.

    Raises:
        UserError: glusterd would refuse to stop them, or they must not be restarted one at a time
            now, though the volume is of that kind.
    """
    _check_processes(volume)
    status = gluster.status(volume.name)
    rolling = survives_restart(volume)
    if rolling:
        check_ready(volume, status)
        _check_fuse(nodes)
    _check_stops(volume, status)
    unhealed = _unhealed(volume) if rolling else gluster.Unhealed()
    return Plan(volume, command, rolling, bricks, _pids(status), unhealed)


def to_enable(name: str) -> Plan:
    """The plan that enables the volume ``name``.

    Bricks that run the translator already are left alone. An `enable` that was interrupted leaves
    the option set and some bricks without the translator; `volume reset` leaves bricks that run it
    without the option.

    Raises:
        UserError: no such volume, it is enabled already, a node that holds one of its bricks has no
            matching translator, or its bricks cannot be restarted one at a time now.
    """
    volume = gluster.volume(name)
    _check_connected(volume)
    nodes = peer.nodes()
    restart = tuple(b for b in volume.bricks if volume.started and not counts(volume, b, nodes))
    if OPTION in volume.options and not restart:
        raise UserError(
            f"volume {name} has the translator already; `xlator status {name}` shows which, "
            f"`xlator restart {name}` restarts bricks that run an older one"
        )
    _check_translators(volume, nodes)
    if not restart:
        return Plan(volume, "enable")
    return _restarting(volume, "enable", restart, nodes)


def to_restart(name: str) -> Plan:
    """The plan by which all bricks of the volume ``name`` run the installed translator.

    Raises:
        UserError: no such volume, it is not enabled or not started, a node that holds one of its
            bricks has no matching translator, or its bricks cannot be restarted one at a time now.
    """
    volume = gluster.volume(name)
    if OPTION not in volume.options:
        raise UserError(f"volume {name} does not have the translator; `xlator enable {name}` first")
    if not volume.started:
        raise UserError(f"volume {name} is not started; its bricks load the translator when it is")
    _check_connected(volume)
    nodes = peer.nodes()
    _check_translators(volume, nodes)
    restart = tuple(b for b in volume.bricks if not current(volume, b, nodes))
    if not restart:
        return Plan(volume, "restart")
    shared = _shared_processes(volume)
    for brick in restart:
        pid = process(volume, brick, nodes[brick.node])
        if brick in shared and pid:
            raise UserError(
                f"{brick} shares a process with {shared[brick]}, and a process keeps the "
                f"translator that it has loaded. On {brick.host}, run `kill {pid}`, then `gluster "
                "volume start VOLUME force` for each volume of that process; wait for self-heal; "
                "go on with the next node"
            )
    return _restarting(volume, "restart", restart, nodes)


def to_disable(name: str) -> Plan:
    """The plan that disables the volume ``name``.

    Raises:
        UserError: no such volume, it is not enabled, a node that holds one of its bricks is not
            connected, or glusterd would refuse to stop the volume.
    """
    volume = gluster.volume(name)
    if not ours(volume):
        raise UserError(f"volume {name} does not have the translator; nothing to disable")
    _check_connected(volume)
    of_started = [*of_scrub(volume), *((GRANULAR,) if GRANULAR in volume.options else ())]
    if of_started and volume.state == "Stopped":
        raise UserError(
            f"GlusterFS sets {', '.join(of_started)} back only on a started volume; "
            f"`gluster volume start {name}` first"
        )
    if not volume.started:
        return Plan(volume, "disable")
    _check_processes(volume)
    status = gluster.status(name)
    _check_stops(volume, status)
    return Plan(volume, "disable", False, volume.bricks, _pids(status))
