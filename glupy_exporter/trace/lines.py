"""Writes records as lines: text for people, or JSON, one object a line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from glupy_exporter.node import recorder
from glupy_exporter.node.recorder import Field, Recorded, Waiting
from glupy_exporter.top import text

FOP, LOST, SUMMARY = "fop", "lost", "summary"
"""The values of ``event`` in the lines of a trace."""


def as_json(value: Mapping[str, Any]) -> str:
    """One object on one line, in ASCII: a name cannot end the line."""
    return json.dumps(value, separators=(",", ":"))


def of(row: Recorded | Waiting) -> dict[str, Any]:
    """The fields of a record, by name."""
    return row._asdict()


def clock(seconds: float) -> str:
    """A time in the local time zone, to the second; with the date if that is not today's."""
    then = time.localtime(seconds)
    today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


def recorded(row: Recorded, date: bool = False, encoding: str = "utf-8") -> str:
    """A fop that came back, on one line that any terminal can show, much as strace writes a call.

    ``date`` says whether the time has a date.
    """
    form = "%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S"
    moment = time.strftime(form, time.localtime(row.time))
    moment += f".{int(row.time % 1 * 1e6):06d}"
    arguments = [row.path or row.gfid] if row.path or row.gfid else []
    if row.size or row.offset:
        arguments.append(f"{row.size} @ {row.offset}")
    result = f"-1 {row.error}" if row.error else "0"
    call = f"{row.fop}({', '.join(arguments)}) = {result} <{row.seconds:.6f}>"
    line = f"{moment} {row.volume}:{row.brick} {_whose(row)} {call}"
    return text.printable(line, encoding)


def waiting(row: Waiting, encoding: str = "utf-8") -> list[str]:
    """A fop in flight, on one line or two; the second names the holder of the lock in its way."""
    what = row.path or row.gfid or "-"
    line = f"{row.seconds:10.1f} s  {row.fop:<12} {row.volume}:{row.brick}  {_whose(row)}  {what}"
    lines = [line]
    if row.lock or row.held_since is not None:
        lines.append(" " * 14 + recorder.sentence(row, clock))
    return [text.printable(each, encoding) for each in lines]


def _whose(row: Recorded | Waiting) -> str:
    parts = [row.client or "-"]
    parts += [f"process={row.process}"] if row.process else []
    parts += [f"uid={row.uid}"] if row.uid else []
    parts += [f"pid={row.pid}"] if row.pid > 0 else []
    return " ".join(parts)


def lost(count: int, volume: str, brick: str) -> str:
    """The line for records of a brick that were overwritten before they were read."""
    return text.printable(f"lost {count} records of {volume}:{brick}")


def schema() -> dict[str, Any]:
    """JSON Schema of the lines of `trace --json`, by the declared fields."""
    count = {"type": "integer", "minimum": 0}
    seconds = {"type": "number", "description": "Quantile of latency, to 4.4 %, in seconds."}
    work = {
        "count": {**count, "description": "Fops."},
        "errors": {**count, "description": "Fops that failed."},
        "seconds": {"type": "number", "description": "Time of all of them, in seconds."},
    }
    fops = {"fop": {"type": "string"}, **work, "p50": seconds, "p99": seconds}
    files = {"gfid": {"type": "string"}, "path": {"type": "string"}, **work}
    clients = {"client": {"type": "string"}, "process": {"type": "string"}, **work}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `glupy-exporter trace --json`",
        "oneOf": [
            _object(FOP, "A fop that came back.", _properties(recorder.RECORDED)),
            _object(
                LOST,
                "Records that a brick had overwritten before they were read.",
                {
                    "volume": {"type": "string"},
                    "brick": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1},
                },
            ),
            _object(
                SUMMARY,
                "The last line, with --summary: what was traced.",
                {
                    "seconds": {"type": "number", "description": "How long was traced."},
                    "traced": {**count, "description": "Fops that were traced."},
                    "lost": {**count, "description": "Records that were overwritten unread."},
                    "fops": _array(fops),
                    "files": _array(files),
                    "clients": _array(clients),
                },
            ),
        ],
    }


def _properties(fields: Iterable[Field]) -> dict[str, Any]:
    return {field.name: {"type": field.type, "description": field.help} for field in fields}


def _object(event: str, text: str, properties: dict[str, Any]) -> dict[str, Any]:
    properties = {"event": {"const": event}, **properties}
    return {
        "type": "object",
        "description": text,
        "properties": properties,
        "required": list(properties),
    }


def _array(properties: dict[str, Any]) -> dict[str, Any]:
    item = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "array", "items": item}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
