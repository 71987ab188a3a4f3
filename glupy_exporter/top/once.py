"""`top` for scripts: a table for each view, or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from glupy_exporter.top.model import Rates
from glupy_exporter.top.view import VIEWS, State, View, select, table, to_json


def report(
    rates: Rates, views: Sequence[View], state: State, limit: int | None, encoding: str | None
) -> str:
    """Tables in the characters of ``encoding``; JSON if ``encoding`` is None.

    They hold the first ``limit`` rows (None: all) of each of ``views``, filtered and sorted as
    ``state`` says.
    """
    rows = {
        view.name: select(view, rates, state.sorts[VIEWS.index(view)], state.filter)[:limit]
        for view in views
    }
    if encoding is None:
        return to_json(rates, rows) + "\n"
    tables = (table(view, rows[view.name], None, encoding) for view in views)
    return "\n".join("\n".join(lines) + "\n" for lines in tables)
