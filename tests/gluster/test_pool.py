"""A pool of several nodes, one Prometheus that knows the address of one of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter.builder import build
from glupy_exporter.operate import install
from tests.support.gluster.monitored import Prometheus, prometheus, seed_with
from tests.support.gluster.nodes import NETWORK, Node, network, node
from tests.support.gluster.volumes import wait_for

VOLUME = "pool"


@pytest.fixture
def installed(xlator: None, tmp_path: Path) -> Iterator[None]:
    """The peer script, which all nodes see, as they see GlusterFS itself."""
    script = install.peer_script()
    before = script.read_bytes() if script.exists() else None
    build.build(tmp_path)
    install.install(tmp_path, dry_run=False)
    yield
    if before is None:
        script.unlink()
    else:
        script.write_bytes(before)


def up(watching: Prometheus) -> dict[str, float]:
    """Whether each target answers, by host."""
    return {labels["host"]: value for labels, value in watching.query('up{job="glupy"}')}


def targets(watching: Prometheus) -> set[str]:
    """The hosts that are scraped."""
    return {found["labels"]["host"] for found in watching.ask("targets")["activeTargets"]}


def pooled(*nodes: Node) -> bool:
    """Whether every node knows all others."""
    every = {each.address for each in nodes}
    return all(each.peers() == every - {each.address} for each in nodes)


def write(on: Node, path: Path) -> None:
    on.run("dd", "if=/dev/zero", f"of={path}", "bs=4096", "count=100", "conv=fsync", "status=none")


@pytest.mark.timeout(900)
def test_a_pool_of_three_nodes(
    installed: None, tmp_path: Path, need: Callable[[object, str], None]
) -> None:
    need(shutil.which("ip"), "ip (Debian: iproute2)")
    need(shutil.which("prometheus"), "prometheus")
    with contextlib.ExitStack() as stack:
        stack.enter_context(network())
        first, second, third = (stack.enter_context(node(number)) for number in (1, 2, 3))
        three = (first, second, third)
        hosts = {each.address for each in three}
        for other in (second, third):
            first.gluster("peer", "probe", other.address)
        wait_for(lambda: pooled(*three), "the nodes to be a pool")
        bricks = [f"{on.address}:{on.directory}/bricks/{n}" for n in (1, 2) for on in three]
        first.gluster("volume", "create", VOLUME, "replica", "3", *bricks, "force")
        first.gluster("volume", "set", VOLUME, "network.ping-timeout", "3")
        first.gluster("volume", "start", VOLUME)

        # The translator gets into all bricks of all nodes, by a command on one of them.
        mount = stack.enter_context(first.mount(VOLUME))
        write(first, mount / "before")
        first.glupy("xlator", "enable", VOLUME, "--yes")
        for each in three:
            rows = json.loads(each.glupy("xlator", "status", VOLUME, "--json"))
            assert [row["ok"] for row in rows] == [True] * 6, rows
        write(first, mount / "after")

        for each in three:
            stack.enter_context(each.exporter())
        seed_with(tmp_path, first.address)
        watching = stack.enter_context(prometheus(tmp_path))
        wait_for(lambda: up(watching) == dict.fromkeys(hosts, 1), "all nodes to be scraped")
        wait_for(
            lambda: (
                watching.query(f'count by (host) (glupy_brick_up{{volume="{VOLUME}"}} == 1) == 2')
                and len(watching.query(f'glupy_brick_up{{volume="{VOLUME}"}} == 1')) == 6
            ),
            "two bricks of each node",
        )
        cut_off_and_back(watching, first, third, mount, hosts)
        join_and_leave(watching, first, hosts, stack)


def cut_off_and_back(
    watching: Prometheus, first: Node, third: Node, mount: Path, hosts: set[str]
) -> None:
    third.connect(False)
    alert = watching.wait_for_alert("GlupyNodeDown")
    assert (alert["host"], alert["severity"]) == (third.address, "critical")
    write(first, mount / "without")
    others = hosts - {third.address}
    assert up(watching) == {**dict.fromkeys(others, 1), third.address: 0}
    assert targets(watching) == hosts
    assert set(watching.firing()) == {"GlupyNodeDown"}

    third.connect(True)
    watching.wait_for_peace("GlupyNodeDown")
    wait_for(lambda: up(watching) == dict.fromkeys(hosts, 1), "all nodes to be scraped again")
    write(first, mount / "again")


def join_and_leave(
    watching: Prometheus, first: Node, hosts: set[str], stack: contextlib.ExitStack
) -> None:
    fourth = stack.enter_context(node(4))
    stack.enter_context(fourth.exporter())
    assert f"{NETWORK}.4" not in targets(watching)
    first.gluster("peer", "probe", fourth.address)
    wait_for(lambda: fourth.address in targets(watching), "the new node to be found", 60)
    wait_for(
        lambda: up(watching) == dict.fromkeys({*hosts, fourth.address}, 1),
        "the new node to be scraped",
    )
    first.gluster("peer", "detach", fourth.address)
    wait_for(lambda: targets(watching) == hosts, "the node that left to be forgotten", 60)
    assert "GlupyExporterDown" not in watching.firing()


def test_discover_prints_and_writes(glusterd: None, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "glupy_exporter.cli", "discover", "--cluster=c", "--port=1"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (group,) = json.loads(printed)
    assert group["targets"][0].endswith(":1")
    assert group["labels"]["__meta_glusterfs_cluster"] == "c"
    file = tmp_path / "targets.json"
    subprocess.run([*words, f"--file={file}"], check=True)
    assert file.read_text() == printed
