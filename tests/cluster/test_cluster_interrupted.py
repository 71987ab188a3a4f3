"""`enable` and `disable`, interrupted at each step: what was taken down comes back by itself."""

from __future__ import annotations

import os
import signal

import pytest

from tests.cluster.client_work import Work
from tests.cluster.expected import DISABLE_GAP, GAP
from tests.cluster.machine import Machine
from tests.cluster.monitor import Monitor
from tests.cluster.pool import Volume
from tests.support.gluster.volumes import wait_for

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
# Enabling is interrupted twice, so that bricks are left to go on with, then disabling once.
ENABLE_STEPS = (("^set ", "^restarting "), (" is down$", " is back; waiting"))
DISABLE_STEPS = ("^stopping ", "^setting the other options back")
# Each step meets one signal, and each signal one step of enabling; all of them with this set.
ROUNDS = len(SIGNALS) if os.environ.get("GLUPY_CLUSTER_ALL") else 1
BACK_SECONDS = 60


def interrupted(
    node: Machine, volume: Volume, command: str, step: str, number: signal.Signals
) -> tuple[int, str]:
    """The exit code and all output of a command that gets a signal when it prints ``step``.

    Soon afterwards nothing of it runs any more, and all bricks are back.
    """
    running = node.start("glupy-exporter", "xlator", command, volume.name, "--yes")
    running.wait_for_line(step, 120)
    running.signal(number)
    ended = running.finish(BACK_SECONDS)
    wait_for(lambda: not node.pids("glupy-exporter xlator"), "the standby to end", BACK_SECONDS)
    volume.wait_for_bricks(BACK_SECONDS)
    return ended


def assert_told(volume: Volume, number: signal.Signals, code: int, output: str) -> None:
    if number == signal.SIGKILL:
        assert code == -number
        return
    assert code == 128 + number, output
    told = output.splitlines()[-1]
    assert f"interrupted by {number.name}" in told, output
    assert volume.name in told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("half", range(len(ENABLE_STEPS)))
def test_interrupted(
    data: Volume, work: Work, monitor: Monitor, disabled: Machine, half: int, turn: int
) -> None:
    with monitor.alerting():
        with work.unharmed(gap=GAP):
            for place, step in enumerate(ENABLE_STEPS[half]):
                number = SIGNALS[(2 * half + place + turn) % len(SIGNALS)]
                code, output = interrupted(disabled, data, "enable", step, number)
                assert_told(data, number, code, output)
                data.wait_for_heal()
            disabled.glupy("xlator", "enable", data.name, "--yes")
        assert disabled.attempt("glupy-exporter", "xlator", "status", data.name).returncode == 0

        options = data.options()
        with work.unharmed(gap=DISABLE_GAP, failing=True):
            number = SIGNALS[(3 - 2 * half + turn) % len(SIGNALS)]
            code, output = interrupted(disabled, data, "disable", DISABLE_STEPS[half], number)
            assert_told(data, number, code, output)
            if "user.xlator.glupy" in data.options():
                assert number == signal.SIGKILL or "^stopping" in DISABLE_STEPS[half], output
                disabled.glupy("xlator", "disable", data.name, "--yes")
        del options["user.xlator.glupy"]
        assert data.options() == options
