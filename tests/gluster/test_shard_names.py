"""A sharded file's name on the bricks that do not have it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.files import Files
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.schema.layout import KINDS
from tests.gluster.compare import files
from tests.support import scrapes
from tests.support.gluster.volumes import Volume, volume, wait_for

IMAGE = "/vms/a name.img"
MOVED = "/images/b.img"
SHARD = 4 << 20
WRITE = KINDS.index("write")


def served(subject: Volume, image: str, metrics: Iterable[Metric]) -> dict[Path, str]:
    """The path of the file with the gfid ``image``, by brick."""
    return {
        Path(sample.labels["brick"]): sample.labels["path"]
        for metric in metrics
        for sample in metric.samples
        if sample.name == "glupy_file_fops_total"
        and (sample.labels["volume"], sample.labels["gfid"]) == (subject.name, image)
    }


def scraped(source: Scraper) -> list[Metric]:
    return list(text_string_to_metric_families(scrapes.text(source)))


@contextmanager
def sharded() -> Iterator[tuple[Volume, Path]]:
    """A volume with an image whose shards are on all of its bricks, and where it is mounted."""
    options = {"features.shard": "on", "features.shard-block-size": "4MB"}
    with volume(bricks=3, options=options) as subject, subject.mount() as mount:
        (mount / IMAGE[1:]).parent.mkdir()
        (mount / MOVED[1:]).parent.mkdir()
        with (mount / IMAGE[1:]).open("xb", buffering=0) as image:
            write(image)
        for brick in subject.bricks:
            assert len(list((brick / ".shard").iterdir())) > 1, "no shards on a brick"
        yield subject, mount


def write(image: BinaryIO) -> None:
    image.seek(0)
    for _ in range(24):
        image.write(b"x" * SHARD)


def written(opened: BinaryIO, work: Callable[[BinaryIO], object]) -> bool:
    """Whether the work went well; a client that is back opens its files again one by one."""
    with suppress(OSError):
        work(opened)
        return True
    return False


def write_second_shard(image: BinaryIO) -> None:
    image.seek(SHARD)
    image.write(b"y" * SHARD)


def home(subject: Volume, path: str) -> Path:
    """The brick that has the first block of a file, and with it its name."""
    (brick,) = (brick for brick in subject.bricks if (brick / path[1:]).exists())
    return brick


def gfid(path: Path) -> str:
    """The gfid of a file on a brick."""
    return str(uuid.UUID(bytes=os.getxattr(path, "trusted.gfid")))


def test_shards_have_the_name_of_their_file(xlator: None) -> None:
    """Through the brick that knows it; after a rename as well."""
    with sharded() as (subject, mount):
        base = home(subject, IMAGE)
        image = gfid(base / IMAGE[1:])
        merging = Scraper(subject.segment_path(base).parent, 60, [Files(Options(once=True))])
        wait_for(
            lambda: (
                served(subject, image, scraped(merging)) == dict.fromkeys(subject.bricks, IMAGE)
            ),
            "the name on all bricks",
        )

        (mount / IMAGE[1:]).rename(mount / MOVED[1:])
        wait_for(
            lambda: (
                served(subject, image, scraped(merging)) == dict.fromkeys(subject.bricks, MOVED)
            ),
            "the new name on all bricks",
        )


def restart(subject: Volume, mount: Path, brick: Path) -> None:
    subject.kill(brick)
    subject.start(force=True)
    wait_for(lambda: subject.connected(mount, brick), "the client to be back")


def counted(subject: Volume, brick: Path) -> dict[str, tuple[str, int]]:
    """The path of each file that a brick tracks, and how many writes it counted, by gfid."""
    with subject.segment(brick) as segment:
        return {file.gfid: (file.path, file.activity.fops[WRITE]) for file in files(segment)}


def test_a_brick_asks_its_own_disk(xlator: None) -> None:
    """A brick that was restarted while a file was open hears gfids only, of the file and shards."""
    with sharded() as (subject, mount), (mount / IMAGE[1:]).open("rb+", buffering=0) as opened:
        base = home(subject, IMAGE)
        image = gfid(base / IMAGE[1:])
        shards = {gfid(shard): f"/.shard/{shard.name}" for shard in (base / ".shard").iterdir()}
        restart(subject, mount, base)
        wait_for(lambda: written(opened, write), "the file to be open again")
        known = {image: IMAGE, **shards}

        def named() -> bool:
            found = counted(subject, base)
            return {key: found[key][0] for key in known if key in found} == known

        wait_for(named, "the brick to find the names of the file and of its shards")
        before = counted(subject, base)
        write(opened)
        after = counted(subject, base)
        calls = {key: after[key][1] - before[key][1] for key in known}
        assert calls.pop(image) > len(shards), "shards are not counted for their file"
        assert calls == dict.fromkeys(shards, 0)


def test_a_client_that_comes_back_gives_the_name_away(xlator: None) -> None:
    """Its brick with the first block restarts meanwhile, to which no write goes then."""
    with sharded() as (subject, mount), (mount / IMAGE[1:]).open("rb+", buffering=0) as opened:
        base = home(subject, IMAGE)
        image = gfid(base / IMAGE[1:])
        restart(subject, mount, base)
        wait_for(lambda: written(opened, write_second_shard), "the file to be open again")
        scraper = Scraper(subject.segment_path(base).parent, 60, [Files(Options(once=True))])
        wait_for(
            lambda: (
                served(subject, image, scraped(scraper)) == dict.fromkeys(subject.bricks, IMAGE)
            ),
            "the name on all bricks",
        )
