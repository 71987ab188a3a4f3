"""What applications do beyond reads and writes, with the translator and without: the same results.

Afterwards the bricks hold the same inodes: no reference is left behind.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import pwd
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.support.gluster.volumes import Volume, volume, wait_for

SOURCES = 20
WRITERS, INSERTS = 3, 20
PUNCH, ZERO = 0x03, 0x10  # of linux/falloc.h: FALLOC_FL_PUNCH_HOLE with KEEP_SIZE, ZERO_RANGE
ACL = "system.posix_acl_access"
_libc = ctypes.CDLL(None, use_errno=True)


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


def a_repository(path: Path) -> Path:
    """A C program of many files, under git."""
    path.mkdir()
    names = [f"part{number}" for number in range(SOURCES)]
    for number, name in enumerate(names):
        (path / f"{name}.c").write_text(f"int {name}(void) {{ return {number}; }}\n")
    calls = " + ".join(f"{name}()" for name in names)
    declared = "".join(f"int {name}(void);\n" for name in names)
    main = f'#include <stdio.h>\n{declared}int main(void) {{ printf("%d\\n", {calls}); }}\n'
    (path / "main.c").write_text(main)
    objects = " ".join(f"{name}.o" for name in [*names, "main"])
    (path / "Makefile").write_text(f"program: {objects}\n\t$(CC) -o $@ $^\n")
    (path / ".gitignore").write_text("*.o\nprogram\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    run("git", "init", "--quiet", cwd=path)
    run("git", "add", ".", cwd=path)
    run(*git, "commit", "--quiet", "--message=all", cwd=path)
    return path


def clone_and_make(root: Path, tmp_path: Path) -> object:
    run("git", "clone", "--quiet", f"file://{tmp_path / 'repository'}", "clone", cwd=root)
    clone = root / "clone"
    run("make", "-j2", cwd=clone)
    again = run("make", cwd=clone)
    run("git", "fsck", "--strict", cwd=clone)
    return run("./program", cwd=clone), "up to date" in again, run("git", "status", "-s", cwd=clone)


def insert(path: Path, writer: int) -> None:
    connection = sqlite3.connect(path, timeout=60)
    for number in range(INSERTS):
        with connection:
            connection.execute("insert into done values (?, ?)", (writer, number))
    connection.close()


def database(root: Path, _: Path) -> object:
    path = root / "database"
    with sqlite3.connect(path) as connection:
        connection.execute("create table done (writer int, number int, unique (writer, number))")
    connection.close()
    with ProcessPoolExecutor(WRITERS) as pool:
        list(pool.map(insert, [path] * WRITERS, range(WRITERS)))
    with sqlite3.connect(path) as connection:
        rows = connection.execute("select count(*) from done").fetchone()
        check = connection.execute("pragma integrity_check").fetchone()
    connection.close()
    assert rows == (WRITERS * INSERTS,)
    return rows, check


def access_list(root: Path, _: Path) -> object:
    """An ACL with an entry for a user of its own, as acl(5) has it on disk."""
    path = root / "listed"
    path.touch(0o640)
    none = 0xFFFFFFFF
    entries = [(1, 6, none), (2, 4, 65534), (4, 4, none), (0x10, 4, none), (0x20, 0, none)]
    wanted = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, ACL, wanted)
    found = os.getxattr(path, ACL)
    path.chmod(0o600)
    return found == wanted, os.getxattr(path, ACL), oct(path.stat().st_mode)


def direct(root: Path, _: Path) -> object:
    handle = os.open(root / "direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    block = mmap.mmap(-1, 8192)
    block.write(os.urandom(16) * 512)
    try:
        written = os.pwritev(handle, [block], 4096)
        again = mmap.mmap(-1, 8192)
        return written, os.preadv(handle, [again], 4096), again[:] == block[:]
    finally:
        os.close(handle)


def allocate(handle: int, mode: int, offset: int, size: int) -> str:
    arguments = (ctypes.c_int(mode), ctypes.c_int64(offset), ctypes.c_int64(size))
    if _libc.fallocate(handle, *arguments):
        return errno.errorcode[ctypes.get_errno()]
    return "done"


def holes(root: Path, _: Path) -> object:
    """fallocate, discard, zerofill and seek."""
    handle = os.open(root / "holes", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(handle, b"x" * 2**20, 0)
        os.fsync(handle)
        did = [
            allocate(handle, PUNCH, 2**18, 2**18),
            allocate(handle, ZERO, 2**19, 4096),
            allocate(handle, 0, 2**20, 4096),
        ]
        size = os.fstat(handle).st_size
        content = os.pread(handle, size, 0)
        found = [os.lseek(handle, start, how) for start in (0, 2**18) for how in (3, 4)]
        return did, size, content.count(b"x"), content.count(b"\0"), found
    except OSError as error:
        return error.errno
    finally:
        os.close(handle)


def copies(root: Path, _: Path) -> object:
    content = os.urandom(300_000)
    (root / "source").write_bytes(content)
    with (root / "source").open("rb") as source, (root / "target").open("wb") as target:
        try:
            by_range: object = os.copy_file_range(source.fileno(), target.fileno(), 200_000)
        except OSError as error:
            by_range = error.errno
        target.flush()
        target.seek(0)
        sent = os.sendfile(target.fileno(), source.fileno(), 0, 250_000)
    return by_range, sent, (root / "target").read_bytes()[:250_000] == content[:250_000]


APPLICATIONS: dict[str, Callable[[Path, Path], object]] = {
    "git and make": clone_and_make,
    "SQLite": database,
    "access control lists": access_list,
    "direct I/O": direct,
    "holes": holes,
    "copies": copies,
}


def inodes(subject: Volume) -> list[int]:
    """How many inodes each brick holds a reference to."""
    pids = [subject.pid(brick) for brick in subject.bricks]
    return [subject.active_inodes(pid) for pid in pids if pid]


@pytest.mark.parametrize("kind", [(), ("replica", "2")], ids=["distributed", "replicated"])
def test_applications(xlator: None, kind: tuple[str, ...], tmp_path: Path) -> None:
    a_repository(tmp_path / "repository")
    with (
        volume(*kind, bricks=2) as counted,
        volume(*kind, bricks=2, counted=False) as bare,
    ):
        with counted.mount("acl") as with_it, bare.mount("acl") as without_it:
            for name, application in APPLICATIONS.items():
                ours, theirs = (application(root, tmp_path) for root in (with_it, without_it))
                assert ours == theirs, name
        fops = set()
        for brick in counted.bricks:
            with counted.segment(brick) as segment:
                fops |= {fop.name for fop in segment.fops() if fop.completed}
        assert {"lk", "discard", "fallocate", "seek", "setxattr"} <= fops, fops
        if not kind:
            # A directory is in use where a child of it was, and the random names of git's temporary
            # files decide which brick has those.
            return
        with counted.mount(), bare.mount():
            wait_for(lambda: inodes(counted) == inodes(bare), "the same inodes to be in use")


def lock_elsewhere(path: Path, kind: str) -> str:
    """Whether another process gets a lock through another mount."""
    take = {"flock": "fcntl.flock", "lockf": "fcntl.lockf"}[kind]
    code = f"import fcntl, sys; {take}(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    return "refused" if "BlockingIOError" in done.stderr else done.stderr or "granted"


@pytest.mark.parametrize("kind", ["flock", "lockf"])
def test_locks_between_two_mounts(xlator: None, kind: str) -> None:
    with volume(bricks=1) as made, made.mount() as first, made.mount() as second:
        (first / "file").write_bytes(b"x")
        with (first / "file").open("r+") as file:
            getattr(fcntl, kind)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert lock_elsewhere(second / "file", kind) == "refused"
            getattr(fcntl, kind)(file, fcntl.LOCK_UN)
            assert lock_elsewhere(second / "file", kind) == "granted"
        with made.segment(made.bricks[0]) as segment:
            assert [number for name, number, _ in segment.errnos() if name == "lk"] == [
                errno.EAGAIN
            ]


def postgresql() -> Path | None:
    """Where the programs of its server are; Debian keeps them out of the path."""
    return next(Path("/usr/lib/postgresql").glob("*/bin"), None)


class Server:
    """A PostgreSQL whose data are on a mount, and which listens on a socket elsewhere."""

    def __init__(self, programs: Path, root: Path, sockets: Path) -> None:
        self.data = root / "postgresql"
        self._programs = programs
        self._sockets = sockets
        user = pwd.getpwnam("postgres")  # the server refuses to be root
        for path in (self.data, sockets):
            path.mkdir()
            os.chown(path, user.pw_uid, user.pw_gid)

    def run(self, program: str, *words: str | Path) -> str:
        """What a program of PostgreSQL prints."""
        as_user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
        where = {"PGHOST": str(self._sockets), "PGDATABASE": "postgres"}
        done = subprocess.run(
            [*as_user, self._programs / program, *words],
            check=True,
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", **where},
        )
        return done.stdout

    def control(self, *words: str | Path) -> str:
        """Start or stop the server."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._sockets}"
        return self.run("pg_ctl", "-D", self.data, "-w", "-o", options, *words)

    def work(self) -> object:
        """A database made, used by several clients at once, by one server only, and checked."""
        self.run("initdb", "--no-sync", "--data-checksums", "-D", self.data)
        self.control("-l", self.data / "log", "start")
        try:
            with pytest.raises(subprocess.CalledProcessError):
                self.control("start")  # it holds the lock
            self.run("pgbench", "--initialize", "--quiet", "--scale=1")
            self.run("pgbench", "--client=4", "--jobs=2", "--transactions=25", "--no-vacuum")
            query = (
                "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts),"
                "sum(delta) = (select sum(bbalance) from pgbench_branches) from pgbench_history"
            )
            rows = self.run("psql", "--no-align", "--tuples-only", "--command", query)
        finally:
            self.control("stop")
        return rows, "Bad checksums:  0" in self.run("pg_checksums", "--check", "-D", self.data)


def test_postgresql(xlator: None, need: Callable[[object, str], None]) -> None:
    programs = postgresql()
    need(programs, "PostgreSQL's server")
    assert programs
    with (
        volume("replica", "2", bricks=2) as counted,
        counted.mount() as mount,
        tempfile.TemporaryDirectory() as sockets,
    ):
        Path(sockets).chmod(0o755)
        server = Server(programs, mount, Path(sockets) / "s")
        assert server.work() == ("100|t|t\n", True)
