"""Rules and dashboards for native histograms, by themselves and on a real Prometheus."""

from __future__ import annotations

import contextlib
import shutil
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from deploy.demo.panels import questions
from prometheus import native
from tests.support.gluster.monitored import SHIPPED, Prometheus, hurried, prometheus
from tests.support.gluster.volumes import wait_for

Need = Callable[[object, str], None]

DASHBOARDS = SHIPPED.parent / "grafana" / "dashboards-native"
METRIC = native.METRIC
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily"
TEXT = "text/plain; version=0.0.4"

HOSTS = ("both", "classic", "native", "kept")
"""The nodes. The first has served native histograms since the change-over, and Prometheus keeps
both forms of the last one, which has a volume of its own."""
EXPONENTS = range(-12, 2)  # of the buckets' upper bounds, in seconds
# Fops a scrape by the exponent of their bucket: the others are slower on the node "classic".
READS = {-10: 60, -9: 35, -6: 5}
WRITES = {host: {-8: 90, -3: 10} for host in HOSTS} | {"classic": {-7: 90, -1: 10}}


def test_every_rule_keeps_its_name_and_place() -> None:
    for source in (SHIPPED / "rules").iterdir():
        groups = [
            yaml.safe_load((SHIPPED / rules / source.name).read_text())["groups"]
            for rules in ("rules", "rules-native")
        ]
        for classic, made in zip(*groups):
            names = [rule.get("record", rule.get("alert")) for rule in made["rules"]]
            added = {name for name in names if name.endswith(f":{METRIC}:rate5m")}
            kept = [name for name in names if name not in added]
            assert kept == [rule.get("record", rule.get("alert")) for rule in classic["rules"]]


@pytest.mark.parametrize(
    ("classic", "both"),
    [
        ("sum(rate(glupy_file_fops_total[5m]))", "sum(rate(glupy_file_fops_total[5m]))"),
        (
            f"sum by (fop) (rate({METRIC}_count{{fop!~`a{{b}}`}}[5m])) > 0",
            f"sum by (fop) (histogram_count(rate({METRIC}{{fop!~`a{{b}}`}}[5m]))"
            f" or rate({METRIC}_count{{fop!~`a{{b}}`}}[5m])) > 0",
        ),
        (
            f"1 - increase({METRIC}_sum[$__range] @ end())",
            f"1 - (histogram_sum(increase({METRIC}[$__range] @ end()))"
            f" or increase({METRIC}_sum[$__range] @ end()))",
        ),
        (
            f"histogram_quantile(0.5, sum by (brick, le) (rate({METRIC}_bucket[5m])))",
            f"(histogram_quantile(0.5, sum by (brick) (rate({METRIC}[5m])))"
            f" or histogram_quantile(0.5, sum by (brick, le) (rate({METRIC}_bucket[5m]))))",
        ),
        (
            f"histogram_quantile(0.5, a_le:{METRIC}_bucket:rate5m)",
            f"(histogram_quantile(0.5, a:{METRIC}:rate5m)"
            f" >= histogram_quantile(0.5, a_le:{METRIC}_bucket:rate5m)"
            f" or histogram_quantile(0.5, a_le:{METRIC}_bucket:rate5m) >= 0"
            f" or histogram_quantile(0.5, a:{METRIC}:rate5m))",
        ),
        (
            f"histogram_quantile(0.5, avg_over_time(a_fop_le:{METRIC}_bucket:rate5m[1h]))",
            f"(histogram_quantile(0.5, rate({METRIC}[1h]))"
            f" >= histogram_quantile(0.5, avg_over_time(a_fop_le:{METRIC}_bucket:rate5m[1h]))"
            f" or histogram_quantile(0.5, avg_over_time(a_fop_le:{METRIC}_bucket:rate5m[1h])) >= 0"
            f" or histogram_quantile(0.5, rate({METRIC}[1h])))",
        ),
        (
            f"count by (cluster) ({METRIC}_count{{host=~`.*`}})",
            f'count by (cluster) ({{__name__=~"{METRIC}(_count)?",host=~`.*`}})',
        ),
        (
            f'sum by (fop) (a_le:{METRIC}_bucket:rate5m{{le="+Inf"}}) / a:{METRIC}_sum:rate5m',
            f"sum by (fop) (histogram_count(rate({METRIC}[5m]))"
            f" or rate({METRIC}_count[5m])) / a:{METRIC}_sum:rate5m",
        ),
    ],
)
def test_an_expression_for_both_forms(classic: str, both: str) -> None:
    assert native.rendered(classic) == both


@pytest.mark.parametrize(
    "expression",
    [
        f"{METRIC}_count",
        f"sum by (le) (rate({METRIC}_bucket[5m]))",
        f"a_le:{METRIC}_bucket:rate5m",
        f'a_le:{METRIC}_bucket:rate5m{{le="+Inf"}}',
    ],
)
def test_another_use_of_the_histogram_is_refused(expression: str) -> None:
    with pytest.raises(native.NotUnderstood, match=METRIC):
        native.rendered(expression)


def test_a_heat_map_of_something_else_is_refused() -> None:
    with pytest.raises(native.NotUnderstood):
        native.heatmap(f"sum by (fop, le) (rate({METRIC}_bucket[5m]))")


def labels(host: str, fop: str = "") -> dict[str, str]:
    said = {"volume": "w" if host == "kept" else "v", "brick": f"/{host}"}
    return {**said, "fop": fop} if fop else said


def text(scrapes: int, host: str, fops: dict[str, dict[int, int]]) -> str:
    """The classic form."""
    lines = [f"# TYPE {METRIC} histogram"]
    for fop, counts in fops.items():
        said = ",".join(f'{name}="{value}"' for name, value in labels(host, fop).items())
        total = 0
        for exponent in EXPONENTS:
            total += counts.get(exponent, 0) * scrapes
            lines.append(f'{METRIC}_bucket{{{said},le="{2.0**exponent}"}} {total}')
        lines.append(f'{METRIC}_bucket{{{said},le="+Inf"}} {total}')
        lines += [f"{METRIC}_sum{{{said}}} {scrapes}", f"{METRIC}_count{{{said}}} {total}"]
    said = ",".join(f'{name}="{value}"' for name, value in labels(host).items())
    info = f'glupy_brick_info{{{said},subvolume="0",xlator_version="1",glusterfs_version="1"}} 1'
    return "\n".join([*lines, info, f"glupy_brick_up{{{said}}} 1", ""])


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | bytes | str) -> bytes:
    """A field of a message of protobuf."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def metric(said: dict[str, str], kind: int, value: bytes) -> bytes:
    pairs = b"".join(field(1, field(1, n) + field(2, v)) for n, v in said.items())
    return field(4, pairs + field(kind, value))


def protobuf(scrapes: int, host: str, fops: dict[str, dict[int, int]]) -> bytes:
    """The native form, with schema 0: bucket i ends at 2**i seconds."""

    def histogram(counts: dict[int, int]) -> bytes:
        numbers = [counts.get(exponent, 0) * scrapes for exponent in EXPONENTS]
        deltas = [numbers[0], *(b - a for a, b in zip(numbers, numbers[1:]))]
        span = field(1, zigzag(EXPONENTS[0])) + field(2, len(numbers))
        return b"".join(
            [
                *(field(1, sum(numbers)), field(2, float(scrapes)), field(5, zigzag(0))),
                *(field(6, 2.0**-30), field(12, span)),
                *(field(13, zigzag(delta)) for delta in deltas),
            ]
        )

    said = {**labels(host), "subvolume": "0", "xlator_version": "1", "glusterfs_version": "1"}
    families = [
        field(1, METRIC)
        + field(3, 4)
        + b"".join(metric(labels(host, fop), 7, histogram(c)) for fop, c in fops.items()),
        field(1, "glupy_brick_info") + field(3, 1) + metric(said, 2, field(1, 1.0)),
        field(1, "glupy_brick_up") + field(3, 1) + metric(labels(host), 2, field(1, 1.0)),
    ]
    return b"".join(varint(len(family)) + family for family in families)


class Node(BaseHTTPRequestHandler):
    """An exporter; with each scrape it has done the same work once more."""

    scrapes: Counter[str]
    changed_over: threading.Event

    def do_GET(self) -> None:
        host, _, form = self.path.strip("/").partition("-")
        self.scrapes[self.path] += 1
        asked = "vnd.google.protobuf" in self.headers["Accept"]
        of = (self.scrapes[self.path], host, {"read": READS, "write": WRITES[host]})
        native = host == "native" or form == "native"
        if (asked and native) or (host == "both" and self.changed_over.is_set()):
            kind, body = f"{PROTOBUF};encoding=delimited", protobuf(*of)
        else:
            kind, body = TEXT, text(*of).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def configured(home: Path, port: int) -> None:
    """Put the shipped rules for native histograms into ``home``, hurried, and a configuration."""
    (home / "rules").mkdir()
    for source in (SHIPPED / "rules-native").iterdir():
        (home / "rules" / source.name).write_text(hurried(source.read_text()))
    # Prometheus 2.42 cannot be told to keep both forms of one answer.
    jobs = [
        {
            "job_name": path,
            "metrics_path": f"/{path}",
            "static_configs": [
                {
                    "targets": [f"127.0.0.1:{port}"],
                    "labels": {"cluster": "main", "host": path.split("-")[0], "job": "glupy"},
                }
            ],
        }
        for path in (*HOSTS, "kept-native")
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": jobs,
    }
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def watching(
    tmp_path_factory: pytest.TempPathFactory, need: Need
) -> Iterator[tuple[Prometheus, threading.Event]]:
    """A Prometheus with the feature, and what makes the node "both" change over."""
    need(shutil.which("prometheus"), "prometheus")
    home = tmp_path_factory.mktemp("prometheus")
    changed = threading.Event()
    handler = type("Handler", (Node,), {"scrapes": Counter(), "changed_over": changed})
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
        stack.callback(server.shutdown)
        configured(home, server.server_address[1])
        running = prometheus(home, features=["native-histograms"])
        yield stack.enter_context(running), changed


def by_host(found: Prometheus, expression: str) -> dict[str, float]:
    return {said.get("host", ""): value for said, value in found.query(expression)}


KIND = f"cluster_host_volume_brick_kind:{METRIC}"


def test_both_forms_tell_the_same(watching: tuple[Prometheus, threading.Event]) -> None:
    found, _ = watching
    asked = {
        "fops": "cluster_host_volume_brick:glupy_fops:rate5m",
        "mean": f'{KIND}:mean_rate5m{{kind="read"}}',
        "p99": f'{KIND}:p99_rate5m{{kind="read"}}',
    }
    wait_for(
        lambda: all(len(by_host(found, f"{expr} > 0")) == 4 for expr in asked.values()),
        "rules of four nodes",
    )
    # 99 of 100 fops are in the bucket from 1/128 to 1/64 s, four fifths of its way.
    for value in by_host(found, asked["p99"]).values():
        assert value == pytest.approx(2**-7 + 0.8 * 2**-7, rel=0.01)

    def equal() -> bool:
        values = [by_host(found, asked[what]) for what in ("fops", "mean")]
        return all(max(v.values()) < 1.05 * min(v.values()) for v in values)

    # Scrapes are at times of their own; with a full window, that makes no difference any more.
    wait_for(equal, "the same rates of four nodes")
    classic = {said["host"] for said, _ in found.query(f"{METRIC}_bucket")}
    assert classic == {"both", "classic", "kept"}


def test_a_node_counts_once_if_both_forms_are_kept(
    watching: tuple[Prometheus, threading.Event],
) -> None:
    found, _ = watching
    for part in ("count", "sum"):
        recorded = f'cluster_volume_fop:{METRIC}_{part}:rate5m{{volume="w"}}'
        native = f'histogram_{part}(rate({METRIC}{{host="kept"}}[10s]))'
        classic = f'rate({METRIC}_{part}{{host="kept"}}[10s])'
        # The rates are of another moment than the rule, and too low until the window is full.
        once = f"sum({recorded}) / sum({native}) > 0.7 and sum({classic}) / sum({native}) > 0.7"
        wait_for(lambda once=once: found.query(once), f"both forms, and {recorded}")
        assert not found.query(f"max_over_time(sum({recorded})[8s:1s]) / sum({native}) > 1.5")


def test_the_slower_nodes_make_the_quantile_of_the_volume(
    watching: tuple[Prometheus, threading.Event],
) -> None:
    found, _ = watching
    p99 = f'cluster_volume_kind:{METRIC}:p99_rate5m{{kind="write"}}'
    # Of 200 fops of the two nodes with the old form, 10 are in the bucket from 1/4 to 1/2 s. The
    # other node's quantile is 0.12 s. The rates of a node are too low until its window is full.
    wait_for(lambda: found.query(f"{p99} > 0.44 < 0.46"), "the quantile of the volume")


def test_the_change_over_leaves_no_gap(watching: tuple[Prometheus, threading.Event]) -> None:
    found, change = watching
    count = (
        'count(cluster_host_volume_brick_kind:glupy_fops:rate5m{kind!="metadata",host="both"} > 0)'
    )
    wait_for(lambda: found.query(count), "rules of the node before it changes over")
    change.set()
    wait_for(
        lambda: found.query(f'histogram_count({METRIC}{{host="both"}})'),
        "native histograms of the node",
    )
    p99 = f'{KIND}:p99_rate5m{{kind="read",host="both"}}'
    old = f'rate({METRIC}_count{{host="both"}}[10s])'
    wait_for(lambda: not found.query(old), "the old form to be over")
    ((_, value),) = found.query(p99)
    assert value == pytest.approx(2**-7 + 0.8 * 2**-7, rel=0.01)
    ((_, least),) = found.query(f"min_over_time(({count})[12s:1s])")
    assert least == 2


OF_LATENCY = {
    ("brick", "Latency"),
    ("brick", "Latency by kind"),
    ("brick", "Median latency by fop"),
    ("brick", "p99 latency by fop"),
    ("cluster", "Latency"),
    ("volume", "Latency of all fops"),
    ("volume", "Latency by kind"),
    ("volume", "p99 latency by fop"),
}


@pytest.mark.parametrize("chosen", [{}, {"host": "native"}], ids=str)
def test_dashboards_find_what_they_ask_for(
    watching: tuple[Prometheus, threading.Event], chosen: dict[str, str]
) -> None:
    found, _ = watching
    busiest = {"file": "a-b", "client": "192.0.2.1"}
    asked = list(questions(busiest | chosen, "10s", "5s", DASHBOARDS))
    assert {(a.dashboard, a.panel) for a in asked} >= OF_LATENCY
    for question in asked:
        # An expression that is wrong raises.
        answered = partial(found.ask, "query", query=question.expression)
        if (question.dashboard, question.panel) in OF_LATENCY:
            wait_for(lambda answered=answered: answered()["result"], question.expression)
        else:
            answered()
