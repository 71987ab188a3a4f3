"""What Ansible's role does to a volume, by a stand-in for ``glupy-exporter``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TASKS = Path(__file__).resolve().parents[2] / "deploy/ansible/roles/glupy_node/tasks/volume.yml"
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: {tasks}
      vars:
        glupy_node_volume: home
"""
STAND_IN = """#!/bin/sh
echo "$2" >>"{directory}/said"
case $2 in
status) cat "{directory}/rows"; exit "$(cat "{directory}/code")" ;;
restart) echo "restart nothing: all bricks are up to date" ;;
esac
"""


def rows(volfile: bool, loaded: bool | None, ok: bool) -> list[dict[str, object]]:
    return [{"brick": "a:/b", "volfile": volfile, "loaded": loaded, "ok": ok}]


@pytest.mark.parametrize(
    ("shown", "done"),
    [
        pytest.param(rows(False, False, True), ["enable"], id="never enabled"),
        pytest.param(rows(True, True, True), [], id="enabled"),
        pytest.param(rows(True, False, True), [], id="enabled and not started"),
        pytest.param(rows(False, True, False), ["enable", "restart"], id="reset since"),
        pytest.param(
            rows(True, True, True) + rows(True, False, False), ["enable", "restart"], id="half"
        ),
        pytest.param(rows(True, None, False), ["enable", "restart"], id="a node is silent"),
        pytest.param(rows(True, True, False), ["restart"], id="an older translator"),
    ],
)
def test_a_volume_gets_the_translator(
    tmp_path: Path,
    shown: list[dict[str, object]],
    done: list[str],
    need: Callable[[object, str], None],
) -> None:
    program = shutil.which("ansible-playbook")
    need(program, "ansible-playbook (Debian: ansible-core)")
    assert program
    (tmp_path / "rows").write_text(json.dumps(shown))
    (tmp_path / "code").write_text(str(int(not all(row["ok"] for row in shown))))
    stand_in = tmp_path / "glupy-exporter"
    stand_in.write_text(STAND_IN.format(directory=tmp_path))
    stand_in.chmod(0o755)
    (tmp_path / "play.yml").write_text(PLAY.format(tasks=TASKS))
    ran = subprocess.run(
        [program, "--inventory=localhost,", "--connection=local", "play.yml"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "said").read_text().split() == ["status", *done]
