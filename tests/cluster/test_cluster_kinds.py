"""Bricks that share a process, and a dispersed volume."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.cluster.client_work import work as working
from tests.cluster.expected import GAP, NODE_LOST_GAP, PING_TIMEOUT
from tests.cluster.monitor import Monitor
from tests.cluster.pool import GLUSTER, NODES, Pool, Volume, volume
from tests.support.gluster.volumes import wait_for


def status(made: Volume) -> dict[str, str]:
    """The note about each brick that ``xlator status`` says is not well, by the brick."""
    words = ("glupy-exporter", "xlator", "status", made.name, "--json")
    done = made.pool.nodes[0].attempt(*words)
    found = json.loads(done.stdout)
    assert {row["brick"] for row in found} == set(made.bricks)
    assert done.returncode == (0 if all(row["ok"] for row in found) else 1)
    return {row["brick"]: row["note"] or row["version"] for row in found if not row["ok"]}


def up(monitor: Monitor, made: Volume) -> dict[str, float]:
    """``glupy_brick_up`` of each brick, by the brick."""
    found = monitor.query(f'glupy_brick_up{{volume="{made.name}"}}')
    return {f"{labels['host']}:{labels['brick']}": value for labels, value in found}


@contextlib.contextmanager
def multiplexing(pool: Pool) -> Iterator[None]:
    """Bricks that start from now on share one process on each node."""
    node = pool.nodes[0]
    node.run(*GLUSTER, "volume", "set", "all", "cluster.brick-multiplex", "on")
    try:
        yield
    finally:
        node.run(*GLUSTER, "volume", "reset", "all", "cluster.brick-multiplex")


@pytest.mark.timeout(900)
def test_bricks_that_share_a_process(installed: Pool, monitor: Monitor) -> None:
    timeout = {"network__ping_timeout": str(PING_TIMEOUT)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(multiplexing(installed))
        made, neighbour = (
            stack.enter_context(volume(installed, name, "replica", "3", **timeout))
            for name in ("shared", "neighbour")
        )
        processes = [made.process(brick) for brick in made.bricks]
        assert processes == [neighbour.process(brick) for brick in neighbour.bricks]
        both = [stack.enter_context(working(each)) for each in (made, neighbour)]
        with both[0].unharmed(gap=GAP), both[1].unharmed(gap=GAP):
            installed.nodes[0].glupy("xlator", "enable", made.name, "--yes")
        for each in (made, neighbour):
            assert [each.process(brick) for brick in each.bricks] == processes
        assert status(made) == {}
        every = dict.fromkeys(made.bricks, 1)
        wait_for(lambda: up(monitor, made) == every, "all bricks to be seen")
        assert up(monitor, neighbour) == {}

        with both[0].unharmed(gap=NODE_LOST_GAP), both[1].unharmed(gap=NODE_LOST_GAP):
            os.kill(processes[1], signal.SIGKILL)
            (dead,) = (brick for brick in made.bricks if brick.startswith("node2:"))
            wait_for(lambda: made.offline() == {dead}, "glusterd to miss the brick")
            assert status(made).keys() == {dead}
            wait_for(lambda: up(monitor, made) == {**every, dead: 0}, "it to be seen as dead")
            for each in (made, neighbour):
                each.gluster("start", "force")
        assert status(made) == {}
        wait_for(lambda: up(monitor, made) == every, "all bricks to be seen again")


@pytest.mark.timeout(900)
def test_a_dispersed_volume(installed: Pool, monitor: Monitor) -> None:
    kind = ("disperse", "3", "redundancy", "1")
    timeout = {"network__ping_timeout": str(PING_TIMEOUT)}
    with volume(installed, "coded", *kind, **timeout) as made, working(made) as work:
        with work.unharmed(gap=NODE_LOST_GAP):
            installed.nodes[2].glupy("xlator", "enable", made.name, "--yes")
        assert status(made) == {}
        every = dict.fromkeys(made.bricks, 1)
        wait_for(lambda: up(monitor, made) == every, "all bricks to be seen")
        with work.unharmed(gap=NODE_LOST_GAP):
            made.kill(made.bricks[1])
            assert status(made).keys() == {made.bricks[1]}
            made.gluster("start", "force")
        writes = f'glupy_fop_duration_seconds_count{{volume="{made.name}",fop="write"}}'
        wait_for(
            lambda: len([value for _, value in monitor.query(writes) if value > 0]) == len(NODES),
            "writes to be counted on all bricks",
        )
