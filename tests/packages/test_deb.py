"""The Debian packages in a clean Debian: installed, used, upgraded, removed, purged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.roots import NAMES, Root, newer

XLATOR = "glusterfs-xlator-glupy"
CONFIG = "etc/glupy-exporter/config.yml"
UNIT = "etc/systemd/system/multi-user.target.wants/glupy-exporter.service"
TIMER = "etc/systemd/system/timers.target.wants/glupy-state.timer"
SOCKET = "etc/systemd/system/sockets.target.wants/glupy-exporter.socket"


OURS = "root:glupy 640\n"
"""Who may read the configuration, in which the key of the hashes may be."""


def modes(root: Root) -> str:
    return root.run("stat", "--format=%U:%G %a", f"/{CONFIG}")


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
    for kind in ("service", "timer"):  # a timer that is enabled by its former name stays enabled
        former = root.path / f"lib/systemd/system/glupy-discover.{kind}"
        assert os.readlink(former) == f"glupy-state.{kind}"  # noqa: PTH115 (relative)
    assert not root.has(SOCKET)
    # An upgrade does not stop the socket, in case it is in use; a removal does.
    assert not root.has("var/lib/dpkg/info/glupy-exporter.preinst")
    prerm = (root.path / "var/lib/dpkg/info/glupy-exporter.prerm").read_text()
    assert prerm.index("stop glupy-exporter.socket") < prerm.index("'glupy-exporter.service'")
    config = root.path / CONFIG
    assert modes(root) == OURS
    # Neither the caller's environment nor the current directory gives root a module.
    (root.path / "yaml.py").write_text("raise SystemExit('of the caller')\n")
    root.run("env", "PYTHONPATH=/", "sh", "-c", "cd / && glupy-exporter --version")
    (root.path / "yaml.py").unlink()
    served = root.run(
        *("runuser", "-u", "glupy", "--", "glupy-exporter", "dump", f"--config.file=/{CONFIG}")
    )
    assert 'reason="no_directory"} 0\n' in served
    # Where GlusterFS looks for it, and for the script that tells the other nodes.
    directory = root.run("glusterfsd", "--print-xlatordir").strip()
    assert root.has(f"{directory[1:]}/user/glupy.so")
    assert "not found" not in root.run("ldd", f"{directory}/user/glupy.so")
    stamp = root.run("sh", str(Path(directory).parents[1] / "peer_glupy")).splitlines()[-1]
    assert "glupy-stamp:{" in stamp

    config.write_text(config.read_text() + "segment.expiry: 2h\n")
    root.run("chown", "root:root", f"/{CONFIG}")  # as it was once
    config.chmod(0o644)
    root.install(*(newer(deb, tmp_path) for deb in debs))
    assert modes(root) == OURS
    assert root.run("dpkg-query", "--show", "--showformat=${Version}", NAMES[0]).startswith("1:")
    assert config.read_text().endswith("segment.expiry: 2h\n")
    assert root.has(UNIT)

    # A node with a command that did not end keeps the exporter.
    note = root.path / "var/lib/glupy-exporter/gv0.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text('{"command": "disable"}')
    for verb in ("remove", "purge"):
        with pytest.raises(AssertionError, match="`glupy-exporter xlator disable gv0` did not end"):
            root.apt(verb, "glupy-exporter")
        state = root.run("dpkg-query", "--show", "--showformat=${Status}", "glupy-exporter")
        assert state.endswith(" ok installed"), verb
    note.unlink()

    # A node whose bricks would not start again keeps the translator, whoever removes it.
    volfile = root.path / "var/lib/glusterd/vols/gv0/gv0.node1.bricks-b1.vol"
    volfile.parent.mkdir(parents=True, exist_ok=True)
    volfile.write_text("volume gv0-glupy\n    type user/glupy\nend-volume\n")
    for words in (
        ("purge", XLATOR),
        ("remove", "--autoremove", "glupy-exporter"),
        ("remove", "glusterfs-common"),
    ):
        root.run("apt-mark", "auto", XLATOR)
        with pytest.raises(AssertionError, match="  glupy-exporter xlator disable gv0\n"):
            root.apt(*words)
        state = root.run("dpkg-query", "--show", "--showformat=${Status}", XLATOR)
        assert state.endswith(" ok installed"), words
        assert root.has(f"{directory[1:]}/user/glupy.so")
    volfile.unlink()

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
