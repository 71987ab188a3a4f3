"""Bricks that die, nodes that are lost, cut off or rebooted: what fires, and what clients see."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tests.cluster.client_work import Work
from tests.cluster.expected import NODE_ALERTS, NODE_LOST_GAP
from tests.cluster.machine import Machine
from tests.cluster.monitor import Monitor
from tests.cluster.pool import NODES, Volume
from tests.support.gluster.volumes import wait_for


def wait_until_up(monitor: Monitor) -> None:
    wait_for(lambda: monitor.up() == dict.fromkeys(NODES, 1), "all nodes to be scraped", 60)


def test_a_brick_is_killed(data: Volume, work: Work, monitor: Monitor, enabled: Machine) -> None:
    with monitor.alerting("GlupyBrickDown"), work.unharmed(gap=NODE_LOST_GAP):
        data.kill(data.bricks[1])
        alert = monitor.wait_for_alert("GlupyBrickDown", volume=data.name)
        assert f"{alert['host']}:{alert['brick']}" == data.bricks[1]
        data.gluster("start", "force")


def test_a_node_loses_its_power(
    data: Volume, work: Work, monitor: Monitor, enabled: Machine
) -> None:
    lost = data.pool.nodes[2]
    with monitor.alerting(*NODE_ALERTS), work.unharmed(gap=NODE_LOST_GAP):
        with data.pool.without(lost):
            for name in NODE_ALERTS:
                assert monitor.wait_for_alert(name)["host"] == lost.name
        data.wait_for_bricks()
        wait_until_up(monitor)
    assert lost.failed_units("gl*") == []


def test_a_node_is_cut_off(data: Volume, work: Work, monitor: Monitor, enabled: Machine) -> None:
    """No file is removed meanwhile: GlusterFS may forget to (docs/runbooks/GlupyFopsStuck.md).

    On the brick, a removal waits for the locks that other clients have on the file. If the
    connection of such a client ends, the brick frees the lock, and does not go on with the removal.
    """
    lost = data.pool.nodes[1]
    with (
        work.keeping(),
        monitor.alerting(*NODE_ALERTS),
        work.unharmed(gap=NODE_LOST_GAP),
    ):
        lost.connect(False)
        try:
            for name in NODE_ALERTS:
                assert monitor.wait_for_alert(name)["host"] == lost.name
        finally:
            lost.connect(True)
        data.pool.wait_for_peers()
        wait_until_up(monitor)


SCRAPE_SECONDS = 2.5
"""A little more than the hurried interval."""


def test_counters_begin_again_after_a_reboot(
    data: Volume, work: Work, monitor: Monitor, enabled: Machine
) -> None:
    rebooted = data.pool.nodes[2]

    counted = "glupy_fop_duration_seconds_count"
    labels = f'volume="{data.name}",fop="write"'

    def writes(host: str) -> float:
        """Those of the client: a heal of what happened before may still write."""
        heals = f"glupy_internal_fops_total{{volume='{data.name}',kind='write',host='{host}'}}"
        every = f"sum({counted}{{{labels},host='{host}'}})"
        return monitor.number(f"({every} or vector(0)) - (sum({heals}) or vector(0))")

    with paused(work):
        settle(monitor)
        before = {host: writes(host) for host in NODES}
        reported = len(work.reports)
    began = time.monotonic()
    with monitor.alerting(perhaps=NODE_ALERTS), work.unharmed(gap=NODE_LOST_GAP):
        rebooted.reboot()
        data.pool.wait_for_peers()
        data.wait_for_bricks()
        wait_until_up(monitor)
    wait_for(lambda: writes(rebooted.name) > 0, "the client to write to it again", 60)
    with paused(work):
        settle(monitor)
        after = {host: writes(host) for host in NODES}
        done = sum(report.done.get("writes", 0) for report in work.reports[reported:])
        seconds = time.monotonic() - began
        # The window begins and ends while nothing is written, so it has all that was.
        window = round(seconds + 3)
        increases = {
            host: monitor.number(f"increase({counted}{{{labels},host='{host}'}}[{window}s])")
            for host in NODES[:2]
        }
    assert 0 < after[rebooted.name] < done, "its counters have begun again"
    for host in NODES[:2]:
        assert after[host] - before[host] == done, "of a node that stayed on, all writes"
        # Prometheus extrapolates to both ends of the window, by an interval of scrapes at most.
        assert 0.99 * done < increases[host] < 1.01 * done * window / (window - 2 * SCRAPE_SECONDS)

    # No rate is out of reach.
    rates = f"rate({counted}{{{labels}}}[15s])[{round(seconds)}s:1s]"
    for found, value in monitor.query(f"min_over_time({rates})"):
        assert value >= 0, found
    pace = done / seconds
    for found, value in monitor.query(f"max_over_time({rates})"):
        assert value < 10 * pace, found


@contextlib.contextmanager
def paused(work: Work) -> Iterator[None]:
    """Nothing is written in the block."""
    work.pause()
    yield
    work.resume()


def settle(monitor: Monitor) -> None:
    """Wait until Prometheus has what is counted now."""
    asked = time.time()
    newest = 'min(timestamp(up{job="glupy"}))'
    wait_for(lambda: monitor.number(newest) > asked, "a scrape of every node")
