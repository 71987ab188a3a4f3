"""Answers requests for the tables of files and clients, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from glupy_exporter import values
from glupy_exporter.config import Config
from glupy_exporter.node import nodestate
from glupy_exporter.node.bricks import Problem, open_bricks
from glupy_exporter.node.privacy import glob
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.text import escape
from glupy_exporter.web import resources
from glupy_exporter.web.resources import Item, Resource, Schema

ROWS_MAX_BYTES = 56 * 2**20
"""Bytes of all rows of an answer: enough for LIMIT_MAX rows with names of the usual length. An
answer has fewer rows than its limit where they would take more."""

_ROWS_AT_A_TIME = 256  # between two calls of give_way

Query = dict[str, Any]
"""The parameters of a request by name. Those that it lacks have their defaults, or are left out."""


def query(resource: Resource, arguments: Mapping[str, Sequence[bytes]]) -> Query:
    """The parameters of a request, checked; ``path`` and ``client`` become compiled patterns.

    Raises:
        ValueError: a parameter is wrong; the text names it and says why.
    """
    known = {parameter.name: parameter for parameter in resource.parameters}
    result = {
        name: parameter.schema["default"]
        for name, parameter in known.items()
        if "default" in parameter.schema
    }
    for name, given in arguments.items():
        if name not in known:
            raise ValueError(f"{name!r} is not a parameter; known are {', '.join(known)}")
        if len(given) > 1:
            raise ValueError(f"{name} is given more than once")
        try:
            result[name] = _parse(given[0].decode("utf-8"), known[name].schema)
            if name in ("path", "client"):
                result[name] = glob(result[name])
        except UnicodeDecodeError:
            raise ValueError(f"{name}: not UTF-8") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return result


def _parse(text: str, schema: Schema) -> str | int:
    if schema["type"] == "integer":
        return values.whole(schema["minimum"], schema["maximum"])(text)
    if "enum" in schema:
        return values.one_of(schema["enum"])(text)
    if not schema["minLength"] <= len(text) <= schema["maxLength"]:
        raise ValueError(f"has to be of {schema['minLength']} to {schema['maxLength']} characters")
    return text


class _Rows:
    """The rows that an answer has: the first ones by the order that was asked for."""

    def __init__(self, resource: Resource, wanted: Query) -> None:
        self.found = 0
        """All items that were added, also those that are no row of the answer."""
        self._columns = resource.columns
        self._value = next(each.value for each in resource.columns if each.name == wanted["sort"])
        self._reverse = wanted["order"] == "desc"
        self._limit = wanted["limit"]
        self._rows: list[tuple[tuple[bool, Any], Item | bytes]] = []

    def add(self, items: Iterator[Item]) -> None:
        """Add what is found in a brick.

        Raises:
            SegmentError: the brick's segment is broken; some of the items may have been added.
        """
        while batch := list(islice(items, resources.BATCH)):
            self.found += len(batch)
            self._rows += ((self._key(item), item) for item in batch)
            self._rows.sort(key=itemgetter(0), reverse=self._reverse)
            del self._rows[self._limit :]
            self._encode()

    def _key(self, item: Item) -> tuple[bool, Any]:
        sorted_by = self._value(item)
        return sorted_by is not None, sorted_by

    def _encode(self) -> None:
        """Turn items into JSON, which takes less memory, and drop rows beyond ROWS_MAX_BYTES."""
        size = 0
        for place, (key, row) in enumerate(self._rows):
            if isinstance(row, Item):
                row = _json({column.name: column.value(row) for column in self._columns})
                self._rows[place] = key, row
            size += len(row)
            if size > ROWS_MAX_BYTES:
                del self._rows[place:]

    def json(self) -> list[bytes]:
        """Each row as JSON."""
        return [row for _, row in self._rows if isinstance(row, bytes)]


def answer(
    resource: Resource,
    wanted: Query,
    config: Config,
    give_way: Callable[[], None] = lambda: None,
) -> Iterator[bytes]:
    """The answer to a request, as pieces of JSON.

    Args:
        resource: the table that was asked for.
        wanted: what :func:`query` made of the request.
        config: where segments are and what may be shown of them.
        give_way: called every few rows, to let more urgent work go first.
    """
    found = _Rows(resource, wanted)
    known = nodestate.read(config.state_file)
    with open_bricks(config.segment_dir, config.segment_expiry, known) as (bricks, problems):
        for brick in bricks:
            volume, path = brick.key
            if (
                brick.about.alive
                and wanted.get("volume", volume) == volume
                and wanted.get("brick", path) == path
            ):
                try:
                    items = resource.items(brick, config.privacy)
                    found.add(_matching(items, wanted, give_way))
                except SegmentError as error:
                    problems.append(Problem(brick.segment.path, error.reason, str(error)))
    troubles = [
        {
            "segment": escape(os.fsencode(problem.path)),
            "reason": problem.reason,
            "message": problem.message,
        }
        for problem in problems
    ]
    yield b'{"matched":%d,"%b":[' % (found.found, resource.name.encode())
    for place, row in enumerate(found.json()):
        if place:
            yield b","
        yield row
    yield b'],"problems":%b}\n' % _json(troubles)


def _matching(items: Iterator[Item], wanted: Query, give_way: Callable[[], None]) -> Iterator[Item]:
    for number, item in enumerate(items):
        if number % _ROWS_AT_A_TIME == 0:
            give_way()
        if _matches(item, wanted):
            yield item


def _matches(item: Item, wanted: Query) -> bool:
    if "path" in wanted and not wanted["path"].match(item.name):
        return False
    if "client" in wanted and not wanted["client"].match(item.client):
        return False
    if "fop" in wanted and item.entry.fop != wanted["fop"]:
        return False
    return "type" not in wanted or item.entry.type == wanted["type"]


def _json(value: object) -> bytes:
    """``value`` as JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def error(message: str) -> bytes:
    """The body of an error, as JSON."""
    return _json({"error": message}) + b"\n"
