"""The page at ``/``: the bricks of this node, their state, and links."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from html import escape
from itertools import islice

from glupy_exporter import __version__
from glupy_exporter.config import Config
from glupy_exporter.node import nodestate, recorder
from glupy_exporter.node.bricks import OpenBrick, open_bricks
from glupy_exporter.node.recorder import Recorded, Waiting
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.web import openapi, resources
from glupy_exporter.web.settings import HEALTHY_PATH, READY_PATH

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>glupy-exporter</title>
<style>
body {{ font: 16px/1.5 sans-serif; margin: 2em; color: #222; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3em .8em; border-bottom: 1px solid #ccc; text-align: left; }}
.up {{ color: #06702f; }} .dead, .bad {{ color: #b00020; font-weight: bold; }}
</style>
</head>
<body>
<h1>glupy-exporter</h1>
<p>Version {version}. Metrics of the GlusterFS bricks of this node.</p>
<p>{links}</p>
<h2>Bricks</h2>
{bricks}
{fops}</body>
</html>
"""
_FOPS_MAX = 20
"""Rows of a table of fops; the API has all."""

_FOPS = """\
<h2>{title}</h2>
<p>{text} All: <a href=".{path}">{path}</a></p>
{table}
"""
_COLUMNS = ("State", "Volume", "Brick", "Host", "PID", "GlusterFS", "Translator", "Segment")
_FLIGHT_COLUMNS = ("Age", "Fop", "File", "Client", "Brick", "Lock")
_SLOW_COLUMNS = ("Time", "Took", "Fop", "Error", "File", "Client", "Brick")


def _row(state: str, cells: Iterable[object]) -> str:
    columns = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    return f'<tr><td class="{state}">{state}</td>{columns}</tr>'


def _table(columns: Iterable[str], rows: Iterable[str]) -> str:
    heads = "".join(f"<th>{column}</th>" for column in columns)
    return "<table>\n<tr>{}</tr>\n{}\n</table>".format(heads, "\n".join(rows))


def _cells(cells: Iterable[object]) -> str:
    return "<tr>{}</tr>".format("".join(f"<td>{escape(str(cell))}</td>" for cell in cells))


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _of(row: Recorded | Waiting) -> tuple[str, str, str]:
    who = f"{row.client} {row.process}".strip()
    return row.path or row.gfid, who, f"{row.volume}:{row.brick}"


def _flight_row(row: Waiting) -> str:
    why = recorder.sentence(row, _clock) if row.lock or row.held_since is not None else ""
    return _cells((f"{row.seconds:.1f} s", row.fop, *_of(row), why))


def _slow_row(row: Recorded) -> str:
    return _cells((_clock(row.time), f"{row.seconds:.3f} s", row.fop, row.error, *_of(row)))


def _of_fops(config: Config, bricks: Sequence[OpenBrick]) -> Iterator[str]:
    """The sections of the fops in flight and of slow fops, as far as their tables may be shown."""
    tables = resources.served(config)
    waiting: list[Waiting] = []
    slow: list[Recorded] = []
    for brick in bricks:
        if brick.about.alive:
            # A broken segment is among the problems of the scrapes, and costs its own rows.
            with suppress(SegmentError):
                waiting += islice(recorder.in_flight(brick, config.privacy), _FOPS_MAX)
                slow += islice(recorder.slow(brick, config.privacy), _FOPS_MAX)
    waiting.sort(key=lambda row: row.started)
    slow.sort(key=lambda row: -row.time)
    if resources.IN_FLIGHT in tables:
        rows = [_flight_row(row) for row in waiting[:_FOPS_MAX]]
        yield _FOPS.format(
            title="Fops in flight",
            text="The oldest that have not come back.",
            path=resources.IN_FLIGHT.path,
            table=_table(_FLIGHT_COLUMNS, rows) if rows else "<p>None.</p>",
        )
    if resources.SLOW in tables:
        rows = [_slow_row(row) for row in slow[:_FOPS_MAX]]
        yield _FOPS.format(
            title="Slow fops",
            text="The latest that took at least the threshold of their class.",
            path=resources.SLOW.path,
            table=_table(_SLOW_COLUMNS, rows) if rows else "<p>None.</p>",
        )


def render(config: Config) -> bytes:
    """The page as HTML in UTF-8, every value from outside escaped."""
    rows = []
    known = nodestate.read(config.state_file)
    with open_bricks(config.segment_dir, config.segment_expiry, known) as (bricks, problems):
        for brick in bricks:
            about = brick.about
            cells = (about.volume, about.path, about.host, about.pid, about.glusterfs_version)
            rows.append(
                _row(
                    "up" if about.alive else "dead",
                    (*cells, about.xlator_version, brick.segment.path.name),
                )
            )
        fops = "".join(_of_fops(config, bricks))
    for problem in problems:
        text = escape(f"{problem.path}: {problem.message} ({problem.reason})")
        rows.append(f'<tr><td class="bad">bad</td><td colspan="7">{text}</td></tr>')
    table = _table(_COLUMNS, rows)
    none = f"<p>No segment in {escape(str(config.segment_dir))}: no brick has the translator.</p>"
    apis = [resource.path for resource in resources.served(config)]
    apis += [openapi.PATH] if apis else []
    paths = (config.telemetry_path, *apis, HEALTHY_PATH, READY_PATH)
    page = _PAGE.format(
        version=escape(__version__),
        # Relative: a proxy may serve all of this below a path of its own.
        links=" ".join(f'<a href=".{escape(path)}">{escape(path)}</a>' for path in paths),
        bricks=table if rows else none,
        fops=fops,
    )
    return page.encode("utf-8", "backslashreplace")  # file names need not be UTF-8
