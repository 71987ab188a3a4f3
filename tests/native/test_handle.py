"""Names from the `.glusterfs` directory of a brick, as GlusterFS makes it and as it must not be."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.conftest import NATIVE, WARNINGS, Need
from tests.support.core import CORE

ROOT = uuid.UUID(int=1)
Find = Callable[[uuid.UUID], bytes]


class Brick:
    """A directory with handles such as posix makes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def handle(self, gfid: uuid.UUID) -> Path:
        text = str(gfid)
        handle = self.path / ".glusterfs" / text[:2] / text[2:4] / text
        handle.parent.mkdir(parents=True, exist_ok=True)
        return handle

    def directory(self, parent: uuid.UUID, name: bytes) -> uuid.UUID:
        gfid, above = uuid.uuid4(), str(parent)
        link = f"../../{above[:2]}/{above[2:4]}/{above}/".encode() + name
        self.handle(gfid).symlink_to(os.fsdecode(link))
        return gfid

    def file(self, *places: bytes) -> uuid.UUID:
        gfid = uuid.uuid4()
        self.handle(gfid).touch()
        os.setxattr(self.handle(gfid), "trusted.gfid", gfid.bytes)
        for number, place in enumerate(places):
            os.setxattr(self.handle(gfid), f"trusted.gfid2path.{number:016x}", place)
        return gfid


@pytest.fixture
def brick(tmp_path: Path, need: Need) -> Brick:
    need(os.geteuid() == 0, "root, for trusted xattrs")
    return Brick(tmp_path / "brick")


@pytest.fixture(scope="module")
def harness(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("handle") / "harness"
    sources = [str(NATIVE / "handle_harness.c"), str(CORE / "handle.c")]
    words = [*WARNINGS, "-fsanitize=address,undefined", "-D_GNU_SOURCE", f"-I{CORE}"]
    subprocess.run([compiler, *words, *sources, "-o", str(built)], check=True)
    return built


@pytest.fixture
def find(harness: Path, brick: Brick) -> Find:
    def run(gfid: uuid.UUID, size: int = 4096) -> bytes:
        words = [str(harness), str(brick.path), gfid.hex, str(size)]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout

    return run


def place(parent: uuid.UUID, name: bytes) -> bytes:
    return f"{parent}/".encode() + name


def test_files_and_directories_have_their_path(brick: Brick, find: Find) -> None:
    above = brick.directory(ROOT, b"a b")
    below = brick.directory(above, b"\xff\n")
    assert find(above) == b"/a b"
    assert find(below) == b"/a b/\xff\n"
    assert find(brick.file(place(ROOT, b"f"))) == b"/f"
    assert find(brick.file(place(below, b"x" * 255))) == b"/a b/\xff\n/" + b"x" * 255
    assert find(brick.file(place(ROOT, b"one"), place(above, b"two"))) in (b"/one", b"/a b/two")


def test_a_symbolic_link_of_a_user_is_a_file(brick: Brick, find: Find) -> None:
    gfid = uuid.uuid4()
    brick.handle(gfid).symlink_to(f"../../00/00/{ROOT}/elsewhere")
    os.link(brick.handle(gfid), brick.path / "link", follow_symlinks=False)
    os.setxattr(
        brick.handle(gfid), "trusted.gfid2path.0", place(ROOT, b"link"), follow_symlinks=False
    )
    assert find(gfid) == b"/link"


def test_what_is_not_there_has_no_path(brick: Brick, find: Find) -> None:
    assert find(uuid.uuid4()) == b""
    assert find(brick.file()) == b""
    assert find(brick.file(place(uuid.uuid4(), b"orphan"))) == b""


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"/",
        str(ROOT).encode(),
        place(ROOT, b""),
        place(ROOT, b"a/b"),
        place(ROOT, b"a\0b"),
        place(ROOT, b"x" * 256),
        b"../" * 12 + b"/name",
    ],
)
def test_what_is_no_place_is_not_followed(brick: Brick, find: Find, value: bytes) -> None:
    assert find(brick.file(value)) == b""


def test_links_that_are_no_handles_are_not_followed(brick: Brick, find: Find) -> None:
    for target in ("/etc", "../../00/00/x", f"../xx/00/00/{ROOT}/n", "x" * 1000):
        gfid = uuid.uuid4()
        brick.handle(gfid).symlink_to(target)
        assert find(gfid) == b""


def test_a_path_ends_where_the_room_does(brick: Brick, find: Callable[..., bytes]) -> None:
    gfid = ROOT
    for _ in range(1000):
        gfid = brick.directory(gfid, b"d")
    assert find(gfid) == b"/d" * 1000
    assert find(gfid, 2001) == b"/d" * 1000
    assert find(gfid, 2000) == b""


def test_directories_in_a_circle_end(brick: Brick, find: Find) -> None:
    first = uuid.uuid4()
    second = brick.directory(first, b"second")
    brick.handle(first).symlink_to(f"../../{str(second)[:2]}/{str(second)[2:4]}/{second}/first")
    assert find(first) == b""
