"""Names that a brick has not learned: from its siblings, and from the bricks' file systems."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import segments
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter.collectors import resolver as resolving
from glupy_exporter.collectors.files import Files
from glupy_exporter.collectors.resolver import ROOT, Name, Resolver, find
from glupy_exporter.collectors.scrape import Scraper
from glupy_exporter.privacy import Privacy

IMAGE = uuid.UUID("6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11")
OTHER = uuid.UUID("11111111-70f2-4bd5-9a86-3b3c0b7a5c11")
PARENT = uuid.UUID("7b1c07a1-70f2-4bd5-9a86-3b3c0b7a5c12")
GRANDPARENT = uuid.UUID("8c1c07a1-70f2-4bd5-9a86-3b3c0b7a5c13")


def paths(scraper: Scraper) -> dict[str, set[str]]:
    """The paths that are served, by brick."""
    found: dict[str, set[str]] = {}
    for family in parse_text(generate_latest(scraper).decode("utf-8")):
        for sample in family.samples:
            if sample.name == "glupy_file_fops_total":
                found.setdefault(sample.labels["brick"], set()).add(sample.labels["path"])
    return found


@pytest.fixture
def sharded(tmp_path: Path) -> Iterator[Path]:
    """A directory with the segments of three bricks, of which only one knows the image's name."""
    nameless = {4: segments.File(b"", IMAGE, (1, 1, 1), type="")}
    with ExitStack() as stack:
        for volume, brick, files in (
            ("v0", "/b0", {9: segments.File(b"/vm.img", IMAGE, (0, 0, 5))}),
            ("v0", "/b1", {**nameless, 5: segments.File(b"", OTHER, (1, 0, 0), type="")}),
            ("v1", "/b0", nameless),
        ):
            contents = segments.Segment(volume=volume, brick=brick, files=files)
            stack.enter_context(contents.live(tmp_path / f"{volume}.{brick[1:]}.seg"))
        yield tmp_path


@pytest.fixture
def scraper(sharded: Path) -> Callable[..., Scraper]:
    def make(privacy: Privacy | None = None, resolver: Resolver | None = None) -> Scraper:
        return Scraper(sharded, 86400.0, [Files(None, privacy, resolver)], resolver)

    return make


def test_a_sibling_knows_the_name(scraper: Callable[..., Scraper]) -> None:
    """Only a brick of the same volume is asked."""
    found = {}
    for family in parse_text(generate_latest(scraper()).decode("utf-8")):
        for sample in family.samples:
            if sample.name == "glupy_file_fops_total" and sample.labels["kind"] == "read":
                labels = sample.labels
                key = labels["volume"], labels["brick"], labels["gfid"]
                found[key] = labels["path"], labels["type"]
    assert found == {
        ("v0", "/b0", str(IMAGE)): ("/vm.img", "file"),
        ("v0", "/b1", str(IMAGE)): ("/vm.img", "file"),
        ("v0", "/b1", str(OTHER)): (f"<gfid:{OTHER}>", ""),
        ("v1", "/b0", str(IMAGE)): (f"<gfid:{IMAGE}>", ""),
    }


@pytest.mark.parametrize(
    ("privacy", "seen"),
    [
        (Privacy(include=("/vm*",)), {"/b0": {"/vm.img"}, "/b1": {"/vm.img"}}),
        (Privacy(exclude=("/vm*",)), {"/b1": {f"<gfid:{OTHER}>"}, "/b0": {f"<gfid:{IMAGE}>"}}),
    ],
)
def test_a_name_from_elsewhere_is_judged_like_any_other(
    scraper: Callable[..., Scraper], privacy: Privacy, seen: dict[str, set[str]]
) -> None:
    assert paths(scraper(privacy)) == seen


class Disk:
    """A brick's ``.glusterfs`` in a temporary directory, with xattrs that need no privilege."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.xattrs: dict[Path, dict[str, bytes]] = {}

    def entry(self, gfid: uuid.UUID) -> Path:
        text = str(gfid)
        path = self.root / ".glusterfs" / text[:2] / text[2:4] / text
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def directory(self, gfid: uuid.UUID, parent: uuid.UUID, name: str) -> None:
        up = str(parent)
        self.entry(gfid).symlink_to(f"../../{up[:2]}/{up[2:4]}/{up}/{name}")

    def file(self, gfid: uuid.UUID, *links: bytes) -> None:
        self.entry(gfid).touch()
        self.xattrs[self.entry(gfid)] = {
            f"trusted.gfid2path.{number:016x}": link for number, link in enumerate(links)
        }


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(tmp_path)

    def listxattr(path: Path, *, follow_symlinks: bool) -> list[str]:
        assert not follow_symlinks
        return list(made.xattrs.get(path, {}))

    def getxattr(path: Path, name: str, *, follow_symlinks: bool) -> bytes:
        assert not follow_symlinks
        return made.xattrs[path][name]

    monkeypatch.setattr(os, "listxattr", listxattr)
    monkeypatch.setattr(os, "getxattr", getxattr)
    return made


def test_find_a_file_and_its_directories(disk: Disk) -> None:
    disk.directory(GRANDPARENT, uuid.UUID(ROOT), "vms")
    disk.directory(PARENT, GRANDPARENT, "new\nline")
    disk.file(IMAGE, f"{PARENT}/".encode() + b"\xff.img")
    assert find(disk.root, str(IMAGE)) == Name("/vms/new\\x0aline/\\xff.img", "file")
    assert find(disk.root, str(PARENT)) == Name("/vms/new\\x0aline", "directory")
    assert find(disk.root, str(OTHER)) is None


def test_find_takes_no_wrong_answers(disk: Disk) -> None:
    """Other links, other xattrs, loops and missing parents lead nowhere, and nothing fails."""
    entry = disk.entry(IMAGE)
    for target in ("/etc/passwd", f"../../7b/1c/{PARENT}/../x", f"../../7b/1c/{PARENT}", "x"):
        entry.symlink_to(target)
        assert find(disk.root, str(IMAGE)) is None
        entry.unlink()
    disk.file(IMAGE, b"", b"x/y", f"{PARENT}/a/b".encode(), f"{PARENT}/a\0b".encode())
    assert find(disk.root, str(IMAGE)) is None
    disk.file(IMAGE, f"{PARENT}/orphan".encode())
    assert find(disk.root, str(IMAGE)) is None
    disk.directory(PARENT, GRANDPARENT, "a")
    disk.directory(GRANDPARENT, PARENT, "b")
    assert find(disk.root, str(IMAGE)) is None


def test_resolver_answers_later_and_follows_renames(disk: Disk) -> None:
    resolver = Resolver(lifetime=0.0)
    disk.file(IMAGE, f"{ROOT}/old".encode())
    bricks = ["/nowhere", str(disk.root)]
    assert resolver.name("v", str(IMAGE), bricks) is None
    resolver.wait()
    disk.file(IMAGE, f"{ROOT}/new".encode())
    assert resolver.name("v", str(IMAGE), bricks) == Name("/old", "file")
    resolver.wait()
    assert resolver.name("v", str(IMAGE), bricks) == Name("/new", "file")
    assert resolver.name("w", str(IMAGE), []) is None
    resolver.wait()
    assert resolver.name("w", str(IMAGE), bricks) is None
    resolver.wait()


def test_resolver_survives_a_disk_without_privilege_or_answer(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission is no name; while a disk hangs, questions neither wait nor pile up."""
    released = threading.Event()

    def hang(brick: Path, gfid: str) -> Name | None:
        released.wait()
        raise PermissionError

    monkeypatch.setattr(resolving, "find", hang)
    resolver = Resolver(size=7)
    for number in range(5000):
        assert resolver.name("v", str(uuid.UUID(int=number)), ["/b"]) is None
    assert resolver.pending <= 1001
    released.set()
    resolver.wait()
    assert resolver.pending == 0
    assert resolver.kept == 7


def test_a_resolved_name_is_served_by_the_next_scrape(
    scraper: Callable[..., Scraper], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find(brick: Path, gfid: str) -> Name | None:
        asked.append((str(brick), gfid))
        return Name("/dir/other", "file") if str(brick) == "/b0" else None

    monkeypatch.setattr(resolving, "find", find)
    resolver = Resolver()
    subject = scraper(Privacy(exclude=("/vm*",)), resolver)
    paths(subject)
    resolver.wait()
    assert paths(subject)["/b1"] == {"/dir/other"}
    assert {("/b1", str(OTHER)), ("/b0", str(OTHER)), ("/b0", str(IMAGE))} == set(asked)
