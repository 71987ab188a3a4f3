"""The number of a volume's bricks, while bricks come and go."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.gluster.monitored import bricks_up, exporter, get
from tests.support.gluster.volumes import HOST, gluster, volume, wait_for


def test_bricks_added_and_removed_are_noticed(xlator: None) -> None:
    """By the bricks that run on, without a restart."""
    with volume(bricks=2) as subject:

        def said() -> list[tuple[int | None, int | None]]:
            found = []
            for brick in subject.bricks[:2]:
                with subject.segment(brick) as segment:
                    who = segment.brick()
                found.append((who.numbers.get("volume_bricks"), who.subvolume))
            return found

        assert said() == [(2, 0), (2, 1)]
        third = subject.directory / "brick2"
        third.mkdir()
        subject.bricks.append(third)
        gluster("volume", "add-brick", subject.name, f"{HOST}:{third}", "force")
        wait_for(lambda: said() == [(3, 0), (3, 1)], "three bricks")
        gluster("volume", "remove-brick", subject.name, f"{HOST}:{third}", "force")
        wait_for(lambda: said() == [(2, 0), (2, 1)], "two bricks")


def test_what_glusterd_has_on_record_tells_removed_from_down(xlator: None, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    learn = [sys.executable, "-m", "glupy_exporter.cli", "state", f"--file={state}"]
    with volume("replica", "2", bricks=2) as subject, exporter(f"--state.file={state}") as serving:
        old, other = subject.bricks

        def served() -> tuple[dict[Path, float], str]:
            """The bricks as if the timer had run just now, and whether the volume is started."""
            subprocess.run(learn, check=True)
            text = get(f"{serving.url}/metrics")
            started = re.search(rf'glupy_volume_started{{volume="{subject.name}"}} ([01])', text)
            return bricks_up(serving.url, subject.name), started[1] if started else ""

        new = subject.directory / "new"
        new.mkdir()
        replace = ("volume", "replace-brick", subject.name, f"{HOST}:{old}", f"{HOST}:{new}")
        subject.bricks[0] = new
        gluster(*replace, "commit", "force")
        wait_for(lambda: served() == ({new: 1, other: 1}, "1"), "the new brick")
        assert subject.segment_path(old).exists()
        subject.kill(other)
        assert served() == ({new: 1, other: 0}, "1")
        subject.start(force=True)
        subject.stop()
        assert served() == ({new: 0, other: 0}, "0")
        subject.segment_path(old).unlink()
