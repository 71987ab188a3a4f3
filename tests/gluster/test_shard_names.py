"""A sharded file's name on the bricks that do not have it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from cluster import Volume, volume, wait_for

from glupy_exporter.collectors.files import FOPS, Files
from glupy_exporter.collectors.resolver import Name, find
from glupy_exporter.collectors.scrape import Scraper

IMAGE = "/vms/a name.img"
MOVED = "/images/b.img"
SHARD = 4 << 20


def served(subject: Volume, scraper: Scraper) -> dict[str, set[str]]:
    """The paths of regular files that a scrape serves, by brick."""
    found: dict[str, set[str]] = {}
    for metric in scraper.collect():
        if FOPS.name.startswith(metric.name):
            for sample in metric.samples:
                labels = sample.labels
                if labels["volume"] == subject.name and labels["type"] != "directory":
                    found.setdefault(labels["brick"], set()).add(labels["path"])
    return found


def test_shards_have_the_name_of_their_file(xlator: None) -> None:
    """Through the brick that knows it, or through its file system; after a rename as well."""
    options = {"features.shard": "on", "features.shard-block-size": "4MB"}
    with volume(bricks=2, options=options) as subject, subject.mount() as mount:
        (mount / IMAGE[1:]).parent.mkdir()
        with (mount / IMAGE[1:]).open("wb", buffering=0) as image:
            for _ in range(12):
                image.write(b"x" * SHARD)
        bricks = {str(brick) for brick in subject.bricks}
        merging = Scraper(subject.segment_path(subject.bricks[0]).parent, 60, [Files()])
        wait_for(
            lambda: all(IMAGE in served(subject, merging).get(brick, ()) for brick in bricks),
            "the name on all bricks",
        )
        (home,) = (brick for brick in subject.bricks if (brick / IMAGE[1:]).exists())
        (away,) = set(subject.bricks) - {home}
        image, directory = gfid(home / IMAGE[1:]), gfid((home / IMAGE[1:]).parent)
        assert find(home, image) == Name(IMAGE, "file")
        assert find(away, image) is None
        for brick in subject.bricks:
            assert find(brick, directory) == Name(str(Path(IMAGE).parent), "directory")

        (mount / MOVED[1:]).parent.mkdir()
        (mount / IMAGE[1:]).rename(mount / MOVED[1:])
        with (mount / MOVED[1:]).open("rb+", buffering=0) as moved:
            for _ in range(12):
                moved.write(b"y" * SHARD)
        wait_for(
            lambda: all(MOVED in served(subject, merging).get(brick, ()) for brick in bricks),
            "the new name on all bricks",
        )
        assert find(home, image) == Name(MOVED, "file")


def gfid(path: Path) -> str:
    """The gfid of a file on a brick."""
    return str(uuid.UUID(bytes=os.getxattr(path, "trusted.gfid")))
