"""Tests that hang, for test_watch.py, which runs them in a session of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gluster.volumes import Volume, volume

pytestmark = [pytest.mark.timeout(20), pytest.mark.usefixtures("glusterd")]


@pytest.fixture
def stopped(glusterd: None) -> Iterator[Path]:
    """A mount whose client is stopped."""
    with volume(bricks=1, counted=False) as subject, subject.mount() as mount:
        stop(subject, mount)
        yield mount


def stop(subject: Volume, mount: Path) -> None:
    client = subject.client(mount)
    assert client
    os.kill(client, signal.SIGSTOP)


def test_in_its_own_call(stopped: Path) -> None:
    (stopped / "file").write_bytes(b"x")


@pytest.fixture
def opened() -> Iterator[None]:
    """A file that is open while its mount hangs: no child can be started, not even umount."""
    with volume(bricks=1, counted=False) as subject, subject.mount() as mount:
        file = os.open(mount / "file", os.O_CREAT | os.O_WRONLY)
        stop(subject, mount)
        yield
    os.close(file)


def test_in_its_teardown(opened: None) -> None:
    pass


def test_that_comes_after_them() -> None:
    pass
