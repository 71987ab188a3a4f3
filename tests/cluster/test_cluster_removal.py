"""The packages go: not while bricks need them, then without a trace."""

from __future__ import annotations

from tests.cluster.client_work import Work
from tests.cluster.expected import NODE_LOST_GAP
from tests.cluster.machine import Machine
from tests.cluster.monitor import leave_timer
from tests.cluster.pool import Pool, Volume, side_by_side
from tests.support.roots import NAMES

TRANSLATOR = NAMES[1]


def test_refused_while_bricks_need_it(data: Volume, work: Work, enabled: Machine) -> None:
    with work.unharmed(gap=NODE_LOST_GAP):
        done = enabled.attempt("apt-get", "--yes", "remove", TRANSLATOR)
        assert done.returncode
        assert f"glupy-exporter xlator disable {data.name}" in done.stdout + done.stderr
        shown = enabled.run("dpkg-query", "--show", "--showformat=${db:Status-Status}", TRANSLATOR)
        assert shown == "installed"
        data.kill(data.bricks[0])
        data.gluster("start", "force")
        data.wait_for_bricks()


def test_removed(installed: Pool, data: Volume, work: Work, disabled: Machine) -> None:
    side_by_side(leave_timer, installed.nodes)
    with work.unharmed(gap=NODE_LOST_GAP):
        side_by_side(lambda node: node.apt("purge", *NAMES), installed.nodes)
        for node in installed.nodes:
            assert node.ours() == set()
            assert node.failed_units("gl*") == []
        data.kill(data.bricks[0])
        data.gluster("start", "force")
        data.wait_for_bricks()
