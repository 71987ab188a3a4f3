"""Names of any bytes in the selectors of the dashboards, put to a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit import grafana_lint

Json = dict[str, Any]

DASHBOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
NAMES = [
    "/plain",
    '/double"quote',
    "/single'quote",
    "/back\\slash\\",
    "/$dollar ${brace} $__range {a,b} {{c}} [d] (e|f) .*",
    '/"} 1 2',
    '/x",path="y',
    "/new\\x0aline and \\xff",
    "/ünïcode/日本",
]
WITH_BACKTICK = "/`backticks` \" and ' all"
RECORDED = 1000
"""What a rule recorded of the volume: another number than the bricks' sum."""
FILES = {str(uuid.uuid5(uuid.NAMESPACE_URL, path)): path for path in [*NAMES, WITH_BACKTICK]}


def regex(values: list[str]) -> str:
    """Values as Grafana's format "regex" has them: escapeRegex() of @grafana/data, one or more."""
    escaped = [re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def chosen(expression: str, **values: str) -> str:
    """The expression with values of the variables, the others being All."""
    return re.sub(r"\$\{(\w+):regex\}", lambda found: values.get(found[1], ".*"), expression)


def dashboard(name: str) -> Json:
    found: Json = json.loads((DASHBOARDS / f"{name}.json").read_text())
    return found


def expression(page: str, title: str) -> str:
    (panel,) = (panel for panel in grafana_lint.panels(dashboard(page)) if panel["title"] == title)
    return str(panel["targets"][0]["expr"])


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def samples(now: int) -> Iterator[str]:
    for gfid, path in FILES.items():
        said = f'cluster="c",volume="v",gfid="{gfid}",path={quoted(path)},type="file"'
        yield f"cluster_volume_gfid_path_type:glupy_file_fops:rate5m{{{said}}} 5 {now}"
    for number, brick in enumerate(NAMES):
        said = f'cluster="c",volume="v",host="h",brick={quoted(brick)}'
        yield f"glupy_brick_up{{{said}}} {number + 1} {now}"
    for number, brick in enumerate(NAMES):
        said = f'cluster="c",volume="v",host="h",brick={quoted(brick)},fop="read"'
        for at in (now - 60, now):
            count = (number + 1) * (at - now + 60)
            yield f"glupy_fop_duration_seconds_count{{{said}}} {count} {at}"
    recorded = "cluster_volume_fop:glupy_fop_duration_seconds_count:rate5m"
    yield f'{recorded}{{cluster="c",volume="v",fop="read"}} {RECORDED} {now}'
    yield "# EOF\n"


class Prometheus:
    def __init__(self, url: str, now: int) -> None:
        self.url, self.now = url, now

    def ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/-/ready").close()
        except OSError:
            return False
        return True

    def ask(self, query: str) -> list[Json]:
        words = urllib.parse.urlencode({"query": query, "time": self.now + 1})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{words}") as answer:
                found: list[Json] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{query}: {error.read().decode()}")
        return found


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[[object, str], None]
) -> Iterator[Prometheus]:
    """One that knows all names, as bricks and as files."""
    need(shutil.which("prometheus"), "prometheus")
    home = tmp_path_factory.mktemp("prometheus")
    now = int(time.time()) - 60
    (home / "samples").write_text("\n".join(samples(now)))
    (home / "prometheus.yml").write_text("global: {}\n")
    make = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        home / "samples",
        home / "data",
    ]
    subprocess.run(make, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    words = [f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}"]
    words += [f"--web.listen-address={address}", "--log.level=error"]
    with subprocess.Popen(["prometheus", *words]) as process:
        try:
            started = Prometheus(f"http://{address}", now)
            while not started.ready():
                assert process.poll() is None
                time.sleep(0.05)
            yield started
        finally:
            process.terminate()


def test_the_list_of_files_has_every_name(prometheus: Prometheus) -> None:
    variable = grafana_lint.variables(dashboard("file"))["file"]
    (query,) = re.fullmatch(r"query_result\((.+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
    # In JavaScript [^] is any character, and a group's name has no P.
    pattern = re.compile(
        variable["regex"].strip("/").replace("(?<", "(?P<").replace("[^]", r"[\s\S]")
    )
    found = {}
    for row in prometheus.ask(chosen(query)):
        # As Grafana's data source has it: nothing is escaped.
        pairs = ",".join(f'{name}="{value}"' for name, value in row["metric"].items())
        match = pattern.match(f"{{{pairs}}} {row['value'][1]} {row['value'][0] * 1000}")
        assert match
        found[match["value"]] = match["text"]
    assert found == FILES


@pytest.mark.parametrize("gfid", FILES, ids=FILES.values())
def test_a_file_of_any_name_can_be_chosen(prometheus: Prometheus, gfid: str) -> None:
    asked = chosen(expression("file", "Path"), file=regex([gfid]))
    assert [row["metric"]["path"] for row in prometheus.ask(asked)] == [FILES[gfid]]


@pytest.mark.parametrize("brick", NAMES)
def test_a_brick_of_any_name_can_be_chosen(prometheus: Prometheus, brick: str) -> None:
    number = NAMES.index(brick) + 1
    one, other = [brick], [brick, NAMES[number % len(NAMES)]]
    for values in (one, other):
        asked = chosen(expression("brick", "Up"), brick=regex(values))
        # That many bricks; as of each another number is "up", the mean tells which they are.
        (row,) = prometheus.ask(asked)
        assert float(row["value"][1]) == sum(NAMES.index(v) + 1 for v in values) / len(values)


@pytest.mark.parametrize(
    ("selected", "fops"),
    [
        ({}, RECORDED),
        ({"volume": "v", "fop": "read"}, RECORDED),
        ({"brick": regex(NAMES[:1])}, 1),
        ({"brick": regex(NAMES[:2])}, 1 + 2),
        ({"host": "h"}, sum(range(1, len(NAMES) + 1))),
        ({"host": "h", "brick": regex(NAMES[1:2])}, 2),
        ({"host": "elsewhere"}, 0),
    ],
    ids=str,
)
def test_the_series_of_bricks_are_asked_for_only_if_some_are_chosen(
    prometheus: Prometheus, selected: dict[str, str], fops: float
) -> None:
    asked = expression("brick", "Operations").replace("$__rate_interval", "61s")
    found = [float(row["value"][1]) for row in prometheus.ask(chosen(asked, **selected))]
    assert found == pytest.approx([fops] if fops else [], rel=0.05)
