"""Makes text safe for a terminal, whatever names it contains, and writes numbers short."""

from __future__ import annotations

import re
import unicodedata

_TRICKY = re.compile(
    "[\u034f\u115f-\u11ff\u17b4\u17b5\u180b-\u180f\u2800\u3164\ud7b0-\ud7ff\ufe00-\ufe0f\uffa0"
    "\U0001f1e6-\U0001f1ff\U000e0100-\U000e01ef]"
)
"""Characters of a graphic category that are invisible, or whose width differs among terminals."""

_MARKS = ("Mn", "Me")
_MARKS_MAX = 2  # on one character; more pile up over the neighbouring lines


def printable(text: str, encoding: str = "utf-8") -> str:
    """``text`` with ``\\uNNNN`` for every character that could upset a terminal.

    These are control and format characters (C1 and bidi ones too), unassigned ones, blanks other
    than the space, and characters that ``encoding`` lacks. Backslashes are left as they are: the
    text comes from :func:`glupy_exporter.segment.text.escape`.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = []
    marks = _MARKS_MAX  # the first character has none before it that could take a mark
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in _MARKS else 0
        if (
            (category[0] in "CZ" and char != " ")
            or marks > _MARKS_MAX
            or _TRICKY.match(char)
            or not char.encode(encoding, "ignore")
        ):
            char = f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
        shown.append(char)
    return "".join(shown)


def _columns(char: str) -> int:
    if unicodedata.category(char) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def width(text: str) -> int:
    """How many columns of a terminal ``text`` takes; it has to be :func:`printable`."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def left(text: str, columns: int) -> str:
    """``text`` in exactly ``columns`` columns: its beginning, or all of it and blanks."""
    shown, used = [], 0
    for char in text:
        used += _columns(char)
        if used > columns:
            used -= _columns(char)
            break
        shown.append(char)
    return "".join(shown) + " " * (columns - used)


def ending(text: str, columns: int) -> str:
    """``text`` in exactly ``columns`` columns: all of it and blanks, or three dots and its end."""
    if width(text) <= columns:
        return text + " " * (columns - width(text))
    start, used = len(text), 0
    while start and used + _columns(text[start - 1]) <= columns - 3:
        start -= 1
        used += _columns(text[start])
    while start < len(text) and _columns(text[start]) == 0:  # a mark whose character was cut off
        start += 1
    return left("..." + text[start:], columns)


def _scaled(value: float, base: float) -> str:
    units = iter(("", *"KMGTPEZY"))
    unit = next(units)
    while value >= base - 0.5:
        value /= base
        unit = next(units, unit)
    return f"{value:.1f}{unit}" if 0 < value < 9.95 else f"{value:.0f}{unit}"


def count(value: float) -> str:
    """A number in at most six characters: ``0``, ``3.5``, ``12345``, ``123K``."""
    if value < 99_999.5 and (value >= 9.95 or value == int(value)):
        return f"{value:.0f}"
    return _scaled(value, 1000)


def size(value: float) -> str:
    """Bytes in binary units, at most five characters: ``512``, ``1.5M``, ``1000K``."""
    return _scaled(value, 1024)


def duration(seconds: float) -> str:
    """A latency of so many seconds: ``85us``, ``1.2ms``, ``3.4s``."""
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f}us"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g}ms"
    return f"{count(seconds)}s"
