"""The files of the C core call each other one way only."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter

from glupy_exporter.builder import build


def test_no_two_files_call_each_other() -> None:
    texts = {path.name: path.read_text() for path in build.SOURCES.glob("*.c")}
    # A definition begins its line, after that of its type.
    home = {
        name: file
        for file, text in texts.items()
        for name in re.findall(r"^(glupy_\w+)\(", text, re.MULTILINE)
    }
    assert home["glupy_segment_create"] == "segment.c"
    calls = {
        file: {home[name] for name in re.findall(r"\b(glupy_\w+)\(", text) if name in home} - {file}
        for file, text in texts.items()
    }
    assert calls["maintenance.c"]
    TopologicalSorter(calls).prepare()
