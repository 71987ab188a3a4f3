"""The exact comparison with ``volume profile`` on every kind of volume."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gluster import workload
from tests.gluster.compare import assert_equal, settled
from tests.gluster.work import work
from tests.support.gluster.monitored import bricks_up, exporter
from tests.support.gluster.volumes import Volume, gluster, volume, wait_for


def exercise(subject: Volume) -> None:
    with subject.mount("direct-io-mode=enable") as mount:
        workload.through_mount(mount)


def check(subject: Volume) -> None:
    bricks = settled(subject)
    for profile, counts in bricks.values():
        assert_equal(profile, counts)
    assert len({name for _, counts in bricks.values() for name in counts.fops}) >= 25
    assert sum(counts.bytes["write"] for _, counts in bricks.values()) > sum(workload.SIZES)


@pytest.mark.parametrize(
    ("kind", "bricks", "sets"),
    [
        pytest.param((), 2, [0, 1], id="distribute"),
        pytest.param(("replica", "2"), 4, [0, 0, 1, 1], id="distributed-replica"),
        pytest.param(("disperse", "3", "redundancy", "1"), 3, [0, 0, 0], id="disperse"),
    ],
)
def test_kind_of_volume(xlator: None, kind: tuple[str, ...], bricks: int, sets: list[int]) -> None:
    with volume(*kind, bricks=bricks) as subject:
        exercise(subject)
        check(subject)
        for brick, subvolume in zip(subject.bricks, sets):
            with subject.segment(brick) as segment:
                assert segment.brick().subvolume == subvolume


@pytest.fixture
def multiplex(xlator: None) -> Iterator[None]:
    """Bricks that start from now on share one process."""
    gluster("volume", "set", "all", "cluster.brick-multiplex", "on")
    yield
    gluster("volume", "reset", "all", "cluster.brick-multiplex")


def test_multiplexed_bricks(multiplex: None) -> None:
    with volume(bricks=2) as one, volume(bricks=1) as other:
        places = [(v, brick) for v in (one, other) for brick in v.bricks]
        (pid,) = {v.pid(brick) for v, brick in places}
        exercise(one)
        exercise(other)
        check(one)
        check(other)
        for subject, brick in places:
            with subject.segment(brick) as segment:
                identity = segment.brick()
            assert identity.pid == pid
            assert (identity.volume, identity.path) == (subject.name, str(brick))
            assert identity.alive

        other.stop()
        assert one.pid(one.bricks[0]) == pid
        assert not other.segment_path(other.bricks[0]).exists()
        exercise(one)
        check(one)
        with one.segment(one.bricks[0]) as segment:
            assert segment.brick().alive


def test_multiplexed_bricks_come_and_go(
    multiplex: None, need: Callable[[object, str], None]
) -> None:
    """Attached to and detached from a process whose other bricks are at work."""
    need(shutil.which("fio"), "fio")
    with (
        volume(bricks=2) as stays,
        stays.mount("direct-io-mode=enable") as mount,
        exporter() as serving,
        work(mount) as working,
    ):
        (pid,) = set(map(stays.pid, stays.bricks))
        for _ in range(3):
            with volume(bricks=2) as comes:
                assert set(map(comes.pid, comes.bricks)) == {pid}
                exercise(comes)
                check(comes)
                assert bricks_up(serving.url, comes.name) == dict.fromkeys(comes.bricks, 1)
            assert not bricks_up(serving.url, comes.name)
            assert bricks_up(serving.url, stays.name) == dict.fromkeys(stays.bricks, 1)
            working.go_on()
        assert set(map(stays.pid, stays.bricks)) == {pid}
        # Bricks that went close their files by and by, and the threads look again by and by.
        wait_for(lambda: all_count_descriptors(stays, pid), "all bricks to count descriptors", 90)


def all_count_descriptors(subject: Volume, pid: int) -> bool:
    """Whether the thread of each brick knows how many descriptors the process has."""
    found = []
    for brick in subject.bricks:
        with subject.segment(brick) as segment:
            found.append(segment.brick().facts["process_descriptors"])
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return all(abs(number - descriptors) < 20 for number in found)


def maintainers(pid: int) -> int:
    """How many bricks of a process have a maintenance thread."""
    names = (task.read_text().strip() for task in Path(f"/proc/{pid}/task").glob("*/comm"))
    return sum(name == "glfs_glupy" for name in names)


def test_a_brick_that_fails_to_attach_leaves_nothing(multiplex: None) -> None:
    with volume(bricks=1) as stays, volume(bricks=1, start=False) as fails:
        (brick,) = fails.bricks
        pid = stays.pid(stays.bricks[0])
        assert pid and maintainers(pid) == 1
        shutil.rmtree(brick / ".glusterfs")
        (brick / ".glusterfs").touch()  # where posix wants a directory
        gluster("volume", "start", fails.name)
        said = "failed to initialize graph for xlator"
        wait_for(lambda: said in stays.log(stays.bricks[0]), "the graph to fail")
        assert maintainers(pid) == 1
        assert not fails.segment_path(brick).exists()
