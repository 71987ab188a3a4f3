"""How well the file table finds the busiest files, against exact counts.

Drives the translator's own C core over a million files and ten million fops, 100,000 of them a
simulated second. Of each stream it prints how many of the 20 files with most fops have a slot at
the end, by how much the worst of their counts is off, in how many slots a count was off by more
than the slot's own bound, and how many slots were given away. Exits with 1 if a target is missed.

The same streams then go through Space-Saving and HeavyKeeper (``rivals.c``) with as many slots.

Usage: ``python benchmarks/heavy_hitters.py``
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from glupy_exporter.segment import header
from glupy_exporter.xlator import build

CORE = Path(build.__file__).parent
OPERATIONS = 10_000_000
MOVING = 24_000_000  # four minutes

STREAMS = (
    # name, stream, exponent, fops, least recall, largest error
    ("Zipf 0.8", "plain", 0.8, OPERATIONS, 0.95, 0.01),
    ("Zipf 1.0", "plain", 1.0, OPERATIONS, 0.99, 0.01),
    ("Zipf 1.2", "plain", 1.2, OPERATIONS, 0.99, 0.01),
    ("Zipf 0.8 and a scan", "scan", 0.8, OPERATIONS, 0.95, 0.01),
    ("Zipf 1.0 and a scan", "scan", 1.0, OPERATIONS, 0.99, 0.01),
    ("Zipf 1.2 and a scan", "scan", 1.2, OPERATIONS, 0.99, 0.01),
    ("Zipf 1.0 and a scan at once", "burst", 1.0, OPERATIONS, 0.99, 0.01),
    ("Zipf 1.0, others hot every minute", "moving", 1.0, MOVING, 0.99, 0.01),
    ("uniform (there are no busiest files)", "plain", 0.0, OPERATIONS, 0.0, 1.0),
)


def compile_harness(directory: Path) -> Path:
    """Build the C half of this benchmark."""
    (directory / "layout.h").write_text(header.render(), encoding="utf-8")
    program = directory / "heavy_hitters"
    sources = [
        Path(__file__).with_suffix(".c"),
        Path(__file__).with_name("rivals.c"),
        CORE / "segment.c",
        CORE / "table.c",
        CORE / "alias.c",
    ]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    version = '-DGLUPY_XLATOR_VERSION="benchmark"'
    includes = [f"-I{directory}", f"-I{CORE}"]
    subprocess.run(
        ["cc", *flags, version, *includes, *map(str, sources), "-lm", "-o", str(program)],
        check=True,
    )
    return program


def measure(program: Path, algorithm: str) -> list[str]:
    """Run every stream through an algorithm, print a table, return the streams that missed."""
    missed, hot = [], []
    print(f"\n{algorithm}\n")
    print("| stream | recall of the top 20 | worst count error | bounds broken | evictions |")
    print("| --- | --- | --- | --- | --- |")
    for title, stream, exponent, fops, least, largest in STREAMS:
        run = [program, algorithm, program.parent, stream, exponent, fops]
        done = subprocess.run([*map(str, run)], check=True, capture_output=True, text=True)
        pairs = [pair.split("=") for pair in done.stdout.split()]
        after = [int(value) for key, value in pairs if key == "after_30s"]
        values = dict(pairs)
        recall, error = float(values["recall"]), float(values["error"])
        broken = int(values["broken_bounds"])
        print(
            f"| {title} | {recall:.2f} | {error:.4%} | {broken} | {values['evicted']} |",
            flush=True,
        )
        if recall < least or error > largest or broken or any(count < 20 for count in after):
            missed.append(title)
        hot += after
    print(f"\nOf 20 files, with a slot 30 s after they became hot: {hot}")
    return missed


def main() -> int:
    """Run every stream through every algorithm; the targets are the table's."""
    with tempfile.TemporaryDirectory() as name:
        program = compile_harness(Path(name))
        missed = measure(program, "table")
        for rival in ("space-saving", "heavy-keeper"):
            measure(program, rival)
    for title in missed:
        print(f"MISSED: {title}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
