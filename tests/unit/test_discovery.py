"""The nodes of a pool, from files as glusterd writes them."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter import config
from glupy_exporter.errors import UserError
from glupy_exporter.node import discovery
from glupy_exporter.state import records, volumes
from glupy_exporter.web.targets import Targets
from tests.support.exporters import COMMAND, ask, exporter

HERE, PEER, THIRD, GOING = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "1234")


def brick(directory: Path, volume: str, uuid: str, host: str, name: str = "b") -> None:
    bricks = directory / "vols" / volume / "bricks"
    bricks.mkdir(parents=True, exist_ok=True)
    (bricks / f"{host}:-{name}").write_text(f"uuid={uuid}\nhostname={host}\npath=/{name}\n")


def peer(directory: Path, uuid: str, *hosts: str, state: int = 3) -> None:
    names = "".join(f"hostname{number}={host}\n" for number, host in enumerate(hosts, 1))
    (directory / "peers" / uuid).write_text(f"uuid={uuid}\nstate={state}\n{names}")


@pytest.fixture
def glusterd(tmp_path: Path) -> Path:
    (tmp_path / "peers").mkdir()
    (tmp_path / "glusterd.info").write_text(f"UUID={HERE}\noperating-version=100000\n")
    return tmp_path


def test_a_pool(glusterd: Path) -> None:
    peer(glusterd, PEER, "10.0.0.2")
    peer(glusterd, THIRD, "c.example.org", state=6)
    peer(glusterd, GOING, "d.example.org", state=7)
    for volume in ("v2", "v1"):
        brick(glusterd, volume, HERE, "a.example.org")
        brick(glusterd, volume, PEER, "b.example.org")
    brick(glusterd, "v1", HERE, "a", name="other")
    assert discovery.nodes(glusterd) == [
        (HERE, ("a.example.org", "a", socket.gethostname()), ("v1", "v2")),
        (PEER, ("b.example.org", "10.0.0.2"), ("v1", "v2")),
        (THIRD, ("c.example.org",), ()),
    ]


def test_one_node_without_volumes(glusterd: Path) -> None:
    assert discovery.nodes(glusterd) == [(HERE, (socket.gethostname(),), ())]


def test_no_node_has_two_names_whoever_is_asked(glusterd: Path, tmp_path: Path) -> None:
    """Two of them hold no brick and know of each other by different names first."""
    views = {}
    for here, others in (
        (HERE, ((PEER, "10.0.0.2", "b.example.org"), (THIRD, "c.example.org", "10.0.0.3"))),
        (PEER, ((HERE, "a.example.org"), (THIRD, "10.0.0.3", "c.example.org"))),
        (THIRD, ((HERE, "a.example.org"), (PEER, "b.example.org", "10.0.0.2"))),
    ):
        directory = tmp_path / here
        (directory / "peers").mkdir(parents=True)
        (directory / "glusterd.info").write_text(f"UUID={here}\n")
        for uuid, *names in others:
            peer(directory, uuid, *names)
        brick(directory, "v", HERE, "a.example.org")
        views[here] = discovery.nodes(directory)
    listed = {(node.uuid, node.host) for found in views.values() for node in found}
    assert listed == {(HERE, "a.example.org"), (PEER, "b.example.org"), (THIRD, "c.example.org")}
    assert {node.uuid for node in views[HERE]} == {HERE, PEER, THIRD}


def test_a_pool_without_volumes(glusterd: Path) -> None:
    peer(glusterd, PEER, "b.example.org")
    assert {node.uuid for node in discovery.nodes(glusterd)} == {HERE, PEER}


@pytest.mark.parametrize("state", [0, 1, 2, 5, 7])
def test_a_peer_that_holds_bricks_is_a_node_in_whatever_state(glusterd: Path, state: int) -> None:
    peer(glusterd, PEER, "b.example.org", state=state)
    assert [node.uuid for node in discovery.nodes(glusterd)] == [HERE]
    brick(glusterd, "v", PEER, "b.example.org")
    assert [node.uuid for node in discovery.nodes(glusterd)] == [PEER]


def test_the_address_is_one_that_matches(glusterd: Path) -> None:
    peer(glusterd, PEER, "b.storage", "b.example.org", "10.0.0.2")
    brick(glusterd, "v", PEER, "b.storage")
    brick(glusterd, "v", HERE, "a.storage")
    names = {"b.storage", "b.example.org", "10.0.0.2"}
    for pattern, host in (
        ("*", "b.storage"),
        ("*.example.org", "b.example.org"),
        ("10.*", "10.0.0.2"),
        ("*.nowhere", "b.storage"),
    ):
        (found,) = (node for node in discovery.nodes(glusterd, pattern) if node.uuid == PEER)
        assert (found.host, set(found.names)) == (host, names)
    labels = discovery.groups([found], "c", 1)[0]["labels"]
    assert labels["__meta_glusterfs_names"] == ",b.storage,b.example.org,10.0.0.2,"


@pytest.mark.parametrize(
    ("lines", "moved"),
    [
        ("    option working-directory {}\n", True),
        ('option working-directory "{}"\n', True),
        ("option working-directory /nowhere\n  option\tworking-directory\t{}\n", True),
        ("#   option working-directory {}\n", False),
        ("option transport-type socket\n", False),
    ],
)
def test_glusterd_may_have_another_directory(
    glusterd: Path, monkeypatch: pytest.MonkeyPatch, lines: str, moved: bool
) -> None:
    volfile = glusterd / "glusterd.vol"
    text = lines.format(glusterd)
    volfile.write_text(f"volume management\n    type mgmt/glusterd\n{text}end-volume\n")
    monkeypatch.setattr("glupy_exporter.node.glusterd.VOLFILE", volfile)
    monkeypatch.setattr("glupy_exporter.node.glusterd.WORKING_DIRECTORY", glusterd / "usual")
    brick(glusterd, "v", HERE, "a")
    volume(glusterd / "vols" / "v", 1)
    if moved:
        assert [node.volumes for node in discovery.nodes()] == [("v",)]
        assert list(volumes.volumes(records.load())) == ["v"]
    else:
        with pytest.raises(UserError, match=r"usual/glusterd.info is missing"):
            discovery.nodes()


def test_groups_of_targets() -> None:
    found = [
        discovery.Node(HERE, ("a.example.org", "a"), ("v1", "v2")),
        discovery.Node(PEER, ("2001:db8::1",), ()),
    ]
    assert discovery.groups(found, "east", 9714) == [
        {
            "targets": ["a.example.org:9714"],
            "labels": {
                "__meta_glusterfs_cluster": "east",
                "__meta_glusterfs_host": "a.example.org",
                "__meta_glusterfs_node": HERE,
                "__meta_glusterfs_names": ",a.example.org,a,",
                "__meta_glusterfs_volumes": ",v1,v2,",
            },
        },
        {
            "targets": ["[2001:db8::1]:9714"],
            "labels": {
                "__meta_glusterfs_cluster": "east",
                "__meta_glusterfs_host": "2001:db8::1",
                "__meta_glusterfs_node": PEER,
                "__meta_glusterfs_names": ",2001:db8::1,",
                "__meta_glusterfs_volumes": "",
            },
        },
    ]


def test_no_glusterd(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"glusterd.info is missing; run this where glusterd runs"):
        discovery.nodes(tmp_path)


def test_junk_is_no_node(glusterd: Path) -> None:
    (glusterd / "peers" / "junk").write_bytes(b"\xff\0\nstate\nuuid=x\n")
    (glusterd / "vols" / "v" / "bricks").mkdir(parents=True)
    (glusterd / "vols" / "v" / "bricks" / "junk").write_bytes(b"\xff\0\n")
    assert [node.uuid for node in discovery.nodes(glusterd)] == [HERE]


def volume(directory: Path, status: int, *lines: str) -> None:
    """The info file of a volume with the bricks that are there."""
    bricks = sorted(path.name for path in (directory / "bricks").iterdir())
    lines += (f"count={len(bricks)}", f"status={status}", "password=secret")
    lines += tuple(f"brick-{number}={name}" for number, name in enumerate(bricks))
    (directory / "info").write_text("\n".join(lines) + "\n")


def known(directory: Path) -> dict[str, tuple[frozenset[str], bool, bool] | None]:
    """What version 1 of the state has of each volume."""
    found = volumes.volumes(records.load(directory, directory / "run"))
    return {name: each and each[:3] for name, each in found.items()}


def test_volumes(glusterd: Path) -> None:
    for name in ("v1", "v2"):
        for uuid in (HERE, PEER):
            brick(glusterd, name, uuid, f"{uuid[-1]}.example.org")
    brick(glusterd, "v2", HERE, "1.example.org", name="other")
    volume(glusterd / "vols" / "v1", 1, "user.xlator.glupy=sdfs", "user.xlator.glupy.enabled=on")
    volume(glusterd / "vols" / "v2", 2, "user.xlator.glupy.enabled=on")
    snapshot = glusterd / "snaps" / "s" / "0123abcd"
    shutil.copytree(glusterd / "vols" / "v1", snapshot)
    (snapshot.parent / "info").write_text("snap-id=0\n")
    assert known(glusterd) == {
        "v1": (frozenset({"/b"}), True, True),
        "v2": (frozenset({"/b", "/other"}), False, False),
    }


@pytest.mark.parametrize("missing", ["bricks/1:-b", "count", "brick-0", "uuid", "path"])
def test_a_volume_that_is_being_changed_is_not_known(glusterd: Path, missing: str) -> None:
    brick(glusterd, "v", HERE, "1")
    directory = glusterd / "vols" / "v"
    volume(directory, 1)
    assert known(glusterd) == {"v": (frozenset({"/b"}), True, False)}
    for file in (directory / missing, directory / "info", directory / "bricks" / "1:-b"):
        if file == directory / missing:
            file.unlink(missing_ok=True)
        elif file.exists():
            file.write_text(file.read_text().replace(f"{missing}=", "other="))
    assert known(glusterd) == {"v": None}


def test_paths_of_bricks_are_as_in_labels(glusterd: Path) -> None:
    brick(glusterd, "v", HERE, "1")
    (glusterd / "vols" / "v" / "bricks" / "1:-b").write_bytes(
        f"uuid={HERE}\npath=/a\\b=\xff\t\xe2\x80\xa8c\n".encode("latin-1")
    )
    volume(glusterd / "vols" / "v", 1)
    assert known(glusterd) == {"v": (frozenset({"/a\\\\b=\\xff\\x09\u2028c"}), True, False)}


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    file.write_text("old")
    before = file.stat().st_ino
    discovery.write(file, b"[]\n")
    assert file.read_bytes() == b"[]\n"
    assert file.stat().st_ino != before
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["targets.json"]
    with pytest.raises(UserError, match=r"cannot write .*: No such file"):
        discovery.write(tmp_path / "nothing" / "targets.json", b"")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*directory"):
        discovery.write(tmp_path / "directory", b"")
    assert {path.name for path in tmp_path.iterdir()} == {"directory", "targets.json"}


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"targets": "a"}]', "[{}]"])
def test_what_holds_no_targets_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "targets.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"targets.json"):
        discovery.read(file)


def sd(port: int) -> tuple[int, Any, str]:
    answer, body = ask(port, "/sd")
    kind = answer.headers["Content-Type"]
    return answer.status, json.loads(body) if kind == "application/json" else body.decode(), kind


def test_sd_tells_what_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    groups = discovery.groups([discovery.Node(HERE, ("a",), ("v",))], "c", 1)
    discovery.write(file, discovery.render(groups))
    words = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    with exporter(*words, f"--discovery.file={file}") as running:
        assert sd(running.port()) == (200, groups, "application/json")
    file.write_text("junk")
    with exporter(*words, f"--discovery.file={file}") as running:
        status, text, kind = sd(running.port())
        assert (status, kind.split(";")[0]) == (503, "text/plain")
        assert "is not JSON" in text
        assert "no targets" in running.wait_for("no targets")


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    words = [*COMMAND, "discover", f"--file={tmp_path}/nothing/x", "--port=70000"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert "70000" in done.stderr


def test_a_file_that_may_not_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    defaults = config.load(argparse.Namespace())
    served = Targets(dataclasses.replace(defaults, discovery_file=tmp_path / "targets.json"))
    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(UserError, match=r"targets\.json: Permission denied"):
        served.render()
