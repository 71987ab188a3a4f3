"""The file and client tables: who did how much to which file, exactly."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from glupy_exporter.schema import layout
from glupy_exporter.segment.records import File
from glupy_exporter.segment.text import escape, unescape
from tests.gluster import workload
from tests.gluster.compare import clients, files, settled
from tests.support.gluster.volumes import HOST, Volume, gluster, volume, wait_for

FILES = {"/few": 3, "/many": 50, "/deep/down/some": 20}
"""How many times each file is written and read back."""

BLOCK = 1000


def named(subject: Volume) -> dict[str, File]:
    """The tracked files of the only brick whose path is known, by path."""
    with subject.segment(subject.bricks[0]) as segment:
        return {file.path: file for file in files(segment) if file.path}


def work(mount: Path) -> None:
    (mount / "deep" / "down").mkdir(parents=True)
    for name, times in FILES.items():
        descriptor = os.open(mount / name[1:], os.O_RDWR | os.O_CREAT)
        for number in range(times):
            os.pwrite(descriptor, b"x" * BLOCK, number * BLOCK)
            assert len(os.pread(descriptor, BLOCK, number * BLOCK)) == BLOCK
        os.close(descriptor)


def test_files_and_clients_are_counted_exactly(xlator: None) -> None:
    with volume(bricks=1) as subject:
        (brick,) = subject.bricks
        with subject.mount("direct-io-mode=enable") as mount:
            work(mount)
            wait_for(lambda: set(FILES) <= set(named(subject)), "all paths to be known")
            with subject.segment(brick) as segment:
                (connected,) = clients(segment)
            assert connected.activity.connections == 1
        profile, counts = settled(subject)[brick]
        top = gluster("volume", "top", subject.name, "write", "brick", f"{HOST}:{brick}")
        with subject.segment(brick) as segment:
            everything = files(segment)
            (client,) = clients(segment)
            health = segment.health("files")
            internal = sum(sum(counts.fops) for counts in segment.internal().values())
            assert segment.health("clients")["tracked"] == 1

    by_path = {file.path: file for file in everything}
    for name, times in FILES.items():
        file = by_path[name]
        activity = file.activity
        assert activity.fops[layout.READ] == activity.fops[layout.WRITE] == times
        assert activity.bytes == (times * BLOCK, times * BLOCK)
        assert re.search(rf"^{times}\s+{name}$", top, re.MULTILINE)
        assert 0 < activity.first_seen <= activity.last_seen
        assert (file.activity.error_bound, file.truncated) == (0, False)

    # What the files got adds up to what the brick did.
    assert health["tracked"] == len(everything)
    assert health["evicted"] == health["untracked_fops"] == 0
    for number, direction in enumerate(layout.DIRECTIONS):
        assert sum(f.activity.bytes[number] for f in everything) == counts.bytes[direction]

    # One host, whose connection is closed by now, asked for everything but what GlusterFS's own
    # clients did and the lookup of the root that protocol/server does for each new connection.
    assert client.address == socket.gethostbyname(HOST)
    assert sum(client.activity.fops) == sum(counts.fops.values()) - internal - 1
    assert client.activity.bytes == (profile.bytes["read"], profile.bytes["write"])
    assert client.activity.connections == 0


def test_a_copy_that_the_brick_makes_is_written(xlator: None) -> None:
    with volume(bricks=1) as subject:
        workload.through_gfapi(subject.name)
        profile, counts = settled(subject)[subject.bricks[0]]
        with subject.segment(subject.bricks[0]) as segment:
            (copy,) = (f for f in files(segment) if f.activity.bytes == (0, workload.COPY))
        assert copy.activity.fops[layout.WRITE] == counts.copies == 1
        assert counts.bytes["write"] == profile.bytes["write"] + workload.COPY


def test_renamed_and_odd_names(xlator: None) -> None:
    """A new name replaces the old one, bytes that are no UTF-8 survive, a long path is flagged."""
    odd = b"line\nbreak\xff\\"
    deep = "/".join(["d" * 200] * 5)
    with volume(bricks=1) as subject, subject.mount() as mount:
        (mount / "before").write_bytes(b"1")
        wait_for(lambda: "/before" in named(subject), "the first name")
        gfid = named(subject)["/before"].gfid
        (mount / "before").rename(mount / "after")
        Path(os.fsdecode(os.fsencode(mount) + b"/" + odd)).write_bytes(b"1")
        (mount / deep).mkdir(parents=True)
        (mount / deep / "file").write_bytes(b"1")

        escaped = escape(b"/" + odd)
        wait_for(lambda: {"/after", escaped} <= set(named(subject)), "the other names", 60)
        seen = named(subject)
        assert seen["/after"].gfid == gfid
        assert "/before" not in seen
        assert unescape(escaped) == b"/" + odd
        (cut,) = wait_for(
            lambda: [f for f in named(subject).values() if f.truncated], "the long path"
        )[:1]
        assert f"/{deep}".startswith(cut.path)
        assert len(cut.path) == layout.PATH_SIZE


def test_a_full_table_leaves_files_out_and_says_so(xlator: None) -> None:
    options = {"user.xlator.glupy.file-slots": str(layout.FILE_SLOTS_MIN)}
    with volume(bricks=1, options=options) as subject:
        with subject.mount() as mount:
            for number in range(4 * layout.FILE_SLOTS_MIN):
                (mount / f"file{number}").write_bytes(b"1")
        (profile, counts), *_ = settled(subject).values()
        with subject.segment(subject.bricks[0]) as segment:
            health = segment.health("files")
            everything = files(segment)
    assert health["tracked"] == len(everything) == layout.FILE_SLOTS_MIN
    assert health["untracked_fops"] > 0
    tracked = sum(sum(file.activity.fops) for file in everything)
    assert 0 < tracked < sum(counts.fops.values())
    assert counts.fops["write"] == profile.fops["write"] == 4 * layout.FILE_SLOTS_MIN
