"""What the disks of bricks tell root's timer, and what it does if they do not answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter import commands
from glupy_exporter.node.nodestate import Brick, Quota, ThinPool, Volume
from glupy_exporter.state import apart, disks, on_disk, quota_conf, records, thin_pools
from tests.support import states

A_B = "17cd749a-dd38-4ad0-8248-78ae907254a3"


def test_gfids_of_a_quota_conf(tmp_path: Path) -> None:
    content = (states.glusterd(tmp_path) / "vols/rep/quota.conf").read_bytes()
    assert quota_conf.gfids(content) == (
        A_B,
        "65685fe3-8d1e-4a97-b14b-854eff44fae1",
        "ba842482-6650-45f3-bba1-43a7fc9b3e28",
        "00000000-0000-0000-0000-000000000001",
    )
    old = b"GlusterFS Quota conf | version: v1.1\n" + bytes(15) + b"\1" + bytes(16)
    assert len(quota_conf.gfids(old)) == 2
    assert quota_conf.gfids(b"") == ()


@pytest.mark.parametrize("content", [b"\0" * 100, b"GlusterFS Quota conf | version: v1.2\n" + b"x"])
def test_what_is_no_quota_conf(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"quota\.conf"):
        quota_conf.gfids(content)


@pytest.fixture
def brick(tmp_path: Path) -> Path:
    """A brick with the directory /a/b, its handles and the file of a gfid of ones."""
    path = tmp_path / "brick"
    (path / "a/b\udcff").mkdir(parents=True)
    handles = path / ".glusterfs"
    parent = "ba842482-6650-45f3-bba1-43a7fc9b3e28"
    for gfid, target in (
        (A_B, f"../../{parent[:2]}/{parent[2:4]}/{parent}/b\udcff"),
        (parent, f"../../00/00/{uuid.UUID(int=1)}/a"),
        (str(uuid.UUID(int=1)), "../../.."),
    ):
        handle = handles / gfid[:2] / gfid[2:4] / gfid
        handle.parent.mkdir(parents=True, exist_ok=True)
        handle.symlink_to(target)
    (handles / "indices/xattrop").mkdir(parents=True)
    return path


def test_attributes_that_are_hidden(tmp_path: Path) -> None:
    """No process without the capability can tell a brick from a directory that is none."""
    with pytest.raises(PermissionError, match="hidden without CAP_SYS_ADMIN"):
        on_disk.check(bytes(tmp_path))
    with pytest.raises(FileNotFoundError):
        on_disk.check(bytes(tmp_path / "gone"))


@pytest.fixture
def xattrs(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], bytes]:
    """Attributes by path and name, in place of those that only root may set."""
    known: dict[tuple[str, str], bytes] = {}

    def real(path: bytes) -> str:
        return os.path.realpath(os.fsdecode(path))

    def getxattr(path: bytes, name: str, *, follow_symlinks: bool) -> bytes:
        if (real(path), name) not in known:
            raise OSError(61, "No data available")
        return known[real(path), name]

    def listxattr(path: bytes, *, follow_symlinks: bool) -> list[str]:
        return [name for where, name in known if where == real(path)]

    monkeypatch.setattr(os, "getxattr", getxattr)
    monkeypatch.setattr(os, "listxattr", listxattr)
    return known


def test_a_directory_with_a_quota(brick: Path, xattrs: dict[tuple[str, str], bytes]) -> None:
    """The attributes are those of a brick of GlusterFS 10.3."""
    directory = str(brick / "a/b\udcff")
    quota = "trusted.glusterfs.quota"
    xattrs[directory, f"{quota}.limit-set.1"] = bytes.fromhex("0000000000a000000000000000000046")
    size = "000000000050000000000000000000020000000000000001"
    xattrs[directory, f"{quota}.size.1"] = bytes.fromhex(size)
    missing = str(uuid.UUID(int=7))
    found = on_disk.quotas(os.fsencode(brick), [missing, A_B], 1)
    assert found == [on_disk.Quota(A_B, "/a/b\\xff", 10485760, 70, -1, 5242880, 2, 1)]
    assert on_disk.quotas(os.fsencode(brick), [A_B], 0) == [
        on_disk.Quota(A_B, "/a/b\\xff", -1, -1, -1, 0, 0, 0)
    ]


@pytest.mark.parametrize("target", ["/etc", "../../../../x", f"../../17/cd/{A_B}/..", "x"])
def test_a_handle_leads_nowhere_else(brick: Path, target: str) -> None:
    handle = brick / ".glusterfs/17/cd" / A_B
    handle.unlink()
    handle.symlink_to(target)
    assert on_disk.quotas(os.fsencode(brick), [A_B], 1) == []


def test_handles_in_a_circle(brick: Path) -> None:
    handle = brick / ".glusterfs/17/cd" / A_B
    handle.unlink()
    handle.symlink_to(f"../../17/cd/{A_B}/x")
    assert on_disk.quotas(os.fsencode(brick), [A_B], 1) == []


def entry(brick: Path, number: int, age: float = 3600) -> str:
    """An entry that waits for a heal; the file's path."""
    gfid = str(uuid.UUID(int=number))
    handle = brick / ".glusterfs" / gfid[:2] / gfid[2:4] / gfid
    handle.parent.mkdir(parents=True, exist_ok=True)
    handle.touch()
    (brick / ".glusterfs/indices/xattrop" / gfid).touch()
    return str(handle)


def counts(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def test_blame(
    brick: Path, xattrs: dict[tuple[str, str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {"v-client-3": 0, "v-client-4": 1, "v-client-9": 2}
    raw = os.fsencode(brick)
    first, fool, damaged = (entry(brick, number) for number in (17, 18, 19))
    xattrs[first, "trusted.afr.v-client-4"] = counts(2, 0, 1)
    xattrs[first, "trusted.afr.v-client-9"] = counts(0, 0, 0)
    xattrs[first, "trusted.afr.dirty"] = counts(1, 1, 1)
    xattrs[first, "trusted.afr.v-client-8"] = counts(1, 1, 1)
    xattrs[fool, "trusted.afr.v-client-3"] = counts(1, 0, 0)
    xattrs[fool, "trusted.afr.v-client-4"] = counts(1, 1, 0)
    xattrs[damaged, "trusted.afr.v-client-4"] = b"x"
    (brick / ".glusterfs/indices/xattrop/xattrop-base").touch()
    assert on_disk.blames(raw, ids, 0) == []  # all have just changed
    monkeypatch.setattr(on_disk, "SETTLED", -60.0)
    gfids = [str(uuid.UUID(int=number)) for number in (17, 18)]
    assert on_disk.blames(raw, ids, 0) == [
        (gfids[0], "data", 1),
        (gfids[0], "entry", 1),
        (gfids[1], "metadata", 1),
    ]
    for number in range(100, 300):
        xattrs[entry(brick, number), "trusted.afr.v-client-9"] = counts(1, 0, 0)
    found = on_disk.blames(raw, ids, 0)
    assert len({gfid for gfid, _, _ in found}) == on_disk.MAX_BLAMING
    assert on_disk.blames(raw, ids, 0) == found


@contextlib.contextmanager
def no_child_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 10
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) is not None:
            assert time.monotonic() < deadline


def hang() -> None:
    signal.pause()


@pytest.mark.timeout(30)
def test_who_does_not_answer_is_left_behind(tmp_path: Path) -> None:
    def fails() -> None:
        raise OSError(5, "Input/output error")

    with no_child_left():
        started = time.monotonic()
        answers = apart.ask(
            {
                "good": lambda: {"a": [1, "\xe9"]},
                "hung": hang,
                "bad": fails,
                "mute": lambda: os._exit(0),
                "much": lambda: "x" * 2**21,
                "other": lambda: os.getpid(),
            },
            1.0,
            20.0,
        )
        assert 0.9 < time.monotonic() - started < 5
        assert answers.found["good"] == {"a": [1, "\xe9"]}
        assert answers.found["other"] != os.getpid()
        assert answers.problems == {
            "hung": "did not answer in 1 s",
            "bad": "[Errno 5] Input/output error",
            "mute": "gave no answer",
            "much": "gave too long an answer",
        }


@pytest.mark.timeout(30)
def test_all_have_an_end_together() -> None:
    with no_child_left():
        started = time.monotonic()
        answers = apart.ask({f"{number}": hang for number in range(30)}, 0.5, 1.2)
        assert time.monotonic() - started < 4
        assert len(answers.problems) == 30
        assert answers.problems["29"] == "no time was left to ask"


@pytest.mark.timeout(30)
def test_who_still_hangs_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process in uninterruptible sleep is not there to be had: this one is spared by hand."""
    spared: list[int] = []
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: spared.append(pid))
    with no_child_left():
        questions: dict[str, Callable[[], object]] = {"hung": hang}
        assert apart.ask(questions, 0.2, 9, tmp_path).problems == {
            "hung": "did not answer in 0.2 s"
        }
        assert apart.ask(questions, 0.2, 9, tmp_path).problems == {
            "hung": "has not answered since an earlier time"
        }
        (pid,) = spared
        kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert apart.ask({"hung": lambda: 1}, 5, 9, tmp_path).found == {"hung": 1}


@pytest.mark.timeout(60)
def test_a_program_that_no_signal_ends_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for a hung disk survives SIGKILL; the stand-in is not sent any."""
    started, waits = tmp_path / "started", tmp_path / "waits"
    os.mkfifo(waits)
    script = f"echo $$ >>{started}; exec cat {waits}"
    monkeypatch.setattr(thin_pools, "_COMMAND", ("sh", "-c", script))
    monkeypatch.setattr(thin_pools, "_SECONDS", 0.5)
    monkeypatch.setattr(subprocess.Popen, "kill", lambda process: None)
    # It reads from this end, so it ends with the test at the latest.
    with os.fdopen(os.open(waits, os.O_RDWR), "wb"):
        questions = {"lvm": thin_pools.ask}
        with no_child_left():
            assert apart.ask(questions, 2, 9, tmp_path).problems == {"lvm": "did not answer in 2 s"}
        assert Path(f"/proc/{started.read_text().strip()}").exists()
        assert apart.ask(questions, 2, 9, tmp_path).problems == {
            "lvm": "has not answered since an earlier time"
        }
        assert len(started.read_text().splitlines()) == 1
    monkeypatch.setattr(thin_pools, "_COMMAND", ("echo", '{"report": []}'))
    deadline = time.monotonic() + 20
    while not (answers := apart.ask(questions, 2, 9, tmp_path)).found:
        assert answers.problems == {"lvm": "has not answered since an earlier time"}
        assert time.monotonic() < deadline
    assert answers.found == {"lvm": []}


def test_a_program_that_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thin_pools, "_COMMAND", ("sleep", "600"))
    monkeypatch.setattr(thin_pools, "_SECONDS", 0.1)
    with pytest.raises(ValueError, match=r"lvs did not answer in 0\.1 s"):
        thin_pools.ask()


def report(*rows: dict[str, str]) -> str:
    return json.dumps({"report": [{"lv": list(rows)}]})


# As `lvs --reportformat json --units b --nosuffix --all` prints them (lvmreport(7), lvs(8)).
POOL = {
    **{"vg_name": "vg0", "lv_name": "pool", "pool_lv": "", "lv_size": "1099511627776"},
    **{"data_percent": "50.00", "lv_metadata_size": "1073741824", "metadata_percent": "25.00"},
    **{"lv_kernel_major": "253", "lv_kernel_minor": "2"},
}
THIN = {
    **{"vg_name": "vg0", "lv_name": "b1", "pool_lv": "pool", "lv_size": "1", "data_percent": "9"},
    **{"lv_metadata_size": "", "metadata_percent": "", "lv_kernel_major": "253"},
    "lv_kernel_minor": "4",
}


def test_thin_pools_of_bricks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(
        b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        b"2 1 253:4 / /bricks/b\\0401 rw shared:1 - xfs /dev/mapper/vg0-b1 rw\n"
    )
    devices = tmp_path / "devices"
    devices.write_text("Block devices:\n  8 sd\n253 device-mapper\n")
    monkeypatch.setattr(thin_pools, "MOUNTS", mounts)
    monkeypatch.setattr(thin_pools, "DEVICES", devices)
    program = tmp_path / "lvs"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{report(POOL, THIN)}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setattr(commands, "PATH", str(tmp_path))
    monkeypatch.setattr(commands, "ENVIRONMENT", {"PATH": f"{tmp_path}:/bin:/usr/bin"})
    monkeypatch.setattr(thin_pools, "_COMMAND", (str(program),))
    bricks = tuple(
        Brick(path, "n", 0, place, 0, True)
        for place, path in enumerate(("/bricks/b 1/brick", "/data/b2"))
    )
    volumes = {"v": Volume(frozenset(), True, True, here=bricks), "w": None}
    places = thin_pools.places(volumes)
    assert places == {"253:4": [("v", "/bricks/b 1/brick")]}
    assert thin_pools.pools(thin_pools.ask(), places) == (
        ThinPool("vg0", "pool", 2**40, 2**39, 2**30, 2**28, (("v", "/bricks/b 1/brick"),)),
    )
    program.write_text("#!/bin/sh\necho no permission >&2\nexit 5\n")
    with pytest.raises(ValueError, match=r"lvs failed: no permission"):
        thin_pools.ask()
    program.unlink()
    assert thin_pools.places(volumes) == {}


def test_replicas_are_folded_and_sets_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = states.glusterd(tmp_path)
    found = records.load(directory, directory / "run")
    used = {"r1": 100, "r2": 90, "r3": 7, "r4": 8}

    def here(places: int) -> tuple[Brick, ...]:
        paths = [f"/r{number}" for number in range(1, places + 1)]
        return tuple(
            Brick(path, "vm", 0, place // 2, place % 2, True) for place, path in enumerate(paths)
        )

    def quotas(brick: bytes, gfids: object, version: int) -> list[on_disk.Quota]:
        assert version == 1
        amount = used[brick.decode()[1:]]
        return [on_disk.Quota(A_B, "/a", 1000, -1, -1, amount, amount, 1)]

    monkeypatch.setattr(on_disk, "check", lambda brick: None)
    monkeypatch.setattr(on_disk, "quotas", quotas)
    monkeypatch.setattr(on_disk, "blames", lambda *_: [])
    volume = Volume(frozenset(), True, True, replica=2, here=here(4))
    answer = disks.look(found, {"rep": volume})
    assert not any(answer.problems.values()), answer.problems
    assert answer.quotas == (
        Quota("rep", A_B, "/a", 0, 1000, 800, -1, 100, 100, 1),
        Quota("rep", A_B, "/a", 1, 1000, 800, -1, 8, 8, 1),
    )
    dispersed = volume._replace(replica=0, disperse=4, redundancy=1)
    answer = disks.look(found, {"rep": dispersed})
    assert [each.used for each in answer.quotas] == [300, 24]
    assert not any(answer.problems.values())
    (directory / "vols/rep/quota.conf").write_bytes(b"junk" * 9)
    answer = disks.look(found, {"rep": volume._replace(started=True)})
    assert answer.problems["quotas"] == "rep: not a quota.conf"
