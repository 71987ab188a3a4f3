"""Puts the translator where the installed GlusterFS looks for it, and takes it away again."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.segment import layout
from glupy_exporter.xlator import build
from glupy_exporter.xlator.peer import NAME, SCRIPT, Stamp, find_stamp

_LIBRARY_MODE = 0o644  # as every other translator
_SCRIPT_MODE = 0o755
_WORKING_DIRECTORY = Path("/var/lib/glusterd")


def library() -> Path:
    """Where the installed GlusterFS looks for the translator."""
    return build.xlator_dir() / "user" / build.SHARED_OBJECT


def peer_script() -> Path:
    """Where glusterd looks for what ``gluster system:: execute glupy`` runs."""
    return build.xlator_dir().parents[1] / f"peer_{NAME}"


def gluster_version() -> str:
    """The version of the installed GlusterFS, which names the directory of its translators."""
    return build.xlator_dir().parent.name


def read_stamp(path: Path) -> Stamp:
    """What the translator at ``path`` says of itself.

    Raises:
        UserError: the file cannot be read or is no translator of ours.
    """
    try:
        stamp = find_stamp(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if stamp is None:
        raise UserError(f"{path} is not a glupy translator; make one with `xlator build`")
    return stamp


def check(stamp: Stamp, glusterfs_version: str) -> str | None:
    """Why the translator does not fit a node with that GlusterFS, or None if it does."""
    if stamp.glusterfs_version != glusterfs_version:
        return (
            f"the translator was built for GlusterFS {stamp.glusterfs_version}, "
            f"{glusterfs_version} is installed"
        )
    if stamp.layout != layout.VERSION:
        return (
            f"the translator writes segment layout {stamp.layout}, "
            f"this exporter reads {layout.VERSION}"
        )
    return None


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UserError("only root may do this; try again with sudo")


def _loads(path: Path) -> None:
    """Raise UserError unless the dynamic linker can load ``path``.

    In a process of its own, since loading runs code of the library.
    """
    code = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW).xlator_api"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path.resolve())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise UserError(f"{path} cannot be loaded ({reason}); build it again")


def _put(target: Path, content: bytes, mode: int) -> None:
    """Replace ``target`` in one step: a running brick keeps the file that it has mapped."""
    target.parent.mkdir(mode=0o755, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise


def install(directory: Path, dry_run: bool = False) -> list[str]:
    """Install ``directory/glupy.so`` and the peer script; return a line for each file.

    Raises:
        UserError: not root, no translator there, or it does not fit the installed GlusterFS.
    """
    source = directory / build.SHARED_OBJECT
    if not source.exists():
        raise UserError(f"{source} does not exist; run `glupy-exporter xlator build` first")
    problem = check(read_stamp(source), gluster_version())
    if problem:
        raise UserError(f"{source}: {problem}; run `glupy-exporter xlator build` again")
    _loads(source)
    files = [
        (library(), source.read_bytes(), _LIBRARY_MODE),
        (peer_script(), SCRIPT.encode("ascii"), _SCRIPT_MODE),
    ]
    if dry_run:
        return [f"would install {target}" for target, _, _ in files]
    _require_root()
    try:
        for target, content, mode in files:
            _put(target, content, mode)
    except OSError as error:
        raise UserError(f"cannot install {target}: {error.strerror}") from error
    return [f"installed {target}" for target, _, _ in files]


def users() -> list[Path]:
    """Brick volfiles of this node that name the translator: those bricks need it to start."""
    try:
        return sorted(
            volfile
            for volfile in _WORKING_DIRECTORY.glob("*/**/*.vol")
            if b"type user/glupy\n" in volfile.read_bytes()
        )
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def uninstall(dry_run: bool = False) -> list[str]:
    """Remove what :func:`install` put there; return a line for each file.

    Raises:
        UserError: not root, or a brick of this node would not start any more.
    """
    _require_root()
    needed = users()
    if needed:
        volumes = ", ".join(sorted({volfile.parent.name for volfile in needed}))
        raise UserError(
            f"bricks of {volumes} do not start without the translator; "
            "run `glupy-exporter xlator disable` on each of these volumes first"
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
