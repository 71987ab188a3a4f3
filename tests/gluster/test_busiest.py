"""The busiest files and clients, against what GlusterFS itself says and what was really done."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from glupy_exporter.schema import layout
from glupy_exporter.segment.records import Client, File
from tests.gluster.compare import files, settled
from tests.support.gluster.volumes import HOST, Volume, gluster, heal, volume, wait_for

TOP = 20
CHURN_FILES = int(os.environ.get("GLUPY_TEST_CHURN_FILES", "3000"))
"""How many files the churn test makes; 300000 for the long version."""


def named(subject: Volume) -> dict[str, File]:
    """Every file with a path, by path, on whichever brick."""
    found = {}
    for brick in subject.bricks:
        with subject.segment(brick) as segment:
            found.update({file.path: file for file in files(segment) if file.path})
    return found


def clients(subject: Volume) -> dict[str, Client]:
    """Every client of a volume of one brick, by address."""
    with subject.segment(subject.bricks[0]) as segment:
        found = [client for _, client in segment.client_table().records()]
    return {client.address: client for client in found}


def volume_top(subject: Volume, brick: Path, kind: str) -> dict[str, int]:
    """Path and count of the files that ``volume top`` lists for one brick, at most 100."""
    words = ["volume", "top", subject.name, kind, "brick", f"{HOST}:{brick}", "list-cnt", "100"]
    rows = re.findall(r"^(\d+)\s+(/\S+)$", gluster(*words), re.MULTILINE)
    return {path: int(count) for count, path in rows}


def test_the_top_20_equal_volume_top(xlator: None, need: Callable[[object, str], None]) -> None:
    """Zipf access to 200 files on a distributed-replicated volume: same order, same counts."""
    need(shutil.which("fio"), "fio (Debian: fio)")
    job = ["fio", "--name=zipf", "--rw=randrw", "--bs=4k", "--ioengine=psync", "--direct=1"]
    job += ["--nrfiles=200", "--filesize=64k", "--openfiles=100", "--invalidate=0"]
    job += ["--file_service_type=zipf:1.2", "--io_size=60m", "--randseed=7"]
    with volume("replica", "2", bricks=4) as subject:
        with subject.mount("direct-io-mode=enable") as mount:
            subprocess.run([*job, f"--directory={mount}"], check=True, capture_output=True)
            wait_for(lambda: len(named(subject)) >= 200, "the paths of all files")
        settled(subject)
        compared = 0
        for brick, (kind, name) in itertools.product(subject.bricks, enumerate(layout.DIRECTIONS)):
            theirs = volume_top(subject, brick, name)
            with subject.segment(brick) as segment:
                ours = {file.path: file.activity.fops[kind] for file in files(segment)}
            busiest = sorted(theirs.values(), reverse=True)[:TOP]
            assert sorted(ours.values(), reverse=True)[: len(busiest)] == busiest
            for path, count in theirs.items():
                assert ours[path] == count, path
            compared += len(busiest)
    # Reads go to one replica of each pair, which GlusterFS chooses by file.
    assert compared >= 6 * TOP


def test_names_follow_renames_and_unlinks(xlator: None) -> None:
    """Of the file, of its directory; hard links; counters go on."""
    with volume(bricks=1) as subject, subject.mount() as mount:
        (mount / "old").mkdir()
        (mount / "old" / "file").write_bytes(b"1")
        wait_for(lambda: "/old/file" in named(subject), "the first name")
        first = named(subject)["/old/file"]

        (mount / "old").rename(mount / "new")
        wait_for(lambda: "/new/file" in named(subject), "the directory's new name", 10)
        (mount / "new" / "file").rename(mount / "new" / "again")
        wait_for(lambda: "/new/again" in named(subject), "the file's new name", 10)
        moved = named(subject)["/new/again"]
        assert moved.gfid == first.gfid
        assert moved.activity.first_seen == first.activity.first_seen
        assert sum(moved.activity.fops) > sum(first.activity.fops)
        assert not {"/old/file", "/new/file"} & set(named(subject))
        assert named(subject)["/new"].type == "directory" and moved.type == "file"

        os.link(mount / "new" / "again", mount / "link")
        (mount / "new" / "again").unlink()
        wait_for(lambda: "/link" in named(subject), "the name of the other link", 10)
        assert not named(subject)["/link"].unlinked
        (mount / "link").unlink()
        wait_for(lambda: named(subject)["/link"].unlinked, "the unlinked file's mark", 10)


def test_a_file_that_a_rename_replaces_is_unlinked(xlator: None) -> None:
    """As editors and rsync do it; while another name is left, the file has that one."""
    with volume(bricks=1) as subject, subject.mount() as mount:

        def now(name: str) -> File | None:
            """The file that has this name now, by what the brick says."""
            with subject.segment(subject.bricks[0]) as segment:
                found = [file for file in files(segment) if file.path == f"/{name}"]
            return next((file for file in found if not file.unlinked), None)

        def changed(gfid: str, name: str) -> File | None:
            """The file, once it is not said to have this name any more."""
            with subject.segment(subject.bricks[0]) as segment:
                (file,) = (file for file in files(segment) if file.gfid == gfid)
            return file if file.unlinked or file.path != f"/{name}" else None

        def replaced(name: str) -> File:
            """What becomes of the file of this name when another one gets the name."""
            (mount / "new").write_bytes(b"2")
            gfid = wait_for(lambda: now(name), "the first name").gfid
            (mount / "new").rename(mount / name)
            return wait_for(lambda: changed(gfid, name), "the name's new state", 10)

        (mount / "only").write_bytes(b"1")
        gone = replaced("only")
        assert (gone.path, gone.unlinked) == ("/only", True)
        wait_for(lambda: now("only"), "the new file's name")

        (mount / "linked").write_bytes(b"1")
        wait_for(lambda: now("linked"), "the first name")
        os.link(mount / "linked", mount / "other")
        left = replaced("linked")
        assert (left.path, left.unlinked) == ("/other", False)


def test_identities_hold_in_a_storm(xlator: None) -> None:
    """Renames, links and removals in a table far too small, read all along: no name is torn."""
    options = {"user.xlator.glupy.file-slots": "16", "user.xlator.glupy.half-life": "1"}
    seen: dict[str, set[str]] = {}
    bounds = 0
    with volume(bricks=1, options=options) as subject, subject.mount() as mount:
        stop = threading.Event()

        def storm(thread: int) -> None:
            for round_ in itertools.count():
                if stop.is_set():
                    return
                directory = mount / f"dir{thread}-{round_ % 3}"
                directory.mkdir(exist_ok=True)
                for number in range(10):
                    path = directory / f"file{number}"
                    path.write_bytes(b"x" * 100)
                    if number % 3 == 0:
                        path.rename(directory / f"moved{number}")
                    elif number % 3 == 1:
                        os.link(path, directory / f"link{number}-{round_}")
                shutil.rmtree(directory)

        threads = [threading.Thread(target=storm, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            brick = subject.bricks[0]

            def enough() -> bool:
                nonlocal bounds
                with subject.segment(brick) as segment:
                    for file in files(segment):
                        bounds += file.activity.error_bound > 0
                        if file.path:
                            seen.setdefault(file.gfid, set()).add(file.path)
                    return segment.health("files")["evicted"] > 300 and len(seen) > 10

            wait_for(enough, "slots to change hands", 60)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert bounds
    allowed = re.compile(
        r"/(dir\d-\d(/(file|moved)\d|/link\d-\d+)?)?|(<gfid:[0-9a-f-]{36}>)?/[^/]+|/\.glusterfs.*"
    )
    names = set().union(*seen.values())
    assert len(names) > 5
    assert not [name for name in names if not allowed.fullmatch(name)]
    for gfid, paths in seen.items():
        directories = {re.match(r"/dir\d-\d|", path)[0] for path in paths} - {""}  # type: ignore[index]
        assert len(directories) <= 1, f"{gfid} was seen in {directories}"


def memory(pid: int) -> int:
    """Bytes of resident memory that are not the segment's."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def test_churn_costs_no_memory(xlator: None) -> None:
    """Many files made, read and deleted: no memory, inodes or slots are kept for them."""
    grown, active = {}, 0
    for translator in (False, True):
        with volume(bricks=1, counted=translator) as subject:
            (brick,) = subject.bricks
            pid = subject.pid(brick)
            assert pid
            with subject.mount() as mount:
                _churn(mount, 500)  # what any brick allocates once
                before = memory(pid)
                size = subject.segment_path(brick).stat().st_size if translator else 0
                _churn(mount, CHURN_FILES)
                grown[translator] = memory(pid) - before
                if not translator:
                    active = subject.active_inodes(pid)
                # The brick learns a moment later what the client has forgotten.
                wait_for(
                    lambda pid=pid, subject=subject, most=active: (
                        subject.active_inodes(pid) <= most
                    ),
                    "as few inodes to be in use as without the translator",
                )
            if translator:
                assert subject.segment_path(brick).stat().st_size == size
                with subject.segment(brick) as segment:
                    health = segment.health("files")
                    table = segment.file_table()
                    assert health["tracked"] == len(table.rows) <= len(table.tags)
                assert (
                    health["evicted"] + health["tracked"] + health["untracked_fops"] >= CHURN_FILES
                )
    assert grown[True] <= grown[False] + (4 << 20)


def _churn(mount: Path, count: int) -> None:
    directory = mount / "churn"
    directory.mkdir()

    def one(number: int) -> None:
        path = directory / str(number)
        path.write_bytes(b"x")
        assert path.read_bytes() == b"x"
        path.unlink()

    with ThreadPoolExecutor(8) as workers:  # a file is mostly waiting
        assert sum(1 for _ in workers.map(one, range(count))) == count
    directory.rmdir()


@contextlib.contextmanager
def namespace(name: str, number: int) -> Iterator[str]:
    """A network namespace whose only way out is to this host; yields its address."""
    outside, inside = f"198.18.{number}.1", f"198.18.{number}.2"
    hosts = Path("/etc/netns") / name

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    ip("netns", "add", name)
    try:
        ip("link", "add", f"{name}o", "type", "veth", "peer", "name", f"{name}i")
        ip("link", "set", f"{name}i", "netns", name)
        ip("addr", "add", f"{outside}/24", "dev", f"{name}o")
        ip("link", "set", f"{name}o", "up")
        ip("-n", name, "addr", "add", f"{inside}/24", "dev", f"{name}i")
        ip("-n", name, "link", "set", f"{name}i", "up")
        ip("-n", name, "link", "set", "lo", "up")
        # Bricks are known by this host's name, which must lead here from inside as well.
        hosts.mkdir(parents=True)
        (hosts / "hosts").write_text(f"127.0.0.1 localhost\n{outside} {HOST}\n")
        yield inside
    finally:
        shutil.rmtree(hosts, ignore_errors=True)
        ip("netns", "delete", name)  # takes the pair of links with it
        with contextlib.suppress(OSError):
            hosts.parent.rmdir()


def test_clients_are_told_apart_by_address(
    xlator: None, need: Callable[[object, str], None]
) -> None:
    """Two mounts from two addresses, each with its own number of writes, and a file of both."""
    need(shutil.which("ip"), "ip (Debian: iproute2)")
    script = """
        mount -t glusterfs -o direct-io-mode=enable,log-file=$4/$5.log $1 $2
        dd if=/dev/zero of=$2/$5 bs=4096 count=$3 conv=fsync 2>/dev/null
        dd if=/dev/zero of=$2/shared bs=4096 count=$3 conv=notrunc,fsync 2>/dev/null
        umount $2
    """
    counts = {}
    with contextlib.ExitStack() as stack:
        subject = stack.enter_context(volume(bricks=1))
        target = subject.directory / "inside"
        target.mkdir()
        for number, writes in enumerate((30, 50)):
            inside = f"gl{os.getpid() % 10**6}n{number}"
            address = stack.enter_context(namespace(inside, number))
            words = [f"{HOST}:/{subject.name}", str(target), str(writes)]
            words += [str(subject.directory), inside]
            subprocess.run(
                ["ip", "netns", "exec", inside, "sh", "-ec", script, "sh", *words], check=True
            )
            counts[address] = writes
        wait_for(lambda: "/shared" in named(subject), "the path of the shared file")
        wait_for(
            lambda: not any(c.activity.connections for c in clients(subject).values()), "no clients"
        )
        found = clients(subject)
        for address, writes in counts.items():
            activity = found[address].activity
            assert activity.fops[layout.WRITE] == 2 * writes
            assert activity.bytes == (0, 2 * writes * 4096)
        # The shared file was written last, and most, by the second.
        with subject.segment(subject.bricks[0]) as segment:
            found = list(segment.client_table().records())
        by_tag = {tag: client for (_, tag, _), client in found}
        top = by_tag[named(subject)["/shared"].activity.top_client]
        assert top.address == max(counts, key=lambda address: counts[address])


def test_a_heal_does_not_look_like_a_user(xlator: None) -> None:
    """What self-heal does is counted apart and not for any file or client."""
    with volume("replica", "2", bricks=2) as subject:
        second = subject.bricks[1]
        with subject.mount() as mount:
            (mount / "file").write_bytes(b"x" * 65536)
            subject.kill(second)
            (mount / "file").write_bytes(b"y" * 1048576)
            subject.start(force=True)
            wait_for(lambda: subject.connected(mount, second), "the client to be back")
        heal(subject)
        with subject.segment(second) as segment:
            internal = segment.internal()
            everything = {file.path: file for file in files(segment)}
            written = segment.io()["write"].bytes
    assert written >= 1048576
    assert internal["self-heal"].bytes[layout.WRITE] == written
    assert sum(file.activity.bytes[layout.WRITE] for file in everything.values()) == 0


def test_shards_count_for_their_file(xlator: None) -> None:
    """On a sharded volume all I/O is the image's, wherever its shards are."""
    options = {"features.shard": "on", "features.shard-block-size": "4MB"}
    size, block = 64 << 20, 128 << 10  # so many shards are hardly ever on one brick
    with volume(bricks=2, options=options) as subject:
        with subject.mount("direct-io-mode=enable") as mount:
            with (mount / "image").open("wb", buffering=0) as image:
                for _ in range(size // block):
                    image.write(b"x" * block)
            with (mount / "image").open("rb", buffering=0) as image:
                assert sum(len(part) for part in iter(lambda: image.read(block), b"")) == size
            wait_for(lambda: "/image" in named(subject), "the image's path")
        settled(subject)
        image_gfid = named(subject)["/image"].gfid
        moved = [0, 0]
        for brick in subject.bricks:
            with subject.segment(brick) as segment:
                io = segment.io()
                mine = [file for file in files(segment) if file.gfid == image_gfid]
                others = [file for file in files(segment) if file.gfid != image_gfid]
            assert io["write"].bytes, "the shards are all on one brick"
            assert [sum(f.activity.bytes[kind] for f in mine) for kind in (0, 1)] == [
                io[direction].bytes for direction in layout.DIRECTIONS
            ]
            assert not any(sum(file.activity.bytes) for file in others)
            moved = [total + io[d].bytes for total, d in zip(moved, layout.DIRECTIONS)]
    assert moved == [size, size]
