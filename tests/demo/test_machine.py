"""What the demo takes for its own on a machine that others use as well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from deploy.demo import machine


def test_the_glusterd_of_a_container_is_not_the_machines(
    need: Callable[[object, str], None],
) -> None:
    need(os.geteuid() == 0, "root")
    before = machine._glusterds()
    script = "exec -a glusterd sh -c 'echo; read -r _'"
    for wrapped, found in ((["unshare", "--pid", "--fork", "--kill-child"], False), ([], True)):
        with subprocess.Popen(
            [*wrapped, "bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"\n"
            assert (machine._glusterds() != before) == found
