"""Builds the harnesses and runs them while their segment is read."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter.segment import header, reader
from glupy_exporter.xlator import build

NATIVE = Path(__file__).parent
CORE = Path(build.__file__).parent
WARNINGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]

Need = Callable[[object, str], None]


@pytest.fixture(scope="session")
def compiler(need: Need) -> str:
    found = shutil.which("cc")
    need(found, "a C compiler")
    assert found
    return found


@pytest.fixture(scope="session")
def counting_harness(
    compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Builds the counting harness with the compiler option that is given."""

    def make(option: str) -> Path:
        work = tmp_path_factory.mktemp("counting")
        (work / "layout.h").write_text(header.render(), encoding="utf-8")
        subprocess.run(
            [
                compiler,
                *WARNINGS,
                *option.split(),
                "-D_GNU_SOURCE",
                '-DGLUPY_XLATOR_VERSION="test"',
                f"-I{work}",
                f"-I{CORE}",
                str(NATIVE / "counting_harness.c"),
                str(CORE / "segment.c"),
                str(CORE / "guard.c"),
                str(CORE / "table.c"),
                str(CORE / "alias.c"),
                "-lm",
                "-o",
                str(work / "harness"),
            ],
            check=True,
        )
        return work / "harness"

    return make


@contextlib.contextmanager
def running(*command: str) -> Iterator[reader.Segment]:
    """Runs a harness and yields its segment, open, while it lives; it must end with 0."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout and harness.stdin and harness.stderr
        path = harness.stdout.readline().strip()
        try:
            assert path, harness.stderr.read()
            with reader.Segment(Path(path)) as segment:
                yield segment
        finally:
            harness.stdin.close()
            errors = harness.stderr.read()
        assert harness.wait() == 0, errors
    assert not Path(path).exists()
