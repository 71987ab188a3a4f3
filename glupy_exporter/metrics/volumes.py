"""Volumes and this node's bricks as glusterd has them on record."""

from __future__ import annotations

from glupy_exporter.metrics.base import OfState, Rows
from glupy_exporter.metrics.family import Family
from glupy_exporter.node.labels import fitting
from glupy_exporter.node.nodestate import OPTIONS, NodeState


def _family(name: str, help_text: str, *more: str) -> Family:
    return Family(f"glupy_{name}", "gauge", help_text, ("volume", *more), of_brick=False)


INFO = _family(
    "volume_info",
    "Always 1; the labels have the volume's type as `gluster volume info` names it, its transport "
    "and its id.",
    *("type", "transport", "volume_id"),
)
OPTIONS_INFO = _family(
    "volume_options_info",
    "Always 1; each label has the value of an option of the volume or of the pool as it was set, "
    "empty if it was not.",
    *OPTIONS,
)
SETS = _family(
    "volume_sets",
    "Number of the volume's replica or disperse sets, or of its bricks if it has neither.",
)
SET_BRICKS = _family(
    "volume_set_bricks", "Number of bricks of each set of the volume, arbiters included."
)
QUORUM = _family(
    "volume_set_quorum_bricks",
    "Number of bricks of a set that have to run so that clients can use the set, by the "
    "volume's type and its options of quorum.",
)
REPLICAS = _family(
    "volume_replica_bricks",
    "Number of bricks of a set that hold the same files, arbiters included; replicated volumes "
    "only.",
)
ARBITERS = _family(
    "volume_arbiter_bricks",
    "Number of bricks of a set that hold names and attributes only; volumes with an arbiter only.",
)
REDUNDANCY = _family(
    "volume_redundancy_bricks",
    "Number of bricks of a set that may be lost without loss of data; dispersed volumes only.",
)
BRICK = _family(
    "brick_config_info",
    "Always 1; the labels have the brick's host and port on record (0 if there is none), the index "
    "of its set (subvolume) and its place in the set.",
    *("brick", "hostname", "port", "subvolume", "place"),
)
ONLINE = _family(
    "brick_online",
    "1 if the process that glusterd has on record for the brick ran when the state was learned, 0 "
    "if not.",
    *("brick", "subvolume"),
)

_MORE = """\
These metrics are from the state file, so they are up to a minute old, and absent if the file is
missing or older than ten minutes. There are rows for volumes with bricks on this node. So all nodes
with bricks of a volume have the same rows of it, which `max by (cluster, volume)` folds. Only the
brick's own node has the rows of a brick. `glupy_brick_online` also has bricks without the
translator. For bricks with it, `glupy_brick_up` is better, as it is no older than the scrape.

With `cluster.quorum-type: auto`, half of the bricks of a set are enough if their number is even,
but only if the first brick is among them. `glupy_volume_set_quorum_bricks` does not tell that."""


class Volumes(OfState):
    """Volumes by glusterd's record."""

    name = "volumes"
    help = "type, sets, quorum and options of volumes, and the bricks that glusterd has on record"
    families = (
        *(INFO, OPTIONS_INFO, SETS, SET_BRICKS, QUORUM, REPLICAS, ARBITERS, REDUNDANCY),
        *(BRICK, ONLINE),
    )
    more = _MORE

    def fill(self, rows: Rows, state: NodeState) -> None:
        """Put in the volumes with bricks here."""
        for name, volume in state.here.items():
            if not volume.type:
                continue
            rows[INFO][name, volume.type, volume.transport, volume.id] = 1
            values = tuple(volume.options.get(label, "") for label in OPTIONS)
            rows[OPTIONS_INFO][(name, *values)] = 1
            rows[SETS][name,] = volume.distribute
            rows[SET_BRICKS][name,] = volume.set_bricks
            rows[QUORUM][name,] = volume.quorum
            for family, number in (
                (REPLICAS, volume.replica),
                (ARBITERS, volume.arbiter),
                (REDUNDANCY, volume.redundancy),
            ):
                if number:
                    rows[family][name,] = number
            for brick in volume.here:
                path, subvolume = fitting(brick.path), str(brick.set)
                about = brick.host, str(brick.port), subvolume, str(brick.place)
                rows[BRICK][(name, path, *about)] = 1
                rows[ONLINE][name, path, subvolume] = int(brick.online)
