"""The metrics and labels that a PromQL expression names, as far as a check of names needs them."""

from __future__ import annotations

import re
from typing import NamedTuple

from glupy_exporter.collectors import COLLECTORS
from glupy_exporter.collectors.exporter import SCRAPE_FAMILIES

TARGET = frozenset({"cluster", "host", "instance", "job"})
"""Labels that the shipped prometheus.yml gives to every series."""

_NAME = re.compile(r"\b(?:\w+:\w+:\w+|glupy_\w+)\b")
_SELECTOR = re.compile(r"(\w+:\w+:\w+|\bglupy_\w+)\s*\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*(?:"(?:[^"\\]|\\.)*")')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")


class Names(NamedTuple):
    """What an expression names: metrics, pairs of metric and matched label, and grouped labels."""

    metrics: set[str]
    matched: set[tuple[str, str]]
    grouped: set[str]


def names(expression: str) -> Names:
    """The names in an expression."""
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
    found["up"] = TARGET
    return found
