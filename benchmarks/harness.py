"""Builds the C half of a benchmark with the translator's own C core."""

from __future__ import annotations

import subprocess
from pathlib import Path

from glupy_exporter.segment import header
from glupy_exporter.xlator import build

_HERE = Path(__file__).parent
_CORE = Path(build.__file__).parent


def compile_harness(directory: Path, *sources: str) -> Path:
    """Compile ``sources`` of this directory, and the core, to a program in ``directory``."""
    (directory / "layout.h").write_text(header.render(), encoding="utf-8")
    program = directory / Path(sources[0]).stem
    core = [_CORE / name for name in ("segment.c", "table.c", "alias.c")]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    version = '-DGLUPY_XLATOR_VERSION="benchmark"'
    files = [*(_HERE / name for name in sources), *core]
    includes = [f"-I{directory}", f"-I{_CORE}"]
    subprocess.run(
        ["cc", *flags, version, *includes, *files, "-lm", "-o", program],
        check=True,
    )
    return program
