"""Probes: what they get, what they may do, and what their faults cost."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter import cli
from glupy_exporter.errors import UserError
from glupy_exporter.metrics.probes import Probes
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.node.recorder import RECORDED, Recorded
from glupy_exporter.probes import Counter, Gauge, Probe, base, child, examples, loading, runner
from glupy_exporter.probes.runner import Runner
from tests.support import scrapes, segments
from tests.unit.test_trace import ROOT_ONLY, ROW, A, B, FakeBrick, brick, made, traced, wait

EXAMPLES = Path(*examples.__path__)
GUIDE = Path(__file__).parents[2] / "docs" / "probes.md"

COUNTS = """
from glupy_exporter.probes import Counter, Gauge, Probe

class Counts(Probe):
    fops = Counter("fops_total", "Fops.", ("fop", "path"))
    last = Gauge("last_seconds", "The last.")

    def record(self, batch):
        for fop in batch:
            self.fops.add(fop.fop, fop.path)
            self.last.set(to=fop.seconds)
"""


def rows(probe: Probe) -> dict[str, dict[tuple[str, ...], float]]:
    return {family.name: family.rows for family in probe.families()}


def write(directory: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (directory / f"{name}.py").write_text(text, encoding="utf-8")
    return directory


def test_the_example_of_the_guide_works(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    probe = loading.load(write(tmp_path, writers=code) / "writers.py")
    probe.record([ROW, ROW._replace(uid="7"), ROW, ROW._replace(fop="read")])
    assert rows(probe) == {"user_bytes_total": {("v0", "1000"): 8192, ("v0", "7"): 4096}}


def test_the_guide_names_every_field() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert [field.name for field in RECORDED if f"`{field.name}`" not in guide] == []
    for constant in (base.ROWS_MAX, child.CALL_SECONDS, child.MEMORY >> 20):
        assert re.search(rf"\b{constant}\s", guide)


def test_lookup_misses() -> None:
    probe = loading.load(EXAMPLES / "lookup_misses.py")
    miss = ROW._replace(fop="lookup", error="ENOENT", path="/usr/lib/x.so")
    probe.record([miss, miss, miss._replace(path="/x"), miss._replace(error=""), ROW])
    assert rows(probe) == {
        "lookup_misses_total": {("v0", "/usr/lib", "192.0.2.1"): 2, ("v0", "/", "192.0.2.1"): 1}
    }


def test_small_writes() -> None:
    probe = loading.load(EXAMPLES / "small_writes.py")

    def wrote(offset: int, size: int, gfid: str = "g", error: str = "") -> Recorded:
        return ROW._replace(offset=offset, size=size, gfid=gfid, error=error)

    pieces = [wrote(number * 100, 100) for number in range(5)]
    elsewhere = [wrote(9000, 100), wrote(0, 100, "h"), wrote(9100, 8192), wrote(17292, 8192)]
    failed = [wrote(25484, 10, error="ENOSPC"), wrote(25494, 10)]
    probe.record([*pieces, *elsewhere, *failed])
    assert rows(probe) == {"small_appends_total": {("v0", "/a", "192.0.2.1"): 4}}


def test_lock_contention() -> None:
    probe = loading.load(EXAMPLES / "lock_contention.py")
    lock = ROW._replace(fop="inodelk", seconds=0.0001)
    second = lock._replace(client="192.0.2.2")
    probe.record([lock, lock, second._replace(seconds=1.5), lock._replace(seconds=0.5)])
    probe.record([second, second._replace(seconds=3.0), second._replace(error="EAGAIN", seconds=9)])
    assert rows(probe)["lock_wait_seconds_total"] == {
        ("v0", "/a", "192.0.2.2", "192.0.2.1"): 1.5,
        ("v0", "/a", "192.0.2.1", "192.0.2.2"): 0.5,
    }


def test_families_belong_to_one_probe(tmp_path: Path) -> None:
    path = write(tmp_path, counts=COUNTS) / "counts.py"
    kind = type(loading.load(path))
    first, second = kind(), kind()
    first.record([ROW])
    assert rows(first)["fops_total"] and not rows(second)["fops_total"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Counter("x", "no suffix"),
        lambda: Counter("X_total", "case"),
        lambda: Gauge("x", "a label", ("a-b",)),
        lambda: Gauge("x", "a label twice", ("a", "b", "a")),
        lambda: Counter("x_total", "labels", ("a",)).add(),
        lambda: Counter("x_total", "falls").add(by=-1),
        lambda: Gauge("x", "not finite").set(to=math.nan),
    ],
)
def test_what_a_family_refuses(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_a_family_has_so_many_rows() -> None:
    counter = Counter("x_total", "Rows.", ("n",))
    counter.add("many", by=5)
    for number in range(2 * base.ROWS_MAX):
        counter.add(str(number))
    assert len(counter.rows) == base.ROWS_MAX
    assert counter.rows["many",] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "has 0 subclasses of Probe"),
        (COUNTS + COUNTS.replace("Counts", "More"), "has 2 subclasses of Probe"),
        ("x = (", "cannot be loaded: SyntaxError"),
        ("import sys; sys.exit(3)", "cannot be loaded: SystemExit"),
        ("import nothing_of_this_name", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_file_without_a_probe(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        loading.load(write(tmp_path, wrong=text) / "wrong.py")
    with pytest.raises(UserError, match="cannot read the probe"):
        loading.load(tmp_path / "missing.py")


@ROOT_ONLY
def test_only_files_of_root_are_loaded(tmp_path: Path) -> None:
    write(tmp_path, b=COUNTS, a=COUNTS)
    assert [path.name for path in loading.found(tmp_path)] == ["a.py", "b.py"]
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    with pytest.raises(UserError, match=r"link\.py has to belong to root"):
        loading.found(tmp_path)
    (tmp_path / "link.py").unlink()
    for spoil, mend in (
        (lambda: os.chown(tmp_path / "a.py", 1, 0), lambda: os.chown(tmp_path / "a.py", 0, 0)),
        (lambda: (tmp_path / "a.py").chmod(0o666), lambda: (tmp_path / "a.py").chmod(0o644)),
        (lambda: tmp_path.chmod(0o775), lambda: tmp_path.chmod(0o755)),
    ):
        spoil()
        with pytest.raises(UserError, match="has to belong to root"):
            loading.found(tmp_path)
        mend()
    with pytest.raises(UserError, match="No such file"):
        loading.found(tmp_path / "none")


def feeder(directory: Path, text: str, privacy: Privacy = Privacy()) -> child.Feeder:
    path = write(directory, probe=text) / "probe.py"
    task = child.Task(str(path), str(directory), 60.0, asdict(privacy))
    return child.Feeder(loading.load(path), task, io.StringIO())


def test_a_probe_gets_what_comes_after_it_began(tmp_path: Path) -> None:
    with brick(tmp_path, recorded={"slow": [segments.Recorded("read", gfid=A)]}) as subject:
        feeding = feeder(tmp_path, COUNTS, Privacy(exclude=("/db/*",)))
        feeding.look()
        assert feeding.answer.records == 0
        slow_too = traced("lookup")
        slow_too.cause = 5  # it is in the other ring as well
        subject.record(traced("write"), slow_too, traced(gfid=B))
        feeding.look()
    (fops, last) = feeding.answer.families
    assert fops["rows"] == [(("write", "/a"), 1.0)]
    assert last["rows"] == [((), 0.001)]
    assert (feeding.answer.records, feeding.answer.errors, feeding.answer.lost) == (1, 0, 0)


def test_a_probe_gets_the_fops_of_both_rings_in_their_order(tmp_path: Path) -> None:
    with brick(tmp_path, recorded={"slow": []}) as subject:
        feeding = feeder(tmp_path, COUNTS)
        feeding.look()
        subject.record(traced(ended=segments.CREATED_MONOTONIC + 8_000_000_000))
        subject.record(segments.Recorded(gfid=A), ring="slow")
        feeding.look()
    (fops, last) = feeding.answer.families
    assert fops["rows"] == [(("read", "/a"), 2.0)]
    assert last["rows"] == [((), 0.001)]


def test_an_exception_costs_the_probe_one_batch(tmp_path: Path) -> None:
    text = COUNTS + "            1 / (fop.fop != 'write')\n"
    with brick(tmp_path) as subject:
        feeding = feeder(tmp_path, text)
        for fop in ("read", "write", "read"):
            feeding.look()
            subject.record(traced(fop))
        feeding.look()
    assert (feeding.answer.records, feeding.answer.errors) == (2, 1)
    assert "ZeroDivisionError" in feeding._log.getvalue()  # type: ignore[attr-defined]


def test_a_probe_has_a_share_of_the_processor(tmp_path: Path) -> None:
    text = COUNTS + "        import time; end = time.process_time() + 0.2\n"
    text += "        while time.process_time() < end: pass\n"
    with brick(tmp_path, recorder={**made().recorder, "trace": 1024}) as subject:
        feeding = feeder(tmp_path, text)
        feeding.look()
        subject.record(*[traced()] * 600)
        feeding.look()
    assert (feeding.answer.records, feeding.answer.skipped) == (256, 344)
    assert feeding.answer.seconds >= 0.2


def test_a_probe_gets_so_many_records_in_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_RECORDS", 10)
    with brick(tmp_path) as subject:  # its ring has 16 records
        feeding = feeder(tmp_path, COUNTS)
        feeding.look()
        subject.record(*[traced()] * 20)
        feeding.look()
    answer = feeding.answer
    assert (answer.records, answer.skipped, answer.lost) == (10, 6, 4)


GOOD = {
    **asdict(child.Answer(records=1)),
    "families": [
        {"name": "x_total", "type": "counter", "help": "X.", "labels": ["a"], "rows": [[["b"], 1]]}
    ],
}


def test_a_good_answer() -> None:
    answer = runner.parsed(json.dumps(GOOD).encode())
    assert answer.records == 1
    assert answer.families[0]["rows"] == {("b",): 1}


@pytest.mark.parametrize(
    "change",
    [
        {"records": "1"},
        {"records": True},
        {"seconds": math.inf},
        {"families": None},
        {"families": GOOD["families"] * 101},
        *(
            {"families": [{**GOOD["families"][0], **wrong}]}
            for wrong in (
                {"name": "x"},
                {"name": 'x_total{a="'},
                {"type": "histogram"},
                {"labels": ["le=", "b"]},
                {"labels": ["a", "a"], "rows": []},
                {"rows": [[["b", "c"], 1]]},
                {"rows": [[["b"], "1"]]},
                {"rows": [[["b"], math.nan]]},
                {"rows": [[["b"], 10**400]]},
                {"rows": [[["b"], 1]] * 1001},
            )
        ),
    ],
)
def test_an_answer_that_makes_no_sense(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, ArithmeticError)):
        runner.parsed(json.dumps({**GOOD, **change}).encode())


class Answered:
    """A runner whose probes gave these answers."""

    def __init__(self, *families: dict[str, object]) -> None:
        self._answers = [
            runner.parsed(json.dumps({**GOOD, "families": [family]}).encode())
            for family in families
        ]

    def statuses(self) -> list[runner.Status]:
        return [
            runner.Status(f"p{number}", True, answer, {})
            for number, answer in enumerate(self._answers)
        ]


def test_a_text_that_has_no_bytes(tmp_path: Path) -> None:
    """As a probe may have it that decodes bytes with surrogateescape."""
    given = {"help": "X\0 \udc80.", "rows": [[["/a\udcff" + "b" * 300], 1], [["\0/a\\x"], 2]]}
    probes: Any = Answered({**GOOD["families"][0], **given})
    source = Scraper(tmp_path, 60.0, [Probes(probes)])
    served = scrapes.text(source)
    assert "# HELP glupy_probe_x_total X \\\\udc80.\n" in served
    assert {
        sample.labels["a"]: sample.value
        for family in parse_text(served)
        for sample in family.samples
        if sample.name == "glupy_probe_x_total"
    } == {"/a\\udcff" + "b" * 300: 1, "/a\\x": 2}
    assert scrapes.openmetrics(source) and scrapes.protobuf(source)


@pytest.mark.parametrize(
    "others",
    [
        {"name": "x_total"},
        {"name": "x", "type": "gauge"},
        {"name": "x_total", "type": "gauge"},
        {"name": "x_created", "type": "gauge"},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False])
def test_one_name_of_two_probes(tmp_path: Path, others: dict[str, str], first: bool) -> None:
    families = [
        GOOD["families"][0],
        {**GOOD["families"][0], **others, "labels": [], "rows": [[[], 5]]},
    ]
    probes: Any = Answered(*(families if first else families[::-1]))
    source = Scraper(tmp_path, 60.0, [Probes(probes)])
    parsed = [
        family
        for family in parse_openmetrics(scrapes.openmetrics(source))
        if family.name.startswith("glupy_probe_")
    ]
    assert [sample.value for family in parsed for sample in family.samples] == [1 if first else 5]


@pytest.mark.parametrize("name", ["x_created", "x_total"])
def test_other_names_do_not_clash(tmp_path: Path, name: str) -> None:
    row = {"type": "gauge", "labels": [], "rows": [[[], 5]], "help": ""}
    probes: Any = Answered({"name": "x", **row}, {"name": name, **row})
    served = scrapes.text(Scraper(tmp_path, 60.0, [Probes(probes)]))
    assert "glupy_probe_x 5\n" in served and f"glupy_probe_{name} 5\n" in served


@contextlib.contextmanager
def running(directory: Path, segments_in: Path, **texts: str) -> Iterator[Runner]:
    probes = Runner()
    try:
        probes.replace(write(directory, **texts), segments_in, 60.0, Privacy())
        yield probes
    finally:
        probes.stop()


def scrape(probes: Runner, directory: Path) -> dict[tuple[str, ...], float]:
    """The samples, by name and the values of their labels."""
    source = Scraper(directory, 60.0, [Probes(probes)])
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse_text(scrapes.text(source))
        for sample in family.samples
    }


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A directory for probes, and one for segments."""
    for name in ("probes", "segments"):
        (tmp_path / name).mkdir(mode=0o755)
    return tmp_path / "probes", tmp_path / "segments"


@ROOT_ONLY
def test_probes_in_the_exporter(places: tuple[Path, Path]) -> None:
    failing = "from glupy_exporter.probes import Probe\nclass P(Probe): pass\nraise RuntimeError"
    with brick(places[1]) as subject, running(*places, counts=COUNTS, failing=failing) as probes:
        wait(lambda: scrape(probes, places[1])["glupy_probes_up", "counts"])
        subject.record(traced("write"), traced("write"))
        wait(lambda: ("glupy_probe_fops_total", "write", "/a") in scrape(probes, places[1]))
        samples = scrape(probes, places[1])
    assert samples["glupy_probe_fops_total", "write", "/a"] == 2
    assert samples["glupy_probe_last_seconds",] == 0.001
    assert samples["glupy_probes_records_total", "counts"] == 2
    assert samples["glupy_probes_up", "failing"] == 0
    assert samples["glupy_probes_exits_total", "failing", "error"] >= 1
    assert samples["glupy_collector_success", "probes"] == 1


@ROOT_ONLY
def test_a_file_name_that_is_not_utf_8(places: tuple[Path, Path]) -> None:
    (places[0] / os.fsdecode(b"caf\xe9.py")).write_text(COUNTS)
    with brick(places[1]), running(*places) as probes:
        wait(lambda: scrape(probes, places[1])["glupy_probes_up", "caf\\xe9"])


@ROOT_ONLY
def test_a_probe_that_hangs_is_ended(places: tuple[Path, Path]) -> None:
    hanging = "from glupy_exporter.probes import child\nchild.CALL_SECONDS = 1\n" + COUNTS.replace(
        "for fop in batch:", "while batch:\n            fop = batch[0]"
    )
    with brick(places[1]) as subject, running(*places, hanging=hanging, counts=COUNTS) as probes:
        wait(lambda: all(status.up for status in probes.statuses()))
        subject.record(traced())
        wait(lambda: scrape(probes, places[1])["glupy_probes_exits_total", "hanging", "timeout"])
        assert scrape(probes, places[1])["glupy_probes_records_total", "counts"] == 1


@ROOT_ONLY
def test_processes_end_with_the_exporter_and_at_a_reload(places: tuple[Path, Path]) -> None:
    with brick(places[1]), running(*places, counts=COUNTS) as probes:
        wait(lambda: probes.statuses()[0].up)
        (first,) = (probe._process for probe in probes._probes)
        probes.replace(places[0], places[1], 60.0, Privacy())
        wait(lambda: probes.statuses()[0].up)
        (second,) = (probe._process for probe in probes._probes)
        assert first and second and first.poll() == 0
        with pytest.raises(UserError):
            probes.replace(places[0] / "none", places[1], 60.0, Privacy())
        assert second.poll() is None
        os.kill(second.pid, signal.SIGKILL)
        wait(lambda: probes.statuses()[0].exits["killed"])
    assert probes.statuses() == []


@ROOT_ONLY
def test_trace_with_a_probe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, counts=COUNTS) / "counts.py"
    with brick(tmp_path) as subject:
        original = FakeBrick.tracers

        def stopped_soon(duration: float) -> None:
            if original(subject) and not subject._recorded:
                subject.record(traced("write"), traced("write"), traced("read"))

        monkeypatch.setattr("glupy_exporter.trace.live.time.sleep", stopped_soon)
        where = f"--segment.dir={tmp_path}"
        assert cli.main(["trace", "v0", where, "--limit=3", f"--probe={path}"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "             2  fops_total  fop=write, path=/a",
        "             1  fops_total  fop=read, path=/a",
        "         0.001  last_seconds",
    ]


@ROOT_ONLY
def test_a_probe_writes_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probe = write(tmp_path, probe=COUNTS) / "probe.py"
    assert cli.main(["trace", "v0", f"--probe={probe}", "--json"]) == 2
    assert capsys.readouterr().err.startswith("glupy-exporter: --json and --probe cannot go")


def test_trace_with_a_probe_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with brick(tmp_path):
        flags = [f"--segment.dir={tmp_path}", f"--probe={tmp_path / 'none.py'}"]
        assert cli.main(["trace", "v0", *flags]) == 2
    assert "cannot read the probe" in capsys.readouterr().err
