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


def test_files_whose_gfids_were_chosen_to_be_alike_are_told_apart(
    harness: Path, tmp_path: Path
) -> None:
    found = shown(harness, tmp_path, "crafted")
    assert found["one-tag"] and not found["one-slot"]
    assert found["counted-first"] == found["counted-second"] == 1
    assert found["named-first"] and found["named-second"]


def test_fops_that_come_back_late_are_in_the_count_or_its_bound(
    harness: Path, tmp_path: Path
) -> None:
    found = shown(harness, tmp_path, "late")
    assert "found" not in found
    # 1 fop came back before the slot was lost and 100 while there was none.
    assert found["bound"] >= 101
    assert found["counted"] == 100


def test_a_connection_of_any_number_is_counted(harness: Path, tmp_path: Path) -> None:
    found = shown(harness, tmp_path, "seats")
    numbers = (0, 4095, 4096, 100000, 1048575)
    assert [found[f"early{number}"] for number in numbers] == [1, 1, 0, 0, 0]
    assert all(found[f"later{number}"] for number in numbers)
    # A process has no more open files, so it has no connection of such a number.
    assert not any(found[f"later{number}"] for number in (1048576, -1, 2**31 - 1, -(2**31)))
    assert found["connections"] == 5 and found["left"] == 0


def test_memory_is_charged_only_for_seats_that_are_wanted(harness: Path, tmp_path: Path) -> None:
    found = shown(harness, tmp_path, "seats")
    assert found["memory"] < 8192
    assert (found["memory-8192"], found["memory-all"]) == (64, (1 << 14) - 64)
