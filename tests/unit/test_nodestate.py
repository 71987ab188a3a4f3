"""What an exporter believes of the file with the state of its node."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from glupy_exporter.node import nodestate
from glupy_exporter.node.nodestate import NodeState, Volume

VOLUME = {"bricks": ["/b"], "started": True, "translator": False}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_what_was_written_is_read(path: Path) -> None:
    volumes = {"a": Volume(frozenset({"/1", "/2"}), True, False), "b": None}
    state = NodeState(time.time(), volumes)
    path.write_bytes(nodestate.render(state))
    assert nodestate.read(path) == state


def test_what_a_later_release_adds_means_nothing(path: Path) -> None:
    later = {"time": time.time(), "volumes": {"a": {**VOLUME, "more": []}}, "more": {}}
    path.write_text(json.dumps(later))
    state = nodestate.read(path)
    assert state and state.volumes == {"a": Volume(frozenset({"/b"}), True, False)}


@pytest.mark.parametrize(("age", "known"), [(0, True), (590, True), (610, False), (-60, False)])
def test_only_a_state_of_late_is_known(path: Path, age: float, known: bool) -> None:
    path.write_bytes(nodestate.render(NodeState(time.time() - age, {})))
    assert (nodestate.read(path) is not None) == known


def state(**changes: object) -> str:
    return json.dumps({"time": time.time(), "volumes": {"a": VOLUME}, **changes})


HOSTILE = {
    "nothing": "",
    "no JSON": "{",
    "not UTF-8": b"\xff",
    "a list": "[]",
    "no time": '{"volumes": {}}',
    "no number for a time": state(time="now"),
    "true for a time": state(time=True),
    "no volumes": state(volumes=None),
    "a list of volumes": state(volumes=[]),
    "a text for a volume": state(volumes={"a": "b"}),
    "a text for bricks": state(volumes={"a": {**VOLUME, "bricks": "/b"}}),
    "numbers for bricks": state(volumes={"a": {**VOLUME, "bricks": [1]}}),
    "a number for started": state(volumes={"a": {**VOLUME, "started": 1}}),
    "no translator": state(volumes={"a": {"bricks": [], "started": True}}),
    "a name with a NUL": state(volumes={"a\0": VOLUME}),
    "a name with half a character": state(volumes={"\ud800": VOLUME}),
    "a long name": state(volumes={"a" * 256: VOLUME}),
    "no time at all": '{"time": NaN, "volumes": {}}',
    "no end of time": '{"time": Infinity, "volumes": {}}',
    "a deep list": '{"time": ' + "[" * 10**6,
    "a long number": '{"time": 1' + "0" * 10**6 + ', "volumes": {}}',
    "too long": state() + " " * nodestate.MAX_SIZE,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.timeout(10)
def test_anything_else_is_not_known(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert nodestate.read(path) is None


@pytest.mark.timeout(10)
def test_what_is_no_file_is_not_known(path: Path) -> None:
    assert nodestate.read(path) is None
    os.mkfifo(path)
    assert nodestate.read(path) is None
    path.unlink()
    path.mkdir()
    assert nodestate.read(path) is None
