"""What every test may ask for."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from roots import NAMES

Need = Callable[[object, str], None]

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def need() -> Need:
    """``need(condition, what)``: skip on a laptop that lacks something, fail where CI=true."""

    def check(condition: object, what: str) -> None:
        if condition:
            return
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {what}, and CI must have it")
        pytest.skip(f"needs {what}")

    return check


@pytest.fixture(scope="session")
def debs(need: Need) -> list[Path]:
    """The Debian packages of this tree, newly built."""
    need(os.geteuid() == 0, "root")
    need(shutil.which("dpkg-checkbuilddeps"), "dpkg-checkbuilddeps (Debian: dpkg-dev)")
    missing = subprocess.run(["dpkg-checkbuilddeps"], cwd=REPOSITORY / "deploy")
    need(missing.returncode == 0, "what a build of the packages needs (make build-deps)")
    subprocess.run(["make", "deb"], cwd=REPOSITORY, check=True)
    made = REPOSITORY / "build" / "deb"
    return [next(made.glob(f"{name}_*.deb")) for name in NAMES]


@pytest.fixture(scope="module")
def many_files() -> Iterator[None]:
    """Room for thousands of connections of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
