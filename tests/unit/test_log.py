"""Log lines: one record is one line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from glupy_exporter import log


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_logfmt_quotes_what_needs_it(stderr: io.StringIO) -> None:
    log.configure("info", "logfmt")
    fields = {"path": '/a b"\n', "bare": "x:1", "empty": "", "number": 3}
    logging.getLogger("x").warning("two words", extra={"fields": fields})
    _, rest = stderr.getvalue().split(" ", 1)
    assert rest == ('level=warn msg="two words" path="/a b\\"\\n" bare=x:1 empty="" number=3\n')


@pytest.mark.parametrize("name", log.FORMATS)
def test_a_traceback_is_one_line(stderr: io.StringIO, name: str) -> None:
    log.configure("info", name)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert stderr.getvalue().count("\n") == 1
    assert "ValueError: two\\nlines" in stderr.getvalue()


def test_json(stderr: io.StringIO) -> None:
    log.configure("info", "json")
    logging.getLogger("x").info("good", extra={"fields": {"path": "/a\n"}})
    line = json.loads(stderr.getvalue())
    assert line["ts"].endswith("Z")
    assert {**line, "ts": ""} == {"ts": "", "level": "info", "msg": "good", "path": "/a\n"}


def test_level(stderr: io.StringIO) -> None:
    log.configure("warn", "logfmt")
    logging.getLogger("x").info("quiet")
    assert stderr.getvalue() == ""
