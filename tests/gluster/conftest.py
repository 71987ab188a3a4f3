"""What the tests against real bricks stand on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import runs, wait_for

from glupy_exporter.xlator import build


@pytest.fixture(scope="session")
def glusterd(need: Callable[[object, str], None]) -> Iterator[None]:
    """A glusterd: the one that runs, or one that ends with the tests."""
    need(os.geteuid() == 0, "root")
    need(shutil.which("glusterd"), "glusterd (Debian: glusterfs-server)")
    need(shutil.which("mount.glusterfs"), "mount.glusterfs (Debian: glusterfs-client)")
    need(os.access("/dev/fuse", os.R_OK | os.W_OK), "/dev/fuse")
    if _glusterd_pid():
        yield
        return
    subprocess.run(["glusterd"], check=True)
    pid = wait_for(_glusterd_pid, "glusterd to start")
    wait_for(
        lambda: not subprocess.run(["gluster", "volume", "list"], capture_output=True).returncode,
        "glusterd to answer",
    )
    yield
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not runs(pid), "glusterd to end")


def _glusterd_pid() -> int | None:
    """By name: the pid file goes away when somebody starts a second glusterd in vain."""
    found = subprocess.run(["pgrep", "--exact", "glusterd"], capture_output=True, text=True)
    return int(found.stdout.split()[0]) if found.stdout else None


@pytest.fixture(scope="session")
def xlator(glusterd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This tree's translator in GlusterFS's directory; what was there before comes back."""
    built = build.build(tmp_path_factory.mktemp("xlator"))
    target = build.xlator_dir() / "user" / build.SHARED_OBJECT
    before = target.read_bytes() if target.exists() else None
    target.parent.mkdir(exist_ok=True)
    _put(target, built.read_bytes())
    yield
    if before is None:
        target.unlink()
    else:
        _put(target, before)


def _put(target: Path, content: bytes) -> None:
    """Replace a shared object that may be mapped: a new file, never other bytes in the old one."""
    temporary = target.with_suffix(".so.test")
    temporary.write_bytes(content)
    temporary.replace(target)
