"""The commands `slow`, `inflight` and `trace`."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from glupy_exporter import output as standard_output
from glupy_exporter.errors import UserError
from glupy_exporter.interrupts import Interrupted, noted
from glupy_exporter.node import recorder
from glupy_exporter.node.bricks import OpenBrick, open_bricks
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import Recorded, Waiting
from glupy_exporter.output import flush
from glupy_exporter.probes.base import Probe
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.top.text import printable
from glupy_exporter.trace import lines
from glupy_exporter.trace.live import Lost, Trace, Wanted, none_runs, running
from glupy_exporter.trace.summary import Summary

_T = TypeVar("_T")


class Where(NamedTuple):
    """The bricks to look at, and what may be shown of them."""

    directory: Path
    expiry: float
    privacy: Privacy
    volume: str | None = None
    """None for the bricks of all volumes."""


class Output(NamedTuple):
    """The form in which records are written."""

    json: bool = False
    limit: int | None = None
    """The most records that are written; None for all."""
    summary: bool = False


def slow(where: Where, output: Output) -> None:
    """Write the slow fops that the rings of the bricks still have, the latest last.

    Raises:
        UserError: there is no brick to look at.
    """
    found: list[Recorded] = []
    for brick in _bricks(where):
        found += _readable(brick, islice(recorder.slow(brick, where.privacy), output.limit))[::-1]
    found.sort(key=lambda row: row.time)
    _print(
        lines.as_json(lines.of(row))
        if output.json
        else lines.recorded(row, date=True, encoding=_encoding())
        for row in found[-output.limit if output.limit else 0 :]
    )


def in_flight(where: Where, output: Output) -> None:
    """Write the fops that are in flight in the bricks, the oldest first.

    Raises:
        UserError: there is no brick to look at.
    """
    found: list[Waiting] = []
    for brick in _bricks(where):
        found += _readable(brick, recorder.in_flight(brick, where.privacy))
    found.sort(key=lambda row: row.started)
    shown = found[: output.limit]
    if output.json:
        _print(lines.as_json(lines.of(row)) for row in shown)
        return
    written = [line for row in shown for line in lines.waiting(row, _encoding())]
    if any(map(recorder.forgotten, shown)):
        written += ["", recorder.EAGER_LOCK]
    _print(written)


def _bricks(where: Where) -> Iterator[OpenBrick]:
    """The bricks that run, each open until the next one is asked for."""
    with open_bricks(where.directory, where.expiry) as (bricks, problems):
        for problem in problems:
            _complain(f"{problem.path}: {problem.message}")
        here = [b for b in running(bricks) if where.volume in (None, b.about.volume)]
        if not here:
            raise none_runs(bricks, where.volume)
        yield from here


def _readable(brick: OpenBrick, rows: Iterable[_T]) -> list[_T]:
    try:
        return list(rows)
    except SegmentError as error:
        _complain(f"{brick.segment.path}: {error}")
        return []


def trace(
    where: Where,
    wanted: Wanted,
    output: Output,
    duration: float | None = None,
    probe: Probe | None = None,
) -> None:
    """Write the fops of a volume as they come back, until a signal, a limit or ``duration``.

    ``duration`` is in seconds; None: no end. If there is a ``probe``, it gets the fops instead, and
    its families are written at the end.

    Raises:
        UserError: this is not root, no brick of the volume can be traced, or the probe fails or
            would have to write JSON.
    """
    if probe is not None and output.json:
        raise UserError("--json and --probe cannot go together: a probe's metrics are text")
    if os.geteuid() != 0:
        raise UserError("trace has to be run by root: it asks the bricks to record every fop")
    assert where.volume
    summary = Summary()
    began = time.monotonic()
    end = None if duration is None else began + duration
    with noted() as ended, contextlib.suppress(BrokenPipeError), _droppable():
        with Trace(where.directory, where.expiry, where.volume, where.privacy, wanted) as tracing:

            def stopped() -> bool:
                return bool(ended) or (end is not None and time.monotonic() >= end)

            _report(tracing, stopped, summary, output, probe)
        if probe is not None:
            _say_all(printable(line, _encoding()) for line in probe.lines())
        if output.summary:
            seconds = time.monotonic() - began
            _say_all(
                [lines.as_json(summary.fields(seconds))]
                if output.json
                else ["", *summary.text(seconds, _encoding())]
            )
    flush()


def _report(
    tracing: Trace,
    stopped: Callable[[], bool],
    summary: Summary,
    output: Output,
    probe: Probe | None,
) -> None:
    batch: list[Recorded] = []
    complained = 0
    for event in tracing.events(stopped):
        if isinstance(event, Recorded):
            summary.add(event)
            if probe is not None:
                batch.append(event)
            elif output.json:
                _say(lines.as_json({"event": lines.FOP, **lines.of(event)}))
            else:
                _say(lines.recorded(event, encoding=_encoding()))
            if summary.traced == output.limit:
                break
        elif isinstance(event, Lost):
            summary.lost += event.count
            if output.json and probe is None:
                _say(lines.as_json({"event": lines.LOST, **asdict(event)}))
            else:
                _complain(lines.lost(event.count, event.volume, event.brick))
        else:
            batch = _feed(probe, batch)
            with standard_output.told():
                sys.stdout.flush()
            if standard_output.abandoned():
                break
        for problem in tracing.problems[complained:]:
            _complain(problem)
        complained = len(tracing.problems)
    _feed(probe, batch)


def _feed(probe: Probe | None, batch: list[Recorded]) -> list[Recorded]:
    """Give the batch to the probe; return the next one, which is empty."""
    try:
        if probe is not None and batch:
            probe.record(batch)
    except Exception as error:
        raise UserError(f"the probe failed: {error!r}") from error
    return []


@contextlib.contextmanager
def _droppable() -> Iterator[None]:
    """Have a second signal end the command also if nobody reads what it has written."""
    try:
        yield
    except Interrupted:
        standard_output.drop()
        raise


def _encoding() -> str:
    return sys.stdout.encoding


def _say(line: str) -> None:
    with standard_output.told():
        sys.stdout.write(line + "\n")


def _complain(line: str) -> None:
    print(f"glupy-exporter: {printable(line)}", file=sys.stderr)


def _say_all(written: Iterable[str]) -> None:
    for line in written:
        _say(line)


def _print(written: Iterable[str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        _say_all(written)
    flush()
