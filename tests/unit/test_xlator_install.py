"""Stamps, what nodes answer, and what install refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glupy_exporter.errors import UserError
from glupy_exporter.segment import layout
from glupy_exporter.xlator import build, gluster, install, peer

STAMP = peer.Stamp("0.1.0", "10.3", layout.VERSION)


def test_the_stamp_that_build_writes_is_found_in_the_file() -> None:
    stamp = build.stamp("10.3").encode()
    found = peer.find_stamp(b"\x7fELF\0glupy-stamp:\0glupy-stamp:{}\0" + stamp + b"\0rest")
    assert found is not None
    assert (found.glusterfs_version, found.layout) == ("10.3", layout.VERSION)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"glupy-stamp:",
        b'glupy-stamp:{"xlator_version":"0.1.0","glusterfs_version":"10.3"}',
        b'glupy-stamp:{"xlator_version":"0.1.0","glusterfs_version":"10.3","layout":"x"}',
        b"glupy-stamp:{" + b"x" * 1000 + b"}",
        b"glupy-stamp:[]}",
    ],
)
def test_what_is_no_stamp(data: bytes) -> None:
    assert peer.find_stamp(data) is None


def test_check_names_both_versions() -> None:
    assert install.check(STAMP, "10.3") is None
    problem = install.check(STAMP, "11.1")
    assert problem is not None and "10.3" in problem and "11.1" in problem
    newer = peer.Stamp("0.2.0", "10.3", layout.VERSION + 1)
    problem = install.check(newer, "10.3")
    assert problem is not None and f"layout {layout.VERSION + 1}" in problem


def test_answers_of_nodes() -> None:
    stamp = "glupy-stamp:" + json.dumps(
        {"xlator_version": "0.1.0", "glusterfs_version": "10.3", "layout": layout.VERSION}
    )
    nodes = peer.parse(
        [
            f"node u1 10.3 {stamp}",
            "segment u1 17 /run/gluster/glupy/home.srv-a b.seg",
            "node u2 10.3 -",
            "segment u2 x /run/gluster/glupy/home.srv-c.seg",
            f"running u1 17 same {stamp}",
            "running u1 18 other -",
            "running u2 x same -",
            "busy u2 - home",
            "unfinished u2 enable home",
            "unfinished u2 disable other",
            "Command executed successfully.",
            "",
        ]
    )
    assert nodes == {
        "u1": peer.Node(
            "10.3",
            STAMP,
            {"home.srv-a b.seg": 17},
            {17: peer.Loaded(STAMP, True), 18: peer.Loaded(None, False)},
        ),
        "u2": peer.Node(
            "10.3",
            None,
            busy=frozenset({"home"}),
            unfinished={"home": "enable", "other": "disable"},
        ),
    }


@pytest.mark.parametrize(
    ("answer", "hosts"),
    [
        ("gsync peer_glupy command not found.", "localhost"),
        ("Staging failed on n2. Error: gsync peer_glupy command not found.", "n2"),
        (
            "Staging failed on n2. Error: gsync peer_glupy command not found. "
            "Staging failed on 10.0.0.3. Error: gsync peer_glupy command not found.",
            "n2, 10.0.0.3",
        ),
    ],
)
def test_nodes_without_the_script_are_named(
    answer: str, hosts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(script: str, *arguments: str) -> list[str]:
        raise gluster.GlusterError(f"`gluster system:: execute glupy` failed: {answer}")

    monkeypatch.setattr(gluster, "execute", refuse)
    with pytest.raises(peer.NoScriptError, match=f"no translator is installed on {hosts}; run"):
        peer.nodes()


def test_the_segment_is_named_after_volume_and_brick() -> None:
    assert peer.segment_name("home", "/srv/a/b1") == "home.srv-a-b1.seg"


@pytest.fixture
def xlator_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directories of a GlusterFS 10.3, without GlusterFS."""
    directory = tmp_path / "glusterfs" / "10.3" / "xlator"
    directory.mkdir(parents=True)
    monkeypatch.setattr(build, "xlator_dir", lambda: directory)
    return directory


def test_install_refuses_a_missing_file(tmp_path: Path, xlator_dir: Path) -> None:
    with pytest.raises(UserError, match="xlator build"):
        install.install(tmp_path)


def test_install_refuses_what_is_not_a_translator(tmp_path: Path, xlator_dir: Path) -> None:
    (tmp_path / "glupy.so").write_bytes(b"\x7fELF")
    with pytest.raises(UserError, match="not a glupy translator"):
        install.install(tmp_path)


def test_install_refuses_another_version(tmp_path: Path, xlator_dir: Path) -> None:
    (tmp_path / "glupy.so").write_bytes(build.stamp("9.6").encode())
    with pytest.raises(UserError, match=r"built for GlusterFS 9\.6, 10\.3 is installed"):
        install.install(tmp_path)


def test_install_refuses_what_cannot_be_loaded(tmp_path: Path, xlator_dir: Path) -> None:
    (tmp_path / "glupy.so").write_bytes(build.stamp("10.3").encode())
    with pytest.raises(UserError, match="cannot be loaded"):
        install.install(tmp_path, dry_run=True)
    assert not (xlator_dir / "user").exists()
