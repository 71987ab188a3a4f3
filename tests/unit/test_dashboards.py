"""The dashboards: as generated, as Grafana's own model has them, and as our lint wants them."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import json
import re
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

# Keys that Grafana reads and that the published model does not have.
NOT_IN_THE_MODEL = {
    r"\.templating\.list\[\d+\]\.definition",  # the same as .query.query, shown in the list
    # The data source of Prometheus reads these.
    r"\.annotations\.list\[\d+\]\.(step|textFormat|titleFormat|useValueForTime)",
    r"\.panels\[\d+\]\.options\.tooltip\.show",  # of a heat map up to Grafana 10
    r"\.panels\[\d+\]\.fieldConfig\.defaults\.fieldMinMax",  # @grafana/data has it, since 10.2
}


def dashboards() -> list[Json]:
    return [json.loads((COMMITTED / f"{name}.json").read_text()) for name in NAMES]


def test_all_are_there() -> None:
    known = {"brick", "capacity", "client", "cluster", "exporter", "file", "health", "volume"}
    assert {*NAMES} == known
    assert {path.stem for path in COMMITTED.iterdir()} == {*NAMES}


def test_what_is_committed_is_what_is_generated(tmp_path: Path, need: Need) -> None:
    need(importlib.util.find_spec("grafanalib"), "grafanalib")
    importlib.import_module("grafana.__main__").write(tmp_path)
    for folder in ("dashboards", "dashboards-native"):
        made, committed = (
            {file.name: file.read_text() for file in (home / folder).iterdir()}
            for home in (tmp_path, ROOT / "grafana")
        )
        assert committed == made, "run make dashboards"


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
    panel = dashboard["panels"][2]
    panel["fieldConfig"]["defaults"]["units"] = panel["fieldConfig"]["defaults"].pop("unit")
    panel["targets"][0]["expression"] = "1"
    panel["options"]["graph"] = "area"
    assert not_understood(dashboard) == [
        ".panels[2].fieldConfig.defaults.units",
        ".panels[2].options.graph",
        ".panels[2].targets[0].expression",
    ]


def test_the_lint_finds_nothing() -> None:
    assert grafana_lint.lint(dashboards()) == []


def first(dashboard: Json, kind: str) -> Json:
    return next(panel for panel in dashboard["panels"] if panel["type"] == kind)


def titled(dashboard: Json, title: str) -> Json:
    (panel,) = (panel for panel in dashboard["panels"] if panel.get("title") == title)
    return panel


def ask(panel: Json, expr: str) -> None:
    panel["targets"][0]["expr"] = expr


def relink(dashboard: Json, old: str, new: str) -> None:
    """Change the data links of the panel "Operations by fop"."""
    (link,) = titled(dashboard, "Operations by fop")["fieldConfig"]["defaults"]["links"]
    assert old in link["url"]
    link["url"] = link["url"].replace(old, new)


def replace(panel: Json, old: str, new: str) -> None:
    """Change a panel's query."""
    assert old in panel["targets"][0]["expr"]
    ask(panel, panel["targets"][0]["expr"].replace(old, new))


def variable(dashboard: Json, name: str) -> Json:
    return grafana_lint.variables(dashboard)[name]


def defaults(dashboard: Json, title: str) -> Json:
    found = titled(dashboard, title)["fieldConfig"]["defaults"]
    assert isinstance(found, dict)
    return found


def widen(dashboard: Json, title: str, pixels: int) -> None:
    """Change the width of the table's first column that has one."""
    fields = titled(dashboard, title)["fieldConfig"]["overrides"]
    said = [p for field in fields for p in field["properties"] if p["id"] == "custom.width"]
    said[0]["value"] = pixels


def repaint(dashboard: Json, title: str, color: str) -> None:
    """Give a colour to the first two series of a graph."""
    for field in titled(dashboard, title)["fieldConfig"]["overrides"][:2]:
        field["properties"][0]["value"]["fixedColor"] = color


BY_FOP = "Operations by fop"
SETS = "Slowest replica of each set"

MUTATIONS: dict[str, Callable[[Json], object]] = {
    "uid glupy-file twice": lambda d: d.update(uid="glupy-file"),
    "id 2 twice": lambda d: d["panels"][2].update(id=2),
    "title Operations by fop twice": lambda d: titled(d, "Read").update(title=BY_FOP),
    "is not marked as one of ours": lambda d: d["tags"].clear(),
    "no description": lambda d: first(d, "stat").pop("description"),
    "no line at the top": lambda d: d["panels"].pop(0),
    "a link at the top forgets what was chosen": lambda d: d["links"][0].update(keepTime=False),
    "links at the top that are not in a drop-down": lambda d: d["links"][0].update(
        asDropdown=False
    ),
    "no annotations of alerts": lambda d: d["annotations"]["list"].pop(0),
    "Read: over another panel": lambda d: titled(d, "Read")["gridPos"].update(x=2),
    "repeated for hosts, of which there are not several": lambda d: next(
        panel for panel in d["panels"] if "repeat" in panel
    ).update(repeat="hosts"),
    "Imbalance of reads: the same each time": lambda d: ask(
        titled(d, "Imbalance of reads"), "topk(9, glupy_brick_up)"
    ),
    "a hole in the page": lambda d: titled(d, BY_FOP)["gridPos"].update(w=9),
    "beyond the page": lambda d: titled(d, "In flight")["gridPos"].update(w=9),
    "no variable for the data source": lambda d: d["templating"]["list"].pop(),
    "variable datasource: not Grafana's default one": lambda d: variable(d, "datasource").pop(
        "current"
    ),
    "variable datasource: first": lambda d: d["templating"]["list"].reverse(),
    "variable fop: neither one value nor any number": lambda d: variable(d, "fop").update(
        multi=False
    ),
    "variable fop: All is not .*": lambda d: variable(d, "fop").update(allValue=None),
    "variable fop: a refresh would replace": lambda d: variable(d, "fop").update(
        multi=False, includeAll=False
    ),
    "variable fop: not from the chosen data source": lambda d: variable(d, "fop").update(
        datasource={"type": "prometheus", "uid": "P1809F7CD0C75ACF3"}
    ),
    "variable fop: glupy_brick_up has no label colour": lambda d: variable(d, "fop").update(
        query={"query": 'label_values(glupy_brick_up{colour="red"}, volume)'}
    ),
    "variable fop: nothing has a label colour": lambda d: variable(d, "fop").update(
        query={"query": "label_values(glupy_brick_up, colour)"}
    ),
    "variable volume: no variable brick": lambda d: variable(d, "volume").update(
        query={"query": "label_values(glupy_brick_up{brick=~`${brick:regex}`}, volume)"}
    ),
    "variable volume: neither label_values nor query_result": lambda d: variable(d, "volume")[
        "query"
    ].update(query="metrics(glupy_.*)"),
    "variable volume: no value and text": lambda d: variable(d, "volume").update(
        query={"query": "query_result(glupy_brick_up)"}, regex="/(.*)/"
    ),
    "variable volume: only 0 panels obey it": lambda d: [
        target.update(expr="glupy_brick_up")
        for panel in grafana_lint.panels(d)
        for target in panel["targets"]
    ],
    "does not obey the selector fop and does not say so": lambda d: titled(d, "Bricks up").update(
        description="Bricks that run."
    ),
    "a panel of type barchart": lambda d: first(d, "stat").update(type="barchart"),
    "no unit": lambda d: first(d, "stat")["fieldConfig"]["defaults"].pop("unit"),
    "the title does not fit": lambda d: titled(d, "Read").update(
        title="Bytes that the clients have read"
    ),
    "what is unknown is not grey": lambda d: defaults(d, "Bricks up")["thresholds"]["steps"][
        0
    ].update(color="green"),
    "Bricks up: what is unknown does not say so": lambda d: defaults(d, "Bricks up").pop("noValue"),
    "0 where nothing is known": lambda d: ask(
        titled(d, "Errors"), "sum(glupy_brick_up) or vector(0)"
    ),
    "a legend without values": lambda d: first(d, "timeseries")["options"]["legend"].clear(),
    "not drawn as lines": lambda d: defaults(d, BY_FOP)["custom"].update(drawStyle="bars"),
    "a sample between gaps is not drawn": lambda d: defaults(d, BY_FOP)["custom"].update(
        showPoints="never"
    ),
    "rates that are not stacked": lambda d: defaults(d, BY_FOP)["custom"].update(
        stacking={"mode": "none"}
    ),
    "any number of lines, one for each name": lambda d: replace(titled(d, BY_FOP), "topk(10", "(("),
    "a long legend below the graph": lambda d: titled(d, BY_FOP)["options"]["legend"].update(
        placement="bottom"
    ),
    "with more than one number": lambda d: titled(d, BY_FOP)["options"]["legend"].update(
        calcs=["mean", "max"]
    ),
    "a graph of the series of all files": lambda d: ask(
        titled(d, BY_FOP), "topk(9, sum by (path) (rate(glupy_file_fops_total[$__rate_interval])))"
    ),
    "a graph of glupy_fops_in_flight": lambda d: ask(
        titled(d, BY_FOP), "topk(9, sum by (fop) (glupy_fops_in_flight))"
    ),
    "the latest number that there was": lambda d: titled(d, "p99 latency")["targets"][0].update(
        instant=False
    ),
    "a link to a page about none": lambda d: titled(d, "Slow fops by fop")["fieldConfig"].update(
        overrides=[]
    ),
    "a line at the top that has no room": lambda d: d["panels"][0]["options"].update(
        content="word " * 40
    ),
    "areas over each other": lambda d: defaults(d, "Latency by kind")["custom"].update(
        fillOpacity=5
    ),
    "colour #000000 twice": lambda d: repaint(d, BY_FOP, "#000000"),
    "a regular expression that is none": lambda d: titled(d, "Throughput")["fieldConfig"][
        "overrides"
    ][0]["matcher"].update(options="^read"),
    "column set: an empty cell would say": lambda d: [
        field["properties"].pop(1) for field in titled(d, SETS)["fieldConfig"]["overrides"][:5]
    ],
    f"{SETS}: what is not there does not say so": lambda d: defaults(d, SETS).pop("noValue"),
    f"{SETS}: column write latency: the title does not fit": lambda d: [
        p.update(value=90)
        for field in titled(d, SETS)["fieldConfig"]["overrides"]
        for p in field["properties"]
        if p["id"] == "custom.width"
    ],
    f"{SETS}: A keeps the metric's name": lambda d: ask(titled(d, SETS), "topk(9, glupy_brick_up)"),
    "latencies of which the slowest hides": lambda d: defaults(d, "Latency by kind")["custom"].pop(
        "scaleDistribution"
    ),
    "a legend that leaves no room": lambda d: titled(d, "Reads by replica")["gridPos"].update(w=12),
    f"{SETS}: column host: names that are links": lambda d: [
        field["properties"].append({"id": "links", "value": []})
        for field in titled(d, SETS)["fieldConfig"]["overrides"]
        if field["matcher"]["options"] == "host"
    ],
    "signs of filters over names": lambda d: defaults(d, SETS)["custom"].update(filterable=True),
    "columns of": lambda d: titled(d, SETS)["gridPos"].update(w=12),
    "column set: no width": lambda d: titled(d, SETS)["fieldConfig"].update(overrides=[]),
    "which there are 948": lambda d: widen(d, SETS, 900),
    f"{SETS}: no column takes the room": lambda d: [
        p.update(id="custom.width")
        for field in titled(d, SETS)["fieldConfig"]["overrides"]
        for p in field["properties"]
        if p["id"] == "custom.minWidth"
    ],
    "sizes that read 1023 B": lambda d: ask(
        titled(d, "Sizes of reads"),
        "sum by (le) (rate(glupy_io_size_bytes_bucket[$__rate_interval]))",
    ),
    "raw buckets for each pixel": lambda d: titled(d, "Sizes of reads").pop("maxDataPoints"),
    "exemplars where there are none": lambda d: titled(d, BY_FOP)["targets"][0].update(
        exemplar=True
    ),
    "no query": lambda d: first(d, "stat").update(targets=[]),
    "not from the chosen data source": lambda d: first(d, "stat")["targets"][0].update(
        datasource={"type": "prometheus", "uid": "mine"}
    ),
    "no metric glupy_fops_total": lambda d: ask(first(d, "stat"), "glupy_fops_total"),
    "glupy_brick_up has no label fop": lambda d: ask(
        first(d, "stat"), "glupy_brick_up{fop=~`${fop:regex}`}"
    ),
    "no variable bricks": lambda d: ask(
        first(d, "stat"), "glupy_brick_up{brick=~`${bricks:regex}`}"
    ),
    "names would break out of": lambda d: ask(
        first(d, "stat"), 'glupy_brick_up{volume=~"$volume"}'
    ),
    "a mean of what is no number": lambda d: ask(
        first(d, "stat"),
        "max(avg_over_time(cluster_volume_fop:glupy_fop_duration_seconds:p99_rate5m[$__range]))",
    ),
    "a range that is not the page's": lambda d: replace(
        titled(d, "Sizes of reads"), "[$__rate_interval]", "[5m]"
    ),
    "a link to /d/glupy-volumes, which": lambda d: relink(d, "glupy-volume", "glupy-volumes"),
    "a link to /evil/": lambda d: relink(d, "/d/glupy-volume", "https://github.com/evil/runbook"),
    "a link that forgets the time range": lambda d: relink(d, "${__url_time_range}&", ""),
    "a link that forgets volume": lambda d: relink(d, "${volume:queryparam}&", ""),
    "a link that passes hosts, which is not here": lambda d: relink(d, "${volume:", "${hosts:"),
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
    asked = list(panels.questions({"file": "a-b", "client": "192.0.2.1"}))
    assert {(question.dashboard, question.panel) for question in asked} == {
        (name, title) for name in titles for title in titles[name]
    }
    assert not any("${" in question.expression for question in asked)
    assert any("gfid=~`a-b`" in question.expression for question in asked)
    assert any(r"client=~`192\.0\.2\.1`" in question.expression for question in asked)
