"""The base of the collectors of the busiest files and clients."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, Generic, NamedTuple, TypeVar, Union

from glupy_exporter import values
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.declared import Declared, Kept
from glupy_exporter.metrics.family import Block, Family, Labels, single
from glupy_exporter.node import activity
from glupy_exporter.node.admission import Admission, Candidate
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.memory import LIVES, Memory
from glupy_exporter.node.selector import Ranking, Selector
from glupy_exporter.schema import quantities
from glupy_exporter.schema.quantities import Subject
from glupy_exporter.segment.records import Activity, Client, Counts, File
from glupy_exporter.segment.table import ClientTable, FileTable, Row
from glupy_exporter.values import Setting, Settings

Table = Union[FileTable, ClientTable]
_R = TypeVar("_R", File, Client)

MORE = """\
Prometheus keeps a series for hours after its last sample, so every file or client that is exported
for a moment costs as much as one that stays. Therefore a row, that is a file or a client, has
series while all of this holds:

- It lasts: its last fop came at least `lasting` after the fop by which it got its slot.
- It is among the busiest. There are four orders of the rows that last: by fops, bytes read, bytes
  written and time. The first of each order are taken, then the second of each, up to `limit`. Each
  order looks at recent work: what was done a half-life ago (volume option
  `user.xlator.glupy.half-life`) weighs half. Rows without recent work in an order come after all
  that have some. At its first look at a brick, the exporter takes each row's work as spread evenly
  from the row's first fop to its last one. A row that is no longer among the busiest keeps its
  series until five minutes after its last fop.
- There is room: at most `limit` rows have series. A row that was last among the busiest over a
  minute ago makes room for one that is now.
- There is budget: `new-per-hour` rows of a brick may get series for the first time, saved up for
  two hours, and `limit` more after the exporter's start. A row that had series of late is free. The
  last third of the budget is kept for rows that have lasted ten times as long and are among the
  busier half. A reload counts as a start only if it changes a setting of the collector or of
  privacy.

`_unexported_fops_total` counts the fops of rows that had a slot and no series. `reason` says why: a
row did not last (`flash`), was not among the busiest or found no room (`rank`), or found no budget
(`budget`). The API and `top` show all rows; `dump` does not ask how long a row has lasted.
A row has no series of a `kind` or `direction` that never occurred."""

REASONS = ("flash", "rank", "budget")
"""The reasons why a row has no series: it did not last, others were busier, no budget is left."""


def settings(subject: Subject, limit: int, an_hour: int) -> Settings:
    """The settings of a collector of the busiest files or clients, with these defaults."""
    return {
        "limit": Setting(
            values.whole(1, 10_000),
            limit,
            f"how many {subject.rows} of a brick have series: the busiest by fops, by bytes read, "
            "by bytes written and by time, in turn",
            "N",
        ),
        "lasting": Setting(
            values.duration,
            "30s",
            f"how long {subject.row} has to be in use before it gets series",
            "DURATION",
        ),
        "new-per-hour": Setting(
            values.whole(0, 1_000_000),
            an_hour,
            f"how many {subject.rows} of a brick may get series for the first time in an hour",
            "N",
        ),
    }


def columns(activities: Sequence[Activity] | Sequence[Counts]) -> dict[str, Sequence[Any]]:
    """A column for each quantity that the activities have, by name; durations in nanoseconds."""
    names = activities[0]._fields if activities else Activity._fields
    return dict(zip(names, zip(*activities) if activities else repeat(())))


class Health:
    """The families of how full a table is, and of what its counts may lack."""

    def __init__(self, subject: Subject) -> None:
        self._declared = Declared(quantities.HEALTH, subject)
        self._rows = subject.rows
        self._slots = Family(
            subject.say("glupy_{rows}_slots"),
            "gauge",
            subject.say("Slots in the brick's {name} table, used or free."),
        )
        self._error_bound = Family(
            subject.say("glupy_{name}_count_error_bound"),
            "gauge",
            subject.say(
                "The most fops by which any exported glupy_{name}_fops_total of the brick may be "
                "too low, as fops before {row} got its slot are not counted."
            ),
        )
        self._unexported = Family(
            subject.say("glupy_{name}_unexported_fops_total"),
            "counter",
            subject.say(
                "Fops {of_rows} that had a slot and no series when a scrape looked, since the "
                "exporter first saw the brick; reason is flash, rank or budget, as explained above."
            ),
            ("reason",),
            parts=REASONS,
        )
        self.families = (
            *self._declared.families,
            self._slots,
            self._error_bound,
            self._unexported,
        )

    def of(
        self,
        brick: OpenBrick,
        table: Table,
        served: Sequence[File] | Sequence[Client],
        unexported: Mapping[str, int],
    ) -> Iterable[Block]:
        """The health of a brick's table.

        ``served`` are its files or clients that have series. ``unexported`` has the fops of all
        others by reason.
        """
        yield from self._declared.single(
            brick.segment.health(self._rows), started=brick.about.created
        )
        yield single(self._slots, len(table.tags))
        bound = max((row.activity.error_bound for row in served), default=0)
        yield single(self._error_bound, bound)
        yield Block(self._unexported, [(reason,) for reason in unexported], [*unexported.values()])


class Named(NamedTuple):
    """A file that has series."""

    labels: Labels
    renamed: float | None = None
    """The ``first_seen`` of its row when it got these labels, if it had series under others."""


@dataclass
class History:
    """A brick as the scrapes before left it."""

    admission: Admission
    slots: dict[int, int] = field(default_factory=dict)
    """The slots whose rows have series, with their tags."""
    unexported: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    """Fops of rows without series, by reason."""
    names: dict[str, Named] = field(default_factory=dict)
    """By gfid: the files that have series, and those that had some of late."""
    rows: Kept = field(default_factory=dict)
    """The rows of the last scrape."""


class Busiest(Collector, Generic[_R]):
    """A collector that selects its rows, from one scrape to the next."""

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._limit: int = self.setting("limit")
        self._lasting: float = 0.0 if options.once else self.setting("lasting")
        self._selector = Selector(self._limit, activity.ORDERS)
        admission = partial(Admission, self._limit, self.setting("new-per-hour"), self._lasting)
        self.histories: Memory[History] = Memory(lambda now: History(admission(now)), LIVES)
        """By key of the brick."""

    def selected(
        self,
        brick: OpenBrick,
        table: Table,
        tags: array[int],
        history: History,
        now: float,
        read: Callable[[Sequence[int]], Iterable[tuple[Row, _R]]],
    ) -> list[_R]:
        """The files or clients that have series, each once.

        Only slots whose tag in ``tags`` is not 0 are looked at. ``history`` is that of the brick.
        ``read`` gives the rows of slots, with the file or client of each, and leaves out what may
        not be exported. ``now`` is in seconds on a monotonic clock.
        """
        busiest: Ranking = self._selector.select(
            brick.key,
            tags,
            table.last_seen,
            partial(activity.totals, table),
            partial(activity.lasting, table, self._lasting),
            partial(activity.recent, table, brick.segment.half_life, now),
            brick.segment.half_life,
            now,
        )
        kept: list[int] = [slot for slot, tag in history.slots.items() if tags[slot] == tag]
        found = {row[0]: (row[1], each) for row, each in read(sorted({*busiest.slots, *kept}))}
        who: dict[int, Hashable] = {slot: activity.who(each) for slot, (_, each) in found.items()}
        candidates: dict[Hashable, Candidate] = {}
        for slot, age in zip(busiest.slots, table.ages(busiest.slots)):
            if slot in who:
                candidates.setdefault(who[slot], Candidate(who[slot], age / 1e9))
        working = {who[slot] for slot, gained in busiest.added if gained and slot in who}
        present = {*who.values()}
        served = history.admission.admit([*candidates.values()], present, working, now)
        history.slots = {slot: tag for slot, (tag, _) in found.items() if who[slot] in served}
        refused = {slot for slot, each in who.items() if each in history.admission.refused}
        for slot, gained in busiest.added:
            if tags[slot] and slot not in history.slots:
                reason = "budget" if slot in refused else "rank"
                history.unexported[reason if busiest.lasted[slot] else "flash"] += gained
        return activity.merge(found[slot][1] for slot in history.slots)
