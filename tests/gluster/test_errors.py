"""Errors that a brick really returns are counted under their fop and errno, no more and no less."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gluster.gfapi import Gfapi
from tests.support.gluster.volumes import HOST, Volume, volume, wait_for

ROOT = Path(__file__).resolve().parents[2]
TRIES = 7
NOBODY = 65534


@pytest.fixture(scope="module")
def subject(xlator: None) -> Iterator[Volume]:
    with volume(bricks=1) as made:
        yield made


def errors(subject: Volume) -> dict[tuple[str, int], int]:
    """Errors of the volume's only brick by fop and errno."""
    with subject.segment(subject.bricks[0]) as segment:
        return {(fop, number): count for fop, number, count in segment.errnos()}


def new_errors(subject: Volume, before: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """What has come since ``before``, and that each fop's error count says the same."""
    now = errors(subject)
    with subject.segment(subject.bricks[0]) as segment:
        for fop in segment.fops():
            assert fop.errors == sum(count for (name, _), count in now.items() if name == fop.name)
    return {key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)}


@contextlib.contextmanager
def direct_mount(subject: Volume) -> Iterator[Path]:
    """A mount with nothing but protocol/client in its graph.

    cluster/distribute looks every missing name up twice and reads a directory before it removes it,
    so that the brick would not get to refuse.
    """
    whole = Path(f"/var/lib/glusterd/vols/{subject.name}/trusted-{subject.name}.tcp-fuse.vol")
    client, end, _ = whole.read_text().partition("end-volume\n")
    volfile = subject.directory / "client.vol"
    volfile.write_text(client + end)
    target = subject.directory / "direct"
    target.mkdir(exist_ok=True)
    timeouts = [f"--{what}-timeout=0" for what in ("entry", "attribute", "negative")]
    log = f"--log-file={subject.directory / 'direct.log'}"
    subprocess.run(["glusterfs", "-f", volfile, log, *timeouts, target], check=True)
    wait_for(lambda: os.path.ismount(target), f"{target} to be mounted")
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


def test_enoent(subject: Volume) -> None:
    with direct_mount(subject) as mount:
        before = errors(subject)
        for number in range(TRIES):
            assert not (mount / f"missing{number}").exists()
        (key,) = found = new_errors(subject, before)
        assert key == ("lookup", errno.ENOENT)
        # With negative entries not cached, some kernels look one missing name up twice.
        assert found[key] in (TRIES, 2 * TRIES)


def test_enotempty(subject: Volume) -> None:
    with direct_mount(subject) as mount:
        (mount / "full").mkdir()
        (mount / "full" / "file").touch()
        before = errors(subject)
        for _ in range(TRIES):
            with pytest.raises(OSError, match="not empty"):
                (mount / "full").rmdir()
        assert new_errors(subject, before) == {("rmdir", errno.ENOTEMPTY): TRIES}


def test_eacces(subject: Volume) -> None:
    """Through libgfapi, since a kernel checks permissions before it asks."""
    with direct_mount(subject) as mount:
        (mount / "secret").touch(mode=0o600)
    before = errors(subject)
    command = [sys.executable, "-m", __name__, subject.name]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert new_errors(subject, before) == {("open", errno.EACCES): TRIES}


def open_as_nobody(name: str) -> None:
    """What :func:`test_eacces` runs in a process of its own."""
    api = Gfapi(HOST, name)
    api("setfsuid", NOBODY)
    api("setfsgid", NOBODY)
    for _ in range(TRIES):
        with pytest.raises(PermissionError):
            api("open", api.fs, "/secret", os.O_RDONLY)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_enospc(xlator: None, small: Path) -> None:
    # Without a reserve the file system itself says no, not storage/posix in advance.
    with (
        volume(bricks=1, parents=[small], options={"storage.reserve": "0"}) as full,
        full.mount("direct-io-mode=enable") as mount,
        (mount / "file").open("wb", buffering=0) as file,
    ):
        block = b"x" * (64 << 10)
        refused = 0
        for number in range(400):
            try:
                os.pwrite(file.fileno(), block, number * len(block))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                refused += 1
        assert 0 < refused < 400
        seen = errors(full)
        assert seen["write", errno.ENOSPC] == refused
        assert {key for key in seen if key[0] == "write"} == {("write", errno.ENOSPC)}


if __name__ == "__main__":
    open_as_nobody(sys.argv[1])
