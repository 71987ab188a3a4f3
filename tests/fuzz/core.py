"""Fuzzes the translator's C core with libFuzzer, under the sanitizers of addresses and of C itself.

Usage: ``python -m tests.fuzz.core SECONDS``. Needs clang and GlusterFS's headers. Corpus and finds
are where those of ``run.py`` are, under the name ``core``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from glupy_exporter.builder import build
from tests.support.core import with_core

HERE = Path(__file__).parent
SEGMENTS = Path("/dev/shm/glupy-fuzz")


def compile_fuzzer(directory: Path) -> Path:
    """Build the fuzzer in ``directory``."""
    gluster = build.find()
    program = directory / "fuzzer"
    flags = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    flags += [*build.defines(gluster), *build.includes(gluster)]
    library = [f"-L{gluster.library.parent}", "-l:libglusterfs.so.0"]
    command = ["clang", *flags, HERE / "core.c", *with_core(directory), *library, "-o", program]
    subprocess.run(command, check=True)
    return program


def main() -> int:
    """Fuzz until time is up; the fuzzer's exit code."""
    (seconds,) = sys.argv[1:]
    found = HERE.parents[1] / "build" / "fuzz" / "core"
    found.mkdir(parents=True, exist_ok=True)
    program = compile_fuzzer(found.parent)
    words = [f"-max_total_time={seconds}", f"-artifact_prefix={found}-", "-max_len=4096"]
    words += ["-print_final_stats=1", "-timeout=20"]
    try:
        return subprocess.run([program, *words, found, HERE / "corpus" / "core"]).returncode
    finally:
        shutil.rmtree(SEGMENTS, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
