"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable

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
