"""The packages, and a clean Debian to put them into."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from roots import NAMES, Root

Need = Callable[[object, str], None]

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def debs(need: Need) -> list[Path]:
    need(os.geteuid() == 0, "root")
    for command, package in (("dpkg-buildpackage", "dpkg-dev"), ("dh_python3", "dh-python")):
        need(shutil.which(command), f"{command} (Debian: {package})")
    need(shutil.which("lintian"), "lintian")
    subprocess.run(["make", "deb"], cwd=REPOSITORY, check=True)
    made = REPOSITORY / "build" / "deb"
    return [next(made.glob(f"{name}_*.deb")) for name in NAMES]


@pytest.fixture(scope="session")
def root(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    need(shutil.which("debootstrap"), "debootstrap")
    path = tmp_path_factory.mktemp("root")
    yield Root.make(path, "bookworm")
    shutil.rmtree(path)
