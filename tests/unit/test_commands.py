"""Programs that the translator's commands run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from glupy_exporter import commands

RUNS = 200
MANY_RUNS = f"""
from glupy_exporter import commands, interrupts
with interrupts.deferred("all have run"):
    print("ready", flush=True)
    for _ in range({RUNS}):
        print(commands.run(["true"], 20, undisturbed=True).returncode, flush=True)
"""


def test_a_signal_for_the_terminal_ends_no_gluster_that_is_being_started() -> None:
    """Until it has a session of its own, the signal is for it as well."""
    caller = subprocess.Popen(
        [sys.executable, "-c", MANY_RUNS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with caller:
        assert caller.stdout and caller.stdout.readline() == "ready\n"
        for _ in range(RUNS):
            os.killpg(caller.pid, signal.SIGHUP)
            assert caller.stdout.readline() == "0\n"


def test_output_is_no_text_with_lines_of_its_own() -> None:
    done = commands.run(["printf", r"a\rb\377"], 20, given="nothing that it reads")
    assert done.stdout == "a\rb\ufffd"
