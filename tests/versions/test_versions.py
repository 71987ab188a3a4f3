"""The translator and the exporter on the GlusterFS and the Python of other releases of Debian.

Each release lies in a directory. There the tests of this repository that touch GlusterFS most run
again, with a glusterd of its own, in namespaces of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounts import WITHOUT_CLIENTS
from tests.support.roots import Root

REPOSITORY = Path(__file__).resolve().parents[2]
# promtool is a package of its own. On GlusterFS 11.1 the heal of a dispersed volume that is written
# to all the time does not end in time, so enabling it, which waits for that, gives up. How commands
# go on that were interrupted is their own affair, not GlusterFS's.
CHOSEN = "not promtool and not test_a_dispersed_volume_is_enabled_brick_by_brick"
CHOSEN += " and not interrupted and not killed"
PACKAGES = ("ca-certificates", "fio", "gcc", "glusterfs-server", "iproute2", "libc6-dbg")
PACKAGES += ("libc6-dev", "libglusterfs-dev", "libssl-dev", "libtirpc-dev", "liburcu-dev")
PACKAGES += ("pkg-config", "procps", "python3", "python3-venv", "uuid-dev", "valgrind")
REQUIREMENTS = ("pyte", "pytest>=8", "pytest-timeout")
# The glusterd of GlusterFS 9 cannot insert a translator.
WITHOUT_BRICKS = (
    "native",
    "unit/test_api.py",
    "unit/test_codegen.py",
    "unit/test_collectors.py",
    "unit/test_config.py",
    "unit/test_discovery.py",
    "unit/test_dump.py",
    "unit/test_exposition.py",
    "unit/test_names.py",
    "unit/test_privacy.py",
    "unit/test_reader.py",
    "unit/test_selector.py",
    "unit/test_top.py",
    "unit/test_web.py",
    "unit/test_xlator_volume.py",
)
WITH_BRICKS = (
    "native",
    "gluster/test_errors.py",
    "gluster/test_faults.py",
    "gluster/test_files_and_clients.py",
    "gluster/test_fio.py",
    "gluster/test_latency.py",
    "gluster/test_lifecycle.py",
    "gluster/test_profile.py",
    "gluster/test_semantics.py",
    "gluster/test_volume_types.py",
    "gluster/test_xlator_commands.py",
)
SUITES = {
    "bullseye": ("glusterfs 9.2", "Python 3.9", WITHOUT_BRICKS),
    "trixie": ("glusterfs 11.1", "Python 3.13", WITH_BRICKS),
}
# The shell stays: it collects the processes that are left to the first one. The root is a mount, as
# unshare(1) wants it where tests call that in there.
INIT = f"""
set -e
{WITHOUT_CLIENTS}
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs tmpfs "$1/tmp"
ip link set lo up
hostname "$2"
root=$1
shift 2
chroot "$root" "$@"
"""


def checkout(target: Path) -> None:
    """Copy what belongs to the repository."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)


def in_namespaces(root: Root, *words: str) -> str:
    """What a command prints that runs in there with processes and a network of its own."""
    unshare = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"]
    done = subprocess.run(
        [*unshare, "sh", "-c", INIT, "sh", root.path, "node", *words],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "CI": "true"},
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, f"{done.stdout[-20000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("suite", SUITES)
def test_version(suite: str, need: Callable[[object, str], None], tmp_path: Path) -> None:
    glusterfs, python, names = SUITES[suite]
    need(os.geteuid() == 0, "root")
    need(shutil.which("debootstrap"), "debootstrap")
    root = Root.make(tmp_path, suite, *PACKAGES)
    try:
        (root.path / "etc/hosts").write_text("127.0.0.1 localhost node\n")
        # It trusts whom this machine trusts.
        trusted = Path("etc/ssl/certs/ca-certificates.crt")
        shutil.copy("/" / trusted, root.path / trusted)
        checkout(root.path / "repository")
        root.run("python3", "-m", "venv", "/venv")
        pip = ("/venv/bin/pip", "install", "--quiet")
        root.run(*pip, "--upgrade", "pip")
        root.run(*pip, "--editable", "/repository[auth]", *REQUIREMENTS)
        assert root.run("glusterd", "--version").startswith(glusterfs)
        assert root.run("/venv/bin/python", "--version").startswith(python)
        tests = " ".join(f"tests/{name}" for name in names)
        line = f"cd /repository && /venv/bin/python -m pytest -k '{CHOSEN}' {tests}"
        print(in_namespaces(root, "sh", "-c", line)[-2000:])
    finally:
        shutil.rmtree(root.path)
