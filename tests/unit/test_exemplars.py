"""Exemplars: which fops stand for the buckets of the latencies."""

from __future__ import annotations

import contextlib
import shutil
import time
import tracemalloc
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from glupy_exporter.metrics import exemplars, exposition, protobuf
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.fops import Fops
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.node.bricks import open_bricks
from glupy_exporter.node.privacy import Privacy
from tests.support import client_model, segments
from tests.support.exporters import exporter
from tests.support.gluster.monitored import prometheus, wait_for

A, B = (uuid.UUID(int=number << 64) for number in (1, 2))


def made(*slow: segments.Recorded, **fields: Any) -> segments.Segment:
    return segments.Segment(
        fops={"read": segments.Fop({5: 10, 20: 3, 21: 2}), "write": segments.Fop({20: 1})},
        files={0: segments.File(b"/a", A), 1: segments.File(b"/b", B)},
        clients={0: segments.Client(b"192.0.2.1"), 1: segments.Client(b"\xff" * 64)},
        recorded={"slow": slow},
        **fields,
    )


def scraper(directory: Path, privacy: Privacy = Privacy(), **settings: Any) -> Scraper:
    return Scraper(directory, 60.0, [Fops(Options(settings, privacy))])


def of(source: Scraper) -> dict[tuple[str, str], dict[str, str]]:
    """The labels of each exemplar in OpenMetrics, by fop and bucket."""
    found = {}
    for family in parse_openmetrics(b"".join(exposition.openmetrics(source)).decode()):
        for sample in family.samples:
            if sample.exemplar:
                labels = sample.exemplar.labels
                assert sum(map(len, (*labels, *labels.values()))) <= 128
                assert sample.exemplar.value <= float(sample.labels["le"])
                assert float(sample.exemplar.timestamp) < time.time() + 1
                found[sample.labels["fop"], sample.labels["le"]] = labels
    return found


def record(
    fop: str, seconds: float, gfid: uuid.UUID = A, client: int = 1, age: int = 5
) -> segments.Recorded:
    """A fop that came back ``age`` seconds ago."""
    ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - age * 10**9
    return segments.Recorded(fop, round(seconds * 1e9), gfid, client, fields={"ended": ended})


def test_the_latest_fop_of_each_bucket(tmp_path: Path) -> None:
    records = [record("read", 1.5), record("read", 1.2, B, age=3), record("read", 3, age=1)]
    records.append(record("write", 20))
    who = {"client": "192.0.2.1"}
    with made(*records).live(tmp_path):
        assert of(scraper(tmp_path)) == {
            ("read", "4.0"): {"gfid": str(A), **who},
            ("write", "+Inf"): {"gfid": str(A), **who},
        }
        by_bucket = of(scraper(tmp_path, buckets="all"))
    assert by_bucket["read", "2.0"]["gfid"] == str(B)
    assert by_bucket.keys() == {("read", "2.0"), ("read", "4.0"), ("write", "32.0")}


def test_they_are_remembered(tmp_path: Path) -> None:
    source = scraper(tmp_path)
    with made(record("read", 3)).live(tmp_path):
        first = of(source)
    with made(*[record("write", 20)] * 9).live(tmp_path):  # it has overwritten the first one
        assert of(source).keys() == {*first, ("write", "+Inf")}


def test_protobuf_has_them(tmp_path: Path) -> None:
    with made(record("read", 3)).live(tmp_path):
        families = client_model.decode(b"".join(protobuf.protobuf(scraper(tmp_path))))
    (durations,) = (f for f in families if f.name == "glupy_fop_duration_seconds")
    native = [each for metric in durations.metric for each in metric.histogram.exemplars]
    assert [client_model.labels(each) for each in native] == [
        (("client", "192.0.2.1"), ("gfid", str(A)))
    ]


def test_a_client_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    with made(record("read", 3, client=2)).live(tmp_path):
        assert list(of(scraper(tmp_path)).values()) == [{"gfid": str(A)}]


def test_hidden_files_have_none(tmp_path: Path) -> None:
    with made(record("read", 3), record("write", 3, B)).live(tmp_path):
        found = of(scraper(tmp_path, Privacy(exclude=("/a",))))
        assert [labels["gfid"] for labels in found.values()] == [str(B)]
        assert of(scraper(tmp_path, exemplars=False)) == {}


def test_a_scrape_looks_at_the_latest_records_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exemplars, "_RECORDS", 2)
    records = [record("write", 20), record("read", 3), record("read", 3, B)]
    with made(*records).live(tmp_path):
        assert of(scraper(tmp_path)).keys() == {("read", "4.0")}


def test_hours_of_exemplars_take_little_memory(tmp_path: Path) -> None:
    """Each scrape finds fops on other files."""
    whose = exemplars.Exemplars(Privacy())
    buckets = 25
    records: list[segments.Recorded] = []

    def scrape(round: int) -> None:
        for bucket in range(buckets):
            gfid = uuid.UUID(int=(round * buckets + bucket) << 64 | 7)
            records.append(record("read", 2.0**-bucket, gfid))
        made(*records, recorder={**segments.Segment().recorder, "slow": 32}).write(tmp_path)
        with open_bricks(tmp_path, 60.0) as (bricks, _):
            latest = whose.of(bricks[0])["read"].values()
        assert dict(max(latest, key=lambda each: each.value).labels)["gfid"] == str(
            records[-buckets].gfid
        )

    for round in range(20):
        scrape(round)
    tracemalloc.start()
    try:
        for round in range(20, 80):
            scrape(round)
        records.clear()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 2**18


@pytest.mark.parametrize("features", [[], ["native-histograms"]], ids=["openmetrics", "protobuf"])
def test_a_prometheus_stores_them(
    tmp_path: Path, need: Callable[[object, str], None], features: list[str]
) -> None:
    need(shutil.which("prometheus"), "prometheus")
    recorded = record("read", 3)
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(made(recorded).live(tmp_path))
        port = stack.enter_context(exporter(*flags)).port()
        job = {"job_name": "glupy", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        running = prometheus(tmp_path, features=["exemplar-storage", *features])
        found = stack.enter_context(running)
        now = time.time()
        series = "glupy_fop_duration_seconds" + ("" if features else "_bucket")
        period = {"start": str(now - 600), "end": str(now + 600)}
        ((stored,)) = wait_for(
            lambda: found.ask("query_exemplars", query=series, **period), "an exemplar"
        )
    assert stored["seriesLabels"]["fop"] == "read"
    labels = [each["labels"] for each in stored["exemplars"]]
    assert labels == [{"gfid": str(A), "client": "192.0.2.1"}]
