"""Who is in the tables of files and clients, and what is said of those who are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def harness(core_harness: Callable[[str, str], Path]) -> Path:
    return core_harness("table_harness", "-O2 -fsanitize=address,undefined")


def shown(harness: Path, directory: Path, scenario: str) -> dict[str, int]:
    """What the harness prints of a scenario."""
    done = subprocess.run(
        [harness, directory, scenario], check=True, capture_output=True, text=True
    )
    pairs = (line.split() for line in done.stdout.splitlines())
    return {name: int(value) for name, value in pairs}


def test_what_is_small_decays_by_its_half_life(harness: Path, tmp_path: Path) -> None:
    found = shown(harness, tmp_path, "decay")
    assert found["cells"] == pytest.approx(found["cells-before"] / 2, rel=0.02)
    assert found["scores"] == pytest.approx(found["scores-before"] / 2, rel=0.02)
    # Less the mean of the cells is what the sketch says of a file.
    assert found["sum"] == found["cells"]
