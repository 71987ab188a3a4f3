"""Segments of version 1 are read as the release that wrote them read them.

The translator of layout version 1 wrote ``fixtures/harness.bricks-b0.v1.seg.gz`` in the scene
"everything" of ``native/life_harness.c``: each of 53 fops three times with success, twice with
ENOSPC, and once by the self-heal daemon. ``fixtures/version1.txt`` is what the exporter of that
release told of it.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import json
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

import pytest

from glupy_exporter import config
from glupy_exporter.metrics import COLLECTORS, exposition
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.schema import version1
from glupy_exporter.segment import reader
from glupy_exporter.segment.check import REASONS, SegmentError
from glupy_exporter.top.model import Sampler
from glupy_exporter.web import api, resources
from tests.support import segments

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOPS = 53
BRICKS = ("/bricks/b0", "/bricks/b1")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The segment of version 1 in a directory of segments."""
    path = tmp_path / "harness.bricks-b0.seg"
    path.write_bytes(gzip.decompress((FIXTURES / "harness.bricks-b0.v1.seg.gz").read_bytes()))
    return path


def flags(directory: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    return parser.parse_args([f"--segment.dir={directory}"])


def told(directory: Path) -> list[str]:
    """What a scrape says of bricks, but for buckets and the time of heartbeats."""
    scraper = Scraper(directory, 86400.0, [each(Options(once=True)) for each in COLLECTORS])
    lines = b"".join(exposition.text(scraper)).decode().splitlines(keepends=True)
    left_out = re.compile("glupy_segment_heartbeat|[a-z_]+_bucket|glupy_[a-z]+_unexported")
    return [line for line in lines if 'brick="' in line and not left_out.match(line)]


def test_every_number_is_the_one_that_was_counted(old: Path) -> None:
    with reader.Segment(old) as segment:
        brick, fops, io = segment.brick(), segment.fops(), segment.io()
        (errors,) = {count for _, _, count in segment.errnos()}
        ((_, file),) = segment.file_table().records()
        ((_, client),) = segment.client_table().records()
        internal = segment.internal()
        health = segment.health("files")
    assert (brick.volume, brick.path, brick.host) == ("harness", "/bricks/b0", "node1")
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


def numbers(lines: Iterable[str]) -> list[tuple[str, float]]:
    """The series, sorted, each with its number: releases write the same number in several ways."""
    parts = (line.rpartition(" ") for line in lines)
    return sorted((series, float(number)) for series, _, number in parts)


def test_a_scrape_says_what_the_release_before_said(old: Path) -> None:
    with segments.locked(old):
        said = (FIXTURES / "version1.txt").read_text().splitlines(keepends=True)
        never = r'glupy_(file|client|internal)_\S+(kind|direction)="\w+"} 0(\.0)?$'
        gone = re.compile(f"glupy_client_(first|last)_seen_timestamp_seconds|{never}")
        assert numbers(told(old.parent)) == numbers(line for line in said if not gone.match(line))


def test_bricks_of_both_versions_are_served_at_once(old: Path) -> None:
    """By /metrics, the API and top, as while bricks are restarted one by one."""
    new = segments.Segment(
        "harness",
        "/bricks/b1",
        fops={"read": segments.Fop({0: 1})},
        files={0: segments.File(b"/new", uuid.UUID(int=7 << 64), (1, 2, 3))},
        clients={0: segments.Client(b"192.0.2.9", (4, 5, 6))},
    )
    directory = old.parent
    with segments.locked(old), new.live(directory):
        lines = told(directory)
        for name in ("glupy_brick_up", "glupy_file_fops_total", "glupy_client_fops_total"):
            bricks = {
                brick for brick in BRICKS for line in lines if f"{name}{{" in line and brick in line
            }
            assert bricks == set(BRICKS)
        settings = config.load(flags(directory))
        for resource, names in (
            (resources.FILES, {"/file", "/new"}),
            (resources.CLIENTS, {"192.0.2.1", "192.0.2.9"}),
        ):
            answer = json.loads(b"".join(api.answer(resource, api.query(resource, {}), settings)))
            assert not answer["problems"]
            assert {row.get("path", row.get("client")) for row in answer[resource.name]} == names
        rates = Sampler(directory, 86400.0).sample()
    assert (rates.up, rates.problems) == (2, ())


def test_every_byte_of_version_1_is_hostile_too(old: Path) -> None:
    data = old.read_bytes()
    refused = 0
    first = version1.Header.identity.offset
    for offset in (*range(first), *range(first, ctypes.sizeof(version1.Header), 16)):
        old.write_bytes(data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :])
        try:
            with reader.Segment(old) as segment:
                segment.brick(), segment.fops(), segment.io(), segment.internal()
                list(segment.errnos())
                list(segment.file_table().records()), list(segment.client_table().records())
        except SegmentError as error:
            assert error.reason in REASONS
            refused += 1
    assert refused > 50
