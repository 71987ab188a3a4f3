"""The scripts by which dpkg and rpm ask whether a package may go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from glupy_exporter.operate import gluster, peer, unfinished

DEBIAN = Path(__file__).resolve().parents[2] / "deploy/debian"
VOLFILE = "volume gv0-glupy\n    type user/glupy\n    subvolumes gv0-sdfs\nend-volume\n"
INFO = "type=2\nuser.xlator.glupy=sdfs\n"


def run(script: str, root: Path, word: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DPKG_ROOT": str(root)}
    words = ["sh", str(DEBIAN / script), word]
    return subprocess.run(words, env=environment, capture_output=True, text=True)


def refusal(root: Path, word: str) -> list[str]:
    """The commands that a refusal names; none if the package may go."""
    done = run("glusterfs-xlator-glupy.prerm", root, word)
    assert not done.stdout
    lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("    ")]
    assert done.returncode == bool(lines)
    assert bool(done.stderr) == bool(lines)
    return lines


def put(root: Path, name: str, content: str) -> None:
    path = root / "var/lib/glusterd" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.mark.parametrize("gone", ["remove", "0"])
@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("vols/gv0/gv0.node1.bricks-b1.vol", VOLFILE, "glupy-exporter xlator disable gv0"),
        ("vols/gv0/info", INFO, "glupy-exporter xlator disable gv0"),
        ("snaps/s1/5ff7/5ff7.node1.run-b1.vol", VOLFILE, "gluster snapshot delete s1"),
        ("snaps/s1/5ff7/info", INFO, "gluster snapshot delete s1"),
    ],
)
def test_what_names_the_translator_keeps_it(
    tmp_path: Path, gone: str, name: str, content: str, command: str
) -> None:
    put(tmp_path, name, content)
    assert refusal(tmp_path, gone) == [command]


def test_every_volume_is_named_once(tmp_path: Path) -> None:
    for volume in ("a", "b"):
        for brick in ("x", "y"):
            put(tmp_path, f"vols/{volume}/{volume}.node1.{brick}.vol", VOLFILE)
    assert refusal(tmp_path, "remove") == [
        "glupy-exporter xlator disable a",
        "glupy-exporter xlator disable b",
    ]


@pytest.mark.parametrize("other", ["upgrade", "deconfigure", "failed-upgrade", "1"])
def test_another_version_or_release_may_follow(tmp_path: Path, other: str) -> None:
    put(tmp_path, "vols/gv0/info", INFO)
    assert refusal(tmp_path, other) == []


@pytest.mark.parametrize("gone", ["remove", "0"])
def test_nothing_keeps_it_where_no_volume_has_it(tmp_path: Path, gone: str) -> None:
    assert refusal(tmp_path, gone) == []
    put(tmp_path, "vols/gv0/info", "user.xlator.glupy.enabled=off\n")
    put(tmp_path, "snaps/missed_snaps_list/none", "")
    assert refusal(tmp_path, gone) == []


def test_glusterd_may_have_another_directory(tmp_path: Path) -> None:
    volfile = tmp_path / "etc/glusterfs/glusterd.vol"
    volfile.parent.mkdir(parents=True)
    volfile.write_text('volume management\n    option working-directory "/data/glusterd"\n')
    put(tmp_path, "../../../data/glusterd/vols/gv0/info", INFO)
    assert refusal(tmp_path, "remove") == ["glupy-exporter xlator disable gv0"]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the notes of commands are, for the scripts and for the commands."""
    directory = tmp_path / "var/lib/glupy-exporter"
    monkeypatch.setattr(peer, "STATE", directory)
    return directory


def test_the_exporter_stays_while_a_command_has_not_ended(tmp_path: Path, state: Path) -> None:
    """Only its commands bring volumes back, and a note may be the only record of options."""
    unfinished.write(unfinished.Work("gv0", "disable", options={"auth.allow": "10.*"}))
    unfinished.write(unfinished.Work("gv1", "enable", gluster.Brick("n1", "/b", "u1")))
    (state / "gv2.lock").touch()
    for word in ("remove", "0"):
        done = run("glupy-exporter.prerm", tmp_path, word)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines() == [
            f"glupy-exporter is not removed: `glupy-exporter xlator {command} {volume}` did not "
            f"end. Run it again, or remove {state}/{volume}.json if {volume} is as it should be."
            for command, volume in (("disable", "gv0"), ("enable", "gv1"))
        ]
    for word in ("upgrade", "failed-upgrade", "1"):
        assert run("glupy-exporter.prerm", tmp_path, word).returncode == 0
    # Somebody may have removed it by force.
    assert run("glupy-exporter.postrm", tmp_path, "purge").returncode == 0
    assert unfinished.read("gv0")


def test_the_exporter_goes_with_all_it_has_written(tmp_path: Path, state: Path) -> None:
    (state / "xlator").mkdir(parents=True)
    (state / "gv2.lock").touch()
    for word in ("remove", "0"):
        done = run("glupy-exporter.prerm", tmp_path, word)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert run("glupy-exporter.postrm", tmp_path, "remove").returncode == 0
    assert state.exists()
    assert run("glupy-exporter.postrm", tmp_path, "purge").returncode == 0
    assert not state.exists()
