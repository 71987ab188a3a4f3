"""A clean Debian in a directory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("glupy-exporter", "glusterfs-xlator-glupy")


class Root:
    """A Debian in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path, suite: str, *packages: str) -> Root:
        """A new root of a suite, with ``packages`` beside those that are essential."""
        path.chmod(0o755)
        words = ["debootstrap", "--variant=minbase"]
        if packages:
            words.append(f"--include={','.join(packages)}")
        subprocess.run([*words, suite, path], check=True)
        # As in any image that is being built, no service may be started.
        policy = path / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        return cls(path)

    def run(self, *words: str) -> str:
        """The output of a command that runs in there and has to succeed."""
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
        """All files with our name, but dpkg's notes and the logs."""
        found = self.run("find", "/", "-xdev", "-name", "*glupy*").split()
        return {path for path in found if not path.startswith(("/var/log/", "/var/cache/"))}


def newer(deb: Path, directory: Path) -> Path:
    """The same package with a higher version, its translator with one byte more."""
    content = directory / deb.stem
    subprocess.run(["dpkg-deb", "--raw-extract", deb, content], check=True)
    control = content / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: ", "Version: 1:", 1))
    for library in content.rglob("glupy.so"):
        library.write_bytes(library.read_bytes() + b"\0")
    made = directory / f"{deb.stem}-newer.deb"
    subprocess.run(["dpkg-deb", "--build", content, made], check=True)
    return made
