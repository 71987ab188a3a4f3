"""The facts from the disks of this node's bricks: quotas, entries in split-brain, thin pools."""

from __future__ import annotations

from glupy_exporter.metrics.base import OfState, Rows
from glupy_exporter.metrics.family import Family
from glupy_exporter.node.labels import fitting
from glupy_exporter.node.nodestate import NodeState
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.segment.records import Activity, File


def _family(name: str, help_text: str, *labels: str) -> Family:
    return Family(f"glupy_{name}", "gauge", help_text, labels, of_brick=False)


_OF_QUOTA = ("volume", "gfid", "path")
LIMIT = _family(
    "quota_limit_bytes",
    "Limit of a directory's size, in bytes: soft, beyond which the bricks warn, or hard, beyond "
    "which nobody can write.",
    *(*_OF_QUOTA, "limit"),
)
USED = _family(
    "quota_used_bytes",
    "Size of a directory with a quota on one replica or disperse set of the volume, in bytes, as "
    "`gluster volume quota` counts it.",
    *(*_OF_QUOTA, "subvolume"),
)
OBJECT_LIMIT = _family(
    "quota_limit_objects",
    "Limit of the number of files and directories in a directory.",
    *_OF_QUOTA,
)
FILES = _family(
    "quota_used_files",
    "Number of files in a directory with a quota, on one set of the volume.",
    *(*_OF_QUOTA, "subvolume"),
)
DIRECTORIES = _family(
    "quota_used_directories",
    "Number of directories in a directory with a quota, itself included; every set has all of "
    "them.",
    *_OF_QUOTA,
)
BLAME = _family(
    "heal_blame",
    "Always 1; an entry for which this brick's record has said for ten minutes that another brick "
    "of the set lacks changes of one kind; blamed is that brick's place in the set.",
    *("volume", "brick", "subvolume", "gfid", "kind", "blamed"),
)
_OF_POOL = ("vg", "pool")
POOL_SIZE = _family(
    "thin_pool_size_bytes", "Size of the data of an LVM thin pool with bricks, in bytes.", *_OF_POOL
)
POOL_USED = _family(
    "thin_pool_used_bytes", "Used data of an LVM thin pool with bricks, in bytes.", *_OF_POOL
)
METADATA_SIZE = _family(
    "thin_pool_metadata_size_bytes",
    "Size of the metadata of an LVM thin pool with bricks, in bytes.",
    *_OF_POOL,
)
METADATA_USED = _family(
    "thin_pool_metadata_used_bytes",
    "Used metadata of an LVM thin pool with bricks, in bytes.",
    *_OF_POOL,
)
POOL_BRICK = _family(
    "brick_thin_pool_info",
    "Always 1; the LVM thin pool that a brick is on.",
    *("volume", "brick", *_OF_POOL),
)

_MORE = """\
These metrics are from the state file, so they are up to a minute old. The job asks only bricks
whose process runs. If a disk does not answer in five seconds, its bricks have no rows, and
`glupy_state_part_success` is 0.

This query gives the use of a quota: `sum by (cluster, volume, gfid) (max by (cluster, volume, gfid,
subvolume) (glupy_quota_used_bytes))`. Each set has some of the files, and each replica of the set
has all of these. At most 1000 directories of a volume have rows. The privacy options apply to their
paths.

`glupy_heal_blame` is for joins: an entry is in split-brain if each brick of its set is blamed by
another one (`cluster_volume:glupy_split_brain_entries:count`). The job looks at up to 1000 entries
of each brick's index, and the first 64 that blame another brick have rows. So the count is exact
while fewer entries wait for a heal, and too low otherwise. These attributes do not show two kinds
of split-brain: two files of the same name with different gfids, and entries for which the arbiter
is the only brick without blame."""


class Disks(OfState):
    """Quotas, blame and thin pools."""

    name = "disks"
    help = "directories with a quota, entries that wait for a heal, and LVM thin pools"
    families = (
        *(LIMIT, USED, OBJECT_LIMIT, FILES, DIRECTORIES, BLAME),
        *(POOL_SIZE, POOL_USED, METADATA_SIZE, METADATA_USED, POOL_BRICK),
    )
    more = _MORE

    def fill(self, rows: Rows, state: NodeState) -> None:
        """Put in quotas, blame and thin pools."""
        _quotas(rows, state, self.privacy)
        for each in state.blames:
            place = each.volume, fitting(each.brick), str(each.set)
            rows[BLAME][(*place, each.gfid, each.kind, str(each.blamed))] = 1
        _thin_pools(rows, state)


_NONE = Activity((), (), ())


def _quotas(rows: Rows, state: NodeState, privacy: Privacy) -> None:
    for quota in state.quotas:
        file = File(quota.gfid, quota.path, False, False, "directory", _NONE)
        if not privacy.shown(file):
            continue
        key = quota.volume, quota.gfid, privacy.path(file)
        on_set = (*key, str(quota.set))
        if quota.limit >= 0:
            rows[LIMIT][(*key, "hard")] = quota.limit
            rows[LIMIT][(*key, "soft")] = quota.soft_limit
        rows[USED][on_set] = quota.used
        if quota.object_limit >= 0:
            rows[OBJECT_LIMIT][key] = quota.object_limit
        rows[FILES][on_set] = quota.files
        known = rows[DIRECTORIES].get(key, 0)
        assert isinstance(known, int)
        rows[DIRECTORIES][key] = max(known, quota.directories)


def _thin_pools(rows: Rows, state: NodeState) -> None:
    for pool in state.thin_pools:
        key = fitting(pool.vg), fitting(pool.name)
        rows[POOL_SIZE][key] = pool.size
        rows[POOL_USED][key] = pool.used
        rows[METADATA_SIZE][key] = pool.metadata_size
        rows[METADATA_USED][key] = pool.metadata_used
        for volume, brick in pool.bricks:
            rows[POOL_BRICK][(volume, fitting(brick), *key)] = 1
