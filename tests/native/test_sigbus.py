"""A process outlives the file that it counts into; other bus errors end it as ever."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.native.conftest import NATIVE, WARNINGS
from tests.support.core import CORE


@pytest.mark.parametrize(
    ("what", "code"),
    [("covered", 0), ("handled", 7), ("default", -signal.SIGBUS), ("sent", -signal.SIGBUS)],
)
def test_truncated_file(what: str, code: int, compiler: str, tmp_path: Path) -> None:
    harness = tmp_path / "harness"
    sources = [str(NATIVE / "sigbus_harness.c"), str(CORE / "sigbus.c")]
    command = [compiler, *WARNINGS, "-D_GNU_SOURCE", f"-I{CORE}", *sources, "-o", str(harness)]
    subprocess.run(command, check=True)
    assert subprocess.run([harness, tmp_path, what], check=False).returncode == code
