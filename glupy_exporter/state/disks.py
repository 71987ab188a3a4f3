"""Asks the disk of each brick of this node, for a bounded time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from glupy_exporter.node import glusterd
from glupy_exporter.node.nodestate import Blame, Brick, Quota, ThinPool, Volume
from glupy_exporter.segment.text import unescape
from glupy_exporter.state import apart, on_disk, quota_conf, thin_pools
from glupy_exporter.state import volumes as known_volumes
from glupy_exporter.state.records import Records

SECONDS = 5.0
"""The time in which one brick has to answer."""
MOST = 20.0
"""The time for all bricks: the timer's job has to end long before it is due again."""

_LVM = "lvm"
Where = tuple[str, Brick]


class Found(NamedTuple):
    """The facts from the disks, and the reason for each part that is incomplete."""

    quotas: tuple[Quota, ...]
    blames: tuple[Blame, ...]
    thin_pools: tuple[ThinPool, ...]
    problems: dict[str, str]


def look(
    records: Records, volumes: Mapping[str, Volume | None], locks: Path | None = None
) -> Found:
    """Ask the disk of each brick that runs here, and LVM.

    ``locks`` is a directory for the locks of :mod:`apart`.
    """
    problems = {"quotas": "", "blames": "", "thin_pools": ""}
    questions: dict[str, apart.Question] = {}
    asked: dict[str, tuple[Where, set[str]]] = {}
    for name, volume in volumes.items():
        if not volume or not volume.started:
            continue
        gfids, why = _gfids(records, name)
        problems["quotas"] = problems["quotas"] or why
        ids = _ids(records, name) if volume.replica and volume.here else ()
        for brick in volume.here if gfids or ids else ():
            if brick.online:
                parts = {part for part, due in (("quotas", gfids), ("blames", ids)) if due}
                key = f"brick {name}:{brick.path}"
                mates = ids[brick.set * volume.set_bricks :][: volume.set_bricks]
                version = int((records.volumes[name] or {}).get("quota-version") or "0")
                questions[key] = partial(_ask, brick, gfids, version, mates)
                asked[key] = (name, brick), parts
    places = thin_pools.places(volumes)
    if places:
        questions[_LVM] = thin_pools.ask
    answers = apart.ask(questions, SECONDS, MOST, locks)
    for key, why in answers.problems.items():
        for part in asked[key][1] if key in asked else ("thin_pools",):
            problems[part] = problems[part] or f"{key}: {why}"
    answered = [(asked[key][0], answer) for key, answer in answers.found.items() if key in asked]
    return Found(
        _folded(records, volumes, answered),
        tuple(
            Blame(name, brick.path, brick.set, gfid, kind, int(other))
            for (name, brick), answer in answered
            for gfid, kind, other in answer["blames"]
        ),
        thin_pools.pools(answers.found.get(_LVM, ()), places),
        problems,
    )


def _ask(brick: Brick, gfids: tuple[str, ...], version: int, mates: tuple[str, ...]) -> Any:
    """All questions to one brick; this runs in the child."""
    path = unescape(brick.path)
    ids = {each: place for place, each in enumerate(mates)}
    on_disk.check(path)
    return {
        "quotas": on_disk.quotas(path, gfids, version) if gfids else [],
        "blames": on_disk.blames(path, ids, brick.place) if mates else [],
    }


def _gfids(records: Records, name: str) -> tuple[tuple[str, ...], str]:
    """The directories of a volume with quotas, and why some are missing."""
    info = records.volumes.get(name) or {}
    if info.get("features.quota") != "on":
        return (), ""
    try:
        gfids = quota_conf.gfids(glusterd.content(records.volume(name) / "quota.conf"))
    except FileNotFoundError:
        return (), ""
    except (OSError, ValueError) as error:
        return (), f"{name}: {error}"
    most = quota_conf.MAX
    return gfids[:most], f"{name} has more than {most} quotas" if len(gfids) > most else ""


def _ids(records: Records, name: str) -> tuple[str, ...]:
    """The ids by which AFR names a volume's bricks, in their order; empty while they change."""
    info = records.volumes.get(name) or {}
    try:
        files = known_volumes.bricks(records, name, info)
    except (OSError, KeyError, ValueError):
        return ()
    default = (f"{name}-client-{place}" for place in range(len(files)))
    return tuple(each.get("brick-id") or other for each, other in zip(files, default))


def _folded(
    records: Records,
    volumes: Mapping[str, Volume | None],
    answered: list[tuple[Where, Any]],
) -> tuple[Quota, ...]:
    """One quota for each directory and set: the replica that has most, as the others may lag.

    A brick of a dispersed volume has fragments only (ec_dict_data_quota).
    """
    found: dict[tuple[str, str, int], Quota] = {}
    for (name, brick), answer in answered:
        volume = volumes[name]
        assert volume
        info = records.volumes[name] or {}
        default = float(info.get("features.default-soft-limit", "80%").rstrip("%") or "80")
        for each in answer["quotas"]:
            quota = on_disk.Quota(*each)
            if quota.limit < 0 and quota.object_limit < 0:
                continue  # not healed to this brick yet, or not ours to see
            percent = default if quota.soft_percent < 0 else quota.soft_percent
            key = name, quota.gfid, brick.set
            other = found.get(key)
            found[key] = Quota(
                name,
                quota.gfid,
                quota.path,
                brick.set,
                max(quota.limit, other.limit if other else -1),
                int(max(quota.limit, 0) * percent / 100),
                max(quota.object_limit, other.object_limit if other else -1),
                max(
                    quota.used * (volume.disperse - volume.redundancy or 1),
                    other.used if other else 0,
                ),
                max(quota.files, other.files if other else 0),
                max(quota.directories, other.directories if other else 0),
            )
    return tuple(found.values())
