"""The tables of files and clients as JSON, and the OpenAPI document that says how to ask for them.

What a request may say and what a row holds is declared once, as JSON Schema: requests are checked
against the declarations, and the document is made of them.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

from glupy_exporter import __version__, values
from glupy_exporter.config import API_PATH, Config
from glupy_exporter.node import activity, names, nodestate
from glupy_exporter.node.bricks import OpenBrick, Problem, open_bricks
from glupy_exporter.node.privacy import Privacy, glob
from glupy_exporter.schema import layout, quantities
from glupy_exporter.schema.quantities import Subject
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.segment.records import ClientIdentity
from glupy_exporter.segment.text import escape

PREFIX = f"{API_PATH}v1/"
OPENAPI_PATH = f"{PREFIX}openapi.json"
LIMIT_MAX = 100_000
ROWS_MAX_BYTES = 56 * 2**20
"""Of all rows of an answer, which may be fewer than its limit for that: LIMIT_MAX rows take as much
if their names are of the usual length."""

_ROWS_AT_A_TIME = 256  # before others may have the interpreter for longer
_BATCH = 4096  # rows that are there as objects at a time: each takes some KB

Schema = dict[str, Any]
Query = dict[str, Any]
"""The parameters of a request by name; those without a default that it does not have are left
out."""


class Item(NamedTuple):
    """A row of a table, and what is shown of it."""

    volume: str
    brick: str
    entry: Any
    """A ``File`` or a ``Client``, as the resource has it."""
    name: str
    """A file's path or a client's address."""
    top_client: ClientIdentity | None = None


class Column(NamedTuple):
    """A property of the rows in an answer."""

    name: str
    schema: Schema
    value: Callable[[Item], Any]


class Parameter(NamedTuple):
    """Something that a request may say. Of JSON Schema, :func:`query` knows what is used here."""

    name: str
    help: str
    schema: Schema


def _column(name: str, kind: str | list[str], text: str, value: Callable[[Item], Any]) -> Column:
    return Column(name, {"type": kind, "description": text}, value)


def _counted(subject: Subject) -> tuple[Column, ...]:
    """A column for each of the subject's numbers."""

    def column(declared: quantities.Column) -> Column:
        kind = "number" if declared.quantity.seconds else "integer"
        return _column(
            declared.name, kind, declared.help, lambda item: declared.value(item.entry.activity)
        )

    return tuple(map(column, filter(lambda each: subject.has(each.quantity), quantities.COLUMNS)))


_WHERE = (
    _column("volume", "string", "Volume.", lambda item: item.volume),
    _column("brick", "string", "Path of the brick.", lambda item: item.brick),
)
_FILE = (
    _column("gfid", "string", "GlusterFS's id of the file.", lambda item: item.entry.gfid),
    _column("path", "string", "As the label path of /metrics has it.", lambda item: item.name),
    _column(
        "type", "string", "Empty while it is not known, else as parameter.", lambda i: i.entry.type
    ),
    _column("unlinked", "boolean", "Whether it is deleted.", lambda item: item.entry.unlinked),
    _column(
        "top_client",
        ["string", "null"],
        "Address of the client that does most on the file of late, an estimate.",
        lambda item: item.top_client and item.top_client.address,
    ),
    _column(
        "top_client_process",
        ["string", "null"],
        "Its process, as for clients.",
        lambda item: item.top_client and item.top_client.process,
    ),
)
_CLIENT = (
    _column("client", "string", "Address of the client's host.", lambda item: item.name),
    _column(
        "process",
        "string",
        "Process id on that host, empty for all of the host's.",
        lambda item: item.entry.process,
    ),
)

# So that even with every character as twelve of a URL a request stays below MAX_HEADER_BYTES.
_TEXT = {"type": "string", "minLength": 1, "maxLength": 400}


@dataclass(frozen=True)
class Resource:
    """A table that can be asked for at :attr:`path`."""

    name: str
    help: str
    columns: tuple[Column, ...]
    filters: tuple[Parameter, ...]
    items: Callable[[OpenBrick, Privacy], Iterator[Item]]
    """Everything in a brick's table that may be shown."""

    @property
    def path(self) -> str:
        """Where it is served."""
        return PREFIX + self.name

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Everything that a request may say."""
        names = [column.name for column in self.columns]
        orders = ["asc", "desc"]
        return (
            Parameter(
                "sort", "Column to sort by.", {"type": "string", "enum": names, "default": "fops"}
            ),
            Parameter(
                "order", "Sort order.", {"type": "string", "enum": orders, "default": "desc"}
            ),
            Parameter(
                "limit",
                "The most rows to return.",
                {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 100},
            ),
            Parameter("volume", "Only bricks of this volume.", _TEXT),
            Parameter("brick", "Only the bricks that have this path.", _TEXT),
            *self.filters,
        )


def _files(brick: OpenBrick, privacy: Privacy) -> Iterator[Item]:
    segment = brick.segment
    table = segment.file_table()
    slots, twins = _twins(table.tags)
    files = names.complete(brick, table.records(slots))
    two_slots = names.complete(brick, table.records(twins))
    shown = filter(privacy.shown, chain(activity.merge(two_slots), files))
    while batch := list(islice(shown, _BATCH)):
        clients = activity.top_clients(segment, batch)
        for file in batch:
            yield Item(*brick.key, file, privacy.path(file), clients.get(file.activity.top_client))


def _twins(tags: Sequence[int]) -> tuple[list[int], list[int]]:
    """The slots in use that have a tag of their own, and those that may be one file's.

    A brick makes few of the latter. What a segment has more of them is no brick's work, and is
    taken for files of their own.
    """
    count = Counter(tags)
    twins = [slot for slot, tag in enumerate(tags) if tag and count[tag] > 1][:_BATCH]
    others = set(twins)
    return [slot for slot, tag in enumerate(tags) if tag and slot not in others], twins


def _clients(brick: OpenBrick, _: Privacy) -> Iterator[Item]:
    segment = brick.segment
    found = (client for _, client in segment.client_table().records())
    for client in activity.merge(found):
        yield Item(*brick.key, client, client.address)


_GLOB = "a pattern of the shell, in which * and ? match / too"

FILES = Resource(
    "files",
    "The files in the tables of this node's bricks: all that are tracked, not only the busiest.",
    (*_WHERE, *_FILE, *_counted(quantities.FILE)),
    (
        Parameter("path", f"Only files whose path, as it is shown, matches this: {_GLOB}.", _TEXT),
        Parameter(
            "type",
            "Only files of this type.",
            {"type": "string", "enum": list(layout.FILE_TYPES[1:])},
        ),
    ),
    _files,
)
CLIENTS = Resource(
    "clients",
    "The clients in the tables of this node's bricks: all that are tracked, those that went "
    "away as well.",
    (*_WHERE, *_CLIENT, *_counted(quantities.CLIENT)),
    (Parameter("client", f"Only clients whose address matches this: {_GLOB}.", _TEXT),),
    _clients,
)
RESOURCES = (FILES, CLIENTS)


def served(config: Config) -> tuple[Resource, ...]:
    """The tables that may be asked for: what is not exported is not told in another way."""
    return tuple(each for each in RESOURCES if config.api and each.name in config.collectors)


def query(resource: Resource, arguments: Mapping[str, Sequence[bytes]]) -> Query:
    """The parameters of a request, checked; ``path`` and ``client`` become compiled patterns.

    Raises:
        ValueError: says what is wrong with which of them.
    """
    known = {parameter.name: parameter for parameter in resource.parameters}
    result = {
        name: parameter.schema["default"]
        for name, parameter in known.items()
        if "default" in parameter.schema
    }
    for name, given in arguments.items():
        if name not in known:
            raise ValueError(f"{name!r} is not a parameter: there are {', '.join(known)}")
        if len(given) > 1:
            raise ValueError(f"{name} is there more than once")
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
    """The first rows of all that are found, by the order that is asked for."""

    def __init__(self, resource: Resource, wanted: Query) -> None:
        self.found = 0
        self._columns = resource.columns
        self._value = next(each.value for each in resource.columns if each.name == wanted["sort"])
        self._reverse = wanted["order"] == "desc"
        self._limit = wanted["limit"]
        self._rows: list[tuple[tuple[bool, Any], Item | bytes]] = []

    def add(self, items: Iterator[Item]) -> None:
        """Find these.

        Raises:
            SegmentError: their segment is not what it should be; some of them may have been found.
        """
        while batch := list(islice(items, _BATCH)):
            self.found += len(batch)
            self._rows += ((self._key(item), item) for item in batch)
            self._rows.sort(key=itemgetter(0), reverse=self._reverse)
            del self._rows[self._limit :]
            self._encode()

    def _key(self, item: Item) -> tuple[bool, Any]:
        sorted_by = self._value(item)
        return sorted_by is not None, sorted_by

    def _encode(self) -> None:
        """Turn rows into JSON, which takes less memory, and cut them where they take too much."""
        size = 0
        for place, (key, row) in enumerate(self._rows):
            if isinstance(row, Item):
                row = _json({column.name: column.value(row) for column in self._columns})
                self._rows[place] = key, row
            size += len(row)
            if size > ROWS_MAX_BYTES:
                del self._rows[place:]

    def json(self) -> list[bytes]:
        """Each as JSON."""
        return [row for _, row in self._rows if isinstance(row, bytes)]


def answer(
    resource: Resource,
    wanted: Query,
    config: Config,
    give_way: Callable[[], None] = lambda: None,
) -> Iterator[bytes]:
    """The answer to a request, as JSON in pieces; ``give_way`` is called every few rows."""
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
                items = resource.items(brick, config.privacy)
                try:
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
    pattern = wanted.get("path") or wanted.get("client")
    if pattern is not None and not pattern.match(item.name):
        return False
    return "type" not in wanted or item.entry.type == wanted["type"]


def _json(value: object) -> bytes:
    """``value`` as JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def error(message: str) -> bytes:
    """The body of an answer that is none."""
    return _json({"error": message}) + b"\n"


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _operation(resource: Resource) -> Schema:
    row = {"type": "array", "items": {"$ref": f"#/components/schemas/{resource.name}"}}
    problems = {"type": "array", "items": {"$ref": "#/components/schemas/problem"}}
    body = _object(
        {
            "matched": {"type": "integer", "description": "Rows there are, whatever the limit."},
            resource.name: row,
            "problems": problems,
        }
    )
    failures = {
        "400": "A parameter is wrong.",
        "404": "The table is switched off.",
        "503": "Too many requests wait already.",
    }
    return {
        "operationId": f"list_{resource.name}",
        "summary": resource.help,
        "parameters": [
            {
                "name": parameter.name,
                "in": "query",
                "description": parameter.help,
                "schema": parameter.schema,
            }
            for parameter in resource.parameters
        ],
        "responses": {
            "200": {"description": "The rows.", **_content(body)},
            **{
                status: {"description": text, **_content({"$ref": "#/components/schemas/error"})}
                for status, text in failures.items()
            },
        },
    }


def openapi(resources: Sequence[Resource]) -> bytes:
    """The OpenAPI document of these tables, as JSON."""
    text = {"type": "string"}
    schemas = {
        resource.name: _object({column.name: column.schema for column in resource.columns})
        for resource in resources
    }
    schemas["problem"] = {
        "description": "A segment that could not be read: rows of its brick are missing, or all.",
        **_object({"segment": text, "reason": text, "message": text}),
    }
    schemas["error"] = _object({"error": text})
    document = _json(
        {
            "openapi": "3.1.0",
            "info": {"title": "glupy-exporter", "version": __version__},
            # Relative to where the document was found, perhaps below a proxy's own path.
            "servers": [{"url": "../.."}],
            "paths": {resource.path: {"get": _operation(resource)} for resource in resources},
            "components": {"schemas": schemas},
        }
    )
    return document + b"\n"
