"""Builds the C half of a benchmark with the translator's own C core, and runs busy bricks."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.core import with_core

_HERE = Path(__file__).parent


def compile_harness(directory: Path, *sources: str) -> Path:
    """Compile ``sources`` of this directory, and the core, to a program in ``directory``."""
    program = directory / Path(sources[0]).stem
    files = [_HERE / name for name in sources]
    flags = ["-O2", '-DGLUPY_XLATOR_VERSION="benchmark"']
    subprocess.run(["cc", *flags, *files, *with_core(directory), "-o", program], check=True)
    return program


@contextlib.contextmanager
def bricks(
    directory: Path,
    nodes: int,
    *,
    fops: int,
    kinds: int,
    files: int,
    clients: int,
    sets: int = 24,
    churn: int = 0,
) -> Iterator[None]:
    """Segments of ``sets`` bricks a node in ``directory``/NODE, kept busy: see many_bricks.c.

    ``fops`` a second, ``files``, ``clients`` and ``churn`` (new files a second) are of a replica
    set; ``kinds`` is how many different fops there are. Says at the end how many were done a
    second.
    """
    for node in range(nodes):
        (directory / str(node)).mkdir()
    words: list[str | Path] = [compile_harness(directory, "many_bricks.c"), directory]
    words += [str(number) for number in (nodes, sets, fops, kinds, files, clients, churn)]
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
