"""Fuzzes one target with atheris, guided by what the exporter's code covers.

Usage: ``python -m tests.fuzz.run TARGET SECONDS``. Starts from the corpus in ``corpus/TARGET``,
leaves what it finds worth keeping in ``build/fuzz/TARGET`` for the next run, and the bytes that did
harm beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["glupy_exporter"]):
    from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
MOST_MEMORY_MIB = 1024
SLOWEST_SECONDS = 20


def main() -> None:
    """Fuzz until time is up; ends the process with another code than 0 if something was found."""
    name, seconds = sys.argv[1:]
    found = HERE.parents[1] / "build" / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    words = [f"-max_total_time={seconds}", f"-artifact_prefix={found}-", "-max_len=4096"]
    words += [f"-rss_limit_mb={MOST_MEMORY_MIB}", f"-timeout={SLOWEST_SECONDS}"]
    words += ["-print_final_stats=1", str(found), str(HERE / "corpus" / name)]
    atheris.Setup([sys.argv[0], *words], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
