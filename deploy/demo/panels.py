"""Every query of the Grafana dashboards, asked as Grafana would ask it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from deploy.demo.monitoring import Prometheus

DASHBOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
_ALL = ".*"
_CHOSEN = {"file": "path", "client": "client"}
"""What a dashboard is opened with from the tables of the others."""

NO_ANSWER = {("cluster", "Firing"): "no alert fires"}
"""Panels, by dashboard and title, that may be empty after the workload, and why."""


class Question(NamedTuple):
    """A panel's query with the dashboard's variables expanded."""

    dashboard: str
    panel: str
    expression: str
    instant: bool
    """Asked once, and not for each point of a graph."""


def _expanded(expression: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        expression = expression.replace(f"${name}", value)
    return expression.replace("$__range", "5m")


def questions(busiest: dict[str, str]) -> Iterator[Question]:
    """All queries, with All chosen everywhere, and with the ``busiest`` "path" and "client"."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        dashboard: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        choices = [dict.fromkeys(sorted(names, key=len, reverse=True), _ALL)]
        chosen = _CHOSEN.get(file.stem)
        if chosen:
            # As Grafana does: quoted for a regular expression, and that for a string.
            value = re.escape(busiest[chosen]).replace("\\", "\\\\")
            choices.append({**choices[0], chosen: value})
        for values in choices:
            for panel in dashboard["panels"]:
                for target in panel.get("targets", []):
                    expression = _expanded(target["expr"], values)
                    instant = target.get("instant", False)
                    yield Question(file.stem, panel["title"], expression, instant)


def unanswered(prometheus: Prometheus, asked: list[Question]) -> list[Question]:
    """The questions to which there is no answer and should be one."""
    return [
        question
        for question in asked
        if (question.dashboard, question.panel) not in NO_ANSWER
        and all(math.isnan(value) for _, value in prometheus.query(question.expression))
    ]
