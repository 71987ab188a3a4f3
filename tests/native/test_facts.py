"""Facts from a brick's directory, as GlusterFS makes it and as it must not be."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter.builder import header
from glupy_exporter.schema import quantities
from tests.native.conftest import NATIVE, WARNINGS
from tests.support.core import CORE

INDICES = ("xattrop", "dirty", "entry-changes")
Facts = dict[str, int]
"""The facts that are known, by name."""


class Harness:
    """A process that looks at a brick whenever it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._process = process
        assert process.stdout
        assert process.stdout.readline() == "\n", "it has not started"

    def look(self) -> Facts:
        assert self._process.stdin and self._process.stdout
        print(file=self._process.stdin, flush=True)
        words = map(int, self._process.stdout.readline().split())
        names = [each.name for each in quantities.FACTS]
        return {name: word for name, word in zip(names, words) if word != quantities.UNKNOWN}

    def pending(self) -> list[int | None]:
        """Entries of each index."""
        facts = self.look()
        return [facts.get(f"heal_{index.replace('-', '_')}") for index in INDICES]

    def descriptors(self) -> set[str]:
        """What its descriptors lead to."""
        return {str(fd.readlink()) for fd in Path(f"/proc/{self.pid}/fd").iterdir()}


class Brick:
    """A brick's directory such as GlusterFS makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hidden = path / ".glusterfs"
        for index in INDICES:
            (self.hidden / "indices" / index).mkdir(parents=True)

    def base(self, index: str, where: str = "") -> Path:
        """Makes a base file, as index_link_to_base does."""
        made = self.hidden / "indices" / index / f"{index}-{where or uuid.uuid4()}"
        made.touch(0)
        return made

    def entries(self, base: Path, count: int) -> list[Path]:
        made = [base.with_name(str(uuid.uuid4())) for _ in range(count)]
        for path in made:
            os.link(base, path)
        return made


@pytest.fixture
def brick(tmp_path: Path) -> Brick:
    return Brick(tmp_path / "brick")


@pytest.fixture(scope="module")
def program(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("facts")
    (work / "layout.h").write_text(header.render(), encoding="utf-8")
    sources = [str(NATIVE / "facts_harness.c"), str(CORE / "facts.c")]
    words = [*WARNINGS, "-fsanitize=address,undefined", "-D_GNU_SOURCE", f"-I{CORE}", f"-I{work}"]
    subprocess.run([compiler, *words, *sources, "-o", str(work / "harness")], check=True)
    return work / "harness"


@pytest.fixture
def harness(program: Path, brick: Brick) -> Iterator[Harness]:
    words = [str(program), str(brick.path)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Harness(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


def test_the_file_system_is_that_of_statvfs(brick: Brick, harness: Harness) -> None:
    def said() -> dict[str, int]:
        space = os.statvfs(brick.path)
        device = brick.path.stat().st_dev
        found = {
            "filesystem_size": space.f_blocks * space.f_frsize,
            "filesystem_free": space.f_bfree * space.f_frsize,
            "filesystem_avail": space.f_bavail * space.f_frsize,
            "filesystem_device": device,
            "filesystem_id": space.f_fsid or device,
        }
        if space.f_files:
            found |= {"filesystem_files": space.f_files, "filesystem_files_free": space.f_ffree}
        return found

    # Others write to the file system, so only what is equal before and after counts.
    for _ in range(100):
        before, facts, after = said(), harness.look(), said()
        if before == after:
            break
    assert {k: v for k, v in facts.items() if k.startswith("filesystem_")} == before


def test_pending_entries_are_counted_by_links(brick: Brick, harness: Harness) -> None:
    assert harness.pending() == [0, 0, 0]
    first = brick.base("xattrop")
    assert harness.pending() == [0, 0, 0]
    entries = brick.entries(first, 3)
    brick.entries(brick.base("dirty"), 2)
    assert harness.pending() == [3, 2, 0]
    # A base file of each start of the brick that left something to heal.
    brick.entries(brick.base("xattrop"), 4)
    assert harness.pending() == [7, 2, 0]
    for entry in entries:
        entry.unlink()
    assert harness.pending() == [4, 2, 0]
    first.unlink()
    assert harness.pending() == [4, 2, 0]


def test_names_in_directories_are_counted(brick: Brick, harness: Harness) -> None:
    base = brick.base("entry-changes")
    for directory in range(3):
        parent = base.with_name(str(uuid.UUID(int=directory)))
        parent.mkdir()
        for name in range(directory + 1):
            os.link(base, parent / f"name {name}")
    assert harness.pending() == [0, 0, 6]


def test_a_large_index_is_read_in_parts(brick: Brick, harness: Harness) -> None:
    """Whatever part has been read, all links of a base file that was seen count."""
    old, new = brick.base("xattrop"), brick.base("xattrop")
    brick.entries(old, 30_000)
    entries = brick.entries(new, 9_000)
    for _ in range(100):
        if harness.pending()[0] == 39_000:
            break
    assert harness.pending()[0] == 39_000
    # Those by whose links the base files were known may be the first to be healed.
    for entry in entries:
        entry.unlink()
        if entry in entries[:100]:
            assert harness.pending()[0] == 30_000 + sum(e.exists() for e in entries)
    assert harness.pending()[0] == 30_000


def test_more_base_files_than_are_counted_do_no_harm(brick: Brick, harness: Harness) -> None:
    for _ in range(100):
        brick.entries(brick.base("dirty"), 1)
    assert harness.pending() == [0, 64, 0]


def test_a_directory_that_changes_all_the_time_is_read(brick: Brick, harness: Harness) -> None:
    base = brick.base("xattrop")
    for _ in range(50):
        entries = brick.entries(base, 20)
        assert harness.pending() == [20, 0, 0]
        for entry in entries:
            entry.unlink()
    assert harness.pending() == [0, 0, 0]


def test_quarantined_objects_and_the_health_check(brick: Brick, harness: Harness) -> None:
    facts = harness.look()
    assert "quarantined" not in facts and "health_check" not in facts
    stub = brick.hidden / "quarantine" / f"stub-{uuid.UUID(int=8)}"
    stub.parent.mkdir()
    stub.touch()
    checked = brick.hidden / "health_check"
    checked.touch()
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    facts = harness.look()
    assert facts["quarantined"] == 0
    assert abs(facts["health_check"] - now) < 10**9
    brick.entries(stub, 2)
    assert harness.look()["quarantined"] == 2
    earlier = time.time() - 7
    os.utime(checked, (earlier, earlier))
    expected = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 7 * 10**9
    assert abs(harness.look()["health_check"] - expected) < 10**9
    os.utime(checked, (0, 0))  # before the boot
    assert "health_check" not in harness.look()
    os.utime(checked, (time.time() + 1000,) * 2)  # the clock was set back
    assert harness.look()["health_check"] <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def test_the_process_is_that_of_proc(harness: Harness) -> None:
    facts = harness.look()
    assert facts["process_descriptors"] == len(list(Path(f"/proc/{harness.pid}/fd").iterdir()))
    pages = int(Path(f"/proc/{harness.pid}/statm").read_text().split()[1])
    assert abs(facts["process_resident"] - pages * os.sysconf("SC_PAGESIZE")) < 1 << 20
    fields = Path(f"/proc/{harness.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:13]))
    assert abs(facts["process_cpu"] / 1e9 - ticks / os.sysconf("SC_CLK_TCK")) < 0.1
    assert harness.look()["process_cpu"] > facts["process_cpu"]


def test_no_descriptor_stays_open(brick: Brick, harness: Harness) -> None:
    before = harness.descriptors()
    brick.entries(brick.base("xattrop"), 1)
    for _ in range(20):
        harness.look()
    assert harness.descriptors() == before


def unmounted(brick: Brick) -> None:
    """Only the directory is there that the brick's file system is mounted on."""
    brick.hidden.rename(brick.path.with_name("away"))


def gone(brick: Brick) -> None:
    brick.path.rename(brick.path.with_name("away"))


def a_link(brick: Brick) -> None:
    unmounted(brick)
    brick.hidden.symlink_to(brick.path.with_name("away"))


def a_file(brick: Brick) -> None:
    unmounted(brick)
    brick.hidden.touch()


@pytest.mark.parametrize("change", [unmounted, gone, a_link, a_file])
def test_what_is_not_a_brick_tells_nothing(
    brick: Brick, harness: Harness, change: Callable[[Brick], None]
) -> None:
    brick.entries(brick.base("xattrop"), 3)
    assert "filesystem_size" in harness.look()
    change(brick)
    assert all(name.startswith("process_") for name in harness.look())


def test_what_looks_like_a_base_file_does_no_harm(brick: Brick, harness: Harness) -> None:
    index = brick.hidden / "indices" / "xattrop"
    brick.entries(brick.base("xattrop", "x" * 200), 2)  # counted by a link, as its name is too long
    (index / f"xattrop-{uuid.uuid4()}").symlink_to("/etc/passwd")
    (index / f"xattrop-{uuid.uuid4()}").mkdir()
    os.mkfifo(index / f"xattrop-{uuid.uuid4()}")
    (brick.hidden / "indices" / "dirty").rmdir()
    (brick.hidden / "indices" / "dirty").symlink_to(index)
    (brick.hidden / "indices" / "entry-changes").rmdir()
    (brick.hidden / "indices" / "entry-changes").touch()
    assert harness.pending() == [2, None, None]
