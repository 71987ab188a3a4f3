"""Names that mean harm, in metrics, API and page; test_top.py has the terminal."""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

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
    with segments.Segment(volume=VOLUME, files=files).live(path):
        yield path


@pytest.fixture(scope="module")
def port(directory: Path) -> Iterator[int]:
    with exporter("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}") as running:
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
    assert not page.tags & {"script", "img", "b", "iframe"}
    assert VOLUME in page.text
