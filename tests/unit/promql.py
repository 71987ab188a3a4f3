"""The metrics and labels that a PromQL expression names, as far as a check of names needs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client import ProcessCollector

from glupy_exporter.metrics import COLLECTORS
from glupy_exporter.metrics.exporter import SCRAPE_FAMILIES

TARGET = frozenset({"cluster", "host", "instance", "job"})
"""Labels that the shipped prometheus.yml gives to every series."""

NOWHERE = "narrowed"
"""A label that no series has (grafana/blocks/queries.py)."""

RULES = Path(__file__).resolve().parents[2] / "prometheus" / "rules"

_METRIC = r"\b(?:\w+:\w+:\w+|(?:glupy|scrape|process)_\w+|up|ALERTS(?:_FOR_STATE)?)\b"
_NAME = re.compile(_METRIC)
_SELECTOR = re.compile(rf"({_METRIC})\s*\{{([^}}]*)\}}")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*(?:"(?:[^"\\]|\\.)*")')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")


class Names(NamedTuple):
    """What an expression names: metrics, pairs of metric and matched label, and grouped labels."""

    metrics: set[str]
    matched: set[tuple[str, str]]
    grouped: set[str]


def names(expression: str) -> Names:
    """The names in an expression."""
    expression = re.sub(r"`[^`]*`", '""', expression)
    matched = {
        (metric, label)
        for metric, matchers in _SELECTOR.findall(expression)
        for label in _MATCHER.findall(matchers)
    }
    lists = (group.split(",") for group in _GROUPING.findall(expression))
    grouped = {label.strip() for group in lists for label in group if label.strip()}
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", _GROUPING.sub("", expression))
    bare = re.sub(r"\{[^}]*\}", "", bare)
    return Names(set(_NAME.findall(bare)), matched, grouped)


def exposed() -> dict[str, frozenset[str]]:
    """The labels of every series that the exporter exposes."""
    families = [f for collector in COLLECTORS for f in collector.families]
    found = {}
    for family in [*families, *SCRAPE_FAMILIES]:
        labels = {*family.labels, *TARGET} | ({"volume", "brick"} if family.of_brick else set())
        if family.type == "histogram":
            found[f"{family.name}_bucket"] = frozenset({*labels, "le"})
            found[f"{family.name}_sum"] = found[f"{family.name}_count"] = frozenset(labels)
        else:
            found[family.name] = frozenset(labels)
    # What Prometheus and prometheus_client say of each exporter.
    process = ProcessCollector(registry=None).collect()
    names = {sample.name for metric in process for sample in metric.samples}
    names |= {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added"}
    return {**found, **dict.fromkeys(names, TARGET)}


def rules(kind: str) -> list[dict[str, Any]]:
    """The shipped rules that are a `record` or an `alert`."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yml"))]
    every = (rule for file in files for group in file["groups"] for rule in group["rules"])
    return [rule for rule in every if kind in rule]


def recorded() -> dict[str, frozenset[str]]:
    """The labels that each recording rule leaves, by its own name, and those of alerts."""
    found = {}
    for rule in rules("record"):
        level = rule["record"].split(":")[0].split("_")
        metric, operation = rule["record"].split(":")[1:]
        of_set = operation == "set" or metric.endswith("_set")
        extra = {"set", "subvolume"} if of_set else set()
        if rule["record"].endswith(":info"):
            extra = {"path", "type"}
        found[rule["record"]] = frozenset({*level, *extra, *rule.get("labels", {})})
    own = {"alertname", "alertstate", "severity"}
    found["ALERTS"] = frozenset({*TARGET, *own, "volume", "brick"})
    found["ALERTS_FOR_STATE"] = found["ALERTS"] - {"alertstate"}
    return found


KNOWN = {**exposed(), **recorded()}
"""The labels of everything that may be asked for."""


def problems(expression: str) -> list[str]:
    """What an expression names that does not exist."""
    found = names(expression)
    wrong = [f"no metric {name}" for name in found.metrics if name not in KNOWN]
    wrong += [
        f"{metric} has no label {label}"
        for metric, label in found.matched
        if label not in KNOWN.get(metric, frozenset()) | {NOWHERE}
    ]
    everything = frozenset().union(*(KNOWN.get(name, frozenset()) for name in found.metrics))
    grouped = found.grouped - everything - TARGET
    return wrong + [f"nothing here has a label {label}" for label in grouped]
