"""What the tests against real bricks stand on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import cluster
import pytest


@pytest.fixture(scope="session")
def glusterd(need: Callable[[object, str], None]) -> Iterator[None]:
    """A glusterd: the one that runs, or one that ends with the tests."""
    need(os.geteuid() == 0, "root")
    need(shutil.which("glusterd"), "glusterd (Debian: glusterfs-server)")
    need(shutil.which("mount.glusterfs"), "mount.glusterfs (Debian: glusterfs-client)")
    need(os.access("/dev/fuse", os.R_OK | os.W_OK), "/dev/fuse")
    with cluster.glusterd():
        yield


@pytest.fixture(scope="session")
def xlator(glusterd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This tree's translator in GlusterFS's directory; what was there before comes back."""
    with cluster.translator(tmp_path_factory.mktemp("xlator")):
        yield
