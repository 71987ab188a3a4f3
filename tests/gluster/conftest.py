"""What the tests against real bricks stand on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.support import limits
from tests.support.gluster import volumes, watch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let no file system hold a test, with its fixtures, for much longer than its time limit."""
    seconds = limits.limit(item)
    with watch.watch(seconds, volumes.PREFIX) if seconds else contextlib.nullcontext():
        return (yield)


@pytest.fixture(scope="session")
def glusterd(need: Callable[[object, str], None]) -> Iterator[None]:
    """A glusterd: the one that runs, or one that ends with the tests."""
    need(os.geteuid() == 0, "root")
    need(shutil.which("glusterd"), "glusterd (Debian: glusterfs-server)")
    need(shutil.which("mount.glusterfs"), "mount.glusterfs (Debian: glusterfs-client)")
    need(os.access("/dev/fuse", os.R_OK | os.W_OK), "/dev/fuse")
    with volumes.glusterd():
        yield


@pytest.fixture(scope="session")
def xlator(glusterd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This tree's translator in GlusterFS's directory; what was there before comes back."""
    with volumes.translator(tmp_path_factory.mktemp("xlator")):
        yield
