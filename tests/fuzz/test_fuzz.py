"""A short run of every fuzzer, from the corpus; `make fuzz` runs them for longer."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = "20"
LEAST_RUNS = {
    "segment": 200,
    "config": 1000,
    "web-config": 1000,
    "request": 1000,
    "state": 300,
    "core": 2000,
}
"""On a slow and busy machine; a fuzzer that does less has come to nothing."""

Need = Callable[[object, str], None]


def runs(*module: str) -> int:
    """How often a fuzzer ran its target; it must have found nothing."""
    command = [sys.executable, "-m", *module, SECONDS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr[-5000:]
    match = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert match, done.stderr[-5000:]
    return int(match[1])


@pytest.mark.parametrize("target", ["segment", "config", "web-config", "request", "state"])
def test_exporter(target: str, need: Need) -> None:
    need(importlib.util.find_spec("atheris"), "atheris, from PyPI for Linux on x86-64")
    need(Path("/dev/shm").is_dir(), "/dev/shm")
    assert runs("tests.fuzz.run", target) >= LEAST_RUNS[target]


def test_core(need: Need) -> None:
    need(shutil.which("clang"), "clang (Debian: clang and libclang-rt-14-dev)")
    need(shutil.which("glusterfsd"), "GlusterFS")
    assert runs("tests.fuzz.core") >= LEAST_RUNS["core"]
