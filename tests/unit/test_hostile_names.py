"""Names that mean harm, in metrics, API and page; test_top.py has the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import unicodedata
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter import cli
from glupy_exporter.segment import naming
from tests.support import segments
from tests.support.exporters import ask, exporter

NAMES = {
    b"/<script>alert(1)</script>": "/<script>alert(1)</script>",
    b"/<img src=x onerror=alert(1)>": "/<img src=x onerror=alert(1)>",
    b'/a"} 1\nevil_metric{b="': '/a"} 1\\x0aevil_metric{b="',
    b'/quote"\\': '/quote"\\\\',
    b"/\x1b]0;owned\x07\x1b[2J\x1b[31m": "/\\x1b]0;owned\\x07\\x1b[2J\\x1b[31m",
    b"/\xc2\x9b31m": "/\\xc2\\x9b31m",
    b"/\xff\xfe": "/\\xff\\xfe",
    b"/# HELP x\r": "/# HELP x\\x0d",
    b"/{{ $labels.path }}": "/{{ $labels.path }}",
}
"""Names, and how they are shown."""

VOLUME = "<b>&\"'v"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("segments")
    files = {
        slot: segments.File(name, uuid.UUID(int=slot + 1), (9 - slot, 1, 0))
        for slot, name in enumerate(NAMES)
    }
    names = (*segments.FOP_NAMES, "inodelk")
    lock = {"lock_type": 2}
    made = segments.Segment(
        volume=VOLUME,
        names=names,
        files=files,
        clients={0: segments.Client(b"<b>\x1b[2J")},
        recorder={"slow": 16, "trace": 16, "flights": 16, "held_locks": 8},
        recorded={
            "slow": [segments.Recorded("read", gfid=file.gfid, client=1) for file in files.values()]
        },
        flights={
            slot: segments.Flight("inodelk", slot, file.gfid, 1, b"<i>\n\x1b[2J", lock)
            for slot, file in files.items()
        },
        held_locks={0: segments.HeldLock("inodelk", "write", b"<i>\n\x1b[2J", uuid.UUID(int=1), 1)},
    )
    with made.live(path):
        yield path


@pytest.fixture(scope="module")
def port(directory: Path) -> Iterator[int]:
    flags = ("--web.listen-address=127.0.0.1:0", "--collector.files.lasting=0")
    with exporter(*flags, f"--segment.dir={directory}") as running:
        yield running.port()


def harmless(text: str) -> bool:
    """Nothing in it tells a terminal what to do."""
    return not any(unicodedata.category(character) == "Cc" for character in text.replace("\n", ""))


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("text/plain", parse_text),
        ("application/openmetrics-text; version=1.0.0", parse_openmetrics),
    ],
)
def test_metrics(port: int, accept: str, parse) -> None:  # type: ignore[no-untyped-def]
    body = ask(port, "/metrics", Accept=accept)[1].decode()
    assert harmless(body)
    families = {family.name: family for family in parse(body)}
    assert not [name for name in families if "evil" in name]
    shown = {sample.labels["path"] for sample in families["glupy_file_fops"].samples}
    assert shown == set(NAMES.values())
    assert {s.labels["volume"] for s in families["glupy_brick_up"].samples} == {VOLUME}


def test_api(port: int) -> None:
    answer, body = ask(port, "/api/v1/files")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert harmless(body.decode())
    assert {row["path"] for row in json.loads(body)["files"]} == set(NAMES.values())
    # What was asked for comes back in errors.
    answer, body = ask(port, "/api/v1/files?sort=%3Cscript%3E%1b%5B2J")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert harmless(body.decode())


@pytest.mark.parametrize("table", ["slow", "inflight"])
def test_tables_of_fops(port: int, table: str) -> None:
    _, body = ask(port, f"/api/v1/{table}")
    assert harmless(body.decode())
    assert {row["path"] for row in json.loads(body)[table]} == set(NAMES.values())


@pytest.mark.parametrize("format", [(), ("--json",)])
@pytest.mark.parametrize("command", ["slow", "inflight"])
def test_commands_about_fops(
    directory: Path, capfd: pytest.CaptureFixture[str], command: str, format: tuple[str, ...]
) -> None:
    assert cli.main([command, f"--segment.dir={directory}", *format]) == 0
    output = capfd.readouterr().out
    assert harmless(output)
    assert output.isascii() or not format
    lines = output.splitlines()
    if format:
        assert {json.loads(line)["path"] for line in lines} == set(NAMES.values())
    else:
        shown = [line for line in lines if "<script>alert(1)</script>" in line]
        assert len(shown) == (1 if command == "slow" else 2)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page(port: int) -> None:
    answer, body = ask(port, "/")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = Tags()
    page.feed(body.decode())
    assert not page.tags & {"script", "img", "b", "i", "iframe"}
    assert VOLUME in page.text
    assert page.text.count("<script>alert(1)</script>") == 3  # of its slow fop, and in flight twice


LONG = {
    "no UTF-8": b"\xff",
    "control characters": b"\n",
    "backslashes": b"\\",
    "characters of four bytes": "\U0001f600".encode(),
    "a mixture": b"a\\\xff\xc3\xa9",
}


@pytest.mark.parametrize("unlinked", [False, True])
@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_no_label_is_longer_than_what_prometheus_and_mimir_take(
    tmp_path: Path, name: bytes, unlinked: bool
) -> None:
    long = (name * 1200)[:595]
    files = {
        slot: segments.File(b"/" + long + end, uuid.UUID(int=slot + 1), (9,) * 3, unlinked=unlinked)
        for slot, end in enumerate((b"", b"1", b"2"))
    }
    bricks = [f"/b{number}/{long.decode('utf-8', 'surrogateescape')}" for number in range(2)]
    made = [segments.Segment(files=files, header={"brick": os.fsencode(brick)}) for brick in bricks]
    with contextlib.ExitStack() as stack:
        for brick, segment in zip(bricks, made):
            path = tmp_path / naming.names(segment.volume, brick)[0]
            path.write_bytes(segment.build())
            stack.enter_context(segments.locked(path))
        flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
        flags += ("--collector.files.lasting=0",)
        port = stack.enter_context(exporter(*flags)).port()
        body = ask(port, "/metrics")[1].decode()
        rows = json.loads(ask(port, "/api/v1/files")[1])["files"]
    found = [sample.labels for family in parse_text(body) for sample in family.samples]
    values = {value for labels in found for value in labels.values()}
    assert max(len(value.encode()) for value in values) <= 1024
    assert len({labels["brick"] for labels in found if "brick" in labels}) == 2
    paths = {labels["path"] for labels in found if "path" in labels}
    assert len(paths) == 3
    assert {row["path"] for row in rows} == paths
    for shown in paths:
        assert shown.endswith(" (deleted)") is unlinked
        escapes = shown.replace("\\\\", "")
        assert escapes.count("\\") == len(re.findall(r"\\x[0-9a-f]{2}", escapes))
