"""The columns of each view, tables of plain text, and the lines of a screen."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from glupy_exporter.errors import UserError
from glupy_exporter.node.recorder import Recorded, Waiting
from glupy_exporter.top import text
from glupy_exporter.top.model import ClientRate, FileRate, Rate, Rates

HEAD_LINES = 3
"""Lines of a screen above the rows: status, names of the views, titles of the columns."""

_NUMBER_COLUMNS = 7
_BRICK_SHARE = 3  # bricks get a third of the room beside the numbers, more if names need less
_EXTRA_SHARE = 4  # an extra column gets at most a quarter of that room
_EXTRA_COLUMNS = 100  # an extra column is left out of a narrower screen: names need the room

HELP = """\
1 2 3, Tab    fops, files, clients
4 5           slow fops, fops in flight
s, S          sort by the next column; reverse the order
/             show only names that contain a text; Esc keeps the old filter
p, Space      pause: keep what is shown
+ -           look less often, more often
Up Down PgUp PgDn Home    move through the rows
?             this help
q             quit

Views 1 to 3 show only rows that did something since the last look.
ms/s          time spent in the brick per second, over 1000 where fops overlap
top client    client that does most on a file, estimated; needs 100 columns
p99           about 99 of 100 calls took at most this long
\\xNN \\uNNNN   a character of a name that cannot be shown
...           the rest of a name that is cut
[self-heal]   a service of GlusterFS's own, not an application"""


class Column(NamedTuple):
    """A column of a view."""

    title: str
    field: str
    """The field of the rows."""
    write: Callable[[Any], str]
    """Writes the field's value, unless it is None."""


class View(NamedTuple):
    """One of the tables; ``name`` is also the field of :class:`Rates` that has its rows."""

    name: str
    columns: tuple[Column, ...]
    label: str
    """The field that names a row."""
    extra: Column | None = None
    """A column of texts before the names, if there is room."""

    @property
    def sorts(self) -> tuple[str, ...]:
        """The titles of the columns by which rows can be sorted."""
        return (*(column.title for column in self.columns), self.label)


def _milliseconds(seconds: float) -> str:
    return text.count(seconds * 1000)


def _ago(seconds: float) -> str:
    return text.duration(max(0.0, time.time() - seconds))


_WORK = (
    Column("fops/s", "fops_per_second", text.count),
    Column("rdB/s", "read_bytes_per_second", text.size),
    Column("wrB/s", "write_bytes_per_second", text.size),
    Column("ms/s", "seconds_per_second", _milliseconds),
)

VIEWS = (
    View(
        "fops",
        (
            Column("call/s", "calls_per_second", text.count),
            Column("err/s", "errors_per_second", text.count),
            Column("mean", "mean_seconds", text.duration),
            Column("p99", "p99_seconds", text.duration),
            Column("flight", "in_flight", text.count),
        ),
        "fop",
    ),
    View("files", _WORK, "path", Column("top client", "top_client", str)),
    View(
        "clients",
        (
            *_WORK,
            Column("err/s", "errors_per_second", text.count),
            Column("conns", "connections", text.count),
        ),
        "client",
    ),
    View(
        "slow",
        (
            Column("ago", "time", _ago),
            Column("took", "seconds", text.duration),
            Column("bytes", "size", text.size),
        ),
        "path",
        Column("client", "client", str),
    ),
    View(
        "inflight",
        (
            Column("age", "seconds", text.duration),
            Column("bytes", "size", text.size),
        ),
        "path",
        Column("client", "client", str),
    ),
)


@dataclass
class Sort:
    """How a view is sorted: numbers descending and names ascending, unless ``reverse``."""

    index: int = 0
    """Index into :attr:`View.sorts`."""
    reverse: bool = False


@dataclass
class State:
    """The user's choices; ``prompt`` is the filter while the user types it."""

    interval: float
    """Seconds between two looks."""
    view: int = 0
    """Index into :data:`VIEWS`."""
    sorts: list[Sort] = field(default_factory=lambda: [Sort() for _ in VIEWS])
    filter: str = ""
    prompt: str | None = None
    paused: bool = False
    help: bool = False
    first: int = 0
    """Index of the row on top."""

    @property
    def sort(self) -> Sort:
        """The sort of the current view."""
        return self.sorts[self.view]


def sort_by(state: State, title: str) -> None:
    """Sort the current view by the column ``title``.

    Raises:
        UserError: the view has no such column.
    """
    view = VIEWS[state.view]
    if title not in view.sorts:
        raise UserError(
            f"{view.name} cannot be sorted by {title!r}, only by {', '.join(view.sorts)}"
        )
    state.sort.index = view.sorts.index(title)


def _label(view: View, row: Rate) -> str:
    label: str = getattr(row, view.label)
    if isinstance(row, (Recorded, Waiting)):
        return _of_fop(row)
    if isinstance(row, ClientRate) and row.internal:
        return f"[{label}]"
    if not isinstance(row, FileRate):
        return label
    label = label or f"<gfid:{row.gfid}>"
    named = label.startswith("/") and not row.unlinked
    return f"{label}/" if row.type == "directory" and named and label != "/" else label


def _of_fop(row: Recorded | Waiting) -> str:
    """The fop and its file, and what became of it, or who holds the lock that it waits for."""
    end = ""
    if isinstance(row, Recorded):
        end = f" = {row.error}" if row.error else ""
    elif row.lock:
        end = f" ({row.lock} lock, held by {row.holder or 'unknown'})"
    elif row.held_since is not None:
        end = f" (lease of {row.holder or 'unknown'})"
    return f"{row.fop} {row.path or row.gfid}{end}"


def _brick(row: Rate) -> str:
    return f"{row.volume}:{row.brick}"


def _cell(column: Column, row: Rate) -> str:
    value = getattr(row, column.field)
    return "-" if value is None else column.write(value)


def select(view: View, rates: Rates, sort: Sort, contains: str) -> list[Rate]:
    """The rows of ``view`` whose names contain a text, in upper or lower case, sorted."""
    rows: list[Rate] = list(getattr(rates, view.name))
    wanted = contains.casefold()
    if wanted:
        rows = [row for row in rows if wanted in f"{_brick(row)}\n{_label(view, row)}".casefold()]
    rows.sort(key=lambda row: (_label(view, row), _brick(row)))
    if sort.index < len(view.columns):
        name = view.columns[sort.index].field
        rows.sort(key=lambda row: getattr(row, name) or 0, reverse=not sort.reverse)
    elif sort.reverse:
        rows.reverse()
    return rows


def table(
    view: View, rows: Sequence[Rate], columns: int | None, encoding: str = "utf-8"
) -> list[str]:
    """The lines of a table, titles first, ``columns`` wide; as wide as they need to be for None."""
    numbers = [[column.title, *(_cell(column, row) for row in rows)] for column in view.columns]
    texts = [
        ["brick", *map(_brick, rows)],
        [view.label, *(_label(view, row) for row in rows)],
    ]
    if view.extra and (columns is None or columns >= _EXTRA_COLUMNS):
        texts.insert(1, [view.extra.title, *(_cell(view.extra, row) for row in rows)])
    texts = [[text.printable(cell, encoding) for cell in cells] for cells in texts]
    widths = [max(map(text.width, cells)) for cells in texts]
    if columns is not None:
        room = columns - _NUMBER_COLUMNS * len(numbers) - 2 * (len(texts) - 1)
        widths[1:-1] = [min(width, room // _EXTRA_SHARE) for width in widths[1:-1]]
        room = max(0, room - sum(widths[1:-1]))
        widths[0] = min(widths[0], max(room // _BRICK_SHARE, room - widths[-1]))
        widths[-1] = room - widths[0]
    lines = []
    for figures, words in zip(zip(*numbers), zip(*texts)):
        line = "".join(f"{figure:>{_NUMBER_COLUMNS - 1}} " for figure in figures)
        line += "  ".join(map(text.ending, words, widths))
        lines.append(line.rstrip() if columns is None else text.left(line, columns))
    return lines


def _fields(row: Rate) -> dict[str, Any]:
    return row._asdict() if isinstance(row, (Recorded, Waiting)) else dataclasses.asdict(row)


def to_json(rates: Rates, rows: dict[str, list[Rate]]) -> str:
    """One JSON object: time and interval, bricks, problems, and the rows of each view."""
    return json.dumps(
        {
            "time": rates.time,
            "interval_seconds": rates.interval,
            "bricks_up": rates.up,
            "bricks_down": rates.down,
            "problems": [
                {"segment": str(p.path), "reason": p.reason, "message": p.message}
                for p in rates.problems
            ],
            **{name: [*map(_fields, found)] for name, found in rows.items()},
        },
        indent=2,
    )


class Line(NamedTuple):
    """A line of a screen; ``marked`` is the part that stands out: its first column and width."""

    text: str
    title: bool = False
    marked: tuple[int, int] = (0, 0)


def screen(
    state: State, rates: Rates, height: int, columns: int, encoding: str = "utf-8"
) -> list[Line]:
    """At most ``height`` lines, each ``columns`` wide.

    ``state.first`` is moved back if there are no rows that far down.
    """
    view, sort = VIEWS[state.view], state.sort
    rows = select(view, rates, sort, state.filter if state.prompt is None else state.prompt)
    room = max(0, height - HEAD_LINES - 1)
    state.first = max(0, min(state.first, len(rows) - room))
    if state.help:
        body = [Line(line) for line in HELP.splitlines()[: height - HEAD_LINES]]
        title = Line("help: any key goes back", title=True)
    else:
        titles, *lines = table(view, rows[state.first : state.first + room], columns, encoding)
        title = Line(titles, title=True, marked=_sorted_column(view, sort, titles))
        body = [Line(line) for line in lines or [_why_empty(view, rates, state)]][:room]
        body += [Line("")] * (room - len(body))
        body.append(Line(_bottom(state, rates, len(rows), room)))
    shown = [Line(_status(state, rates)), _tabs(state, view, sort), title, *body][:height]
    return [
        line._replace(text=text.left(text.printable(line.text, encoding), columns))
        for line in shown
    ]


def _sorted_column(view: View, sort: Sort, titles: str) -> tuple[int, int]:
    if sort.index < len(view.columns):
        return sort.index * _NUMBER_COLUMNS, _NUMBER_COLUMNS - 1
    return titles.rfind(view.label), len(view.label)


def _status(state: State, rates: Rates) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(rates.time))
    bricks = f"{rates.up} brick{'' if rates.up == 1 else 's'} up"
    if rates.down:
        bricks += f", {len(rates.down)} down"
    seconds = f"{rates.interval:.1f} s" if rates.interval else "first look"
    calls = text.count(sum(fop.calls_per_second for fop in rates.fops))
    # Not at the end, which a narrow terminal cuts off.
    paused = "  PAUSED" if state.paused else ""
    return f"glupy-exporter top  {clock}{paused}  {bricks}  {calls} fops/s  over {seconds}"


def _tabs(state: State, view: View, sort: Sort) -> Line:
    names = [f" {number} {each.name}" for number, each in enumerate(VIEWS, 1)]
    start = sum(map(len, names[: state.view]))
    ascending = (sort.index >= len(view.columns)) != sort.reverse
    way = "ascending" if ascending else "descending"
    line = f"{''.join(names)}  by {view.sorts[sort.index]}, {way}"
    if state.filter and state.prompt is None:
        line += f"  filter: {state.filter}"
    return Line(line, marked=(start, len(names[state.view])))


_NOT_RATES = {
    "slow": "The bricks remember no slow fop.",
    "inflight": "All fops have come back.",
}
"""The views of single fops, and what they say if there is none."""


def _why_empty(view: View, rates: Rates, state: State) -> str:
    if not rates.up:
        return "No brick with the translator runs on this node."
    if view.name in _NOT_RATES:
        return "No such fop contains the filter." if state.filter else _NOT_RATES[view.name]
    if not rates.interval:
        return "Rates come with the second look, in a moment."
    return "Nothing since the last look" + (" contains the filter." if state.filter else ".")


def _bottom(state: State, rates: Rates, rows: int, room: int) -> str:
    if state.prompt is not None:
        return f"/{state.prompt}_"
    if rates.problems:
        problem = rates.problems[0]
        more = f" (and {len(rates.problems) - 1} more)" if len(rates.problems) > 1 else ""
        return f"{problem.path.name}: {problem.message}{more}"
    if rows > room:
        return f"rows {state.first + 1}-{min(rows, state.first + room)} of {rows}  ? help  q quit"
    return f"every {state.interval:g} s  Tab view  s sort  / filter  p pause  ? help  q quit"
