"""Builds ``glupy.so`` for the GlusterFS that is installed on this machine.

A translator shares structs with libglusterfs, and GlusterFS does not install the ``config.h`` that
shaped them. What is needed of that file is found out from the library, or is the same on every
64-bit Linux, the only platform that is supported.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from glupy_exporter import __version__, atomic, commands, core
from glupy_exporter.builder import codegen, header, option_header
from glupy_exporter.builder.codegen import quoted
from glupy_exporter.errors import UserError
from glupy_exporter.schema import layout

SHARED_OBJECT = "glupy.so"
MODE = 0o644  # as every other translator
DIRECTORY = Path("/var/lib/glupy-exporter/xlator")
"""Where a translator is built, and installed from, by default. Only root can write there."""

SOURCES = Path(core.__file__).parent
"""The directory of the translator's C sources."""
_MACHINES = ("x86_64", "aarch64", "ppc64le", "s390x", "riscv64")
_FLAGS = [
    "-std=gnu11",
    "-O2",
    "-g",
    "-fPIC",
    "-shared",
    "-pthread",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fvisibility=hidden",
    "-fstack-protector-strong",
    # Never unloaded (nodelete): the process keeps a signal handler of ours, see sigbus.c.
    "-Wl,-z,defs,-z,relro,-z,now,-z,nodelete",
]
# What config.h says on every 64-bit Linux.
_MACROS = [
    "GF_LINUX_HOST_OS=1",
    "SIZEOF_LONG=8",
    "HAVE_ATOMIC_BUILTINS=1",
    "HAVE_SYNC_BUILTINS=1",
    "HAVE_LLISTXATTR=1",
    "HAVE_STRNLEN=1",
    "_FILE_OFFSET_BITS=64",
    "_GNU_SOURCE=1",
]


@dataclass(frozen=True)
class GlusterFS:
    """The GlusterFS installed here."""

    version: str
    include: Path
    """The directory that holds the directory ``glusterfs/`` of headers."""
    xlator_dir: Path
    library: Path


def _run(*command: str) -> str:
    """Standard output of ``command``. Raises UserError if it is missing or fails."""
    try:
        done = commands.run(command, 300)
    except FileNotFoundError as error:
        raise UserError(
            f"{command[0]} is not installed; see README.md for what a build needs"
        ) from error
    if done.returncode != 0:
        text = (done.stderr or done.stdout).strip()
        raise UserError(f"{' '.join(command)} failed with {done.returncode}: {text}")
    return done.stdout


def xlator_dir() -> Path:
    """Where the installed GlusterFS looks for translators: ``LIBDIR/glusterfs/VERSION/xlator``."""
    return Path(_run("glusterfsd", "--print-xlatordir").strip())


def libexec_dir() -> Path:
    """Where the installed glusterd looks for ``peer_NAME``; RPM systems have it elsewhere."""
    return Path(_run("glusterfsd", "--print-libexecdir").strip())


def find() -> GlusterFS:
    """Find the installed GlusterFS, its headers and its library.

    Raises:
        UserError: something is missing, or headers and library are not of the same version.
    """
    # A 64-bit kernel may run 32-bit programs.
    bits = 64 if sys.maxsize > 2**32 else 32
    if platform.machine() not in _MACHINES or bits == 32:
        raise UserError(
            f"{platform.machine()} with {bits}-bit programs is not supported: the translator needs "
            "a 64-bit Linux"
        )
    xlators = xlator_dir()
    told = _run("glusterfsd", "--version").partition("\n")[0].split()
    if len(told) < 2:
        raise UserError("`glusterfsd --version` does not tell the version of GlusterFS")
    version = told[1]
    library = xlators.parents[2] / "libglusterfs.so.0"
    if not library.exists():
        raise UserError(f"{library} does not exist; is GlusterFS installed completely?")
    include = Path("/usr/include")
    if not (include / "glusterfs" / "xlator.h").exists():
        raise UserError(
            f"{include}/glusterfs/xlator.h does not exist; install libglusterfs-dev (Debian) "
            "or glusterfs-devel (RPM)"
        )
    # The module's version is the API's major number, a dot, and the package's version.
    headers = _run("pkg-config", "--modversion", "glusterfs-api").strip().partition(".")[2]
    if headers != version:
        raise UserError(
            f"headers are of GlusterFS {headers}, the library is {version}; "
            "install the headers of the same version"
        )
    return GlusterFS(version, include, xlators, library)


def has_spinlock(gluster: GlusterFS) -> bool:
    """Whether the library was built with HAVE_SPINLOCK, which shapes ``gf_lock_t``.

    Only GlusterFS 9 and older know that macro. A library built with it defines the variable
    ``use_spinlocks`` (locking.c), and no other does. An import of ``pthread_spin_lock`` proves
    nothing, as the memory pools of every version use that.

    Raises:
        UserError: the library's symbols cannot be read.
    """
    locking = (gluster.include / "glusterfs" / "locking.h").read_text(encoding="utf-8")
    symbols = _run("nm", "--dynamic", "--defined-only", str(gluster.library)).split()
    if "LOCK" not in locking or "glusterfs_ctx_new" not in symbols:
        raise UserError(f"cannot tell which locks {gluster.library} uses; not supported yet")
    return "HAVE_SPINLOCK" in locking and "use_spinlocks" in symbols


def stamp(version: str) -> str:
    """The mark of a built translator, for which ``xlator install`` and ``status`` look."""
    content = {
        "xlator_version": __version__,
        "glusterfs_version": version,
        "layout": layout.VERSION,
    }
    return "glupy-stamp:" + json.dumps(content, separators=(",", ":"))


def generate(gluster: GlusterFS, directory: Path) -> None:
    """Write the generated sources, ``layout.h``, ``option_table.h`` and ``fops.inc``."""
    (directory / "layout.h").write_text(header.render(), encoding="utf-8")
    (directory / "option_table.h").write_text(option_header.render(), encoding="utf-8")
    fops = codegen.generate(gluster.include / "glusterfs")
    (directory / "fops.inc").write_text(fops, encoding="utf-8")


def defines(gluster: GlusterFS) -> list[str]:
    """Every macro that the sources need, as compiler arguments."""
    macros = [
        *_MACROS,
        f"GLUPY_GLUSTERFS_VERSION={quoted(gluster.version)}",
        f"GLUPY_XLATOR_VERSION={quoted(__version__)}",
        f"GLUPY_STAMP={quoted(stamp(gluster.version))}",
    ]
    if has_spinlock(gluster):
        macros.append("HAVE_SPINLOCK=1")
    return [f"-D{macro}" for macro in macros]


def includes(gluster: GlusterFS) -> list[str]:
    """Where headers are, as compiler arguments."""
    # uuid.h and libtirpc's headers lie where pkg-config says.
    others = _run("pkg-config", "--cflags", "uuid", "libtirpc").split()
    return [f"-I{gluster.include}", f"-I{gluster.include / 'glusterfs'}", *others]


def build(output: Path, compiler: str = "cc") -> Path:
    """Build ``glupy.so`` into the directory ``output`` and return its path.

    Raises:
        UserError: something that the build needs is missing or not supported, or it failed.
    """
    gluster = find()
    # Not in TMPDIR, which may be another user's.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        work = Path(name)
        generate(gluster, work)
        sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
        command = [compiler, *_FLAGS, *defines(gluster), *includes(gluster)]
        command += [f"-I{work}", f"-I{SOURCES}"]
        built = work / SHARED_OBJECT
        _run(
            *command,
            "-o",
            str(built),
            *sources,
            f"-L{gluster.library.parent}",
            "-l:libglusterfs.so.0",
            "-lm",
        )
        try:
            output.mkdir(parents=True, exist_ok=True)
            atomic.replace(output / SHARED_OBJECT, built.read_bytes(), MODE)
        except OSError as error:
            raise UserError(
                f"cannot write into {output}: {error.strerror}; run this as root, or name another "
                "directory with --output"
            ) from error
    return output / SHARED_OBJECT
