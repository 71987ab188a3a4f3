"""A state file with everything in it, and glusterd's files as glusterd 10.3 wrote them."""

from __future__ import annotations

import tarfile
import time
from pathlib import Path

from glupy_exporter.node import nodestate
from glupy_exporter.node.nodestate import (
    Blame,
    Brick,
    Daemon,
    GeoReplication,
    NodeState,
    Peer,
    Quota,
    Rebalance,
    Snapshots,
    ThinPool,
    Volume,
    Worker,
)

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

QUOTA = "17cd749a-dd38-4ad0-8248-78ae907254a3"
BLAMED = "65685fe3-8d1e-4a97-b14b-854eff44fae1"
HERE = "8eaf3074-aa12-4ee4-a35b-45e97ce2a877"
"""The node of whose glusterd the files are."""


def glusterd(directory: Path) -> Path:
    """The working directory of a glusterd 10.3, unpacked in ``directory``.

    One node has the volumes rep (2 x 2, quotas, shards, a geo-replication session), arb (2 + 1), ec
    (2 + 1), dist (3 bricks after a rebalance; bitrot and user-serviceable snapshots) and stopped,
    which was never started. volume-info-10.3.xml has what `gluster volume info --xml` said.
    """
    with tarfile.open(FIXTURES / "glusterd-10.3.tgz") as archive:
        archive.extractall(directory)
    return directory / "glusterd"


def full(now: float | None = None) -> NodeState:
    """A state that gives a row to every family of metrics from it."""
    options = {**dict.fromkeys(nodestate.OPTIONS, ""), "shard": "on", "quorum_type": "auto"}
    bricks = (
        Brick("/bricks/b0", "node1", 49152, 0, 0, True),
        Brick("/bricks/b1", "node1", 0, 1, 2, False),
    )
    replicated = Volume(
        frozenset({"/bricks/b0", "/bricks/b1"}),
        *(True, True, "Distributed-Replicate", "0-1", "tcp"),
        distribute=2,
        replica=3,
        arbiter=1,
        quorum=2,
        options=options,
        here=bricks,
    )
    dispersed = Volume(
        frozenset({"/bricks/e0"}),
        *(False, True, "Disperse", "0-2", "tcp"),
        distribute=1,
        disperse=6,
        redundancy=2,
        quorum=4,
        options=options,
        here=(Brick("/bricks/e0", "node1", 49153, 0, 5, False),),
    )
    return NodeState(
        time=time.time() if now is None else now,
        volumes={
            "v0": replicated,
            "v1": dispersed._replace(bricks=frozenset({"/bricks/b1"}), here=()),
            "ec": dispersed,
            "changing": None,
            "elsewhere": replicated._replace(bricks=frozenset(), here=()),
        },
        version=nodestate.VERSION,
        seconds=0.25,
        parts={"volumes": "files of changing are incomplete", "peers": ""},
        nodes=3,
        peers=(Peer("node2", "befriended"), Peer("node3", "rejected")),
        daemons=(
            Daemon("glusterd", "", True, 12.5, 2**25, 1_700_000_000.5),
            Daemon("snapd", "v0", False),
        ),
        rebalances={
            "v0": Rebalance("completed", 23, 203, 50, 1, 2, 1.5),
            "ec": Rebalance("fix-layout in progress"),
        },
        snapshots={
            "v0": Snapshots(5, 2, 1_700_000_000, 100, 90),
            "elsewhere": Snapshots(1, 0, 1, 256, 230),
        },
        geo_replication=(
            GeoReplication(
                "v0",
                "remote::copy",
                "Started",
                (
                    Worker("/bricks/b0", "Active", "Changelog Crawl", 1_700_000_000.0, 1, 2, 3, 4),
                    Worker("/bricks/b1", "Faulty"),
                ),
            ),
        ),
        quotas=(
            Quota("v0", QUOTA, "/a\\xff", 0, 1000, 800, 50, 700, 20, 3),
            Quota("v0", QUOTA, "/a\\xff", 1, 1000, 800, 50, 200, 10, 4),
        ),
        blames=(
            Blame("v0", "/bricks/b0", 0, BLAMED, "data", 1),
            Blame("v0", "/bricks/b0", 0, BLAMED, "metadata", 2),
        ),
        thin_pools=(ThinPool("vg", "pool", 2**40, 2**39, 2**30, 2**28, (("v0", "/bricks/b0"),)),),
    )


def write(path: Path, state: NodeState) -> Path:
    """Put a state into a file."""
    path.write_bytes(nodestate.render(state))
    return path
