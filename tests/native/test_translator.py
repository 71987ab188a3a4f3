"""The built translator, every fop of it, in a process of its own and under valgrind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter.builder import build, codegen
from glupy_exporter.schema import layout
from glupy_exporter.segment import reader
from tests.native.conftest import Need, running


@pytest.fixture(scope="module")
def command(load_harness: Callable[[str], list[str]]) -> list[str]:
    """The harness and the translator it loads."""
    return load_harness("translator_harness")


def _check_counts(segment: reader.Segment, fops: list[codegen.Fop], rounds: int) -> None:
    counted = {fop.name: fop for fop in segment.fops()}
    assert set(counted) == {fop.enum.lower() for fop in fops}
    for fop in counted.values():
        assert (fop.started, fop.completed, fop.errors) == (2 * rounds, 2 * rounds, rounds)
    assert set(segment.errnos()) == {(name, 28, rounds) for name in counted}
    writes = sum(fop.kind == "GLUPY_WRITE" for fop in fops)
    assert writes == 3
    for direction, calls in (("read", rounds), ("write", writes * rounds)):
        io = segment.io()[direction]
        assert (io.bytes, io.buckets[12]) == (4096 * calls, calls)

    table = segment.file_table()
    (file,) = (table.record(row) for row in table.rows)
    assert file
    # Of the fops only ipc names no file.
    assert sum(file.activity.fops) == 2 * rounds * (len(fops) - 1)
    assert file.activity.fops[layout.READ] == 2 * rounds
    assert file.activity.bytes == (4096 * rounds, writes * 4096 * rounds)
    ((_, client),) = segment.client_table().records()
    assert client.address == "192.0.2.1" and client.activity.connections == 1
    assert sum(client.activity.fops) == 2 * rounds * len(fops)
    assert len(segment.file_table().tags) == layout.FILE_SLOTS_DEFAULT
    assert not segment.in_flight() and not segment.held_locks()
    assert not segment.numbers()["unlisted_fops"]


def test_every_fop_is_counted_and_passes_untouched(
    command: list[str], fops: list[codegen.Fop], tmp_path: Path
) -> None:
    assert len(fops) >= 50
    with running(*command, str(tmp_path), "100") as segment:
        _check_counts(segment, fops, 100)


def test_fops_that_come_back_late_are_in_the_count_or_its_bound(
    command: list[str], tmp_path: Path
) -> None:
    held, more = 100, 400
    with running(*command, str(tmp_path), "late") as segment:
        table = segment.file_table()
        files = [table.record(row) for row in table.rows]
        (file,) = (file for file in files if file and file.gfid.startswith("01"))
        clients = [client for _, client in segment.client_table().records()]
        (client,) = (client for client in clients if client.address == "192.0.2.0")
        assert segment.health("files")["evicted"] and segment.health("clients")["evicted"]
    for activity, bound in (
        (file.activity, file.activity.error_bound),
        (client.activity, client.activity.error_bound),
    ):
        missing = held + more - sum(activity.fops)
        assert 0 <= missing <= bound


def test_memcheck_finds_nothing(
    command: list[str], fops: list[codegen.Fop], tmp_path: Path, need: Need
) -> None:
    need(shutil.which("valgrind"), "valgrind")
    log = tmp_path / "valgrind.log"
    valgrind = ["valgrind", "--error-exitcode=99", "--leak-check=full", f"--log-file={log}"]
    # libglusterfs never frees its context, which is not ours to judge; our own leaks are.
    valgrind += ["--errors-for-leak-kinds=none", "--show-leak-kinds=all"]
    with running(*valgrind, *command, str(tmp_path), "3") as segment:
        _check_counts(segment, fops, 3)
    report = log.read_text()
    assert "ERROR SUMMARY: 0 errors" in report
    lost = [record for record in report.split("\n==") if "blocks are" in record]
    leaks = report.split("LEAK SUMMARY")[0]
    ours = {path.name for path in build.SOURCES.glob("*.c")}
    assert lost, "valgrind did not look for leaks"
    assert not [line for line in re.findall(r"\((\w+\.c):\d+\)", leaks) if line in ours]
