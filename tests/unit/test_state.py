"""What root's timer learns from glusterd's files, which glusterd 10.3 wrote."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter.errors import UserError
from glupy_exporter.node import discovery, nodestate
from glupy_exporter.node.nodestate import (
    Brick,
    Daemon,
    NodeState,
    Peer,
    Rebalance,
    Snapshots,
    Volume,
    Worker,
)
from glupy_exporter.state import learn, processes, records
from tests.support import states
from tests.support.exporters import COMMAND
from tests.support.gluster.volumes import wait_for


@pytest.fixture
def glusterd(tmp_path: Path) -> Path:
    return states.glusterd(tmp_path)


def learned(directory: Path) -> NodeState:
    return learn.learn(directory, directory / "run")


def volume(directory: Path, name: str) -> Volume:
    found = learned(directory).volumes[name]
    assert found
    return found


def change(path: Path, fields: dict[str, str]) -> None:
    """Give fields of one of glusterd's files other values, or new ones."""
    lines = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in fields]
    lines += [f"{key}={value}" for key, value in fields.items()]
    path.write_text("\n".join(lines) + "\n")


def test_volumes_are_as_gluster_shows_them(glusterd: Path) -> None:
    told = ElementTree.parse(states.FIXTURES / "volume-info-10.3.xml")
    expected = {}
    for each in told.iterfind("volInfo/volumes/volume"):

        def number(tag: str, each: ElementTree.Element = each) -> int:
            return int(each.findtext(tag, ""))

        replicated = number("replicaCount") > 1
        expected[each.findtext("name")] = (
            each.findtext("typeStr"),
            each.findtext("id"),
            each.findtext("statusStr") == "Started",
            number("distCount"),
            number("replicaCount") if replicated else 0,
            number("arbiterCount"),
            number("disperseCount"),
            number("redundancyCount"),
            frozenset(b.findtext("name", "").partition(":")[2] for b in each.iter("brick")),
        )
    found = {
        name: (
            *(each.type, each.id, each.started, each.distribute, each.replica, each.arbiter),
            *(each.disperse, each.redundancy, each.bricks),
        )
        for name, each in learned(glusterd).volumes.items()
        if each
    }
    assert len(expected) == 5
    assert found == expected


def test_bricks_of_this_node(glusterd: Path) -> None:
    path = "/var/tmp/glupystaterec/r"
    assert volume(glusterd, "rep").here == (
        Brick(f"{path}1", "vm", 57964, 0, 0, False),
        Brick(f"{path}2", "vm", 51239, 0, 1, False),
        Brick(f"{path}3", "vm", 59392, 1, 0, False),
        Brick(f"{path}4", "vm", 56483, 1, 1, False),
    )
    change(glusterd / "vols/rep/bricks/vm:-var-tmp-glupystaterec-r2", {"uuid": "another"})
    left = [brick.path for brick in volume(glusterd, "rep").here]
    assert left == [f"{path}{number}" for number in (1, 3, 4)]


@pytest.mark.parametrize(
    ("name", "options", "quorum"),
    [
        ("rep", {}, 1),
        ("rep", {"cluster.quorum-type": "auto"}, 1),
        ("rep", {"cluster.quorum-type": "fixed", "cluster.quorum-count": "2"}, 2),
        ("rep", {"cluster.quorum-type": "none", "cluster.quorum-count": "2"}, 1),
        ("arb", {}, 2),
        ("arb", {"cluster.quorum-type": "none"}, 1),
        ("arb", {"cluster.quorum-type": "fixed", "cluster.quorum-count": "9"}, 3),
        ("ec", {}, 2),
        ("ec", {"disperse.quorum-count": "3"}, 3),
        ("ec", {"disperse.quorum-count": "1"}, 2),
        ("dist", {}, 1),
    ],
)
def test_quorum(glusterd: Path, name: str, options: dict[str, str], quorum: int) -> None:
    change(glusterd / "vols" / name / "info", options)
    assert volume(glusterd, name).quorum == quorum


def test_four_replicas_need_half(glusterd: Path) -> None:
    change(glusterd / "vols/rep/info", {"replica_count": "4"})
    found = volume(glusterd, "rep")
    assert (found.type, found.distribute, found.set_bricks, found.quorum) == ("Replicate", 1, 4, 2)


def test_options_are_a_few_and_secrets_none_of_them(glusterd: Path) -> None:
    state = learned(glusterd)
    rep = state.volumes["rep"]
    assert rep
    set_there = {label: value for label, value in rep.options.items() if value}
    assert set_there == {"shard": "on", "quota": "on"}
    text = nodestate.render(state).decode()
    info = records.load(glusterd, glusterd).volumes["rep"]
    assert info
    for key in ("username", "password", "auth.allow"):
        assert len(info[key]) > 8
        assert info[key] not in text


def test_options_of_the_pool(glusterd: Path) -> None:
    (glusterd / "options").write_text("global-option-version=1\ncluster.brick-multiplex=on\n")
    assert volume(glusterd, "dist").options["brick_multiplex"] == "on"


def test_peers(glusterd: Path) -> None:
    assert (learned(glusterd).nodes, learned(glusterd).peers) == (1, ())
    for number, state in enumerate((3, 6, 5, 99), 2):
        text = f"uuid=u{number}\nstate={state}\nhostname1=node{number}\nhostname2=10.0.0.{number}\n"
        (glusterd / "peers" / f"u{number}").write_text(text)
    (glusterd / "peers" / "u9.tmp").write_text("uuid=u9\nsta")
    found = learned(glusterd)
    assert found.peers == (
        Peer("node2", "befriended"),
        Peer("node3", "rejected"),
        Peer("node4", "request sent and received"),
        Peer("node5", "unknown"),
    )
    assert found.nodes == 3


BROKEN = {
    "half of it": lambda path: path.write_bytes(path.read_bytes()[:120]),
    "nothing": lambda path: path.write_bytes(b""),
    "a megabyte and more": lambda path: path.write_bytes(path.read_bytes() + b"#" * 2**20),
    "a link": lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
    "a FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "no number": lambda path: change(path, {"count": "many"}),
    "sets of nothing but spares": lambda path: change(
        path, {"type": "4", "disperse_count": "3", "redundancy_count": "3"}
    ),
    "a way out": lambda path: change(
        path, {"brick-0": "../../rep/bricks/vm:-var-tmp-glupystaterec-r1"}
    ),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
@pytest.mark.timeout(20)
def test_a_broken_file_costs_one_volume(glusterd: Path, spoil: Callable[[Path], object]) -> None:
    spoil(glusterd / "vols/stopped/info")
    state = learned(glusterd)
    assert state.volumes["stopped"] is None
    assert state.parts["volumes"] == "files of stopped are incomplete"
    assert all(state.volumes[name] for name in ("rep", "arb", "ec", "dist"))


def test_names_of_odd_bytes(glusterd: Path) -> None:
    """A brick's file is found by its bytes, and its path is escaped as in labels."""
    name = os.fsencode(glusterd) + b"/vols/dist/bricks/vm:-od\xffd"
    first = glusterd / "vols/dist/bricks/vm:-var-tmp-glupystaterec-d1"
    content = first.read_bytes().replace(b"/var/tmp/glupystaterec/d1", b"/od\xffd")
    Path(os.fsdecode(name)).write_bytes(content)
    info = glusterd / "vols/dist/info"
    info.write_bytes(
        info.read_bytes().replace(b"brick-0=vm:-var-tmp-glupystaterec-d1", b"brick-0=vm:-od\xffd")
    )
    assert "/od\\xffd" in volume(glusterd, "dist").bricks


@pytest.mark.parametrize("name", ["rep~", "rep (copy)", "r\udcffp"])
def test_a_copy_of_a_directory_is_no_volume(glusterd: Path, name: str) -> None:
    before = learned(glusterd).volumes
    shutil.copytree(glusterd / "vols/rep", glusterd / "vols" / name)
    state = learned(glusterd)
    assert state.volumes == before
    file = glusterd / "state.json"
    file.write_bytes(nodestate.render(state))
    assert nodestate.read(file) == state


def test_no_glusterd(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"glusterd.info is missing; run this where glusterd runs"):
        learned(tmp_path)


@contextlib.contextmanager
def running(*words: str) -> Iterator[int]:
    """The pid of a process that calls itself what ``words`` say, and sleeps."""
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(
        [words[0], *sleep[1:], *words[1:]], executable=sleep[0], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        try:
            yield child.pid
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("/usr/sbin/glusterfsd", "--process-name", "brick"), True),
        (("/usr/sbin/glusterfsd", "--process-name", "snapd"), False),
        (("/usr/sbin/glusterfsd",), False),
        (("/bin/sleep", "--process-name", "brick"), False),
    ],
)
def test_a_brick_is_online_if_the_process_of_its_pid_file_is_a_brick(
    glusterd: Path, words: tuple[str, ...], said: bool
) -> None:
    pid_file = glusterd / "run/vols/dist/vm-var-tmp-glupystaterec-d2.pid"
    pid_file.parent.mkdir(parents=True)

    def online() -> list[bool]:
        return [brick.online for brick in volume(glusterd, "dist").here]

    assert online() == [False] * 3
    with running(*words) as pid:
        pid_file.write_text(f"{pid}\n")
        assert online() == [False, said, False]
    assert online() == [False] * 3


@pytest.mark.parametrize("content", ["", "-1", "0", "junk", "9" * 40, "99999999"])
def test_a_pid_file_may_hold_anything(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pid"
    path.write_text(content)
    assert processes.of_pid_file(path) is None


def test_a_state_that_is_too_long_loses_parts() -> None:
    peers = tuple(Peer("n" * 1000, "befriended") for _ in range(5000))
    content = nodestate.render(states.full()._replace(peers=peers))
    assert len(content) <= nodestate.MAX_SIZE
    found = json.loads(content)
    assert (found["peers"], found["parts"]["peers"]) == ([], "too long for the state file")
    assert found["volumes"]["v0"]["type"] == "Distributed-Replicate"


def test_the_commands_write_what_they_print(glusterd: Path, tmp_path: Path) -> None:
    """The former name of the command writes the same files."""
    script = (
        "from pathlib import Path; from glupy_exporter.node import glusterd;"
        f"glusterd.WORKING_DIRECTORY = Path({str(glusterd)!r});"
        f"glusterd.RUN_DIRECTORY = Path({str(glusterd / 'run')!r});"
        "glusterd.VOLFILE = Path('/nonexistent');"
        "from glupy_exporter import cli; import sys; sys.exit(cli.main())"
    )

    def run(*words: str) -> str:
        command = [COMMAND[0], "-c", script, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    state, targets = tmp_path / "state.json", tmp_path / "targets.json"
    printed = json.loads(run("state"))
    assert run("state", f"--file={state}", f"--targets={targets}") == ""
    assert json.loads(state.read_text())["volumes"] == printed["volumes"]
    assert state.stat().st_mode & 0o777 == 0o640
    assert targets.stat().st_mode & 0o777 == 0o644
    assert run("state", "--targets=-") == targets.read_text() == run("discover")
    assert json.loads(targets.read_text())[0]["labels"]["__meta_glusterfs_node"] == states.HERE
    state.unlink()
    targets.unlink()
    assert run("discover", f"--file={targets}") == ""
    assert run("state", f"--file={state}") == ""
    found = nodestate.read(state)
    assert found
    assert found.version == nodestate.VERSION
    assert targets.exists()


def test_rebalance_is_as_gluster_shows_it(glusterd: Path) -> None:
    """What `gluster volume rebalance dist status --xml` said of files, bytes and so on."""
    found = learned(glusterd).rebalances
    assert found == {"dist": Rebalance("completed", 23, 203, 50, 0, 0, 1.0)}
    change(glusterd / "vols/dist/node_state.info", {"status": "1"})
    assert learned(glusterd).rebalances == {"dist": Rebalance("in progress")}
    assert Daemon("rebalance", "dist", False) in learned(glusterd).daemons
    change(glusterd / "vols/dist/node_state.info", {"status": "x"})
    state = learned(glusterd)
    assert "invalid literal" in state.parts["rebalances"]
    assert state.rebalances == {}
    assert state.volumes["dist"]


def snapshot(directory: Path, name: str, volume: str, active: bool, when: int) -> None:
    """What glusterd writes of a snapshot (glusterd_store_snapinfo_write and its volume's info)."""
    place = directory / "snaps" / name / ("0" * 32)
    place.mkdir(parents=True)
    (place.parent / "info").write_text(
        f"snap-id=u\nstatus=2\nsnap-restored=0\ntime-stamp={when}\nsnap-max-hard-limit=256\n"
    )
    status = 1 if active else 2
    (place / "info").write_text(f"type=2\nstatus={status}\nparent_volname={volume}\n")


def test_snapshots(glusterd: Path) -> None:
    (glusterd / "snaps" / "missed_snaps_list").write_text("")
    assert learned(glusterd).snapshots == {}
    snapshot(glusterd, "s1", "rep", True, 1_700_000_100)
    snapshot(glusterd, "s2", "rep", False, 1_700_000_000)
    snapshot(glusterd, "s3", "dist", False, 1_700_000_300)
    snapshot(glusterd, "lost", "gone", False, 1)
    change(glusterd / "vols/rep/info", {"snap-max-hard-limit": "20"})
    assert learned(glusterd).snapshots == {
        "rep": Snapshots(2, 1, 1_700_000_000, 20, 18),
        "dist": Snapshots(1, 0, 1_700_000_300, 256, 230),
    }
    change(glusterd / "options", {"snap-max-hard-limit": "10", "snap-max-soft-limit": "50"})
    assert learned(glusterd).snapshots["rep"][3:] == (10, 5)


SESSION = "geo-replication/rep_vm_sec"


def test_a_session_that_is_not_started(glusterd: Path) -> None:
    """`gluster volume geo-replication status` said Created for each brick."""
    (session,) = learned(glusterd).geo_replication
    assert session[:3] == ("rep", "vm::sec", "Created")
    paths = [f"/var/tmp/glupystaterec/r{number}" for number in (1, 2, 3, 4)]
    assert session.workers == tuple(Worker(path, "Created") for path in paths)


@pytest.mark.parametrize(
    ("value", "secondary"),
    [
        ("u:ssh://geo@node9::copy-1:v", "node9::copy-1"),
        ("u:ssh://fd00::9::copy:v", "fd00::9::copy"),
        ("u:ssh://root@10.0.0.9::copy", "10.0.0.9::copy"),
    ],
)
def test_secondaries_may_have_a_user_and_any_address(
    glusterd: Path, value: str, secondary: str
) -> None:
    for key in ("secondary1", "slave1"):
        lines = (glusterd / "vols/rep/info").read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("secondary", "slave"))]
        (glusterd / "vols/rep/info").write_text("\n".join([*kept, f"{key}={value}", ""]))
        (session,) = learned(glusterd).geo_replication
        assert session.secondary == secondary


def test_bricks_and_peers_by_an_address_of_ipv6(glusterd: Path) -> None:
    bricks = glusterd / "vols/dist/bricks"
    first = bricks / "vm:-var-tmp-glupystaterec-d1"
    change(first, {"hostname": "fd00::1"})
    first.rename(bricks / "fd00::1:-var-tmp-glupystaterec-d1")
    change(glusterd / "vols/dist/info", {"brick-0": "fd00::1:-var-tmp-glupystaterec-d1"})
    (glusterd / "peers/u2").write_text("uuid=u2\nstate=3\nhostname1=fd00::2\n")
    pid_file = glusterd / "run/vols/dist/fd00::1-var-tmp-glupystaterec-d1.pid"
    pid_file.parent.mkdir(parents=True)
    with running("glusterfsd", "--process-name", "brick") as pid:
        pid_file.write_text(str(pid))
        found = learned(glusterd)
    dist = found.volumes["dist"]
    assert dist
    assert dist.here[0][:2] == ("/var/tmp/glupystaterec/d1", "fd00::1")
    assert [brick.online for brick in dist.here] == [True, False, False]
    assert found.peers == (Peer("fd00::2", "befriended"),)
    (node,) = [each for each in discovery.nodes(glusterd) if each.uuid == "u2"]
    assert discovery.groups([node], "c", 9714)[0]["targets"] == ["[fd00::2]:9714"]


def test_a_session_that_runs(glusterd: Path) -> None:
    (glusterd / SESSION / "monitor.status").write_text("Started")
    status = glusterd / SESSION / "brick_%2Fvar%2Ftmp%2Fglupystaterec%2Fr1.status"
    # As gsyncdstatus.py writes it.
    known = {
        **{"secondary_node": "node9", "worker_status": "Active", "last_synced": 1_700_000_000},
        **{"last_synced_entry": 0, "crawl_status": "Changelog Crawl", "entry": 1, "data": 2},
        **{"meta": 3, "failures": 4, "checkpoint_completed": "N/A", "checkpoint_time": 0},
    }
    status.write_text(json.dumps(known))

    def worker() -> Worker:
        (session,) = learned(glusterd).geo_replication
        return session.workers[0]

    path = "/var/tmp/glupystaterec/r1"
    assert worker() == Worker(path, "Stopped")
    assert Daemon("gsyncd", "rep", False) in learned(glusterd).daemons
    (glusterd / "run").mkdir()
    with running("/usr/bin/python3", "/usr/libexec/glusterfs/gsyncd.py", "monitor") as pid:
        (glusterd / "run/gsyncd-rep-vm-sec.pid").write_text(str(pid))
        active = Worker(path, "Active", "Changelog Crawl", 1_700_000_000.0, 1, 2, 3, 4)
        assert worker() == active
        for bad, expected in (
            ({"worker_status": "Faulty"}, Worker(path, "Faulty")),
            ({"worker_status": "Passive"}, Worker(path, "Passive")),
            ({"worker_status": ["x"]}, Worker(path, "unknown")),
            ({"worker_status": "<b>"}, Worker(path, "unknown")),
            ({"crawl_status": {}, "entry": -1}, active._replace(crawl="", entry=0)),
            ({"last_synced": "N/A", "data": 1e300}, active._replace(synced=0.0, data=0)),
        ):
            status.write_text(json.dumps({**known, **bad}))
            assert worker() == expected
        for text in ("", "{", "[]", "[" * 50_000, '{"entry": 1' + "0" * 30000 + "}"):
            status.write_text(text)
            assert worker().status in ("N/A", "unknown")
        daemon = next(each for each in learned(glusterd).daemons if each.name == "gsyncd")
        assert daemon.up
        assert daemon.resident > 2**20
        status.unlink()
        status.symlink_to("/etc/passwd")
        assert learned(glusterd).parts["geo_replication"]
        assert learned(glusterd).geo_replication == ()


def test_daemons_that_should_run(glusterd: Path) -> None:
    run = glusterd / "run"
    expected = {("shd", ""), ("quotad", ""), ("bitd", ""), ("scrub", ""), ("snapd", "dist")}

    def daemons() -> dict[tuple[str, str], bool]:
        found = {(each.name, each.volume): each.up for each in learned(glusterd).daemons}
        found.pop(("glusterd", ""))  # there may be one on this machine
        return found

    assert daemons() == dict.fromkeys(expected, False)
    for file in ("quotad/quotad.pid", "vols/dist/dist-snapd.pid", "shd/rep/rep-shd.pid"):
        (run / file).parent.mkdir(parents=True, exist_ok=True)
    with running("glusterfs", "--process-name", "quotad") as pid:
        (run / "quotad/quotad.pid").write_text(str(pid))
        (run / "vols/dist/dist-snapd.pid").write_text(str(pid))
        assert daemons() == {**dict.fromkeys(expected, False), ("quotad", ""): True}
    with running("glusterfs", "--process-name", "glustershd") as pid:
        missed = {"rep", "arb", "ec"}
        for name in sorted(missed):
            (run / "shd" / name).mkdir(parents=True, exist_ok=True)
            (run / "shd" / name / f"{name}-shd.pid").write_text(str(pid))
            missed.remove(name)
            found = {volume: up for (name, volume), up in daemons().items() if name == "shd"}
            assert found == {"": True, **dict.fromkeys(missed, False)}
        shd = next(each for each in learned(glusterd).daemons if each.name == "shd")
        assert shd.resident > 2**20
        assert abs(time.time() - shd.started) < 60
        assert shd.cpu < 60
    # Nobody misses the self-heal daemon where it is switched off.
    for name, kind in (("rep", ""), ("arb", ""), ("ec", "disperse-")):
        assert ("shd", "") in daemons()
        change(glusterd / "vols" / name / "info", {f"cluster.{kind}self-heal-daemon": "off"})
    assert ("shd", "") not in daemons()
    # A glusterd without an NFS server has no pid file of one.
    change(glusterd / "vols/dist/info", {"nfs.disable": "off"})
    assert ("nfs", "") not in daemons()
    (run / "nfs").mkdir()
    (run / "nfs/nfs.pid").write_text("1")
    assert daemons()["nfs", ""] is False
    for name in ("rep", "arb", "ec", "dist"):
        change(glusterd / "vols" / name / "info", {"status": "2"})
    assert daemons() == {}


def test_glusterd_is_found_without_its_pid_file(glusterd: Path) -> None:
    with running("/usr/sbin/glusterd", "-N") as pid:
        (glusterd / "glusterd.pid").write_text("1")
        daemon = learned(glusterd).daemons[0]
        assert daemon[:3] == ("glusterd", "", True)
        (glusterd / "glusterd.pid").write_text(str(pid))
        assert learned(glusterd).daemons[0][:3] == ("glusterd", "", True)


def test_a_daemon_that_is_stopped_is_not_up(glusterd: Path) -> None:
    with running("/usr/sbin/glusterd", "-N") as pid:
        (glusterd / "glusterd.pid").write_text(str(pid))
        for number, up in ((signal.SIGSTOP, False), (signal.SIGCONT, True)):
            os.kill(pid, number)
            wait_for(lambda: learned(glusterd).daemons[0].up is up, f"{number.name} to work")  # noqa: B023
