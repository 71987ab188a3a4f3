"""The ground truth: on every brick the translator counts exactly what ``volume profile`` counts."""

from __future__ import annotations

import ctypes
import os

from tests.gluster import workload
from tests.gluster.compare import NOT_FOPS, assert_equal, settled
from tests.support.gluster.volumes import heal, pending_heals, volume, wait_for

UNREACHABLE = {
    **NOT_FOPS,
    "null": "the enum's zero, not a fop",
    "getspec": "an RPC between client and glusterd; no translator is called",
    "compound": "no client has sent it since GlusterFS 4.1 dropped AFR's use of it",
    "fentrylk": "every client translator that locks an entry does so by path (entrylk)",
    "getactivelk": "sent by a rebalance process with cluster.lock-migration only",
    "setactivelk": "sent by a rebalance process with cluster.lock-migration only",
    "put": "no client sends it, and io-stats does not count it",
    "icreate": "wound by features/metadisp inside a brick only, which volgen never inserts",
    "namelink": "wound by features/metadisp inside a brick only, which volgen never inserts",
}
"""Every fop that no client of a replicated volume can make a brick execute, with the reason."""


def all_fops(count: int) -> set[str]:
    """The names of the fops that the installed GlusterFS knows."""
    names = (ctypes.c_char_p * count).in_dll(ctypes.CDLL("libglusterfs.so.0"), "gf_fop_list")
    return {name.decode().lower() for name in names if name}


def test_every_count_equals_volume_profile(xlator: None) -> None:
    options = {
        # All reads go to the first brick, which lives through the whole test.
        "cluster.choose-local": "off",
        "cluster.read-hash-mode": "0",
        "cluster.read-subvolume-index": "0",
        "cluster.data-self-heal-algorithm": "diff",  # compares checksums: rchecksum
    }
    with volume("replica", "2", bricks=2, options=options) as replica:
        first, second = replica.bricks
        with replica.mount("direct-io-mode=enable", "use-readdirp=no") as mount:
            workload.through_mount(mount)
            payload = mount / "heal"
            payload.write_bytes(os.urandom(1 << 20))
            replica.kill(second)
            wait_for(lambda: not replica.connected(mount, second), "the client to notice")
            payload.write_bytes(os.urandom(1 << 20))
            (mount / "made-meanwhile").mkdir()
            replica.start(force=True)
            wait_for(lambda: pending_heals(replica), "the heal to be known")
            heal(replica)
        workload.through_gfapi(replica.name)
        bricks = settled(replica)

        for brick in replica.bricks:
            assert_equal(*bricks[brick])
        reached = set(bricks[first][1].fops)
        assert len(reached) >= 35
        with replica.segment(first) as segment:
            known = all_fops(segment.spans["fop_names"].length)
        assert known - reached == set(UNREACHABLE)
        assert bricks[first][1].bytes["read"] > workload.BIG
