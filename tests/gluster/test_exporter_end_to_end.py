"""Brick, translator, unprivileged exporter, Prometheus: each number arrives as it was counted."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.gluster import workload
from tests.gluster.compare import Counts, read_counts, settled
from tests.support.gluster.monitored import (
    HURRIED_FLAGS,
    free_port,
    get,
    prometheus,
    scrape_one,
    service,
)
from tests.support.gluster.volumes import Profile, Volume, volume, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def subject(xlator: None) -> Iterator[Volume]:
    """A volume on which something has happened and nothing happens now."""
    with volume("replica", "2", bricks=2) as made:
        with made.mount("direct-io-mode=enable") as mount:
            workload.through_mount(mount)
        yield made


@pytest.fixture(scope="module")
def exporter(subject: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an exporter that runs as nobody in the group gluster."""
    # nobody may read neither this checkout nor this interpreter: give it copies and Debian's own.
    code = subject.directory / "code"
    for name in ("glupy_exporter", "prometheus_client", "tornado", "yaml"):
        module = importlib.util.find_spec(name)
        assert module and module.origin
        shutil.copytree(Path(module.origin).parent, code / name)
    address = f"127.0.0.1:{free_port()}"
    drop = ["setpriv", "--reuid=nobody", "--regid=gluster", "--clear-groups", "--no-new-privs"]
    command = ["/usr/bin/python3", "-m", "glupy_exporter.cli", "serve", *HURRIED_FLAGS]
    url = f"http://{address}"
    with service([*drop, *command, f"--web.listen-address={address}"], url, PYTHONPATH=str(code)):
        yield url


def scrape(exporter: str, subject: Volume) -> Samples:
    """One scrape's samples about the volume, by name and labels other than ``volume``."""
    return {
        (sample.name, frozenset(labels.items())): sample.value
        for family in text_string_to_metric_families(get(f"{exporter}/metrics"))
        for sample in family.samples
        if (labels := dict(sample.labels)).pop("volume", None) == subject.name
    }


def test_counts_arrive(exporter: str, subject: Volume) -> None:
    def quiet_scrape() -> tuple[dict[Path, tuple[Profile, Counts]], Samples] | None:
        """Counts and samples between which the self-heal daemon did nothing."""
        before = settled(subject)
        samples = scrape(exporter, subject)
        return (before, samples) if settled(subject) == before else None

    bricks, samples = wait_for(quiet_scrape, "a scrape while nothing was going on")

    def value(name: str, brick: Path, **labels: str) -> float:
        return samples[name, frozenset({"brick": str(brick), **labels}.items())]

    for brick, (profile, counts) in bricks.items():
        for fop, calls in counts.fops.items():
            assert value("glupy_fop_duration_seconds_count", brick, fop=fop) == calls
        for direction in ("read", "write"):
            moved = value("glupy_io_bytes_total", brick, direction=direction)
            calls = value("glupy_io_size_bytes_count", brick, direction=direction)
            assert moved == profile.bytes[direction]
            assert calls == sum(profile.sizes[direction])
        assert value("glupy_brick_up", brick) == 1
        (info,) = [
            dict(labels)
            for name, labels in samples
            if name == "glupy_brick_info" and ("brick", str(brick)) in labels
        ]
        assert info["pid"] == str(subject.pid(brick))
        assert info["subvolume"] == "0"
    errors = {name_labels for name_labels in samples if name_labels[0] == "glupy_fop_errors_total"}
    assert any(("errno", "ENOENT") in labels for _, labels in errors)


def test_metrics_are_clean(exporter: str, need: Callable[[object, str], None]) -> None:
    need(shutil.which("promtool"), "promtool (Debian: prometheus)")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=get(f"{exporter}/metrics"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_openmetrics(exporter: str, subject: Volume) -> None:
    text = get(f"{exporter}/metrics", accept="application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(text)}
    volumes = {sample.labels["volume"] for sample in families["glupy_brick_up"].samples}
    assert subject.name in volumes
    assert text.endswith("# EOF\n")


def test_landing_page_lists_the_bricks(exporter: str, subject: Volume) -> None:
    page = get(f"{exporter}/", accept="text/html")
    assert all(str(brick) in page for brick in subject.bricks)


def test_dead_brick_is_down_until_it_is_back(exporter: str, subject: Volume) -> None:
    brick = subject.bricks[1]
    key = "glupy_brick_up", frozenset({"brick": str(brick)}.items())
    subject.kill(brick)
    wait_for(lambda: scrape(exporter, subject)[key] == 0, "the brick to be down")
    subject.start(force=True)
    wait_for(lambda: scrape(exporter, subject)[key] == 1, "the brick to be up")


def test_prometheus_answers(
    exporter: str, subject: Volume, tmp_path: Path, need: Callable[[object, str], None]
) -> None:
    """A Prometheus with the shipped configuration and rules, only quicker."""
    need(shutil.which("prometheus"), "prometheus (Debian: prometheus)")
    home = tmp_path / "prometheus"
    shutil.copytree(REPOSITORY / "prometheus", home)
    scrape_one(home / "prometheus.yml", exporter.removeprefix("http://"))
    quick = (home / "prometheus.yml").read_text().replace("15s", "1s")
    (home / "prometheus.yml").write_text(quick)
    of_volume = f'{{volume="{subject.name}"}}'
    with prometheus(home) as watching:
        query = watching.query
        up = wait_for(lambda: query(f"glupy_brick_up{of_volume}"), "the first scrape")
        assert sorted((labels["brick"], value) for labels, value in up) == [
            (str(brick), 1) for brick in sorted(subject.bricks)
        ]
        brick = subject.bricks[0]
        one = f'volume="{subject.name}",brick="{brick}",fop="lookup"'
        lookups = f"glupy_fop_duration_seconds_count{{{one}}}"
        wait_for(
            lambda: query(lookups)[0][1] == read_counts(subject, brick).fops["lookup"],
            "as many lookups as the brick has counted",
        )
        assert query("sum(glupy_segment_errors_total)") in ([], [({}, 0.0)])
        # A rule that stands on another: two evaluations, 15 s each, after two scrapes.
        rule = f"cluster_volume_fop:glupy_fops:rate5m{of_volume}"
        (labels, _) = wait_for(lambda: query(rule), "a shipped rule to answer", 120)[0]
        assert labels["cluster"] == "main"
        assert query(f'glupy_brick_up{{volume="{subject.name}",host="127.0.0.1"}}')
