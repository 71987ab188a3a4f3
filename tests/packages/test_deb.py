"""The Debian packages in a clean Debian: installed, used, upgraded, removed, purged."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Need = Callable[[object, str], None]

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = ("glupy-exporter", "glusterfs-xlator-glupy")
CONFIG = "etc/glupy-exporter/config.yml"
UNIT = "etc/systemd/system/multi-user.target.wants/glupy-exporter.service"
TIMER = "etc/systemd/system/timers.target.wants/glupy-discover.timer"
SOCKET = "etc/systemd/system/sockets.target.wants/glupy-exporter.socket"


class Root:
    """A Debian in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *words: str) -> str:
        """What a command prints in there; it has to succeed."""
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            ["chroot", self.path, *words], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def apt(self, *words: str) -> str:
        return self.run("apt-get", "--yes", "--no-install-recommends", "-qq", *words)

    def install(self, *debs: Path) -> None:
        target = self.path / "debs"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for deb in debs:
            shutil.copy(deb, target)
        self.apt("install", *(f"/debs/{deb.name}" for deb in debs))
        shutil.rmtree(target)

    def has(self, name: str) -> bool:
        path = self.path / name
        return path.exists() or path.is_symlink()

    def ours(self) -> set[str]:
        """All files whose name is ours, but what dpkg notes of packages that are gone."""
        found = self.run("find", "/", "-xdev", "-name", "*glupy*").split()
        return {path for path in found if not path.startswith(("/var/log/", "/var/cache/"))}


@pytest.fixture(scope="module")
def debs(need: Need) -> list[Path]:
    need(os.geteuid() == 0, "root")
    for command, package in (("dpkg-buildpackage", "dpkg-dev"), ("dh_python3", "dh-python")):
        need(shutil.which(command), f"{command} (Debian: {package})")
    need(shutil.which("lintian"), "lintian")
    subprocess.run(["make", "deb"], cwd=REPOSITORY, check=True)
    made = REPOSITORY / "build" / "deb"
    return [next(made.glob(f"{name}_*.deb")) for name in NAMES]


@pytest.fixture(scope="module")
def root(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    need(shutil.which("debootstrap"), "debootstrap")
    path = tmp_path_factory.mktemp("root")
    path.chmod(0o755)
    suite = "bookworm"
    subprocess.run(["debootstrap", "--variant=minbase", suite, path], check=True)
    # Nothing is to be started in there, as in any image that is being built.
    policy = path / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    yield Root(path)
    shutil.rmtree(path)


def newer(deb: Path, directory: Path) -> Path:
    """The same package with a higher version."""
    content = directory / deb.stem
    subprocess.run(["dpkg-deb", "--raw-extract", deb, content], check=True)
    control = content / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: ", "Version: 1:", 1))
    made = directory / f"{deb.stem}-newer.deb"
    subprocess.run(["dpkg-deb", "--build", content, made], check=True)
    return made


@pytest.mark.timeout(900)
def test_the_life_of_the_packages(debs: list[Path], root: Root, tmp_path: Path) -> None:
    root.install(*debs)
    assert root.run("id", "--name", "--groups", "glupy").split() == ["glupy", "gluster"]
    assert "glupy-exporter 0." in root.run("glupy-exporter", "--version")
    unit = (root.path / "lib/systemd/system/glupy-exporter.service").read_text()
    assert "\nExecStart=/usr/bin/glupy-exporter serve --config.file=/" in unit
    assert "\nUser=glupy\n" in unit
    assert root.has(UNIT)
    assert root.has(TIMER)
    assert not root.has(SOCKET)
    served = root.run(
        *("runuser", "-u", "glupy", "--", "glupy-exporter", "dump", f"--config.file=/{CONFIG}")
    )
    assert 'reason="no_directory"} 1.0' in served
    # Where GlusterFS looks for it, and for the script that tells the other nodes.
    directory = root.run("glusterfsd", "--print-xlatordir").strip()
    assert root.has(f"{directory[1:]}/user/glupy.so")
    assert "not found" not in root.run("ldd", f"{directory}/user/glupy.so")
    stamp = root.run("sh", str(Path(directory).parents[1] / "peer_glupy")).splitlines()[-1]
    assert "glupy-stamp:{" in stamp

    config = root.path / CONFIG
    config.write_text(config.read_text() + "segment.expiry: 2h\n")
    root.install(*(newer(deb, tmp_path) for deb in debs))
    assert root.run("dpkg-query", "--show", "--showformat=${Version}", NAMES[0]).startswith("1:")
    assert config.read_text().endswith("segment.expiry: 2h\n")
    assert root.has(UNIT)

    root.apt("remove", *NAMES)
    assert not root.has("usr/bin/glupy-exporter")
    assert not root.has(f"{directory[1:]}/user/glupy.so")
    assert config.read_text().endswith("segment.expiry: 2h\n")

    root.apt("purge", *NAMES)
    assert not root.has("etc/glupy-exporter")
    assert not root.has(UNIT)
    assert not root.has(TIMER)
    assert root.ours() == set()
    root.install(*debs)  # and once more
    assert root.has(UNIT)
