"""Writes log records to standard error, one line for each, as logfmt or JSON.

Values of a record go into ``extra={"fields": {...}}`` and become keys of the line.
"""

from __future__ import annotations

import datetime
import json
import logging
import re

from glupy_exporter import systemd, values
from glupy_exporter.values import Setting, Settings

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_NAMES = {number: name for name, number in LEVELS.items()} | {logging.CRITICAL: "error"}
# Numbers of syslog(3), which the journal reads at the start of a line; see sd-daemon(3).
_PRIORITIES = {"debug": 7, "info": 6, "warn": 4, "error": 3}
_QUOTED = re.compile(r"[\s\"=\\]")


def _values(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, str]:
    """The keys and values of one line, in order."""
    time = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
    values = {
        "ts": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _NAMES.get(record.levelno, record.levelname.lower()),
        "msg": record.getMessage(),
    }
    values.update({key: str(value) for key, value in getattr(record, "fields", {}).items()})
    if record.exc_info:
        values["traceback"] = formatter.formatException(record.exc_info)
    return values


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_values(record, self))


def _is_bare(value: str) -> bool:
    """Whether the value needs no quotes: nothing in it would end it or control a terminal."""
    return value.isprintable() and bool(value) and not _QUOTED.search(value)


class _Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(
            f"{key}={value if _is_bare(value) else json.dumps(value)}"
            for key, value in _values(record, self).items()
        )


FORMATS: dict[str, type[logging.Formatter]] = {"logfmt": _Logfmt, "json": _Json}

SETTINGS: Settings = {
    "log.level": Setting(
        values.one_of(LEVELS), "info", f"lowest level to log: {', '.join(LEVELS)}", "LEVEL"
    ),
    "log.format": Setting(
        values.one_of(FORMATS), "logfmt", f"format of log lines: {', '.join(FORMATS)}", "FORMAT"
    ),
}


class _Prioritised(logging.Formatter):
    """Another formatter's line after its priority for the journal."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES[_NAMES.get(record.levelno, "info")]
        return f"<{priority}>{self._inner.format(record)}"


def configure(level: str, format_name: str) -> None:
    """Send records of ``level`` (a key of LEVELS) and above to standard error.

    ``format_name`` is a key of FORMATS. If standard error is the journal, each line begins with its
    priority.
    """
    handler = logging.StreamHandler()
    formatter = FORMATS[format_name]()
    handler.setFormatter(_Prioritised(formatter) if systemd.has_journal() else formatter)
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
