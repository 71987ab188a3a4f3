"""New packages of ours and of GlusterFS, one node after the other, under load."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cluster.client_work import Work
from tests.cluster.expected import GAP, NODE_LOST_GAP
from tests.cluster.machine import Machine
from tests.cluster.monitor import Monitor
from tests.cluster.pool import NODES, Volume
from tests.cluster.test_cluster_install import SERVICE, SOCKET, state, url, use_address, use_socket
from tests.support.gluster.monitored import get
from tests.support.gluster.volumes import wait_for
from tests.support.roots import NAMES, newer

GLUSTERFS = ("glusterfs-cli", "glusterfs-client", "glusterfs-common", "glusterfs-server")
GLUSTERFS += ("libgfapi0", "libgfchangelog0", "libgfrpc0", "libgfxdr0", "libglusterd0")
GLUSTERFS += ("libglusterfs0",)


@pytest.mark.timeout(900)
def test_ours(
    data: Volume,
    work: Work,
    monitor: Monitor,
    enabled: Machine,
    debs: list[Path],
    tmp_path: Path,
) -> None:
    nodes = data.pool.nodes
    by_socket = nodes[1]
    use_socket(by_socket)
    before = {brick: data.pid(brick) for brick in data.bricks}
    upgrades = [newer(deb, tmp_path) for deb in debs]
    with monitor.alerting(), work.unharmed(gap=GAP):
        for node in nodes:
            node.install(*upgrades)
            assert state(node, SERVICE) == "active"
            assert get(f"{url(node)}/metrics")
            wait_for(lambda: monitor.up() == dict.fromkeys(NODES, 1), "it to be scraped")
    assert state(by_socket, SOCKET) == "active"
    for node in nodes:
        for name in NAMES:
            version = node.run("dpkg-query", "--show", "--showformat=${Version}", name)
            assert version.startswith("1:")
        assert node.failed_units("gl*") == []
    assert {brick: data.pid(brick) for brick in data.bricks} == before

    # Bricks still run the old translator, which status tells, and restart mends.
    words = ("glupy-exporter", "xlator", "status", data.name, "--json")
    told = enabled.attempt(*words)
    assert [row["ok"] for row in json.loads(told.stdout)] == [False] * 3, told.stdout
    assert told.returncode == 1
    with monitor.alerting(), work.unharmed(gap=GAP):
        said = enabled.glupy("xlator", "restart", data.name, "--yes")
    assert re.findall(r"^restarting (.*)$", said, re.MULTILINE) == data.bricks
    assert enabled.attempt(*words).returncode == 0
    use_address(by_socket)


@pytest.mark.timeout(900)
def test_of_glusterfs(data: Volume, work: Work, monitor: Monitor, enabled: Machine) -> None:
    with monitor.alerting(perhaps=["GlupyBrickDown"]), work.unharmed(gap=NODE_LOST_GAP):
        for node in data.pool.nodes:
            node.apt("install", "--reinstall", "--no-download", *GLUSTERFS)
            data.pool.wait_for_peers()
            data.wait_for_bricks()
            data.wait_for_heal()
    assert enabled.attempt("glupy-exporter", "xlator", "status", data.name).returncode == 0
