"""The daemons of GlusterFS on this node: which should run, which do, and what they use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from glupy_exporter.node.nodestate import Daemon, GeoReplication, Rebalance, Volume
from glupy_exporter.state import geo_replication, processes
from glupy_exporter.state.processes import Process
from glupy_exporter.state.records import Records

_ON = {"on", "yes", "true", "enable", "1"}
_OFF = {"off", "no", "false", "disable", "0"}


def daemons(
    records: Records,
    volumes: Mapping[str, Volume | None],
    rebalances: Mapping[str, Rebalance],
    sessions: Iterable[GeoReplication],
) -> tuple[Daemon, ...]:
    """Each daemon that should run on this node, and each other one that does.

    A daemon should run if glusterd starts it for a volume that is started and has bricks here, as
    glusterd's managers of services do (``glusterd-*-svc.c``).
    """
    here = {name: each for name, each in volumes.items() if each and each.bricks and each.started}
    infos = {name: records.volumes.get(name) or {} for name in here}
    run = records.run

    def wanting(option: str) -> list[str]:
        return [name for name, info in infos.items() if info.get(option, "").lower() in _ON]

    def refusing(*options: str) -> set[str]:
        return {
            name
            for name, info in infos.items()
            for key in options
            if info.get(key, "").lower() in _OFF
        }

    healing = [name for name, volume in here.items() if volume.replica or volume.disperse]
    scrubbed = wanting("features.bitrot")
    found = [_daemon("glusterd", "", [_glusterd(run)], True)]
    # One process heals all volumes, and each volume has a pid file with its pid.
    switched_off = refusing("cluster.self-heal-daemon", "disperse.self-heal-daemon")
    wanted = [name for name in healing if name not in switched_off]
    files = [run / "shd" / name / f"{name}-shd.pid" for name in wanted or healing]
    shd = [_named(file, "glustershd") for file in files]
    found.append(_daemon("shd", "", shd, bool(wanted)))
    for name, expected in (
        ("quotad", bool(wanting("features.quota"))),
        ("bitd", bool(scrubbed)),
        ("scrub", bool(scrubbed)),
        ("nfs", False),
    ):
        process = _named(run / name / f"{name}.pid", name)
        found.append(_daemon(name, "", [process], expected))
    for name in wanting("features.uss"):
        file = run / "vols" / name / f"{name}-snapd.pid"
        found.append(_daemon("snapd", name, [_named(file, "snapd")], True))
    for name, rebalance in rebalances.items():
        if rebalance.running:
            file = records.volume(name) / "rebalance" / f"{records.here}.pid"
            found.append(_daemon("rebalance", name, [_named(file, "rebalance")], True))
    for session in sessions:
        if session.status in geo_replication.RUNNING:
            process = geo_replication.monitor(records, session)
            found.append(_daemon("gsyncd", session.volume, [process], True))
    return tuple(_without_twins(filter(None, found)))


def _glusterd(run: Path) -> Process | None:
    """glusterd's process; its pid file may be anywhere, and may be a former one's."""

    def right(process: Process | None) -> bool:
        return process is not None and process.gluster == "glusterd"

    found = processes.of_pid_file(run.parent / "glusterd.pid")
    return found if right(found) else next(filter(right, processes.every()), None)


def _named(file: Path, name: str) -> Process | None:
    process = processes.of_pid_file(file)
    return process if process and process.called(name) else None


def _daemon(name: str, volume: str, found: list[Process | None], expected: bool) -> Daemon | None:
    """The daemon that is all of these processes; None if it neither runs nor should."""
    running = {process.pid: process for process in found if process}
    used = [use for use in map(processes.use, running.values()) if use]
    if not used:
        return Daemon(name, volume, False) if expected else None
    return Daemon(
        name,
        volume,
        all(found),
        sum(use.cpu for use in used),
        sum(use.resident for use in used),
        min(use.started for use in used),
    )


def _without_twins(found: Iterable[Daemon]) -> Iterator[Daemon]:
    """One daemon for each name and volume: a volume may have several geo-replication sessions."""
    merged: dict[tuple[str, str], Daemon] = {}
    for each in found:
        key = each.name, each.volume
        other = merged.get(key)
        merged[key] = each if other is None else _together(each, other)
    yield from merged.values()


def _together(one: Daemon, other: Daemon) -> Daemon:
    starts = [each.started for each in (one, other) if each.started]
    return Daemon(
        one.name,
        one.volume,
        one.up and other.up,
        one.cpu + other.cpu,
        one.resident + other.resident,
        min(starts, default=0.0),
    )
