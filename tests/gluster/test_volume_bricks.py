"""The number of a volume's bricks, while bricks come and go."""

from __future__ import annotations

from cluster import HOST, gluster, volume, wait_for


def test_bricks_added_and_removed_are_noticed(xlator: None) -> None:
    """By the bricks that run on, without a restart."""
    with volume(bricks=2) as subject:

        def said() -> list[tuple[int | None, int | None]]:
            found = []
            for brick in subject.bricks[:2]:
                with subject.segment(brick) as segment:
                    who = segment.brick()
                found.append((who.volume_bricks, who.subvolume))
            return found

        assert said() == [(2, 0), (2, 1)]
        third = subject.directory / "brick2"
        third.mkdir()
        subject.bricks.append(third)
        gluster("volume", "add-brick", subject.name, f"{HOST}:{third}", "force")
        wait_for(lambda: said() == [(3, 0), (3, 1)], "three bricks")
        gluster("volume", "remove-brick", subject.name, f"{HOST}:{third}", "force")
        wait_for(lambda: said() == [(2, 0), (2, 1)], "two bricks")
