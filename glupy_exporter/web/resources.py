"""The tables that the API answers, declared once: what a request may say and what a row holds.

Both are declared as JSON Schema. Requests are checked against the declarations, and the OpenAPI
document is made of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

from glupy_exporter.config import Config
from glupy_exporter.node import activity, names, recorder
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Field, Recorded, Waiting
from glupy_exporter.schema import layout, quantities
from glupy_exporter.schema.quantities import Subject
from glupy_exporter.segment.records import ClientIdentity
from glupy_exporter.web.settings import API_PATH

PREFIX = f"{API_PATH}v1/"
LIMIT_MAX = 100_000
BATCH = 4096
"""Rows that are objects at a time, each of some KB."""

Schema = dict[str, Any]


class Item(NamedTuple):
    """A row of a table, before it is JSON."""

    volume: str
    brick: str
    entry: Any
    """A ``File``, a ``Client``, a ``Recorded`` or a ``Waiting``, by the resource."""
    name: str
    """A file's path or a client's address."""
    client: str = ""
    """The address of the client, if the row has one."""
    top_client: ClientIdentity | None = None


class Column(NamedTuple):
    """A property of each row in an answer."""

    name: str
    schema: Schema
    value: Callable[[Item], Any]


class Parameter(NamedTuple):
    """A parameter of a request. ``api.query`` knows only as much JSON Schema as is used here."""

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
    _column("path", "string", "As in the label path of /metrics.", lambda item: item.name),
    _column(
        "type",
        "string",
        "As in the parameter type; empty while it is not known.",
        lambda i: i.entry.type,
    ),
    _column("unlinked", "boolean", "Whether it is deleted.", lambda item: item.entry.unlinked),
    _column(
        "top_client",
        ["string", "null"],
        "Address of the client that does most on the file of late; an estimate.",
        lambda item: item.top_client and item.top_client.address,
    ),
    _column(
        "top_client_process",
        ["string", "null"],
        "Process of that client, as in the table of clients.",
        lambda item: item.top_client and item.top_client.process,
    ),
)
_CLIENT = (
    _column("client", "string", "Address of the client's host.", lambda item: item.name),
    _column(
        "process",
        "string",
        "Process id on that host; empty if the row is for all processes of the host.",
        lambda item: item.entry.process,
    ),
)

# One of these characters may take twelve bytes of a URL, and a request has MAX_HEADER_BYTES.
_TEXT = {"type": "string", "minLength": 1, "maxLength": 400}


@dataclass(frozen=True)
class Resource:
    """A table that can be asked for at :attr:`path`."""

    name: str
    help: str
    columns: tuple[Column, ...]
    filters: tuple[Parameter, ...]
    items: Callable[[OpenBrick, Privacy], Iterator[Item]]
    """All rows of a brick's table that may be shown."""
    collector: str
    """The collector that is on if the table may be shown."""
    sort: str = "fops"
    """The column to sort by if a request does not say."""
    order: str = "desc"

    @property
    def path(self) -> str:
        """Path of the URL."""
        return PREFIX + self.name

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters that a request may have."""
        names = [column.name for column in self.columns]
        orders = ["asc", "desc"]
        return (
            Parameter(
                "sort",
                "Column to sort by.",
                {"type": "string", "enum": names, "default": self.sort},
            ),
            Parameter(
                "order", "Sort order.", {"type": "string", "enum": orders, "default": self.order}
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
    while batch := list(islice(shown, BATCH)):
        clients = activity.top_clients(segment.client_table(), batch)
        for file in batch:
            top_client = clients.get(file.activity.top_client)
            yield Item(*brick.key, file, privacy.path(file), top_client=top_client)


def _twins(tags: Sequence[int]) -> tuple[list[int], list[int]]:
    """The slots in use whose tag no other slot has, and those that share one with another slot.

    Slots with one tag may be one file's. A brick makes few of them. A segment with more than BATCH
    was not written by a brick, and the rest is taken for files of their own.
    """
    count = Counter(tags)
    twins = [slot for slot, tag in enumerate(tags) if tag and count[tag] > 1][:BATCH]
    others = set(twins)
    return [slot for slot, tag in enumerate(tags) if tag and slot not in others], twins


def _clients(brick: OpenBrick, _: Privacy) -> Iterator[Item]:
    segment = brick.segment
    found = (client for _, client in segment.client_table().records())
    for client in activity.merge(found):
        yield Item(*brick.key, client, client.address, client.address)


def _slow(brick: OpenBrick, privacy: Privacy) -> Iterator[Item]:
    return map(partial(_fop, brick), recorder.slow(brick, privacy))


def _in_flight(brick: OpenBrick, privacy: Privacy) -> Iterator[Item]:
    return map(partial(_fop, brick), recorder.in_flight(brick, privacy))


def _fop(brick: OpenBrick, row: Recorded | Waiting) -> Item:
    return Item(*brick.key, row, row.path, row.client)


def _fields(fields: Sequence[Field]) -> tuple[Column, ...]:
    """A column for each field of a record."""

    def column(field: Field) -> Column:
        kind = [field.type, "null"] if field.name in recorder.NULLABLE else field.type
        return _column(field.name, kind, field.help, lambda item: getattr(item.entry, field.name))

    return tuple(map(column, fields))


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
    "files",
)
CLIENTS = Resource(
    "clients",
    "The clients in the tables of this node's bricks: all that are tracked, also those that are "
    "not connected any more.",
    (*_WHERE, *_CLIENT, *_counted(quantities.CLIENT)),
    (Parameter("client", f"Only clients whose address matches this: {_GLOB}.", _TEXT),),
    _clients,
    "clients",
)
_OF_FOPS = (
    Parameter("fop", "Only fops of this name.", _TEXT),
    Parameter("path", f"Only fops on files whose path matches as it is shown: {_GLOB}.", _TEXT),
    Parameter("client", f"Only fops of clients whose address matches this: {_GLOB}.", _TEXT),
)
SLOW = Resource(
    "slow",
    "The slow fops that this node's bricks keep; a brick keeps as many of the last ones as its "
    "volume option slow-records says.",
    _fields(recorder.RECORDED),
    _OF_FOPS,
    _slow,
    "recorder",
    sort="time",
)
IN_FLIGHT = Resource(
    "inflight",
    "The fops that this node's bricks have not answered, the oldest first, and the clients that "
    "hold the locks that they wait for.",
    _fields(recorder.WAITING),
    _OF_FOPS,
    _in_flight,
    "recorder",
    sort="started",
    order="asc",
)
RESOURCES = (FILES, CLIENTS, SLOW, IN_FLIGHT)


def served(config: Config) -> tuple[Resource, ...]:
    """The tables that are answered: none whose collector is off, as its data is not to be shown."""
    return tuple(each for each in RESOURCES if config.api and each.collector in config.collectors)
