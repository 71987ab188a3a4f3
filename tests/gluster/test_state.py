"""What root's timer learns from files and disks equals what GlusterFS's own commands say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter.builder import build
from glupy_exporter.node import nodestate
from glupy_exporter.state import apart, learn, on_disk
from tests.support.gluster.monitored import exporter, get
from tests.support.gluster.volumes import HOST, RUN, gluster, glusterd_pid, volume, wait_for

STATE = [sys.executable, "-m", "glupy_exporter.cli", "state"]


def xml(*words: str) -> ElementTree.Element:
    return ElementTree.fromstring(gluster(*words, "--xml"))


def quotas(name: str) -> dict[str, tuple[int, int, int]]:
    """The hard and the soft limit and the use of each directory, as GlusterFS says."""
    return {
        limit.findtext("path", ""): (
            int(limit.findtext("hard_limit", "")),
            int(limit.findtext("soft_limit_value", "")),
            int(limit.findtext("used_space", "")),
        )
        for limit in xml("volume", "quota", name, "list").iter("limit")
    }


def learned_quotas(name: str) -> dict[str, tuple[int, int, int]]:
    """The same as learned, the sets of a volume summed."""
    found: dict[str, tuple[int, int, int]] = {}
    for each in learn.learn().quotas:
        if each.volume == name and each.limit >= 0:
            used = found.get(each.path, (0, 0, 0))[2] + each.used
            found[each.path] = each.limit, each.soft_limit, used
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "bricks"), [(("replica", "2"), 4), (("disperse", "3", "redundancy", "1"), 6)]
)
def test_quotas(glusterd: None, kind: tuple[str, ...], bricks: int) -> None:
    with volume(*kind, bricks=bricks, counted=False, profiled=False) as subject:
        gluster("volume", "quota", subject.name, "enable")
        with subject.mount() as mount:
            for place in ("a/b", "odd  \xe9", "empty"):
                (mount / place).mkdir(parents=True)
            for place, limit in (("/a/b", "10MB"), ("/odd  \xe9", "5MB"), ("/", "1GB")):
                gluster("volume", "quota", subject.name, "limit-usage", place, limit)
            gluster("volume", "quota", subject.name, "limit-usage", "/empty", "1MB", "33")
            gluster("volume", "quota", subject.name, "limit-objects", "/a", "100")
            for number in range(8):
                with (mount / f"a/b/{number}").open("wb") as file:
                    file.write(bytes(300_000 + number * 4096))
                    os.fsync(file.fileno())
            said = wait_for(
                lambda: (found := quotas(subject.name))["/a/b"][2] >= 8 * 300_000 and found,
                "the use to be known",
            )
            wait_for(lambda: learned_quotas(subject.name) == quotas(subject.name), "both to agree")
            assert {*said} == {"/", "/a/b", "/odd  \xe9", "/empty"}
            (told,) = xml("volume", "quota", subject.name, "list-objects").iter("limit")
            objects = [q for q in learn.learn().quotas if q.path == "/a"]
            assert {each.object_limit for each in objects} == {int(told.findtext("hard_limit", ""))}
            assert sum(each.files for each in objects) == int(told.findtext("file_count", ""))
            assert max(each.directories for each in objects) == int(told.findtext("dir_count", ""))
            (mount / "a").rename(mount / "odd  \xe9" / "renamed")
            wait_for(
                lambda: (
                    "/odd  \xe9/renamed/b" in (said := quotas(subject.name))
                    and learned_quotas(subject.name) == said
                ),
                "both to agree on the directory's new path",
            )
        assert learn.learn().parts["quotas"] == ""


@pytest.mark.timeout(300)
def test_a_rebalance(glusterd: None) -> None:
    with volume(bricks=2, counted=False, profiled=False) as subject:
        with subject.mount() as mount:
            for number in range(60):
                (mount / f"f{number}").write_bytes(bytes(100 + number))
        third = subject.directory / "third"
        third.mkdir()
        gluster("volume", "add-brick", subject.name, f"{HOST}:{third}", "force")
        subject.bricks.append(third)
        gluster("volume", "rebalance", subject.name, "start", "force")

        def status() -> ElementTree.Element:
            found = xml("volume", "rebalance", subject.name, "status").find(".//aggregate")
            assert found is not None
            return found

        wait_for(lambda: status().findtext("statusStr") == "completed", "the rebalance", 60)
        said = status()
        found = wait_for(
            lambda: (r := learn.learn().rebalances[subject.name]).status == "completed" and r,
            "glusterd to write it down",
        )
        tags = ("files", "size", "lookups", "failures", "skipped")
        assert found[1:6] == tuple(int(said.findtext(tag, "")) for tag in tags)
        assert found.files > 0


@pytest.mark.timeout(300)
def test_split_brain(glusterd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that both replicas changed alone, and one that only one of them changed."""
    monkeypatch.setattr(on_disk, "SETTLED", -60.0)
    options = {
        **{"cluster.self-heal-daemon": "off", "cluster.data-self-heal": "off"},
        **{"cluster.metadata-self-heal": "off", "cluster.entry-self-heal": "off"},
        "network.ping-timeout": "3",
    }
    made = volume("replica", "2", bricks=2, options=options, counted=False, profiled=False)
    with made as subject:
        with subject.mount() as mount:
            for name in ("both", "one", "none"):
                (mount / name).write_bytes(b"0")
            for number, names in ((0, ("both", "one")), (1, ("both",))):
                brick = subject.bricks[number]
                subject.kill(brick)
                wait_for(lambda: not subject.connected(mount, brick), "the client to notice")  # noqa: B023
                for name in names:
                    with (mount / name).open("ab") as file:
                        file.write(b"x%d" % number)
                subject.start(force=True)
                wait_for(lambda: subject.connected(mount, brick), "the client to be back")  # noqa: B023
                for other in subject.bricks:
                    wait_for(lambda: subject.connected(mount, other), "all bricks")  # noqa: B023

        def said(command: str) -> set[str]:
            text = gluster("volume", "heal", subject.name, "info", command).splitlines()
            return {line for line in text if line.startswith(("/", "<gfid"))}

        wait_for(lambda: len(said("split-brain")) == 2, "both bricks to see the split-brain", 60)
        gfids = {name: on_disk_gfid(subject.bricks[0] / name) for name in ("both", "one", "none")}
        # Each brick names the entry as it can: the second has its gfid only.
        assert said("split-brain") == {"/both", f"<gfid:{gfids['both']}>"}
        blames = learn.learn().blames
        assert {(each.gfid, each.kind, each.blamed) for each in blames} == {
            (gfids["both"], "data", 0),
            (gfids["both"], "data", 1),
            (gfids["one"], "data", 0),
        }
        # As the rule has it: an entry of which each brick of the set is blamed.
        by_entry: dict[str, set[int]] = {}
        for each in blames:
            by_entry.setdefault(each.gfid, set()).add(each.blamed)
        assert {gfid for gfid, blamed in by_entry.items() if len(blamed) == 2} == {gfids["both"]}
        # Who may not look does not say that there is nothing.
        incapable = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *STATE]
        state = json.loads(subprocess.run(incapable, check=True, stdout=subprocess.PIPE).stdout)
        assert "hidden without CAP_SYS_ADMIN" in state["parts"]["blames"]
        asked = [*incapable, "--no-disks"]
        state = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)
        assert not {"quotas", "blames", "thin_pools"} & state["parts"].keys()


def on_disk_gfid(path: Path) -> str:
    value = os.getxattr(path, "trusted.gfid").hex()
    return "-".join((value[:8], value[8:12], value[12:16], value[16:20], value[20:]))


@pytest.mark.timeout(300)
def test_volumes_bricks_and_daemons(glusterd: None) -> None:
    with volume("replica", "3", "arbiter", "1", bricks=6, counted=False, profiled=False) as subject:
        gluster("volume", "set", subject.name, "features.shard", "on")
        gluster("volume", "bitrot", subject.name, "enable")
        gluster("volume", "quota", subject.name, "enable")
        gluster("volume", "set", subject.name, "features.uss", "enable")

        def said() -> dict[str, bool]:
            """Whether each brick and daemon runs, as `gluster volume status` says."""
            nodes = xml("volume", "status", subject.name).findall(".//node")
            return {
                (path if (path := node.findtext("path", "")) != "localhost" else name): (
                    node.findtext("status") == "1"
                )
                for node in nodes
                if node.find("path") is not None
                for name in [node.findtext("hostname", "")]
            }

        def learned() -> dict[str, bool]:
            state = learn.learn()
            found = state.volumes[subject.name]
            assert found
            names = {"shd": "Self-heal Daemon", "bitd": "Bitrot Daemon", "scrub": "Scrubber Daemon"}
            names |= {"quotad": "Quota Daemon", "snapd": "Snapshot Daemon"}
            daemons = {names[d.name]: d.up for d in state.daemons if d.name in names}
            return {**{brick.path: brick.online for brick in found.here}, **daemons}

        wait_for(lambda: learned() == said(), f"both to agree: {learned()} and {said()}")
        wait_for(lambda: all(learned().values()), "all to run")
        assert len(learned()) == 6 + 5
        subject.kill(subject.bricks[4])
        wait_for(lambda: learned() == said(), "both to see the dead brick")
        assert [*learned().values()].count(False) == 1
        told = xml("volume", "info", subject.name).find("volInfo/volumes/volume")
        assert told is not None
        found = learn.learn().volumes[subject.name]
        assert found
        assert (found.type, found.id) == (told.findtext("typeStr"), told.findtext("id"))
        numbers = ("distCount", "replicaCount", "arbiterCount")
        assert (found.distribute, found.replica, found.arbiter) == tuple(
            int(told.findtext(tag, "")) for tag in numbers
        )
        assert found.options["shard"] == "on"
        assert [(b.set, b.place) for b in found.here] == [(s, p) for s in (0, 1) for p in range(3)]
        ports = {
            node.findtext("path"): node.findtext("port")
            for node in xml("volume", "status", subject.name).iter("node")
        }
        for brick in found.here:
            if brick.online:
                assert str(brick.port) == ports[brick.path]
        subject.start(force=True)


@pytest.mark.timeout(300)
def test_the_self_heal_daemon_is_judged_by_volume(glusterd: None) -> None:
    """Of a process that runs, a volume may be missing: `volume status` and we say so alike."""
    replicated = volume("replica", "2", bricks=2, counted=False, profiled=False)
    dispersed = volume("disperse", "3", "redundancy", "1", counted=False, bricks=3, profiled=False)
    with replicated as one, dispersed as two:
        names = one.name, two.name

        def said() -> dict[str, bool]:
            return {
                name: node.findtext("status") == "1"
                for name in names
                for node in xml("volume", "status", name).iter("node")
                if node.findtext("hostname") == "Self-heal Daemon"
            }

        def learned() -> dict[str, bool]:
            rows = {each.volume: each.up for each in learn.learn().daemons if each.name == "shd"}
            return {name: rows[""] and rows.get(name, True) for name in names}

        def agree(*healed: bool) -> None:
            both = dict(zip(names, healed))
            wait_for(lambda: said() == learned() == both, f"{both}: {said()} and {learned()}", 60)

        agree(True, True)
        pid = int((RUN / f"shd/{one.name}/{one.name}-shd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        agree(False, False)
        one.start(force=True)
        agree(True, False)
        two.start(force=True)
        agree(True, True)
        one.stop()
        one.start()
        agree(True, True)
        gluster("volume", "heal", two.name, "disable")
        assert [*said()] == [one.name]
        os.kill(int((RUN / f"shd/{two.name}/{two.name}-shd.pid").read_text()), signal.SIGKILL)
        one.start(force=True)
        wait_for(lambda: said() == {one.name: True}, "it to run")
        assert all(learned().values())


@pytest.mark.timeout(120)
def test_glusterd_that_hangs_holds_up_nothing(glusterd: None, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with volume("replica", "2", bricks=2, counted=False, profiled=False) as subject:
        pid = glusterd_pid()
        assert pid
        with exporter(f"--state.file={state}") as serving:
            os.kill(pid, signal.SIGSTOP)
            try:
                started = time.monotonic()
                subprocess.run([*STATE, f"--file={state}"], check=True, timeout=20)
                text = get(f"{serving.url}/metrics")
                took = time.monotonic() - started
            finally:
                os.kill(pid, signal.SIGCONT)
            assert f'glupy_volume_started{{volume="{subject.name}"}} 1' in text
            assert (
                f'glupy_brick_online{{volume="{subject.name}",brick="{subject.bricks[0]}"' in text
            )
            assert 'glupy_daemon_up{daemon="glusterd",volume=""} 0' in text
            assert took < 10
            subprocess.run([*STATE, f"--file={state}"], check=True, timeout=20)
            text = get(f"{serving.url}/metrics")
            assert 'glupy_daemon_up{daemon="glusterd",volume=""} 1' in text
    found = nodestate.read(state)
    assert found
    assert not any(found.parts.values())


@pytest.mark.timeout(120)
def test_a_disk_that_hangs_is_left_and_not_asked_again(glusterd: None, tmp_path: Path) -> None:
    """A mount whose client is stopped, for which a process waits even after SIGKILL."""
    with volume(bricks=1, counted=False, profiled=False) as subject, subject.mount() as mount:
        (mount / "file").touch()
        client = subject.client(mount)
        assert client
        questions = {"disk": lambda: sorted(os.listdir(mount))}  # noqa: PTH208
        os.kill(client, signal.SIGSTOP)
        try:
            started = time.monotonic()
            first = apart.ask(questions, 1.0, 5.0, tmp_path)
            second = apart.ask(questions, 1.0, 5.0, tmp_path)
            took = time.monotonic() - started
        finally:
            os.kill(client, signal.SIGCONT)
        assert first.problems == {"disk": "did not answer in 1 s"}
        assert second.problems == {"disk": "has not answered since an earlier time"}
        assert took < 4
        wait_for(
            lambda: apart.ask(questions, 5.0, 5.0, tmp_path).found == {"disk": ["file"]},
            "the disk to answer again",
        )


# What gsyncd's own module writes, without the ssh that a worker would need.
_GSYNCD = """
import json, sys
sys.path.insert(0, sys.argv[1])
from gsyncdstatus import GeorepStatus, set_monitor_status
session, volume, brick, fields = sys.argv[2], sys.argv[3], sys.argv[4], json.loads(sys.argv[5])
status = GeorepStatus(f"{session}/monitor.status", "", brick, "", volume, "host::copy:u", None)
for key, value in fields.items():
    status.set_field(key, value)
set_monitor_status(f"{session}/monitor.status", "Started")
"""
_MONITOR = """
import fcntl, os, sys, time
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
    file.flush()
    fcntl.lockf(file, fcntl.LOCK_EX)
    print(flush=True)
    time.sleep(300)
"""


@pytest.mark.timeout(300)
def test_geo_replication(glusterd: None, need: Callable[[object, str], None]) -> None:
    """Equal to `geo-replication status`, for files that GlusterFS's own module writes."""
    module = build.xlator_dir().parents[1] / "python/syncdaemon"
    need((module / "gsyncdstatus.py").exists(), "gsyncd (Debian: glusterfs-server)")
    made = volume("replica", "2", bricks=2, counted=False, profiled=False)
    with made as subject, volume(bricks=1, counted=False, profiled=False) as copy:
        secondary = f"{HOST}::{copy.name}"
        command = ("volume", "geo-replication", subject.name, secondary)
        gluster(*command, "create", "no-verify", "force")
        directory = states_of(subject.name, copy.name)

        def said() -> list[tuple[str, ...]]:
            tags = ("primary_brick", "status", "crawl_status", "entry", "data", "meta", "failures")
            pairs = xml(*command, "status").iter("pair")
            return sorted(tuple(pair.findtext(tag, "") for tag in tags) for pair in pairs)

        def learned() -> list[tuple[str, ...]]:
            (session,) = learn.learn().geo_replication
            assert (session.volume, session.secondary) == (subject.name, secondary)
            return sorted(
                (each.brick, each.status, each.crawl, *map(str, each[4:]))
                if each.status == "Active"
                else (each.brick, each.status, *["N/A"] * 5)
                for each in session.workers
            )

        assert said() == learned()
        assert {row[1] for row in said()} == {"Created"}
        pid_file = RUN / f"gsyncd-{subject.name}-{HOST}-{copy.name}.pid"
        words = [sys.executable, "-c", _MONITOR, str(pid_file), "gsyncd.py monitor"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as monitor:
            assert monitor.stdout
            monitor.stdout.readline()
            fields: list[dict[str, object]] = [
                {"worker_status": "Active", "crawl_status": "Changelog Crawl", "entry": 3},
                {"worker_status": "Faulty", "failures": 7},
            ]
            fields[0] |= {"data": 4, "meta": 5, "failures": 6, "last_synced": 1_700_000_000}
            for brick, given in zip(subject.bricks, fields):
                script = [sys.executable, "-c", _GSYNCD, module, directory, subject.name, brick]
                subprocess.run([*script, json.dumps(given)], check=True)
            assert said() == learned()
            assert {row[1] for row in said()} == {"Active", "Faulty"}
            (session,) = learn.learn().geo_replication
            assert max(each.synced for each in session.workers) == 1_700_000_000
            monitor.kill()
        assert said() == learned()
        assert {row[1] for row in said()} == {"Stopped"}
        gluster(*command, "delete")


def states_of(primary: str, copy: str) -> Path:
    return Path("/var/lib/glusterd/geo-replication") / f"{primary}_{HOST}_{copy}"
