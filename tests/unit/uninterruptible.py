"""A test that nothing interrupts, for test_limits.py, which runs it in a session of its own."""

from __future__ import annotations

import signal
import time

import pytest


@pytest.mark.timeout(2)
def test_that_cannot_be_interrupted() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(600)
