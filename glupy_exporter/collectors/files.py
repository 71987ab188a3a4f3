"""The busiest files of a brick."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from glupy_exporter.collectors import activity
from glupy_exporter.collectors.base import Collector, OpenBrick
from glupy_exporter.collectors.family import Family, Sample
from glupy_exporter.collectors.selector import Selector
from glupy_exporter.segment.reader import File

_WHICH = (
    "Only for the busiest files of the brick; path is from the volume's root, <gfid:...> while the "
    "brick has not learned it, ends in ... where cut, and has \\xNN for bytes that are not UTF-8."
)

FOPS = Family(
    "glupy_file_fops_total",
    "counter",
    f"Fops on a file that came back through the translator, failed ones included. {_WHICH}",
    ("gfid", "path", "kind"),
)
IO_BYTES = Family(
    "glupy_file_io_bytes_total",
    "counter",
    f"Bytes of a file that reads returned and writes stored, at the translator. {_WHICH}",
    ("gfid", "path", "direction"),
)
SECONDS = Family(
    "glupy_file_fop_seconds_total",
    "counter",
    f"Time that fops on a file spent below the translator in the brick. {_WHICH}",
    ("gfid", "path", "kind"),
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
    "The most fops by which any exported glupy_file_fops_total of the brick may be too high.",
)


def _path(file: File) -> str:
    if not file.path:
        return f"<gfid:{file.gfid}>"
    return f"{file.path}..." if file.truncated else file.path


class Files(Collector):
    """The busiest files; which they are is decided here, from one scrape to the next."""

    name = "files"
    help = "the busiest files of each brick"
    families = (FOPS, IO_BYTES, SECONDS, TRACKED, SLOTS, EVICTED, UNTRACKED, ERROR_BOUND)
    default_limit = 50

    def __init__(self, limit: int | None = None) -> None:
        super().__init__(limit)
        self._selector = Selector(self.limit)

    def live(self, brick: OpenBrick) -> Iterable[Sample]:
        """Samples of a brick that runs."""
        segment = brick.segment
        health = segment.file_health()
        yield TRACKED, (), health.tracked
        yield SLOTS, (), health.slots
        yield EVICTED, (), health.evicted
        yield UNTRACKED, (), health.untracked_fops
        table = segment.file_table()
        files: dict[str, File] = {}
        for row in self._selector.select(brick.key, table.rows, time.monotonic()):
            file = segment.file(table, row)
            if file is None:
                continue
            same = files.get(file.gfid)
            if same is not None:
                file = replace(
                    same if same.path else file,
                    activity=activity.add(same.activity, file.activity),
                    error_bound=same.error_bound + file.error_bound,
                )
            files[file.gfid] = file
        yield ERROR_BOUND, (), max((file.error_bound for file in files.values()), default=0)
        yield from activity.samples(
            (((file.gfid, _path(file)), file.activity) for file in files.values()),
            FOPS,
            IO_BYTES,
            SECONDS,
        )
