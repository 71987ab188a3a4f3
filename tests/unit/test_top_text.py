"""Hostile names and short numbers."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from glupy_exporter.top import text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/plain file", "/plain file"),
        ("/a\\x0a", "/a\\x0a"),
        ("/\x1b[2J", "/\\u001b[2J"),
        ("/\x9b2J", "/\\u009b2J"),  # CSI in one character
        ("/\u202egnp.exe", "/\\u202egnp.exe"),
        ("/a\u200bb\ufeff", "/a\\u200bb\\ufeff"),
        ("/a\u00a0b\u3000\u2028", "/a\\u00a0b\\u3000\\u2028"),
        ("/\u3164", "/\\u3164"),
        ("/\U000e0041", "/\\U000e0041"),
        ("/cafe\u0301", "/cafe\u0301"),
        ("/e\u0301\u0301\u0301\u0301", "/e\u0301\u0301\\u0301\\u0301"),
        ("\u0301", "\\u0301"),
        ("/漢字", "/漢字"),
        ("/\udcff", "/\\udcff"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert text.printable(name) == shown
    assert text.printable(shown) == shown


def test_every_character_is_shown_or_escaped() -> None:
    for code in range(sys.maxunicode + 1):
        shown = text.printable("/" + chr(code))[1:]
        if shown == chr(code):
            assert shown == " " or unicodedata.category(shown)[0] not in "CZ", hex(code)
        else:
            assert shown.isascii()
            assert int(shown[2:], 16) == code


def test_what_the_terminal_lacks_is_escaped() -> None:
    assert text.printable("/é漢", "latin-1") == "/é\\u6f22"
    assert text.printable("/é漢", "ascii") == "/\\u00e9\\u6f22"


@pytest.mark.parametrize("cut", [text.left, text.ending])
@pytest.mark.parametrize("name", ["", "abcdefghij", "漢字漢字漢字", "a漢b字c漢", "e\u0301" * 9])
def test_cut_takes_exactly_the_columns(cut: object, name: str) -> None:
    assert callable(cut)
    for columns in range(15):
        assert text.width(cut(name, columns)) == columns


def test_ending_keeps_the_end() -> None:
    assert text.ending("/a/long/name", 9) == "...g/name"
    assert text.ending("/a/漢字", 6) == "...字 "
    assert text.ending("/a/cafe\u0301", 4) == "...e\u0301"
    assert text.ending("/a", 4) == "/a  "


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.04, "0.0"),
        (3, "3"),
        (3.46, "3.5"),
        (9.96, "10"),
        (99_999.4, "99999"),
        (99_999.5, "100K"),
        (999_600, "1.0M"),
        (2.0**64 * 1000, "18Z"),
    ],
)
def test_count(value: float, shown: str) -> None:
    assert text.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (512, "512"), (1023.7, "1.0K"), (1536, "1.5K"), (10 * 2**20, "10M")],
)
def test_size(value: float, shown: str) -> None:
    assert text.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (85e-6, "85us"),
        (999.6e-6, "1ms"),
        (0.0012, "1.2ms"),
        (0.9996, "1.0s"),
        (67.1, "67s"),
    ],
)
def test_duration(value: float, shown: str) -> None:
    assert text.duration(value) == shown
