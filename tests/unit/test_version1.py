"""Segments of version 1 are read as the release that wrote them read them.

The translator of layout version 1 wrote ``fixtures/harness.bricks-b0.v1.seg.gz`` in the scene
"everything" of ``native/life_harness.c``: each of 53 fops three times with success, twice with
ENOSPC, and once by the self-heal daemon. ``fixtures/version1.txt`` is what the exporter of that
release told of it.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
import segments

from glupy_exporter import exposition
from glupy_exporter.collectors import COLLECTORS
from glupy_exporter.collectors.scrape import Scraper
from glupy_exporter.segment import reader

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOPS = 53


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The segment of version 1 in a directory of segments."""
    path = tmp_path / "harness.bricks-b0.seg"
    path.write_bytes(gzip.decompress((FIXTURES / "harness.bricks-b0.v1.seg.gz").read_bytes()))
    return path


def told(directory: Path) -> list[str]:
    """What a scrape says of bricks, but for buckets and the time of heartbeats."""
    scraper = Scraper(directory, 86400.0, [collector() for collector in COLLECTORS])
    lines = b"".join(exposition.text(scraper)).decode().splitlines(keepends=True)
    left_out = re.compile("glupy_segment_heartbeat|[a-z_]+_bucket")
    return [line for line in lines if 'brick="' in line and not left_out.match(line)]


def test_every_number_is_the_one_that_was_counted(old: Path) -> None:
    with reader.Segment(old) as segment:
        brick, fops, io = segment.brick(), segment.fops(), segment.io()
        (errors,) = {count for _, _, count in segment.errnos()}
        ((_, file),) = segment.file_table().records()
        ((_, client),) = segment.client_table().records()
        internal = segment.internal()
        health = segment.health("files")
    assert (brick.volume, brick.brick, brick.host) == ("harness", "/bricks/b0", "node1")
    assert {(fop.started, fop.completed, fop.errors) for fop in fops} == {(6, 6, 3)}
    assert len(fops) == FOPS and errors == 3
    assert (io["read"].bytes, io["write"].bytes) == (3 * 4096, 3 * 3 * 4096)
    assert (file.path, file.type, file.gfid[:8]) == ("/file", "file", "01000000")
    # Each fop but ipc names the file.
    assert file.activity.fops == (5, 15, 5 * (FOPS - 1 - 4))
    assert file.activity.bytes == (3 * 4096, 3 * 3 * 4096)
    assert (client.address, client.activity.connections) == ("192.0.2.1", 1)
    assert client.activity.fops == (5, 15, 5 * (FOPS - 4))
    assert internal["self-heal"].fops == (1, 3, FOPS - 4)
    assert (health["tracked"], health["evicted"]) == (1, 0)


def test_a_scrape_says_what_the_release_before_said(old: Path) -> None:
    with segments.locked(old):
        said = (FIXTURES / "version1.txt").read_text().splitlines(keepends=True)
        assert sorted(told(old.parent)) == sorted(said)
