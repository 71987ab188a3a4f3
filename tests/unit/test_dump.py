"""`glupy-exporter dump`, and how the command line takes mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from glupy_exporter import __version__
from tests.support import segments

COMMAND = (sys.executable, "-m", "glupy_exporter.cli")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_dump_is_one_scrape(tmp_path: Path) -> None:
    with segments.Segment().live(tmp_path):
        done = run("dump", f"--segment.dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    families = {family.name: family for family in text_string_to_metric_families(done.stdout)}
    assert [sample.value for sample in families["glupy_brick_up"].samples] == [1]


OTHER_PROC = {
    "without /proc/sys": "mount -t proc -o subset=pid proc /proc",
    "with a container's boot id": "mount --bind /proc/sys/kernel/random/uuid "
    "/proc/sys/kernel/random/boot_id",
}


@pytest.mark.parametrize("mount", OTHER_PROC.values(), ids=OTHER_PROC)
@pytest.mark.parametrize(
    ("command", "up"),
    [
        (["dump"], 'glupy_brick_up{volume="v0",brick="/bricks/b0"} 1'),
        (["top", "--json", "--interval=0.1"], '"bricks_up": 1,'),
    ],
)
def test_a_brick_is_alive_whatever_proc_shows(
    tmp_path: Path, need: Callable[[object, str], None], mount: str, command: list[str], up: str
) -> None:
    need(os.geteuid() == 0, "root, to mount another /proc")
    shell = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    with segments.Segment().live(tmp_path):
        done = subprocess.run(
            [*shell, *COMMAND, *command, f"--segment.dir={tmp_path}"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert up in done.stdout


def test_dump_obeys_flags_and_file(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(f"segment.dir: {tmp_path}\ncollector.exporter: false\n", encoding="utf-8")
    with segments.Segment().live(tmp_path):
        done = run("dump", "--config.file", str(config), "--no-collector.files")
    names = {family.name for family in text_string_to_metric_families(done.stdout)}
    assert {"glupy_brick_up", "glupy_clients_tracked", "glupy_segment_errors"} <= names
    assert not any(name.startswith(("python_", "process_", "glupy_file")) for name in names)


@pytest.mark.parametrize("given", ["--files.resolve", "--no-files.resolve", "files.resolve"])
@pytest.mark.parametrize("command", [("dump",), ("top", "--once", "--interval=0.1")])
def test_a_setting_of_the_previous_release_is_ignored_and_said_to_be(
    tmp_path: Path, command: tuple[str, ...], given: str
) -> None:
    config = tmp_path / "config.yml"
    config.write_text("" if given.startswith("-") else f"{given}: true\n", encoding="utf-8")
    flags = [given] * given.startswith("-")
    done = run(*command, f"--segment.dir={tmp_path}", "--config.file", str(config), *flags)
    assert done.returncode == 0
    assert "files.resolve is ignored: each brick finds the names" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout


def test_dump_without_a_directory_says_so_and_serves_the_rest(tmp_path: Path) -> None:
    done = run("dump", f"--segment.dir={tmp_path}/none")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "no segment directory" in line and line.endswith(f"path={tmp_path}/none")
    assert 'glupy_segment_errors_total{reason="no_directory"} 0\n' in done.stdout


def test_dump_into_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "dump", f"--segment.dir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("command", ["dump", "serve"])
def test_mistakes_are_one_line_and_exit_2(tmp_path: Path, command: str) -> None:
    config = tmp_path / "config.yml"
    config.write_text("segment.path: /x\n", encoding="utf-8")
    done = run(command, "--config.file", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"glupy-exporter: config file {config}: unknown key")
    assert done.stderr.count("\n") == 1


def test_flags_cannot_be_abbreviated() -> None:
    assert run("dump", "--segment.di=/x").returncode == 2


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"glupy-exporter {__version__}\n")
