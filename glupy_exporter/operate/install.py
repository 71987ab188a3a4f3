"""Puts the translator where the installed GlusterFS looks for it, and takes it away again."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from glupy_exporter import atomic, commands
from glupy_exporter.builder import build
from glupy_exporter.errors import UserError
from glupy_exporter.node import glusterd
from glupy_exporter.operate.peer import NAME, SCRIPT, Stamp, find_stamp
from glupy_exporter.segment.check import VERSIONS

_SCRIPT_MODE = 0o755


def library() -> Path:
    """Where the installed GlusterFS looks for the translator."""
    return build.xlator_dir() / "user" / build.SHARED_OBJECT


def peer_script() -> Path:
    """Where glusterd looks for what ``gluster system:: execute glupy`` runs."""
    return build.libexec_dir() / f"peer_{NAME}"


def gluster_version() -> str:
    """The version of the installed GlusterFS, which names the directory of its translators."""
    return build.xlator_dir().parent.name


def check(stamp: Stamp, glusterfs_version: str) -> str | None:
    """Why the translator does not fit a node with that GlusterFS, or None if it does."""
    if stamp.glusterfs_version != glusterfs_version:
        return (
            f"the translator was built for GlusterFS {stamp.glusterfs_version}, "
            f"{glusterfs_version} is installed"
        )
    if stamp.layout not in VERSIONS:
        return (
            f"the translator writes segment layout {stamp.layout}, "
            f"this exporter reads {' and '.join(map(str, VERSIONS))}"
        )
    return None


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UserError("only root may do this; try again with sudo")


def _read(source: Path) -> bytes:
    """The content of a file that nobody but root, or the user who runs this, can have written.

    Raises:
        UserError: it cannot be read, or is another user's.
    """
    try:
        # O_NONBLOCK: the other end of a FIFO is not waited for.
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{source} is not a regular file")
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
                raise UserError(
                    f"{source} is not root's alone, so others may have changed it; build it again "
                    "as root, or look at it and run `chown root` and `chmod 644` on it"
                )
            return file.read()
    except FileNotFoundError as error:
        raise UserError(
            f"{source} does not exist; run `glupy-exporter xlator build` first"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror}") from error


def _check_loads(source: Path, content: bytes) -> None:
    """Raise UserError unless the dynamic linker can load ``content``, as read from ``source``.

    It is loaded in a process of its own, since that runs code of the library. It is loaded from
    memory, so that nobody can replace the file between the check and the installation.
    """
    code = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW).xlator_api"
    try:
        descriptor = os.memfd_create(build.SHARED_OBJECT)
    except OSError as error:
        raise UserError(f"cannot load {source} to check it: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        copy = f"/proc/self/fd/{descriptor}"
        command = [sys.executable, "-I", "-c", code, copy]
        done = commands.run(command, 60, descriptors=[descriptor])
    if done.returncode != 0:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        reason = reason.replace(copy, build.SHARED_OBJECT)
        raise UserError(f"{source} cannot be loaded ({reason}); build it again")


def _checked(directory: Path) -> bytes:
    """The translator in ``directory``, which fits the installed GlusterFS.

    Raises:
        UserError: there is no translator of root's there, or it does not fit.
    """
    source = directory / build.SHARED_OBJECT
    content = _read(source)
    stamp = find_stamp(content)
    if stamp is None:
        raise UserError(f"{source} is not a glupy translator; make one with `xlator build`")
    problem = check(stamp, gluster_version())
    if problem:
        raise UserError(f"{source}: {problem}; run `glupy-exporter xlator build` again")
    _check_loads(source, content)
    return content


def install(directory: Path, dry_run: bool = False, script_only: bool = False) -> list[str]:
    """Install ``directory/glupy.so`` and the peer script; return a line for each file.

    With ``script_only``, install only the script, which is all that a node without bricks needs.

    Raises:
        UserError: not root, no translator of root's there, or it does not fit the installed
            GlusterFS. ``dry_run`` needs no root, and then takes a translator of the user's own.
    """
    if not dry_run:
        _require_root()
    files = [(peer_script(), SCRIPT.encode("ascii"), _SCRIPT_MODE)]
    if not script_only:
        files.insert(0, (library(), _checked(directory), build.MODE))
    if dry_run:
        return [f"would install {target}" for target, _, _ in files]
    try:
        for target, data, mode in files:
            target.parent.mkdir(mode=0o755, exist_ok=True)
            atomic.replace(target, data, mode)
    except OSError as error:
        raise UserError(f"cannot install {target}: {error.strerror}") from error
    return [f"installed {target}" for target, _, _ in files]


def users() -> tuple[list[str], list[str]]:
    """The volumes and the snapshots with bricks on this node that need the translator to start.

    Raises:
        UserError: glusterd's files cannot be read.
    """
    volumes: set[str] = set()
    snapshots: set[str] = set()
    try:
        for directory in {glusterd.working_directory(), glusterd.WORKING_DIRECTORY}:
            for volfile in directory.glob("*/**/*.vol"):
                if b"type user/glupy\n" not in volfile.read_bytes():
                    continue
                kind, name = volfile.relative_to(directory).parts[:2]
                (snapshots if kind == "snaps" else volumes).add(name)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    return sorted(volumes), sorted(snapshots)


def uninstall(dry_run: bool = False) -> list[str]:
    """Remove what :func:`install` put there; return a line for each file.

    Raises:
        UserError: not root, or a brick of this node would not start any more.
    """
    _require_root()
    volumes, snapshots = users()
    if volumes or snapshots:
        # Nothing takes an option out of a snapshot, which may be activated or restored any time.
        commands_first = [
            *(f"`glupy-exporter xlator disable {volume}`" for volume in volumes),
            *(f"`gluster snapshot delete {snapshot}`" for snapshot in snapshots),
        ]
        what = [
            *(f"volume {volume}" for volume in volumes),
            *(f"snapshot {snapshot}" for snapshot in snapshots),
        ]
        raise UserError(
            f"bricks of {', '.join(what)} do not start without the translator; run "
            f"{', '.join(commands_first)} first, or leave the translator where it is"
        )
    lines = []
    try:
        for target in (library(), peer_script()):
            if not target.exists():
                continue
            lines.append(f"{'would remove' if dry_run else 'removed'} {target}")
            if not dry_run:
                target.unlink()
        directory = library().parent
        if not dry_run and directory.exists() and not any(directory.iterdir()):
            directory.rmdir()
    except OSError as error:
        raise UserError(f"cannot remove {target}: {error.strerror}") from error
    return lines or ["nothing is installed"]
