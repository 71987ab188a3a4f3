"""Names of files as users may choose them: every byte, as long and as deep as they go."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from glupy_exporter import config
from glupy_exporter.metrics import exposition
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.files import Files
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.segment.text import unescape
from glupy_exporter.web import api
from glupy_exporter.web.resources import FILES
from tests.support.gluster.volumes import SEGMENTS, Volume, volume, wait_for

EVERY = bytes(byte for byte in range(1, 256) if byte != ord("/"))
DEEP = 1000
LONG_LEVELS = 20
"""Of 255 bytes each: more than PATH_MAX."""


@pytest.fixture(scope="module")
def made(xlator: None) -> Iterator[Volume]:
    with volume(bricks=1) as subject:
        yield subject


def paths(subject: Volume) -> dict[bytes, bool]:
    """The paths of all files in the table, and whether they are cut."""
    with subject.segment(subject.bricks[0]) as segment:
        found = segment.file_table().records()
        return {unescape(file.path): file.truncated for _, file in found}


def exported(subject: Volume) -> set[bytes]:
    """Paths in a scrape, by the parser of prometheus_client."""
    scraper = Scraper(SEGMENTS, 3600, [Files(Options({"limit": 1000}, once=True))])
    text = b"".join(exposition.text(scraper)).decode()
    return {
        unescape(sample.labels["path"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("volume") == subject.name and "path" in sample.labels
    }


def by_api(subject: Volume) -> set[bytes]:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    settings = config.load(parser.parse_args([]))
    wanted = api.query(FILES, {"volume": [subject.name.encode()], "limit": [b"1000"]})
    return {
        unescape(row["path"])
        for row in json.loads(b"".join(api.answer(FILES, wanted, settings)))["files"]
    }


def test_every_byte(made: Volume) -> None:
    names = [bytes([byte]) for byte in EVERY if byte != ord(".")]
    names += [EVERY, b"x" * 255, b"\\n", b'"\n\\', "\N{EURO SIGN}".encode() * 85]
    with made.mount() as mount:
        for name in names:
            path = os.fsencode(mount) + b"/" + name
            with open(path, "wb") as file:  # noqa: PTH123 - bytes
                file.write(b"x")
        wanted = {b"/" + name for name in names}
        wait_for(lambda: wanted <= paths(made).keys(), "all names to be known", 60)
        assert wanted <= exported(made)
        assert wanted <= by_api(made)


def descend(mount: Path, name: str, levels: int) -> tuple[int, object]:
    """Make directories below each other and a file in the last: how many, and what came then."""
    here, made = os.open(mount, os.O_DIRECTORY), 0
    try:
        for _ in range(levels):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
            made += 1
        file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        try:
            return made, os.write(file, b"x")
        finally:
            os.close(file)
    except OSError as error:
        return made, error.errno
    finally:
        os.close(here)


@pytest.mark.parametrize(("name", "levels"), [("dd", DEEP), ("e" * 255, LONG_LEVELS)])
def test_as_deep_as_without_the_translator(made: Volume, name: str, levels: int) -> None:
    pid = made.pid(made.bricks[0])
    with volume(bricks=1, counted=False) as bare:
        with made.mount() as with_it, bare.mount() as without_it:
            ours = descend(with_it, name, levels)
            assert ours == descend(without_it, name, levels)
            start = b"/" + f"{name}/".encode() * 2

            def seen() -> bool:
                return any(cut and path.startswith(start) for path, cut in paths(made).items())

            wait_for(seen, "a path that is cut", 60)
        assert made.pid(made.bricks[0]) == pid
    with contextlib.closing(made.segment(made.bricks[0])) as segment:
        assert segment.brick().alive
    assert any(path.startswith(start[:50]) for path in exported(made))
