"""Which files of a real brick get series, while new files come and go beside files that last."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.files import Files
from glupy_exporter.metrics.scrape import Scraper
from tests.gluster.compare import files
from tests.support import scrapes
from tests.support.gluster.volumes import SEGMENTS, volume, wait_for

LASTING = 3.0
STEADY = 6
LEAST_NEW = 100


def one_new_file(path: Path) -> None:
    """Created, written once, read once, deleted."""
    path.write_bytes(b"x" * 100)
    path.read_bytes()
    path.unlink()


def test_a_loop_of_new_files_beside_files_that_last(xlator: None) -> None:
    def scrape() -> tuple[dict[tuple[str, str], float], float]:
        """The fops of each path and kind, and the fops of files without series."""
        fops, others = {}, 0.0
        for family in text_string_to_metric_families(scrapes.text(scraper)):
            for sample in family.samples:
                if sample.labels.get("volume") != subject.name:
                    continue
                if sample.name == "glupy_file_fops_total":
                    fops[sample.labels["path"], sample.labels["kind"]] = sample.value
                if sample.name == "glupy_file_unexported_fops_total":
                    others += sample.value
        return fops, others

    scraper = Scraper(SEGMENTS, 3600, [Files(Options({"lasting": LASTING, "limit": STEADY + 4}))])
    with contextlib.ExitStack() as stack:
        subject = stack.enter_context(volume(bricks=1))
        mount = stack.enter_context(subject.mount("direct-io-mode=enable"))
        names = [f"/steady{number}" for number in range(STEADY)]
        opened = [os.open(mount / name[1:], os.O_CREAT | os.O_WRONLY) for name in names]
        for each in opened:
            stack.callback(os.close, each)
        scrape()
        writes = made = 0
        ever: set[str] = set()
        until = time.monotonic() + 3 * LASTING
        while time.monotonic() < until or made < LEAST_NEW:
            for place, each in enumerate(opened):
                os.pwrite(each, b"y" * (place + 1), 0)
            writes += 1
            for _ in range(5):
                one_new_file(mount / f"new{made}")
                made += 1
            if writes % 10 == 0:
                ever |= {path for path, _ in scrape()[0]}
        wait_for(lambda: scrape()[0].keys() >= {(name, "write") for name in names}, "all names")
        found, others = scrape()
        assert {path for path, _ in found} | ever <= {*names, "/"}
        # Direct I/O: each write of the application is one of the brick.
        assert {name: found[name, "write"] for name in names} == dict.fromkeys(names, writes)
        with subject.segment(subject.bricks[0]) as segment:
            rows = files(segment)
        of = {file.path: sum(file.activity.fops) for file in rows if file.path in {*names, "/"}}
        # A file that lives for less than a second never gets its name.
        new = sum(sum(file.activity.fops) for file in rows if file.path not in of)
        assert new >= 3 * made  # none of them has lost its slot
        assert new <= others <= new + sum(of.values())
