"""The daemons of GlusterFS on this node: which should run, which do, and what they use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    def having(option: str, values: set[str]) -> list[str]:
        return [name for name, info in infos.items() if info.get(option, "").lower() in values]

    scrubbed = having("features.bitrot", _ON)
    # Few have a glusterd with an NFS server. It removes the pid file when it ends the server.
    nfs = having("nfs.disable", _OFF) if (run / "nfs/nfs.pid").exists() else []
    found = [_daemon("glusterd", "", [_glusterd(run)], True), *_self_heal(run, here, infos)]
    for name, wanted in (
        ("quotad", having("features.quota", _ON)),
        ("bitd", scrubbed),
        ("scrub", scrubbed),
        ("nfs", nfs),
    ):
        process = _named(run / name / f"{name}.pid", name)
        found.append(_daemon(name, "", [process], bool(wanted)))
    for name in having("features.uss", _ON):
        file = run / "vols" / name / f"{name}-snapd.pid"
        found.append(_daemon("snapd", name, [_named(file, "snapd")], True))
    for name, rebalance in rebalances.items():
        if rebalance.running and name in here:
            file = records.volume(name) / "rebalance" / f"{records.here}.pid"
            found.append(_daemon("rebalance", name, [_named(file, "rebalance")], True))
    for session in sessions:
        if session.status in geo_replication.RUNNING:
            process = geo_replication.monitor(records, session)
            found.append(_daemon("gsyncd", session.volume, [process], True))
    return tuple(_without_twins(filter(None, found)))


def _self_heal(
    run: Path, volumes: Mapping[str, Volume], infos: Mapping[str, Mapping[str, str]]
) -> Iterator[Daemon | None]:
    """The self-heal daemon, and each volume that it does not heal although it runs.

    One process heals all volumes. It writes its pid into a file for each volume that glusterd
    attaches to it, and `gluster volume status` goes by these files. glusterd may fail to attach a
    volume, and attaches only one by `volume start force` after the process was killed.
    """
    found, wanted = {}, []
    for name, volume in volumes.items():
        if volume.replica or volume.disperse:
            found[name] = _named(run / "shd" / name / f"{name}-shd.pid", "glustershd")
            kind = "disperse-" if volume.disperse else ""
            if infos[name].get(f"cluster.{kind}self-heal-daemon", "").lower() not in _OFF:
                wanted.append(name)
    running = [process for process in found.values() if process]
    yield _daemon("shd", "", running, bool(wanted))
    if running:
        yield from (Daemon("shd", name, False) for name in wanted if not found[name])


def _glusterd(run: Path) -> Process | None:
    """glusterd's process; its pid file may be anywhere, and may be a former one's."""

    def right(process: Process | None) -> bool:
        return process is not None and process.gluster == "glusterd"

    found = processes.of_pid_file(run.parent / "glusterd.pid")
    return found if right(found) else next(filter(right, processes.every()), None)


def _named(file: Path, name: str) -> Process | None:
    process = processes.of_pid_file(file)
    return process if process and process.called(name) else None


def _daemon(
    name: str, volume: str, found: Sequence[Process | None], expected: bool
) -> Daemon | None:
    """The daemon that is all of these processes; None if it neither runs nor should."""
    running = {process.pid: process for process in found if process}
    used = [use for use in map(processes.use, running.values()) if use]
    if not used:
        return Daemon(name, volume, False) if expected else None
    return Daemon(
        name,
        volume,
        all(found) and not any(use.stopped for use in used),
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
