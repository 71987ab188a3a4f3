"""The inodes that a brick has in memory."""

from __future__ import annotations

from tests.support.gluster.volumes import volume, wait_for


def test_inodes_are_those_of_a_statedump(xlator: None) -> None:
    names = {"active_size": "active", "lru_size": "lru", "lru_limit": "lru_limit"}
    with volume(bricks=1) as subject, subject.mount() as mount:
        (brick,) = subject.bricks
        pid = subject.pid(brick)
        assert pid
        subject.set_options({"network.inode-lru-limit": "5"})
        for number in range(20):
            (mount / str(number)).write_text("x")

        def said() -> dict[str, float]:
            with subject.segment(brick) as segment:
                numbers = segment.brick().numbers
            return {name: numbers[f"inodes_{short}"] for name, short in names.items()}

        with (mount / "0").open():
            wait_for(lambda: said()["lru_limit"] == 5, "the new limit")
            wait_for(lambda: said() == subject.inodes(pid), "the numbers of a statedump")
            assert said()["active_size"] > 1
