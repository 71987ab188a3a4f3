"""A client that issues every fop it can, through a FUSE mount and through libgfapi.

``python3 -m tests.gluster.workload HOST VOLUME`` runs the libgfapi part in a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.gluster.gfapi import Gfapi

ROOT = Path(__file__).resolve().parents[2]

SIZES = (1, 2, 3, 511, 512, 4096, 5000, 65536, 100_000)
"""I/O sizes on both sides of several powers of two, all below FUSE's 128 KiB a request."""

COPY = 50_000
"""Bytes of each copy that the brick makes by itself."""

BIG = (1 << 20) + 1


def through_mount(root: Path) -> None:
    """Everything a kernel passes on. ``root`` must be mounted with direct-io-mode=enable."""
    work = Path(tempfile.mkdtemp(prefix="work-", dir=root))
    file = work / "file"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    for size in SIZES:
        os.pwrite(descriptor, b"x" * size, 0)
        assert len(os.pread(descriptor, size, 0)) == size
    assert os.pread(descriptor, 4096, 1 << 20) == b""
    os.fsync(descriptor)
    os.fstat(descriptor)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    os.ftruncate(descriptor, 200_000)
    os.posix_fallocate(descriptor, 0, 300_000)
    os.lseek(descriptor, 0, os.SEEK_DATA)
    os.lseek(descriptor, 0, os.SEEK_HOLE)
    copy = os.open(work / "copy", os.O_RDWR | os.O_CREAT, 0o644)
    assert os.copy_file_range(descriptor, copy, COPY, 0, 0) == COPY
    os.close(copy)
    os.close(descriptor)
    subprocess.run(["fallocate", "--punch-hole", "-o", "4096", "-l", "8192", file], check=True)
    subprocess.run(["fallocate", "--zero-range", "-o", "0", "-l", "4096", file], check=True)

    os.truncate(file, 150_000)
    file.chmod(0o600)
    os.chown(file, 1, 1)
    os.utime(file, (1, 2))
    os.setxattr(file, "user.colour", b"blue")
    assert os.getxattr(file, "user.colour") == b"blue"
    assert "user.colour" in os.listxattr(file)
    os.removexattr(file, "user.colour")
    os.link(file, work / "hard")
    (work / "soft").symlink_to("file")
    (work / "soft").readlink()
    os.mknod(work / "fifo", 0o600 | 0o010000)
    (work / "hard").rename(work / "renamed")
    (work / "renamed").unlink()
    (work / "sub").mkdir()
    (work / "sub").rmdir()
    assert len(list(work.iterdir())) == 4
    directory = os.open(work, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    os.statvfs(work)
    with contextlib.suppress(FileNotFoundError):
        (work / "missing").stat()


def through_gfapi(volume: str) -> None:
    """Run :func:`gfapi_calls` in a process of its own and wait for its end."""
    command = [sys.executable, "-m", __name__, socket.gethostname(), volume]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)


def gfapi_calls(host: str, volume: str) -> None:
    """What libgfapi offers beyond FUSE, and the rest once more."""
    api = Gfapi(host, volume)
    buffer = ctypes.create_string_buffer(BIG)
    api("mkdir", api.fs, "/api", 0o755)
    file = api("creat", api.fs, "/api/file", os.O_RDWR, 0o644)
    for size in (*SIZES, BIG):
        assert api("pwrite", file, buffer, size, 0, 0, None, None) == size
        assert api("pread", file, buffer, size, 0, 0, None) == size
    api("fsync", file, None, None)
    api("fstat", file, buffer)
    api("ftruncate", file, 400_000, None, None)
    api("fallocate", file, 0, 0, 500_000)
    api("discard", file, 4096, 8192)
    api("zerofill", file, 0, 4096)
    api("lseek", file, 0, os.SEEK_DATA)
    api("fchmod", file, 0o600)
    api("fsetxattr", file, "user.colour", b"red", 3, 0)
    assert api("fgetxattr", file, "user.colour", buffer, 64) == 3
    api("flistxattr", file, buffer, 4096)
    api("fremovexattr", file, "user.colour")
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 100, 0)
    api("posix_lock", file, fcntl.F_SETLK, lock)
    with refused(errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        lease = struct.pack("ii16sI", 2, 1, b"lease-of-a-test!", 0)
        api("setfsleaseid", b"lease-of-a-test!")
        api("lease", file, ctypes.create_string_buffer(lease), None, None)
    api("setfsleaseid", None)
    copy = api("creat", api.fs, "/api/copy", os.O_RDWR, 0o644)
    api("copy_file_range", file, None, copy, None, COPY, 0, buffer, buffer, buffer)
    api("close", copy)
    api("close", file)

    api("truncate", api.fs, "/api/file", 1000)
    api("chmod", api.fs, "/api/file", 0o644)
    api("access", api.fs, "/api/file", os.R_OK)
    directory = api("opendir", api.fs, "/api")
    while api("readdir", directory):
        pass
    api("closedir", directory)
    directory = api("opendir", api.fs, "/api")
    while api("readdirplus", directory, buffer):
        pass
    api("closedir", directory)
    api("ipc", api.fs, 0, None, None)
    api("unlink", api.fs, "/api/copy")


@contextlib.contextmanager
def refused(*numbers: int) -> Iterator[None]:
    """The body must fail with one of these errnos: the fop reaches a brick, which refuses it."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
    else:
        raise AssertionError("expected a refusal")


if __name__ == "__main__":
    gfapi_calls(*sys.argv[1:])
