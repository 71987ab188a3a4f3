"""What the demo takes for its own on a machine that others use as well."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOUND = "import machine; print([pid for pid, _ in machine._glusterds()])"


def glusterds() -> str:
    """The glusterds that the demo finds; by a process, as its modules have names of the tests'."""
    path = {**os.environ, "PYTHONPATH": str(REPOSITORY / "deploy" / "demo")}
    command = [sys.executable, "-B", "-c", FOUND]
    return subprocess.run(command, env=path, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_the_glusterd_of_a_container_is_not_the_machines(
    need: Callable[[object, str], None],
) -> None:
    need(os.geteuid() == 0, "root")
    before = glusterds()
    script = "exec -a glusterd sh -c 'echo; read -r _'"
    for wrapped, found in ((["unshare", "--pid", "--fork", "--kill-child"], False), ([], True)):
        with subprocess.Popen(
            [*wrapped, "bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"\n"
            assert (glusterds() != before) == found
