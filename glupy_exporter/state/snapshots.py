"""The snapshots of each volume, from ``snaps/NAME/info`` and ``snaps/NAME/UUID/info``."""

from __future__ import annotations

from collections import defaultdict

from glupy_exporter.node import glusterd
from glupy_exporter.node.nodestate import Snapshots
from glupy_exporter.state.records import Records
from glupy_exporter.state.volumes import STARTED

MAX = 10_000
"""The most snapshots that are looked at."""

# glusterd.h: GLUSTERD_SNAPS_MAX_HARD_LIMIT, GLUSTERD_SNAPS_DEF_SOFT_LIMIT_PERCENT, and
# GD_SNAP_STATUS_IN_USE.
_HARD_LIMIT = 256
_SOFT_PERCENT = 90
_IN_USE = "2"


def snapshots(records: Records) -> dict[str, Snapshots]:
    """The snapshots of each volume that has any, by the volume's name.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file holds something else, or there are too many snapshots.
    """
    found: defaultdict[str, list[tuple[int, bool]]] = defaultdict(list)
    for number, path in enumerate(records.directory.glob("snaps/*/info")):
        if number == MAX:
            raise ValueError(f"there are more than {MAX} snapshots")
        try:
            snapshot = glusterd.record(path)
            copies = [glusterd.record(copy) for copy in path.parent.glob("*/info")]
        except FileNotFoundError:  # it has just been deleted
            continue
        if snapshot.get("status") == _IN_USE:
            for copy in copies:
                created = int(snapshot.get("time-stamp") or "0")
                active = copy.get("status") == STARTED
                found[copy.get("parent_volname", "")].append((created, active))
    return {
        name: Snapshots(
            len(taken),
            sum(active for _, active in taken),
            min(created for created, _ in taken),
            *_limits(records, name),
        )
        for name, taken in found.items()
        if name in records.volumes
    }


def _limits(records: Records, volume: str) -> tuple[int, int]:
    """The numbers of snapshots at which glusterd refuses another one, and at which it warns."""
    info = records.volumes[volume] or {}
    known = (info.get("snap-max-hard-limit"), records.options.get("snap-max-hard-limit"))
    hard = min(int(limit or _HARD_LIMIT) for limit in known)
    percent = int(records.options.get("snap-max-soft-limit") or _SOFT_PERCENT)
    return hard, hard * percent // 100
