"""Files that are replaced, in directories that are not one's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from glupy_exporter import atomic


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("as it was")
    victim.chmod(0o600)
    path.symlink_to(victim)
    atomic.replace(path, b"new", 0o644)
    assert not path.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert victim.read_text() == "as it was"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


def test_who_owns_the_directory_cannot_lead_the_mode_to_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacker puts a link in the place of the new file before that gets its mode."""
    victim, directory = tmp_path / "victim", tmp_path / "theirs"
    victim.write_text("secret")
    victim.chmod(0o600)
    directory.mkdir()
    fsync = os.fsync

    def swap(descriptor: int) -> None:
        fsync(descriptor)
        for path in directory.iterdir():
            path.unlink()
            path.symlink_to(victim)

    monkeypatch.setattr(os, "fsync", swap)
    monkeypatch.setattr(os, "fchmod", lambda d, mode, fchmod=os.fchmod: (swap(d), fchmod(d, mode)))
    atomic.replace(directory / "file", b"new", 0o644)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert victim.read_text() == "secret"


def test_who_owns_a_parent_cannot_lead_it_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, elsewhere = tmp_path / "theirs", tmp_path / "etc"
    directory.mkdir()
    elsewhere.mkdir()
    fsync = os.fsync

    def swap(descriptor: int) -> None:
        fsync(descriptor)
        if not directory.is_symlink():
            directory.rename(tmp_path / "moved")
            directory.symlink_to(elsewhere)

    monkeypatch.setattr(os, "fsync", swap)
    atomic.replace(directory / "file", b"new", 0o644)
    assert not any(elsewhere.iterdir())
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["file"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic.replace(tmp_path / "directory", b"", 0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]
