"""The translator is invisible: applications get the same results and errors with and without it.

A random sequence of system calls is made on a volume with the translator, on one of the same type
without it, and on a plain directory. With and without it every result is the same. On the directory
nearly all are: what is not is GlusterFS's own, since the volume without the translator has it, too.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gluster.volumes import volume

CALLS = 1000
KINDS = {
    "distributed": ((), 2),
    "replicated": (("replica", "2"), 2),
    "dispersed": (("disperse", "3", "redundancy", "1"), 3),
}
FLAGS = (
    os.O_RDWR,
    os.O_RDONLY | os.O_DIRECTORY,
    os.O_RDONLY | os.O_NOFOLLOW,
    os.O_RDWR | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_EXCL,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_CREAT | os.O_APPEND,
    os.O_WRONLY,
)
Call = Callable[[Path], object]


def status(path: Path, *, follow: bool = False) -> object:
    found = os.stat(path, follow_symlinks=follow)
    kind = stat.S_IFMT(found.st_mode)
    # How a directory counts its links and bytes is up to the file system.
    rest = () if kind == stat.S_IFDIR else (found.st_nlink, found.st_size)
    return oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns // 10**12, rest


def write(path: Path, flags: int, offset: int, data: bytes) -> object:
    handle = os.open(path, flags | os.O_NONBLOCK, 0o640)  # a FIFO must not wait
    try:
        written = os.pwrite(handle, data, offset)
        os.fsync(handle)
        return written, os.fstat(handle).st_size, os.pread(handle, 100, offset)
    finally:
        os.close(handle)


def read(path: Path, offset: int, size: int) -> object:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.pread(handle, size, offset), os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)


def allocate(path: Path, offset: int, size: int) -> object:
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.posix_fallocate(handle, offset, size)
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def copy(source: Path, target: Path, size: int) -> object:
    from_ = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    try:
        to = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        try:
            return os.sendfile(to, from_, 0, size)
        finally:
            os.close(to)
    finally:
        os.close(from_)


def touch(path: Path, seconds: int) -> object:
    os.utime(path, (seconds, seconds), follow_symlinks=False)
    return os.lstat(path).st_mtime_ns


def attributes(path: Path) -> object:
    return sorted(key for key in os.listxattr(path) if key.startswith("user."))


def call(dice: random.Random) -> tuple[str, Call]:
    """One system call or a few, on names that are few enough to meet again and again."""

    def name() -> str:
        directory = dice.choice(("", "", "d0/", "d1/", "d0/d2/"))
        return f"{directory}{dice.choice(('f0', 'f1', 'f2', 'd0', 'd1', 'd2', 'link', 'x' * 256))}"

    a, b, key = name(), name(), f"user.{dice.choice('kl')}"
    offset, size = dice.choice((0, 1, 4095, 4096, 70_000)), dice.choice((0, 1, 100, 4096, 50_000))
    flags, mode, data = (
        dice.choice(FLAGS),
        dice.choice((0o600, 0o2755, 0o444)),
        dice.randbytes(size),
    )
    calls: dict[str, Call] = {
        f"write {a} {flags:#x} {offset} {size}": lambda r: write(r / a, flags, offset, data),
        f"write again {a} {flags:#x} {offset}": lambda r: write(r / a, flags, offset, data),
        f"read {a} {offset} {size}": lambda r: read(r / a, offset, size),
        f"truncate {a} {size}": lambda r: os.truncate(r / a, size),
        f"allocate {a} {offset} {size}": lambda r: allocate(r / a, offset, size),
        f"copy {a} {b} {size}": lambda r: copy(r / a, r / b, size),
        f"rename {a} {b}": lambda r: os.rename(r / a, r / b),
        f"link {a} {b}": lambda r: os.link(r / a, r / b, follow_symlinks=False),
        f"symlink {a} {b}": lambda r: os.symlink(a, r / b),
        f"readlink {a}": lambda r: os.readlink(r / a),
        f"unlink {a}": lambda r: os.unlink(r / a),
        f"mkdir {a}": lambda r: os.mkdir(r / a, mode),
        f"mkdir again {a}": lambda r: os.mkdir(r / a, mode),
        f"rmdir {a}": lambda r: os.rmdir(r / a),
        f"mkfifo {a}": lambda r: os.mkfifo(r / a, mode),
        f"list {a}": lambda r: sorted(os.listdir(r / a)),
        f"list all of {a}": lambda r: sorted(os.listdir((r / a).parent)),
        f"lstat {a}": lambda r: status(r / a),
        f"stat {a}": lambda r: status(r / a, follow=True),
        f"chmod {a} {mode:o}": lambda r: os.chmod(r / a, mode),
        f"chown {a}": lambda r: os.chown(r / a, mode, size, follow_symlinks=False),
        f"touch {a}": lambda r: touch(r / a, size),
        f"access {a}": lambda r: os.access(r / a, os.X_OK),
        f"setxattr {a} {key}": lambda r: os.setxattr(r / a, key, data[:1000]),
        f"create xattr {a} {key}": lambda r: os.setxattr(r / a, key, b"1", os.XATTR_CREATE),
        f"getxattr {a} {key}": lambda r: os.getxattr(r / a, key),
        f"listxattr {a}": lambda r: attributes(r / a),
        f"removexattr {a} {key}": lambda r: os.removexattr(r / a, key),
    }
    return dice.choice(list(calls.items()))


def result(made: Call, root: Path) -> object:
    try:
        return made(root)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


@pytest.mark.parametrize(("kind", "bricks"), KINDS.values(), ids=KINDS)
def test_results_are_the_same(
    xlator: None, kind: tuple[str, ...], bricks: int, tmp_path: Path
) -> None:
    dice = random.Random(f"{kind}")
    seen = set()
    with (
        volume(*kind, bricks=bricks) as counted,
        volume(*kind, bricks=bricks, counted=False) as bare,
        counted.mount() as with_it,
        bare.mount() as without_it,
    ):
        log, own = [], []
        for _ in range(CALLS):
            text, made = call(dice)
            plain, bare_result, ours = (
                result(made, root) for root in (tmp_path, without_it, with_it)
            )
            log.append(f"{text}: {ours!r:.100}")
            assert ours == bare_result, "\n".join([*log[-30:], f"without: {bare_result!r:.100}"])
            if ours != plain:
                own.append(f"{log[-1]}, in a plain directory {plain!r:.100}")
            seen.add((text.split(" ")[0], isinstance(ours, str) and ours.startswith("E")))
        with counted.segment(counted.bricks[0]) as segment:
            fops = {fop.name for fop in segment.fops() if fop.completed}
    assert len(own) < CALLS / 20, "\n".join(own)
    assert len(seen) > 35, seen
    assert len(fops) > 20, fops
