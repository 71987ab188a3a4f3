"""A reader in a tight loop beside busy writers: nothing goes back, nothing is torn."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import time
from multiprocessing.synchronize import Event
from pathlib import Path

from glupy_exporter.segment import reader
from glupy_exporter.segment.records import FileIdentity
from glupy_exporter.segment.table import Known
from tests.gluster.compare import clients, files
from tests.support.gluster.volumes import volume

SECONDS = 12
WRITERS = 2
NAME = re.compile(r"/w(?P<writer>\d)/(?P<file>f\d+)-(?:old|new)(?P<tail>-x{1,200})")
"""What the writers call their files; the name without old and new belongs to one gfid."""


def churn(root: Path, writer: int, stop: Event) -> None:
    """Create, write, rename, read and remove files until told to stop."""
    home = root / f"w{writer}"
    home.mkdir()
    number = 0
    while not stop.is_set():
        tail = "x" * (1 + number * 37 % 200)
        old = home / f"f{number}-old-{tail}"
        new = home / f"f{number}-new-{tail}"
        old.write_bytes(b"x" * (number % 5000))
        old.rename(new)
        new.read_bytes()
        with contextlib.suppress(FileNotFoundError):
            (home / "missing").read_bytes()
        if number % 4 == 0:
            new.unlink()
        number += 1


def flat(segment: reader.Segment) -> dict[tuple[object, ...], int]:
    """Every counter of a segment under a name of its own."""
    counters: dict[tuple[object, ...], int] = {}
    for fop in segment.fops():
        counters[fop.name, "started"] = fop.started
        counters[fop.name, "errors"] = fop.errors
        counters[fop.name, "nanoseconds"] = fop.nanoseconds
        for bucket, count in enumerate(fop.buckets):
            counters[fop.name, "bucket", bucket] = count
    for direction, io in segment.io().items():
        counters[direction, "bytes"] = io.bytes
        for bucket, count in enumerate(io.buckets):
            counters[direction, "bucket", bucket] = count
    for fop_name, number, count in segment.errnos():
        counters[fop_name, "errno", number] = count
    named = [("file", file.gfid, file.activity) for file in files(segment)]
    named += [("client", client.address, client.activity) for client in clients(segment)]
    for table, key, activity in named:
        counters[table, key, "errors"] = activity.errors
        for field in ("fops", "nanoseconds", "bytes"):
            for index, count in enumerate(getattr(activity, field)):
                counters[table, key, field, index] = count
    return counters


def test_counters_only_grow_and_paths_are_whole(xlator: None) -> None:
    options = {"user.xlator.glupy.file-slots": "512"}
    with volume(bricks=1, options=options) as subject, subject.mount() as mount:
        stop = multiprocessing.Event()
        writers = [
            multiprocessing.Process(target=churn, args=(mount, number, stop))
            for number in range(WRITERS)
        ]
        for process in writers:
            process.start()
        try:
            rounds, stems = watch(subject.segment_path(subject.bricks[0]))
        finally:
            stop.set()
            for process in writers:
                process.join(timeout=30)
        assert [process.exitcode for process in writers] == [0] * WRITERS
    assert rounds > 50
    assert len(stems) > 100, "too few files had a name to prove anything"


def watch(path: Path) -> tuple[int, dict[str, str]]:
    """Scrape for SECONDS; how many rounds that were and which name each gfid had."""
    last: dict[tuple[object, ...], int] = {}
    stems: dict[str, str] = {}
    known: Known[FileIdentity] = {}
    rounds = 0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with reader.Segment(path) as segment:
            now = flat(segment)
            seen = [(file.gfid, file.path) for file in files(segment, known) if file.path]
        assert not {key: (last[key], now[key]) for key in now if now[key] < last.get(key, 0)}
        last.update(now)
        rounds += 1
        for gfid, name in seen:
            if name == "/" or re.fullmatch(r"/w\d", name):
                continue
            match = NAME.fullmatch(name)
            assert match, f"{name!r} is no name that a writer used"
            assert len(match["tail"]) - 1 == 1 + int(match["file"][1:]) * 37 % 200
            assert stems.setdefault(gfid, match["file"] + match["writer"]) == (
                match["file"] + match["writer"]
            )
    return rounds, stems
