"""What every test may ask for."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(scope="session")
def need() -> Callable[[object, str], None]:
    """``need(condition, what)``: skip on a laptop that lacks something, fail where CI=true."""

    def check(condition: object, what: str) -> None:
        if condition:
            return
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {what}, and CI must have it")
        pytest.skip(f"needs {what}")

    return check


@pytest.fixture(scope="module")
def many_files() -> Iterator[None]:
    """Room for thousands of connections of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
