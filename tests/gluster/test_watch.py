"""A test that hangs fails, and its session goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.mounts import mounts

HANGING = Path(__file__).with_name("hanging.py")


def test_a_test_that_hangs_fails_and_the_next_one_runs(glusterd: None) -> None:
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", HANGING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        printed, _ = session.communicate(timeout=300)
    assert session.returncode == 1, printed
    outcomes = set(re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", printed, re.MULTILINE))
    assert outcomes >= {
        ("FAILED", "test_in_its_own_call"),
        ("ERROR", "test_in_its_teardown"),
        ("PASSED", "test_that_comes_after_them"),
    }, printed
    assert "Timeout (>20.0s) from pytest-timeout" in printed
    abandoned = re.findall(r"^watch: over the limit of 20 s; (\S+) is abandoned$", printed, re.M)
    assert len(set(abandoned)) == 2
    left = f"/var/tmp/glupytest-{session.pid}-"
    assert mounts(left) == []
    here = ["--ns", str(os.getpid()), "--nslist", "pid"]
    words = ["pgrep", "--full", *here, f"glupytest-{session.pid}-"]
    assert subprocess.run(words, capture_output=True, text=True).stdout == ""
