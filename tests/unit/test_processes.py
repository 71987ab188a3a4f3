"""Whoever looks through the processes of a machine leaves those of containers alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOKS = re.compile(
    r'Path\("/proc"\)\.(?:iterdir|glob)|in /proc/\[|"(?:pgrep|pidof|pkill|killall)",'
    r"|\b(?:pgrep|pidof|pkill|killall) -"
)
MINDS = re.compile(r"ns/pid|--nslist")


def _sources() -> dict[str, str]:
    found = {}
    for folder in ("glupy_exporter", "deploy", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path != Path(__file__) and "node_modules" not in path.parts:
                text = path.read_bytes().decode("utf-8", "replace")
                if LOOKS.search(text):
                    found[str(path.relative_to(ROOT))] = text
    return found


LOOKING = _sources()


def test_something_looks() -> None:
    assert {"glupy_exporter/operate/peer.py", "deploy/demo/machine.py"} <= LOOKING.keys()


@pytest.mark.parametrize("path", LOOKING)
def test_only_at_those_of_its_own_namespace(path: str) -> None:
    assert MINDS.search(LOOKING[path]), "leave out what /proc/PID/ns/pid says is a container's"
