"""Builds the C half of a benchmark with the translator's own C core, and runs busy bricks."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from glupy_exporter.segment import header
from glupy_exporter.xlator import build

_HERE = Path(__file__).parent
_CORE = Path(build.__file__).parent


def compile_harness(directory: Path, *sources: str) -> Path:
    """Compile ``sources`` of this directory, and the core, to a program in ``directory``."""
    (directory / "layout.h").write_text(header.render(), encoding="utf-8")
    program = directory / Path(sources[0]).stem
    core = [_CORE / name for name in ("segment.c", "guard.c", "table.c", "alias.c")]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread"]
    version = '-DGLUPY_XLATOR_VERSION="benchmark"'
    files = [*(_HERE / name for name in sources), *core]
    includes = [f"-I{directory}", f"-I{_CORE}"]
    subprocess.run(
        ["cc", *flags, version, *includes, *files, "-lm", "-o", program],
        check=True,
    )
    return program


@contextlib.contextmanager
def bricks(
    directory: Path, nodes: int, *, fops: int, kinds: int, files: int, clients: int
) -> Iterator[None]:
    """Segments of 24 bricks a node in ``directory``/NODE, kept busy: see many_bricks.c.

    ``fops`` a second, ``files`` and ``clients`` are of a replica set; ``kinds`` is how many
    different fops there are. Says at the end how many were done a second.
    """
    for node in range(nodes):
        (directory / str(node)).mkdir()
    words: list[str | Path] = [compile_harness(directory, "many_bricks.c"), directory]
    words += [str(number) for number in (nodes, fops, kinds, files, clients)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != "ready\n":
                raise SystemExit("the segments could not be made")
            yield
            process.stdin.close()
            print(f"fops of clients a second: {process.stdout.readline().strip()}")
        finally:
            process.terminate()
