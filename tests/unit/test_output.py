"""Standard output that is closed, full, or has no reader any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import textwrap
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


DEFERRED = """
    import os, signal
    from glupy_exporter import interrupts, output
    try:
        with interrupts.deferred("all is back"):
            os.kill(os.getpid(), signal.SIGTERM)
            output.offer("it is down")
    except interrupts.Interrupted as error:
        os._exit(error.exit_code)
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_a_terminal_that_is_stopped_stops_no_command_half_way(stopped: bool) -> None:
    """Ctrl-S, or an ssh connection that hangs, must not hold a brick down."""
    ours, terminal = os.openpty()
    try:
        if stopped:
            termios.tcflow(terminal, termios.TCOOFF)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(DEFERRED)],
            stdout=terminal,
            stderr=terminal,
            timeout=20,
            check=False,
        )
        assert done.returncode == 128 + signal.SIGTERM
        termios.tcflow(terminal, termios.TCOON)
        os.write(terminal, b"last")  # there is something to read in any case
        said = ""
        while "last" not in said:
            said += os.read(ours, 10000).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    told = "ends as soon as all is back" in said and "it is down" in said
    assert told != stopped
