"""What `make deb` needs, and what README says of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.roots import NAMES

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
Need = Callable[[object, str], None]


def test_apt_finds_the_list_of_what_a_build_needs(need: Need) -> None:
    need(shutil.which("apt-get"), "apt-get")
    script = (DEPLOY / "build-deps.sh").read_text()
    (command,) = re.findall(r'^with_apt ".*" (build-dep .*)$', script, re.MULTILINE)
    words = ["apt-get", *command.split(), "--simulate"]
    environment = {**os.environ, "LC_ALL": "C"}
    said = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    need(said.returncode == 0, f"packages that apt can find: {said.stderr}")


def test_without_root_the_script_says_what_to_run(tmp_path: Path) -> None:
    """A machine that lacks what a build needs, for a user who cannot install it."""
    for name, code in (("dpkg-checkbuilddeps", "exit 1"), ("id", "echo 1000")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = [DEPLOY / "build-deps.sh"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("apt-get build-dep ./deploy\n")
    assert done.stdout == ""


def test_readme_names_targets_and_packages_that_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", readme, re.MULTILINE))
    assert "deb" in named
    assert named <= targets
    (command,) = re.findall(r"^    apt-get install (\./build/deb/.*)$", readme, re.MULTILINE)
    assert command.split() == [f"./build/deb/{name}_*.deb" for name in NAMES]
    control = (DEPLOY / "debian" / "control").read_text()
    assert re.findall(r"^Package: (.*)$", control, re.MULTILINE) == list(NAMES)
