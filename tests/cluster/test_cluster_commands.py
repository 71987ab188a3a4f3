"""`xlator enable` and `disable` under load: from one node, from two at once, with one missing."""

from __future__ import annotations

import contextlib
import json
import re

from tests.cluster.client_work import Work
from tests.cluster.expected import DISABLE_GAP, GAP, NODE_ALERTS, NODE_LOST_GAP
from tests.cluster.machine import Machine
from tests.cluster.monitor import Monitor
from tests.cluster.pool import Pool, Volume, volume

OPTION = "user.xlator.glupy"


def test_enable_under_load(data: Volume, work: Work, monitor: Monitor, installed: Pool) -> None:
    before = {brick: data.pid(brick) for brick in data.bricks}
    monitor.wait_for_calm("not to be enabled yet is no fault")
    with monitor.alerting(), work.unharmed(gap=GAP):
        said = installed.nodes[0].glupy("xlator", "enable", data.name, "--yes")
    assert re.findall(r"^restarting (.*)$", said, re.MULTILINE) == data.bricks
    assert all(data.pid(brick) != pid for brick, pid in before.items())
    for node in installed.nodes:
        rows = json.loads(node.glupy("xlator", "status", data.name, "--json"))
        assert [row["ok"] for row in rows] == [True] * 3, rows
    of_volume = f'{{volume="{data.name}"}}'
    assert monitor.number(f"count(glupy_brick_up{of_volume} == 1)") == 3


def test_disable_under_load(data: Volume, work: Work, monitor: Monitor, enabled: Machine) -> None:
    before = data.options()
    assert before.pop(OPTION)
    with monitor.alerting(), work.unharmed(gap=DISABLE_GAP, failing=True):
        enabled.glupy("xlator", "disable", data.name, "--yes")
    assert data.options() == before


def test_two_at_once(data: Volume, work: Work, monitor: Monitor, disabled: Machine) -> None:
    others = data.pool.nodes[1:]
    command = ("glupy-exporter", "xlator", "enable", data.name, "--yes")
    with monitor.alerting(), work.unharmed(gap=GAP):
        running = {node.name: node.start(*command) for node in others}
        ended = {name: each.finish(180) for name, each in running.items()}
    codes = {name: code for name, (code, _) in ended.items()}
    assert sorted(codes.values()) == [0, 2], ended
    (winner,) = [name for name, code in codes.items() if code == 0]
    (loser,) = [output for code, output in ended.values() if code == 2]
    assert f"works on {data.name}, on {winner};" in loser
    assert len(loser.strip().splitlines()) == 1, loser


def test_with_a_node_down(data: Volume, work: Work, monitor: Monitor, enabled: Machine) -> None:
    *_, lost = data.pool.nodes
    with contextlib.ExitStack() as stack:
        spare = stack.enter_context(volume(data.pool, "spare", "replica", "3"))
        stack.enter_context(monitor.alerting(perhaps=NODE_ALERTS))
        stack.enter_context(work.unharmed(gap=NODE_LOST_GAP))
        before = {each.name: each.options() for each in (data, spare)}
        pids = {brick: data.pid(brick) for brick in data.bricks[:2]}
        with data.pool.without(lost, warned=True):
            for words in (
                ("enable", spare.name),
                ("enable", spare.name, "--dry-run"),
                ("disable", data.name),
                ("disable", data.name, "--dry-run"),
            ):
                done = enabled.attempt("glupy-exporter", "xlator", *words, "--yes", timeout=120)
                assert done.returncode == 2, done
                assert lost.name in done.stderr, done
                assert len(done.stderr.strip().splitlines()) == 1, done
            assert {each.name: each.options() for each in (data, spare)} == before
            assert {brick: data.pid(brick) for brick in data.bricks[:2]} == pids
