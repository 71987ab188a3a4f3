"""Programs with the translator's C core in them, and without GlusterFS."""

from __future__ import annotations

from pathlib import Path

from glupy_exporter.builder import build, header, option_header

CORE = build.SOURCES
_HEADERS = Path(__file__).parent
_SOURCES = (
    "segment.c",
    "segment_file.c",
    "sigbus.c",
    "table.c",
    "alias.c",
    "facts.c",
    "recorder.c",
    "locks.c",
)


def with_core(directory: Path) -> list[str]:
    """What a compiler is told after the program's own sources; ``directory`` gets two headers."""
    (directory / "layout.h").write_text(header.render(), encoding="utf-8")
    (directory / "option_table.h").write_text(option_header.render(), encoding="utf-8")
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread"]
    includes = [f"-I{directory}", f"-I{CORE}", f"-I{_HEADERS}"]
    return [*flags, *includes, *(str(CORE / name) for name in _SOURCES), "-lm"]
