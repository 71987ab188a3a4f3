"""The busiest files of a brick."""

from __future__ import annotations

import time
from array import array
from collections.abc import Hashable, Iterable
from typing import Union

from glupy_exporter.collectors import activity, names
from glupy_exporter.collectors.base import Collector, OpenBrick, Options
from glupy_exporter.collectors.family import Family, Sample
from glupy_exporter.collectors.selector import KEEP, Selector
from glupy_exporter.segment import layout
from glupy_exporter.segment.reader import File, FileTable

_WHICH = (
    "Only for the busiest files of the brick. path is from the volume's root, <gfid:...> while no "
    "brick of the volume on this node knows it, ends in ... where cut and in (deleted) if the file "
    "is, and has \\xNN for bytes that are not UTF-8 and for control characters; type is file, "
    "directory, symlink, block, char, fifo, socket, or empty while it is not known."
)
_LABELS = ("gfid", "path", "type")

FOPS = Family(
    "glupy_file_fops_total",
    "counter",
    f"Fops on a file that came back through the translator, failed ones included. {_WHICH}",
    (*_LABELS, "kind"),
    parts=layout.KINDS,
)
IO_BYTES = Family(
    "glupy_file_io_bytes_total",
    "counter",
    f"Bytes of a file that reads returned and writes stored, at the translator. {_WHICH}",
    (*_LABELS, "direction"),
    parts=layout.DIRECTIONS,
)
SECONDS = Family(
    "glupy_file_fop_seconds_total",
    "counter",
    f"Time that fops on a file spent below the translator in the brick. {_WHICH}",
    (*_LABELS, "kind"),
    parts=layout.KINDS,
)
TRACKED = Family(
    "glupy_files_tracked", "gauge", "Files that have a slot in the brick's file table."
)
SLOTS = Family("glupy_files_slots", "gauge", "Slots in the brick's file table, used or free.")
EVICTED = Family(
    "glupy_files_evicted_total", "counter", "Files that lost their slot to a busier file."
)
UNTRACKED = Family(
    "glupy_file_untracked_fops_total",
    "counter",
    "Fops on files that found no slot in the brick's file table; glupy_file_ metrics miss them.",
)
ERROR_BOUND = Family(
    "glupy_file_count_error_bound",
    "gauge",
    "The most fops by which any exported glupy_file_fops_total of the brick may be too low: a file "
    "is counted from when it gets its slot, and may have been at work before.",
)
TOP_CLIENT = Family(
    "glupy_file_top_client_info",
    "gauge",
    "The client that does most on a file of late, always 1. An estimate: right if one client does "
    "more than half of the fops, else any of the busier ones; not there while it is not known.",
    ("gfid", "path", "client", "process"),
)

_Version = tuple[int, int, int]  # slot, tag, seq of its name
_Verdict = Union[bool, File]  # whether a file may be shown, or a file that has no name to judge by


class Files(Collector):
    """The busiest files; which they are is decided here, from one scrape to the next."""

    name = "files"
    help = "the busiest files of each brick"
    families = (
        FOPS,
        IO_BYTES,
        SECONDS,
        TOP_CLIENT,
        TRACKED,
        SLOTS,
        EVICTED,
        UNTRACKED,
        ERROR_BOUND,
    )
    default_limit = 50

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._selector = Selector(self.limit)
        self._verdicts: dict[Hashable, tuple[float, dict[_Version, _Verdict]]] = {}

    def live(self, brick: OpenBrick) -> Iterable[Sample]:
        """Samples of a brick that runs."""
        segment = brick.segment
        health = segment.file_health()
        yield TRACKED, (), health.tracked
        yield SLOTS, (), health.slots
        yield EVICTED, (), health.evicted
        yield UNTRACKED, (), health.untracked_fops
        table = segment.file_table()
        now = time.monotonic()
        tags = self._shown(brick, table, now) if self.privacy.selective else table.tags
        slots = self._selector.select(
            brick.key, tags, activity.orders(table), segment.half_life, now
        )
        # Asked again: a file may have got another name since its slot was judged.
        named = names.complete(brick, segment.files(table, slots), self.resolver)
        files = activity.merge_files(filter(self.privacy.shown, named))
        yield ERROR_BOUND, (), max((file.error_bound for file in files), default=0)
        paths = {file.gfid: self.privacy.path(file) for file in files}
        rows = (((f.gfid, paths[f.gfid], f.type), f.activity) for f in files)
        yield from activity.samples(rows, FOPS, IO_BYTES, SECONDS)
        clients = activity.top_clients(segment, files)
        for file in files:
            client = clients.get(file.top_client)
            if client:
                labels = (file.gfid, paths[file.gfid], client.address, client.process)
                yield TOP_CLIENT, labels, 1

    def _shown(self, brick: OpenBrick, table: FileTable, now: float) -> array[int]:
        """The tags of the table, 0 in place of those of files that may not be shown.

        A verdict holds until the slot's name changes: it would be slow to read every name at every
        scrape. Files without one are judged each time, as the node may learn it any time.
        """
        key = (*brick.key, brick.brick.created)
        _, before = self._verdicts.pop(key, (now, {}))
        verdicts: dict[_Version, _Verdict] = {}
        tags = array("Q", table.tags)
        for row, seq in zip(table.rows, table.versions()):
            version = (*row[:2], seq)
            verdict = before.get(version)
            if verdict is None:
                file = brick.segment.file(table, row)
                verdict = self.privacy.shown(file) if file and file.path else file
            if verdict is not None:
                verdicts[version] = verdict
            shown = verdict
            if isinstance(verdict, File):
                (file,) = names.complete(brick, [(row, verdict)], self.resolver)
                shown = self.privacy.shown(file)
            if not shown:
                tags[row[0]] = 0
        self._verdicts = {k: v for k, v in self._verdicts.items() if now - v[0] <= KEEP}
        self._verdicts[key] = now, verdicts
        return tags
