"""What every test may ask for."""

from __future__ import annotations

import faulthandler
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.support import limits
from tests.support.roots import NAMES

Need = Callable[[object, str], None]

REPOSITORY = Path(__file__).resolve().parents[1]

_EXIT_SECONDS = 60.0
_stderr = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_stderr] = os.dup(2)  # before it is captured


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no test, with its fixtures, hold the session for ever."""
    with limits.bounded(limits.limit(item), item.config.stash[_stderr]):
        return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Do not wait for ever for the threads of tests that failed."""
    faulthandler.dump_traceback_later(_EXIT_SECONDS, exit=True, file=config.stash[_stderr])


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
def as_root(need: Need) -> None:
    """Only root may do what the test does."""
    need(os.geteuid() == 0, "root")


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
