"""Log lines: one record is one line, whatever is in it."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator

import pytest

from glupy_exporter import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []  # `configure` closes what it replaces, and these are pytest's
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_logfmt_quotes_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "logfmt")
    fields = {"path": '/a b"\n', "bare": "x:1", "empty": "", "number": 3}
    logging.getLogger("x").warning("two words", extra={"fields": fields})
    _, rest = capsys.readouterr().err.split(" ", 1)
    assert rest == ('level=warn msg="two words" path="/a b\\"\\n" bare=x:1 empty="" number=3\n')


@pytest.mark.parametrize("name", log.FORMATS)
def test_no_character_reaches_a_terminal_that_it_obeys(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    log.configure("debug", name)
    controls = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]
    for char in [*controls, "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff", "\udc9b"]:
        logging.getLogger("x").debug("seen", extra={"fields": {"path": f"/{char}31m"}})
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and line.rstrip("\n").isprintable(), repr(char)
        assert "31m" in line


@pytest.mark.parametrize("name", log.FORMATS)
def test_a_traceback_is_one_line(capsys: pytest.CaptureFixture[str], name: str) -> None:
    log.configure("info", name)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("failed")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "ValueError: two\\nlines" in line


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    logging.getLogger("x").info("good", extra={"fields": {"path": "/a\n"}})
    line = json.loads(capsys.readouterr().err)
    assert line["ts"].endswith("Z")
    assert {**line, "ts": ""} == {"ts": "", "level": "info", "msg": "good", "path": "/a\n"}


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warn", "logfmt")
    logging.getLogger("x").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", log.FORMATS)
def test_the_journal_gets_priorities(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stream = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stream.st_dev}:{stream.st_ino}")
    log.configure("debug", name)
    for level in log.LEVELS.values():
        logging.getLogger("x").log(level, "said")
    assert re.findall(r"^<.>", capfd.readouterr().err, re.MULTILINE) == ["<7>", "<6>", "<4>", "<3>"]
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    log.configure("debug", name)
    logging.getLogger("x").error("said")
    assert not capfd.readouterr().err.startswith("<")
