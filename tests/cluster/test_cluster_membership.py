"""Nodes that join and leave, and bricks that are added and replaced."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.cluster.client_work import work as working
from tests.cluster.expected import GAP, NODE_LOST_GAP, PING_TIMEOUT
from tests.cluster.monitor import Monitor
from tests.cluster.pool import CLIENT, GLUSTER, NODES, Pool, Volume, volume
from tests.cluster.test_cluster_kinds import status, up
from tests.support.gluster.volumes import wait_for


def known(pool: Pool) -> None:
    """Have each node look now at what glusterd has on record, as it does once a minute."""
    for node in pool.nodes:
        node.run("systemctl", "start", "glupy-state.service")


def add(made: Volume, *places: str) -> None:
    """Add bricks to a volume."""
    made.gluster("add-brick", *places)
    made.bricks += places


@pytest.mark.timeout(900)
def test_bricks_are_added_and_replaced(installed: Pool, monitor: Monitor) -> None:
    timeout = {"network__ping_timeout": str(PING_TIMEOUT)}
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(volume(installed, "grown", "replica", "3", **timeout))
        installed.nodes[0].glupy("xlator", "enable", made.name, "--yes")
        work = stack.enter_context(working(made))
        with work.unharmed(gap=GAP):
            add(made, *(f"{node}:/bricks/more" for node in NODES))
            made.wait_for_bricks()
            assert status(made) == {}, "an added brick has the translator from its start"
        known(installed)
        wait_for(
            lambda: up(monitor, made) == dict.fromkeys(made.bricks, 1), "the new bricks to be seen"
        )

        replaced, fresh = "node3:/bricks/grown0", "node3:/bricks/fresh"
        with work.unharmed(gap=NODE_LOST_GAP):
            made.gluster("replace-brick", replaced, fresh, "commit", "force")
            made.bricks[made.bricks.index(replaced)] = fresh
            made.wait_for_bricks()
            made.wait_for_heal()
            assert status(made) == {}, "the brick in its place has the translator from its start"
        known(installed)
        wait_for(
            lambda: up(monitor, made) == dict.fromkeys(made.bricks, 1),
            "the replaced brick to be forgotten",
        )

        # Now that another one dies, the replaced one must not be taken for dead too.
        with work.unharmed(gap=NODE_LOST_GAP):
            made.kill(made.bricks[1])
            alert = monitor.wait_for_alert("GlupyBrickDown", volume=made.name)
            assert (alert["host"], alert["brick"]) == ("node2", "/bricks/grown0")
            made.gluster("start", "force")
        monitor.wait_for_peace("GlupyBrickDown", volume=made.name)


@pytest.mark.timeout(900)
def test_a_node_joins_and_leaves(installed: Pool, monitor: Monitor, debs: list[Path]) -> None:
    first, newcomer = installed.nodes[0], installed.client
    first.run(*GLUSTER, "peer", "probe", CLIENT)
    wait_for(lambda: CLIENT in first.peers(), "the new node to be a peer")
    newcomer.install(*debs)
    known(installed)
    every = dict.fromkeys((*NODES, CLIENT), 1)
    wait_for(lambda: monitor.up() == every, "the new node to be scraped", 60)
    monitor.wait_for_calm("a node without bricks is no fault")

    first.run(*GLUSTER, "peer", "detach", CLIENT)
    known(installed)
    wait_for(lambda: monitor.up() == dict.fromkeys(NODES, 1), "it to be forgotten", 60)
    newcomer.apt("purge", *(deb.name.split("_")[0] for deb in debs))
    assert not monitor.firing()
