"""A real Prometheus with native histograms and one without, which scrape the same brick."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from glupy_exporter.metrics.fops import DURATION
from glupy_exporter.schema import layout
from tests.gluster.test_latency import fops_of, write_and_sync
from tests.support.gluster.monitored import Prometheus, exporter, prometheus
from tests.support.gluster.volumes import Volume, volume, wait_for

Need = Callable[[object, str], None]
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99, 1)
NAME = "glupy_fop_duration_seconds"


@contextlib.contextmanager
def both(home: Path, exporters: dict[str, str]) -> Iterator[tuple[Prometheus, Prometheus]]:
    """A Prometheus without native histograms and one with them, which scrape the same."""
    with contextlib.ExitStack() as stack:
        found = []
        for name, features in (("classic", ()), ("native", ("native-histograms",))):
            where = home / name
            where.mkdir()
            groups = [
                {"targets": [url.removeprefix("http://")], "labels": {"buckets": which}}
                for which, url in exporters.items()
            ]
            job = {"job_name": "glupy", "scrape_interval": "1s", "static_configs": groups}
            (where / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
            found.append(stack.enter_context(prometheus(where, features=features)))
        classic, native = found
        yield classic, native


def by_fop(asked: Prometheus, expression: str) -> dict[str, float]:
    return {labels["fop"]: value for labels, value in asked.query(expression)}


def completed(subject: Volume) -> dict[str, int]:
    return {name: fop.completed for name, fop in fops_of(subject).items() if fop.completed}


def test_quantiles_are_those_of_classic_histograms(
    xlator: None, tmp_path: Path, need: Need
) -> None:
    need(shutil.which("prometheus"), "prometheus")
    with (
        volume(bricks=1) as subject,
        exporter("--collector.fops.buckets=all") as every,
        exporter() as few,
        both(tmp_path, {"all": every.url, "few": few.url}) as (classic, native),
    ):
        with subject.mount("direct-io-mode=enable") as mount:
            write_and_sync(mount / "file", 300)
        counts = completed(subject)  # nothing goes on any more
        assert counts["write"] == counts["fsync"] == 300
        for which in ("all", "few"):
            wait_for(
                lambda which=which: (
                    by_fop(classic, f'{NAME}_count{{buckets="{which}"}}')
                    == by_fop(native, f'histogram_count({NAME}{{buckets="{which}"}})')
                    == counts
                ),
                "both to have scraped",
            )

        # A native histogram has no other series, and a text of the same family no native one.
        assert not native.query(f'{{__name__=~"{NAME}_.+"}}')
        assert not classic.query(NAME)
        sizes = 'sum by (le, direction) (glupy_io_size_bytes_bucket{buckets="few"})'
        assert sorted(map(str, native.query(sizes))) == sorted(map(str, classic.query(sizes)))

        seconds = {name: fop.nanoseconds / 1e9 for name, fop in fops_of(subject).items()}
        sums = by_fop(native, f'histogram_sum({NAME}{{buckets="all"}})')
        assert sums == by_fop(classic, f'{NAME}_sum{{buckets="all"}}')
        assert sums == pytest.approx({name: seconds[name] for name in counts})
        for quantile in QUANTILES:
            ours = by_fop(native, f'histogram_quantile({quantile}, {NAME}{{buckets="few"}})')
            fine, coarse = (
                by_fop(
                    classic,
                    f"histogram_quantile({quantile}, "
                    f'sum by (le, fop) ({NAME}_bucket{{buckets="{which}"}}))',
                )
                for which in ("all", "few")
            )
            assert ours.keys() == counts.keys()
            assert ours == pytest.approx(fine, rel=1e-9)
            assert DURATION.served
            bounds = (0.0, *DURATION.served, layout.LATENCY_BOUNDS[-1])
            for name, value in ours.items():
                # In the same bucket as the classic one of a quarter of the bounds.
                low = max(bound for bound in bounds if bound < value)
                high = min(bound for bound in bounds if bound >= value)
                assert low <= coarse[name] <= high
