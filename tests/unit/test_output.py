"""Standard output that is closed, full, or has no reader any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import segments

COMMAND = (sys.executable, "-m", "glupy_exporter.entry")


def run(redirection: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command under a shell that redirects its streams."""
    shell = ("sh", "-c", f'exec "$@" {redirection}', "sh")
    return subprocess.run(
        [*shell, *COMMAND, *words], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    segments.Segment("v", "/bricks/b", fops={"read": segments.Fop({0: 1})}).write(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("redirection", "why"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
@pytest.mark.parametrize("command", ["dump", "top --once --json"])
def test_output_that_cannot_be_written(
    directory: Path, redirection: str, why: str, command: str
) -> None:
    with segments.locked(next(directory.glob("*.seg"))):
        done = run(redirection, *command.split(), f"--segment.dir={directory}")
    assert done.stderr == f"glupy-exporter: cannot write to standard output: {why}\n"
    assert done.returncode == 2


def test_no_file_takes_the_place_of_a_closed_stream(directory: Path) -> None:
    segment = next(directory.glob("*.seg"))
    before = segment.read_bytes()
    done = run("<&- >&- 2>&-", "dump", f"--segment.dir={directory}")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    assert segment.read_bytes() == before


def test_a_reader_that_has_gone(directory: Path) -> None:
    done = run("| true", "dump", f"--segment.dir={directory}")
    assert done.stderr == ""
