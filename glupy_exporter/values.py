"""Checks of the values of settings, the same for flags and all files.

Each check takes a value from YAML or a flag and returns the value to use, or raises a ValueError
that says what the value should be.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_SECONDS_OF_GO = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Address(NamedTuple):
    """Where to listen; an empty host means every address of IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Setting(NamedTuple):
    """A setting, declared in the module that it configures."""

    check: Callable[[Any], Any]
    default: Any
    """The default as a file would have it, before the check."""
    help: str
    """Text for ``--help`` and docs/settings.md, without a capital and a full stop."""
    metavar: str | None = None


Settings = Mapping[str, Setting]
"""Settings by key; the flag of a key is the key after two dashes."""


def expected(what: str, value: Any) -> ValueError:
    """The error for a ``value`` that is not ``what``."""
    return ValueError(f"{value!r:.100} is not {what}")


def string(value: Any) -> str:
    """A text, which may be empty."""
    if not isinstance(value, str):
        raise expected("a text", value)
    return value


def text(value: Any) -> str:
    """A text that is not empty."""
    if not string(value):
        raise expected("a text", value)
    return str(value)


def switch(value: Any) -> bool:
    """YAML's true or false."""
    if not isinstance(value, bool):
        raise expected("true or false", value)
    return value


def mapping(value: Any) -> dict[str, Any]:
    """A mapping; empty for YAML's null."""
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"expected KEY: VALUE lines, found {value!r:.60}")
    return dict(value or {})


def strings(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise expected("a list of texts", value)
    return tuple(map(string, value))


def several(check: Callable[[Any], _T]) -> Callable[[Any], tuple[_T, ...]]:
    """A check of one value or a list of values, each by ``check``."""

    def check_all(value: Any) -> tuple[_T, ...]:
        return tuple(map(check, value if isinstance(value, list) else [value]))

    return check_all


def one_of(choices: Iterable[str]) -> Callable[[Any], str]:
    """A check that a value is one of the texts in ``choices``."""
    known = tuple(choices)

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise expected(f"one of {', '.join(known)}", value)
        return value

    return check


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A check that a value is a whole number, or its digits, from ``least`` to ``most``."""

    def check(value: Any) -> int:
        digits = isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value)
        number = int(value) if digits else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise expected(f"a whole number from {least} to {most}", value)
        return number

    return check


def number(least: float, most: float) -> Callable[[Any], float]:
    """A check that a value is a number, or a text of one, from ``least`` to ``most``."""

    def check(value: Any) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not least <= found <= most:
            raise expected(f"a number from {least:g} to {most:g}", value)
        return found

    return check


def duration(value: Any) -> float:
    """A duration in Prometheus's format, such as ``1d12h``, in seconds; 0 needs no unit."""
    return _seconds(value, "[0-9]+", _SECONDS, "a duration like 90s, 24h or 1d12h")


def duration_of_go(value: Any) -> float:
    """A duration in Go's format, such as ``1.5s``, in seconds; 0 needs no unit."""
    what = "a duration like 1s, 200ms or 1m30s"
    return _seconds(value, r"[0-9]+(?:\.[0-9]+)?", _SECONDS_OF_GO, what)


def _seconds(value: Any, count: str, units: Mapping[str, float], what: str) -> float:
    part = f"({count})({'|'.join(units)})"
    given = str(value) if value == 0 and not isinstance(value, bool) else value
    if not isinstance(given, str) or not re.fullmatch(f"0|(?:{part})+", given):
        raise expected(what, value)
    return sum(float(number) * units[unit] for number, unit in re.findall(part, given))


def address(value: Any) -> Address:
    """An address to listen on."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^:\[\]]*)):([0-9]{1,5})", text(value))
    if not match or int(match[3]) > 65535:
        raise expected("HOST:PORT, [IPV6]:PORT or :PORT", value)
    return Address(match[1] or match[2] or "", int(match[3]))


def addresses(value: Any) -> tuple[Address, ...]:
    """One or more addresses to listen on, without duplicates."""
    found = several(address)(value)
    if not found:
        raise ValueError("names no address")
    return tuple(dict.fromkeys(found))


def host_name(value: Any) -> str:
    """A host as in a URL, in lower case."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", text(value)):
        raise expected("a name, an IPv4 address or an [IPv6] one", value)
    return str(value).lower()


def absolute(value: Any) -> Path:
    """An absolute path."""
    path = Path(text(value))
    if not path.is_absolute() or "\0" in value:
        raise expected("an absolute path", value)
    return path


def file(value: Any) -> Path | None:
    """A path; None for an empty text."""
    if not isinstance(value, str) or "\0" in value:
        raise expected("the name of a file", value)
    return Path(value) if value else None


def argument(check: Callable[[Any], _T]) -> Callable[[str], _T]:
    """The check as a ``type`` for argparse."""

    def parse(given: str) -> _T:
        try:
            return check(given)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse
