"""The busiest files of a brick."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Union

from glupy_exporter.metrics import rows
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.declared import Declared
from glupy_exporter.metrics.family import Block, Family, Labels
from glupy_exporter.node import activity, names
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.memory import Memory
from glupy_exporter.schema import quantities
from glupy_exporter.segment.records import ClientIdentity, File, FileIdentity
from glupy_exporter.segment.table import FileTable, Known, Row

LIMIT, AN_HOUR = 24, 12
"""Defaults of the settings: docs/scale.md counts the series that follow."""

_WHICH = "Only the brick's busiest files have it."
_MORE = """\
`path` begins at the volume's root. It is `<gfid:...>` while no brick of the volume on this node
knows the path. It ends in `...` if it is cut, and in `(deleted)` if the file was deleted before it
got series. A file that is renamed later gets other series, so it keeps its former path until there
is budget for that. It also keeps the path after it is deleted, and while the brick that knows the
path is down. Bytes that are not UTF-8, and control characters, are shown as `\\xNN`. A path that is
then longer than 1024 bytes is cut, and ends in `...` and a hash of the whole path. `type` is
`file`, `directory`, `symlink`, `block`, `char`, `fifo`, `socket`, or empty while it is not known.
Whatever `path` shows, anybody who can mount the volume can find the file by its gfid.

The top client is an estimate. It is right if one client does more than half of the fops; otherwise
it is any of the busier clients. `glupy_file_top_client_info` has no row while it is not known, or
if it changes more often than a budget of the same size allows."""
COUNTS = Declared(quantities.COUNTERS, quantities.FILE, ("gfid", "path", "type"), _WHICH)
HEALTH = rows.Health(quantities.FILE)
TOP_CLIENT = Family(
    "glupy_file_top_client_info",
    "gauge",
    "Always 1; the labels name the client that does most on a file of late, an estimate.",
    ("gfid", "path", "client", "process"),
)

_Version = tuple[int, int, int]  # slot, tag, seq of its name
_Verdict = Union[bool, File]  # whether a file may be shown, or a file that has no name to judge by


class Files(rows.Busiest[File]):
    """The busiest files, chosen anew at each scrape."""

    name = "files"
    help = "the busiest files of each brick"
    families = (*COUNTS.families, TOP_CLIENT, *HEALTH.families)
    settings = rows.settings(quantities.FILE, LIMIT, AN_HOUR)
    more = f"{rows.MORE}\n\n{_MORE}"

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._known: Memory[Known[FileIdentity]] = Memory(lambda _: {})
        self._known_clients: Memory[Known[ClientIdentity]] = Memory(lambda _: {})
        self._verdicts: Memory[dict[_Version, _Verdict]] = Memory(lambda _: {})

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        table = brick.segment.file_table()
        now = time.monotonic()
        tags = self._shown(brick, table, now) if self.privacy.selective else table.tags
        known = self._known.of(brick.identity, now)

        def read(slots: Sequence[int]) -> Iterator[tuple[Row, File]]:
            found = list(table.records(slots, known))
            for (row, _), file in zip(found, names.complete(brick, found)):
                # Asked again, as a file may have been renamed since its slot was judged.
                if self.privacy.shown(file):
                    yield row, file

        history = self.histories.of(brick.key, now)
        files = self.selected(brick, table, tags, history, now, read)
        yield from HEALTH.of(brick, table, files, history.unexported)
        named = self._named(files, history, now)
        labels = [each.labels for each in named]
        columns = rows.columns([file.activity for file in files])
        # What a row counted under its former labels did not grow from 0 under these.
        started = [
            0.0 if each.renamed == first_seen else first_seen
            for each, first_seen in zip(named, columns["first_seen"])
        ]
        yield from COUNTS.rows(labels, columns, started, history.rows)
        known_clients = self._known_clients.of(brick.identity, now)
        clients = activity.top_clients(brick.clients, files, known_clients)
        tops = [
            (gfid, path, *clients[file.activity.top_client])
            for (gfid, path, _), file in zip(labels, files)
            if file.activity.top_client in clients
        ]
        tops = [top for top in tops if history.admission.note(top, now)]
        yield Block(TOP_CLIENT, tops, [1] * len(tops))

    def _named(self, files: Sequence[File], history: rows.History, now: float) -> list[rows.Named]:
        """The labels of each file.

        A new path makes new series, so a renamed file keeps its former path until the budget allows
        the new one. Only a whole path is a new one: if the brick that knows it is down, its files
        are not renamed. A type that is learned later is shown together with the next path.
        """
        known = history.names  # in the order in which they were last used
        found: list[rows.Named] = []
        for file in files:
            path = self.privacy.path(file)
            named = known.pop(file.gfid, rows.Named((file.gfid, path, file.type)))
            _, last_path, last_type = named.labels
            # The series of a deleted file are about to end, and need no other name for that.
            if path != last_path and file.path.startswith("/") and not file.unlinked:
                labels: Labels = (file.gfid, path, file.type or last_type)
                if history.admission.rename(labels, now):
                    named = rows.Named(labels, file.activity.first_seen)
            known[file.gfid] = named
            found.append(named)
        for gfid in list(known)[: -2 * self._limit]:
            del known[gfid]
        return found

    def _shown(self, brick: OpenBrick, table: FileTable, now: float) -> array[int]:
        """The tags of the table, with 0 for files that may not be shown.

        A verdict holds until the slot's name changes, as reading every name at every scrape would
        be slow. A file without a path is judged each time, as the node may learn its path.
        """
        known = self._verdicts.of(brick.identity, now)
        before = dict(known)
        known.clear()
        tags = array("Q", table.tags)
        for version in zip(range(len(tags)), table.tags, table.seqs):
            slot, tag, _ = version
            if not tag:
                continue
            row = slot, tag, 0
            verdict = before.get(version)
            if verdict is None:
                file = table.record(row)
                verdict = self.privacy.shown(file) if file and file.path else file
            if verdict is not None:
                known[version] = verdict
            shown = verdict
            if isinstance(verdict, File):
                (file,) = names.complete(brick, [(row, verdict)])
                shown = self.privacy.shown(file)
            if not shown:
                tags[slot] = 0
        return tags
