"""The dashboards: as generated, as Grafana's own model has them, and as our lint wants them."""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo import panels
from tests.unit import grafana_lint

Json = dict[str, Any]
Need = Callable[[object, str], None]

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "grafana" / "dashboards"
SOURCES = sorted((ROOT / "grafana").glob("*.dashboard.py"))
NAMES = [source.name.removesuffix(".dashboard.py") for source in SOURCES]
GENERATE = Path(sys.executable).with_name("generate-dashboard")

# Keys that Grafana reads and that the published model does not have.
NOT_IN_THE_MODEL = {
    r"\.templating\.list\[\d+\]\.definition",  # the same as .query.query, shown in the list
    r"\.panels\[\d+\]\.options\.tooltip\.show",  # of a heat map up to Grafana 10
    r"\.panels\[\d+\]\.fieldConfig\.defaults\.fieldMinMax",  # @grafana/data has it, since 10.2
}


def dashboards() -> list[Json]:
    return [json.loads((COMMITTED / f"{name}.json").read_text()) for name in NAMES]


def test_all_six_are_there() -> None:
    assert {*NAMES} == {"brick", "client", "cluster", "exporter", "file", "volume"}
    assert {path.stem for path in COMMITTED.iterdir()} == {*NAMES}


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_what_is_committed_is_what_is_generated(source: Path, tmp_path: Path, need: Need) -> None:
    need(GENERATE.exists(), "grafanalib")
    made = tmp_path / "made.json"
    subprocess.run(
        [GENERATE, source, "-o", made],
        env={**os.environ, "PYTHONPATH": str(ROOT / "grafana")},
        check=True,
    )
    committed = (COMMITTED / source.name).with_name(source.name.replace(".dashboard.py", ".json"))
    assert committed.read_text() == made.read_text(), "run make dashboards"


def lost(said: object, understood: object, path: str = "") -> Iterator[str]:
    """Where the second lacks, or has otherwise, what is in the first."""
    if isinstance(said, dict) and isinstance(understood, dict):
        for key, value in said.items():
            if key not in understood:
                yield f"{path}.{key}"
            else:
                yield from lost(value, understood[key], f"{path}.{key}")
    elif isinstance(said, list) and isinstance(understood, list) and len(said) == len(understood):
        for number, pair in enumerate(zip(said, understood)):
            yield from lost(*pair, f"{path}[{number}]")
    elif said != understood:
        yield path


def not_understood(dashboard: Json) -> list[str]:
    """What Grafana's published model of a dashboard does not take over."""
    plugins = importlib.import_module("grafana_foundation_sdk.cog.plugins")
    encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    model = importlib.import_module("grafana_foundation_sdk.models.dashboard")
    plugins.register_default_plugins()
    loaded = model.Dashboard.from_json(copy.deepcopy(dashboard))
    understood = json.loads(encoder.JSONEncoder().encode(loaded))
    return [
        path
        for path in lost(dashboard, understood)
        if not any(re.fullmatch(known, path) for known in NOT_IN_THE_MODEL)
    ]


@pytest.fixture
def model(need: Need) -> None:
    need(importlib.util.find_spec("grafana_foundation_sdk"), "grafana-foundation-sdk")


@pytest.mark.parametrize("dashboard", dashboards(), ids=NAMES)
def test_grafanas_own_model_takes_it(dashboard: Json, model: None) -> None:
    assert not_understood(dashboard) == []


def test_what_grafanas_model_does_not_know_is_found(model: None) -> None:
    (dashboard,) = (found for found in dashboards() if found["uid"] == "glupy-volume")
    panel = dashboard["panels"][1]
    panel["fieldConfig"]["defaults"]["units"] = panel["fieldConfig"]["defaults"].pop("unit")
    panel["targets"][0]["expression"] = "1"
    panel["options"]["graph"] = "area"
    assert not_understood(dashboard) == [
        ".panels[1].fieldConfig.defaults.units",
        ".panels[1].options.graph",
        ".panels[1].targets[0].expression",
    ]


def test_the_lint_finds_nothing() -> None:
    assert grafana_lint.lint(dashboards()) == []


def first(dashboard: Json, kind: str) -> Json:
    return next(panel for panel in dashboard["panels"] if panel["type"] == kind)


def ask(panel: Json, expr: str) -> None:
    panel["targets"][0]["expr"] = expr


def relink(dashboard: Json, old: str, new: str) -> None:
    """Change the data links of the panel "Operations by fop"."""
    (panel,) = (panel for panel in dashboard["panels"] if panel["title"] == "Operations by fop")
    (link,) = panel["fieldConfig"]["defaults"]["links"]
    assert old in link["url"]
    link["url"] = link["url"].replace(old, new)


def variable(dashboard: Json, name: str) -> Json:
    return grafana_lint.variables(dashboard)[name]


MUTATIONS: dict[str, Callable[[Json], object]] = {
    "uid glupy-file twice": lambda d: d.update(uid="glupy-file"),
    "id 2 twice": lambda d: d["panels"][2].update(id=2),
    "title Operations twice": lambda d: d["panels"][2].update(title="Operations"),
    "is not marked as one of ours": lambda d: d["tags"].clear(),
    "no description": lambda d: first(d, "stat").pop("description"),
    "a link at the top forgets what was chosen": lambda d: d["links"][0].update(keepTime=False),
    "Read: over another panel": lambda d: d["panels"][2]["gridPos"].update(x=2),
    "beyond the page": lambda d: d["panels"][8]["gridPos"].update(w=4),
    "no variable for the data source": lambda d: d["templating"]["list"].pop(0),
    "variable host: not any number of values": lambda d: variable(d, "host").update(multi=False),
    "variable host: not from the chosen data source": lambda d: variable(d, "host").update(
        datasource={"type": "prometheus", "uid": "P1809F7CD0C75ACF3"}
    ),
    "variable fop: glupy_brick_up has no label colour": lambda d: variable(d, "fop").update(
        query={"query": 'label_values(glupy_brick_up{colour="red"}, volume)'}
    ),
    "variable fop: nothing has a label colour": lambda d: variable(d, "fop").update(
        query={"query": "label_values(glupy_brick_up, colour)"}
    ),
    "variable host: asks for brick, which comes later": lambda d: variable(d, "host").update(
        query={"query": 'label_values(glupy_brick_up{brick=~"$brick"}, host)'}
    ),
    "a panel of type graph": lambda d: first(d, "stat").update(type="graph"),
    "no unit": lambda d: first(d, "stat")["fieldConfig"]["defaults"].pop("unit"),
    "a legend without values": lambda d: first(d, "timeseries")["options"]["legend"].clear(),
    "no query": lambda d: first(d, "stat").update(targets=[]),
    "not from the chosen data source": lambda d: first(d, "stat")["targets"][0].update(
        datasource={"type": "prometheus", "uid": "mine"}
    ),
    "no metric glupy_fops_total": lambda d: ask(first(d, "stat"), "glupy_fops_total"),
    "glupy_brick_up has no label fop": lambda d: ask(
        first(d, "stat"), 'glupy_brick_up{fop=~"$fop"}'
    ),
    "no variable bricks": lambda d: ask(first(d, "stat"), 'glupy_brick_up{brick=~"$bricks"}'),
    "a link to /d/glupy-volumes, which": lambda d: relink(d, "glupy-volume", "glupy-volumes"),
    "a link that forgets the time range": lambda d: relink(d, "${__url_time_range}&", ""),
    "a link that forgets host": lambda d: relink(d, "${host:queryparam}&", ""),
    "a link that passes hosts, which is not here": lambda d: relink(d, "${host:", "${hosts:"),
    "a link that passes fops, which is not there": lambda d: relink(d, "var-fop=", "var-fops="),
    "a link with errno, which A does not have": lambda d: relink(d, "labels.fop", "labels.errno"),
}


@pytest.mark.parametrize(("problem", "mutate"), MUTATIONS.items(), ids=MUTATIONS)
def test_the_lint_finds(problem: str, mutate: Callable[[Json], object]) -> None:
    found = dashboards()
    mutate(next(dashboard for dashboard in found if dashboard["uid"] == "glupy-volume"))
    assert any(problem in wrong for wrong in grafana_lint.lint(found)), grafana_lint.lint(found)


def test_what_may_be_empty_is_far_down() -> None:
    """The demo asks every query of every panel; the panels that it excuses exist and are few."""
    titles = {
        name: [panel["title"] for panel in grafana_lint.panels(dashboard)]
        for name, dashboard in zip(NAMES, dashboards())
    }
    for (dashboard, panel), reason in panels.NO_ANSWER.items():
        assert panel in titles[dashboard][5:]
        assert reason
    asked = list(panels.questions({"path": "/a.b", "client": "192.0.2.1"}))
    assert {(question.dashboard, question.panel) for question in asked} == {
        (name, title) for name in titles for title in titles[name]
    }
    assert not any("$" in question.expression for question in asked)
    assert any('path=~"/a\\\\.b"' in question.expression for question in asked)
