"""What may be seen of files."""

from __future__ import annotations

import random
import time
import uuid
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)

from glupy_exporter.metrics import COLLECTORS
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.node.privacy import Privacy, glob
from glupy_exporter.segment.records import Activity, File
from glupy_exporter.segment.text import escape
from tests.support import scrapes, segments, states

FILE = File(
    gfid="6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11",
    path="/home/ann/letters/love.txt",
    truncated=False,
    unlinked=False,
    type="file",
    activity=Activity((1, 0, 0), (1, 0, 0), (1, 0), 0, 0.0, 0.0),
)
NAMELESS = FILE._replace(path="")


def test_full_path() -> None:
    assert Privacy().path(FILE) == "/home/ann/letters/love.txt"
    assert Privacy().path(NAMELESS) == "<gfid:6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11>"
    assert Privacy().path(FILE._replace(truncated=True)) == "/home/ann/letters/love.txt..."
    assert Privacy().path(FILE._replace(unlinked=True)) == "/home/ann/letters/love.txt (deleted)"


@pytest.mark.parametrize(
    ("depth", "path"),
    [
        (1, "/home/..."),
        (2, "/home/ann/..."),
        (3, "/home/ann/letters/..."),
        (4, "/home/ann/letters/love.txt"),
        (5, "/home/ann/letters/love.txt"),
    ],
)
def test_depth(depth: int, path: str) -> None:
    privacy = Privacy(depth=depth)
    assert privacy.path(FILE) == path
    assert privacy.path(FILE._replace(unlinked=True)) == f"{path} (deleted)"
    assert privacy.path(FILE._replace(path="/")) == "/"
    assert privacy.path(NAMELESS) == Privacy().path(NAMELESS)


def test_no_paths() -> None:
    privacy = Privacy("none")
    for file in (FILE, NAMELESS, FILE._replace(unlinked=True), FILE._replace(truncated=True)):
        assert privacy.path(file) == ""


def test_hashes_differ_by_path_and_key_but_not_by_file() -> None:
    paths = [
        Privacy("hash").path(FILE),
        Privacy("hash").path(FILE._replace(path="/home/ann/letters/love.txu")),
        Privacy("hash", hash_key="a").path(FILE),
        Privacy("hash", hash_key="b").path(FILE),
    ]
    assert len(set(paths)) == 4
    assert all(len(path) == 16 and set(path) <= set("0123456789abcdef") for path in paths)
    assert Privacy("hash").path(FILE._replace(gfid="other")) == paths[0]


def test_hash_of_what_is_cut_is_that_of_its_directory() -> None:
    privacy = Privacy("hash", depth=2)
    assert privacy.path(FILE) == privacy.path(FILE._replace(path="/home/ann/other"))
    assert privacy.path(FILE) != privacy.path(FILE._replace(path="/home/bob/other"))


def test_hash_says_that_a_file_is_deleted_or_has_no_name() -> None:
    privacy = Privacy("hash")
    assert privacy.path(FILE._replace(unlinked=True)) == f"{privacy.path(FILE)} (deleted)"
    assert privacy.path(NAMELESS) == Privacy().path(NAMELESS)


@pytest.mark.parametrize(
    ("include", "exclude", "shown", "nameless"),
    [
        ((), (), True, True),
        (("/home/*",), (), True, False),
        (("/home",), (), False, False),
        (("*.TXT",), (), False, False),
        (("/srv/*", "*.txt"), (), True, False),
        ((), ("/home/ann/*",), False, True),
        ((), ("/srv/*", "*/lov?.[tu]xt"), False, True),
        ((), ("love.txt",), True, True),
        (("/home/*",), ("*/letters/*",), False, False),
        (("*",), (), True, False),
    ],
)
def test_include_and_exclude(
    include: tuple[str, ...], exclude: tuple[str, ...], shown: bool, nameless: bool
) -> None:
    privacy = Privacy(include=include, exclude=exclude)
    assert privacy.selective == bool(include or exclude)
    assert privacy.shown(FILE) == shown
    assert privacy.shown(NAMELESS) == nameless


def test_patterns_see_the_whole_path_whatever_is_shown_of_it() -> None:
    for paths in ("full", "hash", "none"):
        assert not Privacy(paths, depth=1, exclude=("*/love.txt",)).shown(FILE)


BACKSLASH = FILE._replace(path="/home/a\\\\b/\\xff\\x0ac")
"""Its name has one backslash, a byte that is no UTF-8, and a newline."""


@pytest.mark.parametrize(
    "pattern",
    ["/home/a\\b/*", "*/a\\b/\udcff\nc", "/home/a\\\\b/*", "*\\xff*", "*\n?", "/home/a?b/*"],
)
def test_patterns_see_names_as_they_are_and_as_they_are_shown(pattern: str) -> None:
    assert not Privacy(exclude=(pattern,)).shown(BACKSLASH)
    assert Privacy(include=(pattern,)).shown(BACKSLASH)


CUT = FILE._replace(path="/home/ann/" + "d/" * 295, truncated=True)


@pytest.mark.parametrize(
    ("pattern", "excluded", "included"),
    [
        ("*/secret.txt", True, False),
        ("/home/ann/*/secret.txt", True, False),
        ("/home/*", True, True),
        ("/srv/*", False, False),
        ("/srv/*/secret.txt", False, False),
        ("/home/ann", False, False),
        (CUT.path + "d/secret.txt", True, False),
        (CUT.path + "*", True, True),
        (CUT.path + "d/*", True, False),
        (CUT.path, True, False),
        ("/home/[a]*", True, True),
    ],
)
def test_what_a_path_that_is_cut_lacks_may_be_anything(
    pattern: str, excluded: bool, included: bool
) -> None:
    assert Privacy(exclude=(pattern,)).shown(CUT) is not excluded
    assert Privacy(exclude=("/srv", pattern)).shown(CUT) is not excluded
    assert Privacy(include=(pattern,)).shown(CUT) is included
    assert Privacy(include=("/srv", pattern)).shown(CUT) is included


def test_whatever_matches_the_whole_name_excludes_what_is_left_of_it() -> None:
    draw = random.Random(17)

    def text(letters: str, most: int) -> str:
        return "".join(draw.choices(letters, k=draw.randint(1, most)))

    hidden = 0
    for _ in range(20_000):
        name, pattern = text("ab/\\\n\xe4", 6), text("ab/\\\n\xe4*?[]!", 6)
        shown = escape(name.encode())
        cut = draw.randint(1, len(name))
        file = FILE._replace(path=escape(name[:cut].encode()), truncated=True)
        if fnmatchcase(name, pattern) or fnmatchcase(shown, pattern):
            hidden += 1
            assert not Privacy(exclude=(pattern,)).shown(FILE._replace(path=shown))
            assert not Privacy(exclude=(pattern,)).shown(file), (name[:cut], name, pattern)
        else:
            assert not Privacy(include=(pattern,)).shown(file), (name[:cut], name, pattern)
    assert hidden > 500


def test_empty_pattern() -> None:
    with pytest.raises(ValueError, match="may not be empty"):
        glob("")


@pytest.mark.timeout(10)
def test_pattern_with_many_stars_is_quick() -> None:
    assert not glob("*a" * 100 + "b").match("a" * 600)


def test_ids_of_users() -> None:
    assert Privacy().user(1000) == "1000"
    assert Privacy(users="none").user(1000) == ""
    hashed = {Privacy(users="hash", hash_key=key).user(uid) for key in "ab" for uid in (0, 1000)}
    assert len(hashed) == 4
    assert all(len(text) == 16 and int(text, 16) for text in hashed)


Shown = dict[str, set[str]]


def of_files(directory: Path, privacy: Privacy, *off: str) -> Shown:
    """The paths in /metrics by family; an empty one stands for a gfid without a path.

    A file is busy, was slow, hangs and waits for a heal, and a directory has a quota.
    """
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 100 * 10**9
    gfid = uuid.UUID(FILE.gfid)
    segment = segments.Segment(
        fops={"write": segments.Fop({21: 1})},
        files={3: segments.File(FILE.path.encode(), gfid, (7, 8, 9), (70, 80), (1, 2, 3))},
        flights={0: segments.Flight("write", started, gfid)},
        recorded={"slow": [segments.Recorded("write", gfid=gfid)]},
    )
    states.write(directory / "state.json", states.full())
    made = [
        collector(Options({"lasting": 0} if collector.name == "files" else {}, privacy))
        for collector in COLLECTORS
        if collector.name not in off
    ]
    source = Scraper(directory, 60.0, made, state_file=directory / "state.json")
    found: Shown = {}
    with segment.live(directory):
        for family in parse_openmetrics(scrapes.openmetrics(source)):
            for sample in family.samples:
                exemplar = sample.exemplar.labels if sample.exemplar else {}
                for labels in (sample.labels, exemplar):
                    if "gfid" in labels:
                        found.setdefault(family.name, set()).add(labels.get("path", ""))
    return found


OF_FILES = {f"glupy_file_{name}" for name in ("fops", "fop_seconds", "io_bytes")}
STUCK = "glupy_fop_in_flight_seconds"
EXEMPLARS = "glupy_fop_duration_seconds"


def test_no_path_of_a_file_is_in_any_metric(tmp_path: Path) -> None:
    shown = of_files(tmp_path, Privacy())
    quotas = {name for name in shown if name.startswith("glupy_quota_")}
    assert quotas
    assert {name for name, paths in shown.items() if paths == {FILE.path}} == {*OF_FILES, STUCK}
    assert {name for name, paths in shown.items() if paths == {"/a\\xff"}} == quotas
    assert shown.keys() - OF_FILES - {STUCK} - quotas == {EXEMPLARS, "glupy_heal_blame"}

    hidden = of_files(tmp_path, Privacy("none"))
    assert hidden == {name: {""} for name in shown}


def test_a_collector_hides_its_own_files_only(tmp_path: Path) -> None:
    """docs/security.md says which."""
    shown = of_files(tmp_path, Privacy())
    assert of_files(tmp_path, Privacy(), "files").keys() == shown.keys() - OF_FILES
    assert of_files(tmp_path, Privacy(), "files", "recorder", "disks").keys() == {EXEMPLARS}
    assert not of_files(tmp_path, Privacy(), "files", "recorder", "disks", "fops")
