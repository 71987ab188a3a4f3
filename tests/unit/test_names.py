"""Names that a brick has not learned: from its siblings, and from the bricks' file systems."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter.collectors import resolver as resolving
from glupy_exporter.collectors.base import Options
from glupy_exporter.collectors.files import Files
from glupy_exporter.collectors.resolver import ROOT, Name, Resolver, find
from glupy_exporter.collectors.scrape import Scraper
from glupy_exporter.privacy import Privacy
from glupy_exporter.segment import layout
from tests.support import scrapes, segments

IMAGE = uuid.UUID("6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11")
OTHER = uuid.UUID("11111111-70f2-4bd5-9a86-3b3c0b7a5c11")
PARENT = uuid.UUID("7b1c07a1-70f2-4bd5-9a86-3b3c0b7a5c12")
GRANDPARENT = uuid.UUID("8c1c07a1-70f2-4bd5-9a86-3b3c0b7a5c13")


def paths(scraper: Scraper) -> dict[str, set[str]]:
    """The paths that are served, by brick."""
    found: dict[str, set[str]] = {}
    for family in parse_text(scrapes.text(scraper)):
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
            stack.enter_context(contents.live(tmp_path))
        yield tmp_path


@pytest.fixture
def scraper(sharded: Path) -> Callable[..., Scraper]:
    def make(privacy: Privacy = Privacy(), resolver: Resolver | None = None) -> Scraper:
        return Scraper(sharded, 86400.0, [Files(Options(None, privacy, resolver))], resolver)

    return make


def test_a_sibling_knows_the_name(scraper: Callable[..., Scraper]) -> None:
    """Only a brick of the same volume is asked."""
    found = {}
    for family in parse_text(scrapes.text(scraper())):
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


def test_a_name_that_is_learned_later_is_judged_then(
    scraper: Callable[..., Scraper], sharded: Path
) -> None:
    included, excluded = (
        scraper(Privacy(include=("/dir/*",))),
        scraper(Privacy(exclude=("/dir/*",))),
    )
    assert paths(included) == {}
    assert paths(excluded)["/b1"] == {"/vm.img", f"<gfid:{OTHER}>"}
    learned = segments.Segment(
        volume="v0", brick="/b2", files={7: segments.File(b"/dir/other", OTHER)}
    )
    with learned.live(sharded):
        assert paths(included)["/b1"] == {"/dir/other"}
        assert paths(excluded)["/b1"] == {"/vm.img"}


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
            "trusted.gfid": gfid.bytes,
            **{f"trusted.gfid2path.{number:016x}": link for number, link in enumerate(links)},
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
    up = f"../../00/00/{ROOT}"
    for target in ("/etc/passwd", f"{up}/a/b", f"{up}/..", f"{up}/.", up, "x"):
        entry.symlink_to(target)
        assert find(disk.root, str(IMAGE)) is None
        entry.unlink()
    wrong = ("", "x/y", f"{ROOT}/", f"{ROOT}/a/b", f"{ROOT}/a\0b", f"{ROOT}/..", f"{ROOT}/.")
    disk.file(IMAGE, *(link.encode() for link in wrong))
    assert find(disk.root, str(IMAGE)) is None
    disk.entry(PARENT).touch()
    disk.file(IMAGE, f"{PARENT}/in-a-file".encode())
    assert find(disk.root, str(IMAGE)) is None
    disk.entry(PARENT).unlink()
    disk.file(IMAGE, f"{PARENT}/orphan".encode())
    assert find(disk.root, str(IMAGE)) is None
    disk.directory(PARENT, GRANDPARENT, "a")
    disk.directory(GRANDPARENT, PARENT, "b")
    assert find(disk.root, str(IMAGE)) is None


def test_find_tells_a_users_link_from_a_directory(disk: Disk, tmp_path: Path) -> None:
    """Its target is the user's choice, and says nothing about where it is."""
    disk.directory(IMAGE, uuid.UUID(ROOT), "forged")
    os.link(disk.entry(IMAGE), tmp_path / "link", follow_symlinks=False)
    disk.xattrs[disk.entry(IMAGE)] = {"trusted.gfid": IMAGE.bytes}
    assert find(disk.root, str(IMAGE)) is None
    disk.xattrs[disk.entry(IMAGE)]["trusted.gfid2path.1"] = f"{ROOT}/link".encode()
    assert find(disk.root, str(IMAGE)) == Name("/link", "symlink")


def test_find_cuts_a_path_as_the_brick_does(disk: Disk) -> None:
    name = "ü" * 100
    disk.directory(GRANDPARENT, uuid.UUID(ROOT), name)
    disk.directory(PARENT, GRANDPARENT, name)
    disk.file(IMAGE, f"{PARENT}/{name}".encode())
    path = f"/{name}/{name}/{name}"
    kept = path.encode()[: layout.PATH_SIZE].decode("utf-8", "ignore")
    assert find(disk.root, str(IMAGE)) == Name(kept, "file", truncated=True)
    assert len(kept.encode()) == layout.PATH_SIZE - 1


def test_find_refuses_to_guess_without_privilege(disk: Disk) -> None:
    """Without CAP_SYS_ADMIN a file seems to have no xattrs at all."""
    disk.entry(IMAGE).touch()
    with pytest.raises(PermissionError):
        find(disk.root, str(IMAGE))


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


def test_resolver_is_bounded_while_a_disk_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions neither wait nor pile up, and the oldest answers make room."""
    released = threading.Event()
    asked = []

    def hang(brick: Path, gfid: str) -> Name | None:
        released.wait()
        asked.append(gfid)
        return Name(gfid, "file")

    monkeypatch.setattr(resolving, "find", hang)
    resolver = Resolver(size=7)
    gfids = [str(uuid.UUID(int=number)) for number in range(5000)]
    assert not any(resolver.name("v", gfid, ["/b"]) for gfid in gfids)
    released.set()
    resolver.wait()
    assert gfids[:1000] == asked[:1000]
    assert len(asked) <= 1001
    assert [resolver.name("v", gfid, []) for gfid in asked[-7:]] == [
        Name(gfid, "file") for gfid in asked[-7:]
    ]
    assert resolver.name("v", asked[-8], []) is None
    resolver.wait()


def test_resolver_says_once_that_it_lacks_privilege(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """The brick that may be looked at answers all the same."""
    denied, allowed = disk.root / "denied", disk.root / "allowed"
    for number in range(3):
        gfid = uuid.UUID(int=number)
        for root in (denied, allowed):
            disk.root = root
            disk.entry(gfid).touch()
        disk.file(gfid, f"{ROOT}/{number}".encode())
    resolver = Resolver()
    for _ in range(2):
        names = [
            resolver.name("v", str(uuid.UUID(int=number)), [str(denied), str(allowed)])
            for number in range(3)
        ]
        resolver.wait()
    assert names == [Name(f"/{number}", "file") for number in range(3)]
    (record,) = caplog.records
    assert "CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN" in record.getMessage()


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
