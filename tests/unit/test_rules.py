"""Rules, alerts, runbooks and promtool tests belong together and name only what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from glupy_exporter.schema.quantities import FOPS_OF_KIND
from prometheus import native
from tests.unit import promql

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
URL = "https://github.com/glupy-exporter/glupy-exporter/blob/main/docs/runbooks/"


RECORDING, ALERTS = promql.rules("record"), promql.rules("alert")
TESTS = [
    test
    for file in sorted((ROOT / "prometheus" / "tests").glob("*.yml"))
    for test in yaml.safe_load(file.read_text())["tests"]
]


@pytest.mark.parametrize(
    "rule", [*RECORDING, *ALERTS], ids=lambda r: r.get("record", r.get("alert"))
)
def test_a_rule_names_what_exists(rule: dict[str, Any]) -> None:
    assert promql.names(rule["expr"]).metrics
    assert promql.problems(rule["expr"]) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("rate(glupy_fops_total[5m])", "no metric glupy_fops_total"),
        ("volume_fop:glupy_fops:rate5m", "no metric volume_fop:glupy_fops:rate5m"),
        ('glupy_brick_up{colour="red"}', "glupy_brick_up has no label colour"),
        ("sum by (volume, fop) (glupy_brick_up)", "nothing here has a label fop"),
    ],
)
def test_what_does_not_exist_is_found(expression: str, problem: str) -> None:
    assert promql.problems(expression) == [problem]


def test_rules_for_native_histograms_are_what_is_made() -> None:
    for source in (PROMETHEUS / "rules").iterdir():
        made = (PROMETHEUS / "rules-native" / source.name).read_text()
        assert made.partition("\n")[2] == native.rules(source.read_text()), "run make rules"


def test_names_of_rules_say_their_labels() -> None:
    for rule in RECORDING:
        level, metric, operations = rule["record"].split(":")
        assert level.startswith("cluster_"), rule
        assert metric.startswith("glupy_"), rule
        assert operations, rule


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_complete(alert: dict[str, Any]) -> None:
    name, annotations = alert["alert"], alert["annotations"]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert annotations["summary"]
    assert annotations["description"]
    assert annotations["runbook_url"] == f"{URL}{name}.md"
    runbook = (RUNBOOKS / f"{name}.md").read_text()
    assert runbook.startswith(f"# {name}\n")
    for part in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"**{part}.**" in runbook


def fires(test: dict[str, Any], alert: str) -> list[bool]:
    """Whether an alert fires, at each of the times that a promtool test asks for it."""
    checks = [c for c in test.get("alert_rule_test", []) if c["alertname"] == alert]
    return [bool(check["exp_alerts"]) for check in checks]


@pytest.mark.parametrize("alert", [alert["alert"] for alert in ALERTS])
def test_an_alert_has_a_test_in_which_it_waits_fires_and_resolves(alert: str) -> None:
    assert [False, True, False] in [fires(test, alert) for test in TESTS]


def test_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("rule", sorted({rule["record"] for rule in RECORDING}))
def test_a_recording_rule_has_a_test(rule: str) -> None:
    asked = [check["expr"] for test in TESTS for check in test.get("promql_expr_test", [])]
    assert any(rule in promql.names(expression).metrics for expression in asked)


# Fops that may wait for another client's lock, whose time says nothing of the brick.
WAITING = {"lk", "inodelk", "finodelk", "entrylk", "fentrylk", "lease"}


@pytest.mark.parametrize(
    "rule",
    [rule for rule in RECORDING if "kind" in rule.get("labels", {})],
    ids=lambda rule: f"{rule['record']}-{rule['labels']['kind']}",
)
def test_a_kind_has_the_fops_that_the_translator_counts_for_it(rule: dict[str, Any]) -> None:
    data = {fop for fops in FOPS_OF_KIND.values() for fop in fops}
    assert data == {"read", "write", "put", "copy_file_range"}
    known = data | WAITING | {"lookup", "create", "rename", "readdirp", "fsync", "discard"}
    kind = rule["labels"]["kind"]
    selectors = re.findall(r'fop(=~|!~|=)"([^"]*)"', rule["expr"])
    assert selectors
    for operator, pattern in selectors:
        matched = {fop for fop in known if re.fullmatch(pattern, fop)}
        chosen = known - matched if operator == "!~" else matched
        wanted = set(FOPS_OF_KIND.get(kind, known - data))
        assert chosen in (wanted, wanted - WAITING)
