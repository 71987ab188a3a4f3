"""No test outlasts its time limit for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HANGING = Path(__file__).with_name("uninterruptible.py")


def test_a_session_ends_if_a_test_cannot_be_interrupted() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", HANGING]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "in test_that_cannot_be_interrupted" in done.stderr
