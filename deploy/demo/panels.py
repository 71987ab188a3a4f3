"""Asks every query of the Grafana dashboards as Grafana would."""

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

NO_ANSWER = {
    ("cluster", "Firing"): "no alert fires",
    ("health", "Firing"): "no alert fires",
    ("brick", "Oldest fop in flight by fop"): "no fop is in flight for long",
    ("brick", "Oldest fops in flight"): "no fop is in flight for long",
    ("health", "Damaged objects"): "bit-rot detection is off",
    ("health", "Geo-replication behind"): "there is no geo-replication",
    ("health", "Volumes"): "there is no geo-replication, and bit-rot detection is off",
    ("health", "Bricks that know of entries to heal"): "both bricks run all the time",
    ("health", "Geo-replication behind by session"): "there is no geo-replication",
    ("health", "Geo-replication workers"): "there is no geo-replication",
    ("health", "Snapshots"): "there is no snapshot",
    ("health", "Rebalances"): "there was no rebalance",
    ("health", "Daemons that do not run"): "all of them run",
    ("health", "Peers not settled on record"): "the machine is alone",
    ("capacity", "Full in"): "a few minutes show no trend",
    ("capacity", "Volumes"): "a few minutes show no trend",
    ("capacity", "Fullest file systems"): "a few minutes show no trend",
    ("capacity", "Fullest quotas"): "there is no quota",
    ("capacity", "Thin pools"): "the machine may have no LVM",
}
"""Panels, by dashboard and title, that may be empty after the workload, and why."""


class Question(NamedTuple):
    """A panel's query with the dashboard's variables expanded."""

    dashboard: str
    panel: str
    expression: str
    instant: bool
    """Whether it is asked once, not for each point of a graph."""
    points: int | None
    """The most points of the graph; None for one a pixel."""


def _escaped(value: str) -> str:
    """A value as Grafana's format "regex" has it."""
    return re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", value)


def expanded(expression: str, values: dict[str, str]) -> str:
    """An expression with the values of variables."""
    for name, value in values.items():
        expression = expression.replace(f"${{{name}:regex}}", value)
    return expression


def questions(
    busiest: dict[str, str],
    window: str = "5m",
    interval: str = "5m",
    dashboards: Path = DASHBOARDS,
) -> Iterator[Question]:
    """All queries, with All chosen where that can be, else the busiest file or client.

    Args:
        busiest: the gfid of the busiest file and the address of the busiest client, as ``file`` and
            ``client``.
        window: the time range of the page.
        interval: the time over which each point of a graph has a rate.
        dashboards: their directory.
    """
    for file in sorted(dashboards.glob("*.json")):
        dashboard: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        variables = dashboard["templating"]["list"]
        names = [variable["name"] for variable in variables]
        values = {name: _escaped(busiest[name]) if name in busiest else _ALL for name in names}
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = expanded(target["expr"], values)
                expression = expression.replace("$__range", window)
                expression = expression.replace("$__rate_interval", interval)
                instant = target.get("instant", False)
                points = panel.get("maxDataPoints")
                yield Question(file.stem, panel["title"], expression, instant, points)


def unanswered(prometheus: Prometheus, asked: list[Question]) -> list[Question]:
    """The questions without an answer that should have one."""
    return [
        question
        for question in asked
        if (question.dashboard, question.panel) not in NO_ANSWER
        and all(math.isnan(value) for _, value in prometheus.query(question.expression))
    ]
