"""The time limit of a test, and the end of a session that nothing else ends."""

from __future__ import annotations

import contextlib
import faulthandler
from collections.abc import Iterator

import pytest

_LAST = 1.5
"""When the session ends, in limits of the test: by then its teardown had time as well."""


def limit(item: pytest.Item) -> float:
    """The seconds after which pytest-timeout interrupts a test, 0 for never."""
    marker = item.get_closest_marker("timeout")
    given = item.config.getoption("timeout")
    return float(
        marker.args[0] if marker else item.config.getini("timeout") if given is None else given
    )


@contextlib.contextmanager
def bounded(seconds: float, output: int) -> Iterator[None]:
    """End this process if the body lasts far longer, and write to ``output`` where it stands.

    This needs neither the interpreter nor a signal, for which the body may not be able to wait.
    """
    if seconds:
        faulthandler.dump_traceback_later(seconds * _LAST, exit=True, file=output)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
