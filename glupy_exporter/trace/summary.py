"""Sums up a trace: fops by name, and the files and clients with most of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any, TypeVar

from glupy_exporter.node.recorder import Recorded
from glupy_exporter.top import text
from glupy_exporter.trace import lines

SHOWN = 10
"""The most files and clients in a summary."""

_STEPS = 16  # a quantile is at most a sixteenth of an octave, 4.4 %, above what it is of
_KEPT = 100_000  # names; the ones with the fewest fops are forgotten beyond twice as many

_K = TypeVar("_K", bound=Hashable)


class _Work:
    """The totals of some fops."""

    __slots__ = ("count", "errors", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.seconds = 0.0

    def add(self, row: Recorded) -> None:
        self.count += 1
        self.errors += bool(row.error)
        self.seconds += row.seconds

    def fields(self) -> dict[str, Any]:
        return {"count": self.count, "errors": self.errors, "seconds": self.seconds}


class Latencies:
    """A histogram of latencies whose quantiles are at most 4.4 % too high."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count a latency."""
        self._steps[math.ceil(math.log2(max(seconds, 1e-9)) * _STEPS)] += 1

    def quantile(self, q: float) -> float:
        """The ``q`` quantile in seconds; 0 if nothing was counted."""
        rank = math.ceil(q * sum(self._steps.values()))
        for step in sorted(self._steps):
            rank -= self._steps[step]
            if rank <= 0:
                return float(2 ** (step / _STEPS))
        return 0.0


class Summary:
    """The totals of a trace so far, in bounded memory."""

    def __init__(self) -> None:
        self.traced = 0
        self.lost = 0
        """Records that were overwritten before they were read."""
        self._fops: dict[str, tuple[_Work, Latencies]] = {}
        self._files: dict[tuple[str, str], _Work] = {}
        self._clients: dict[tuple[str, str], _Work] = {}

    def add(self, row: Recorded) -> None:
        """Count a fop."""
        self.traced += 1
        work, latencies = self._fops.setdefault(row.fop, (_Work(), Latencies()))
        work.add(row)
        latencies.add(row.seconds)
        if row.gfid:
            _add(self._files, (row.gfid, row.path), row)
        _add(self._clients, (row.client, row.process), row)

    def fields(self, seconds: float) -> dict[str, Any]:
        """The summary of a trace of so many seconds, as ``trace --json`` has it."""
        return {
            "event": lines.SUMMARY,
            "seconds": seconds,
            "traced": self.traced,
            "lost": self.lost,
            "fops": [
                {
                    "fop": name,
                    **work.fields(),
                    "p50": latencies.quantile(0.5),
                    "p99": latencies.quantile(0.99),
                }
                for name, (work, latencies) in sorted(
                    self._fops.items(), key=lambda item: -item[1][0].seconds
                )
            ],
            "files": [
                {"gfid": gfid, "path": path, **work.fields()}
                for (gfid, path), work in _most(self._files)
            ],
            "clients": [
                {"client": client, "process": process, **work.fields()}
                for (client, process), work in _most(self._clients)
            ],
        }

    def text(self, seconds: float, encoding: str = "utf-8") -> Iterator[str]:
        """The lines of the summary as tables, which any terminal can show."""
        yield f"{self.traced} fops in {seconds:.1f} s; {self.lost} records lost"
        yield ""
        yield f"{'count':>9} {'errors':>9} {'seconds':>9} {'p50':>7} {'p99':>7}  fop"
        found = self.fields(seconds)
        for row in found["fops"]:
            yield (
                f"{_head(row)} {text.duration(row['p50']):>7} {text.duration(row['p99']):>7}"
                f"  {row['fop']}"
            )
        for title, named in (
            ("file", [(row["path"] or row["gfid"], row) for row in found["files"]]),
            ("client", [(_whose(row), row) for row in found["clients"]]),
        ):
            yield ""
            yield f"{'count':>9} {'errors':>9} {'seconds':>9}  {title}"
            for name, row in named:
                yield f"{_head(row)}  {text.printable(name or '-', encoding)}"


def _whose(row: dict[str, Any]) -> str:
    return f"{row['client']} {row['process']}".strip()


def _head(row: dict[str, Any]) -> str:
    return f"{row['count']:>9} {row['errors']:>9} {row['seconds']:>9.3f}"


def _add(table: dict[_K, _Work], key: _K, row: Recorded) -> None:
    if key not in table:
        if len(table) >= 2 * _KEPT:
            for least in sorted(table, key=lambda each: table[each].count)[:_KEPT]:
                del table[least]
        table[key] = _Work()
    table[key].add(row)


def _most(table: dict[_K, _Work]) -> list[tuple[_K, _Work]]:
    return sorted(table.items(), key=lambda item: -item[1].count)[:SHOWN]
