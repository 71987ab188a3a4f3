"""What a scrape says about segments, good and bad."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter.metrics import COLLECTORS, exposition
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.clients import AWAY
from glupy_exporter.metrics.exporter import SCRAPE_FAMILIES, STARTED, Exporter
from glupy_exporter.metrics.facts import Facts
from glupy_exporter.metrics.family import Exposed, single
from glupy_exporter.metrics.files import Files
from glupy_exporter.metrics.fops import Fops
from glupy_exporter.metrics.pool import REACHABLE
from glupy_exporter.metrics.recorder import Recorder
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.node.bricks import REASONS
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.schema import layout, quantities
from glupy_exporter.segment import naming
from tests.support import scrapes, segments, states

DAY = 86400.0
GOLDEN = Path(__file__).parent / "golden" / "metrics.txt"
HOT = uuid.UUID("6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11")
COLD = uuid.UUID("00000000-0000-0000-0000-000000000001")
# Every fact has a value of its own.
FACTS = {
    **{each.name: 1000 + number for number, each in enumerate(quantities.FACTS)},
    "process_cpu": 1_500_000_000,
    "time": segments.CREATED_MONOTONIC,
    "health_check": segments.CREATED_MONOTONIC,
    "filesystem_id": 0xFD02,
    "filesystem_device": os.makedev(0xFFF, 0xFFFFF),  # no such device
}
# Different on every run, or the machine's own.
VOLATILE = (
    "glupy_brick_facts_timestamp",
    "glupy_brick_health_check_timestamp",
    "glupy_collector_duration",
    "glupy_exporter_config_last_reload_success_time",
    "glupy_fop_in_flight_seconds",
    "glupy_fops_in_flight_oldest_seconds",
    "glupy_segment_heartbeat",
    "glupy_state_timestamp",
    "process_",
    "python_",
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def uptime(monkeypatch: pytest.MonkeyPatch) -> int:
    """Nanoseconds; a machine that booted just now knows no client that went away long ago."""
    monkeypatch.setattr(time, "monotonic_ns", lambda: 10**15)
    return 10**15


def full_segment() -> segments.Segment:
    """A segment in which everything has happened once."""
    return segments.Segment(
        fops={
            "lookup": segments.Fop({0: 5, 3: 2}, nanoseconds=20_000, errnos={0: 1, 2: 3, 41: 1}),
            "read": segments.Fop({5: 10, 26: 1, 27: 1}, nanoseconds=3_000_000_000, in_flight=2),
            "write": segments.Fop({}, in_flight=1, recorded=(3, 7, 2)),
        },
        io={"read": ({12: 10, 31: 2}, 4096 * 10 + 2**33), "write": ({0: 1}, 1)},
        files={
            3: segments.File(
                b"/dir/hot \xff\n", HOT, (7, 8, 9), (70, 80), (1, 2, 3), 4, top_client=8
            ),
            9: segments.File(b"", COLD, (0, 0, 1), type="", top_client=99),
            11: segments.File(
                b"/long" + b"g" * 3, uuid.UUID(int=2), (1, 0, 0), (5, 0), truncated=True
            ),
            12: segments.File(
                b"/old", uuid.UUID(int=1 << 80), (0, 0, 2), unlinked=True, type="directory"
            ),
        },
        clients={
            0: segments.Client(b"192.0.2.1", (10, 0, 2), (100, 0), (5_000_000_000, 0, 1)),
            7: segments.Client(b"2001:db8::1", (0, 1, 0), (0, 9), error_bound=2),
            9: segments.Client(b"192.0.2.9", (1, 0, 0), connections=0, last_seen=0),
        },
        internal={"self-heal": segments.Internal((3, 2, 1), (30, 20), (3_000_000, 0, 5))},
        recorded={"slow": [segments.Recorded()] * 9},
        flights={1: segments.Flight("write", gfid=HOT, client=8)},
        numbers={"inodes_active": 12, "inodes_lru": 345, "inodes_lru_limit": 16384},
        facts=FACTS,
        health={
            "files": {"evicted": 6, "untracked_fops": 5},
            "clients": {"evicted": 4, "untracked_fops": 3},
        },
    )


def scraper(
    directory: Path,
    *,
    expiry: float = DAY,
    privacy: Privacy = Privacy(),
    state_file: Path | None = None,
    lasting: float = 0,
    **limits: int,
) -> Scraper:
    def settings(name: str) -> dict[str, float]:
        return {"lasting": lasting, **({"limit": limits[name]} if name in limits else {})}

    collectors = [collector(Options(settings(collector.name), privacy)) for collector in COLLECTORS]
    return Scraper(directory, expiry, collectors, state_file=state_file)


def scrape(source: Scraper) -> Samples:
    """Every sample of one scrape, after a pass through the parser, none of them twice."""
    samples: Samples = {}
    for family in parse_text(scrapes.text(source)):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def values(samples: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of ``name``, keyed by the values of the labels asked for."""
    return {
        tuple(dict(pairs)[label] for label in labels): value
        for (sample, pairs), value in samples.items()
        if sample == name
    }


def errors(samples: Samples) -> dict[str, float]:
    found = values(samples, "glupy_segment_errors_total", "reason")
    return {reason: count for (reason,), count in found.items() if count}


def stable(text: str) -> str:
    """Exposition text without what differs from run to run."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line for line in lines if not line.startswith(VOLATILE) and not line.startswith("# ")
    )


def test_a_translator_that_does_not_know_later_fields(tmp_path: Path) -> None:
    """Where they came to be, older ones leave zeros; the brick is served without a restart."""
    older = segments.Segment(
        clients={0: segments.Client(b"192.0.2.1", (1, 2, 3))}, numbers={"volume_bricks": 0}
    )
    with older.live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert not errors(samples)
    assert values(samples, "glupy_brick_up") == {(): 1}
    assert not values(samples, "glupy_volume_bricks")
    fops = values(samples, "glupy_client_fops_total", "client", "process", "kind")
    assert fops["192.0.2.1", "", "write"] == 2


@contextlib.contextmanager
def golden_directory(directory: Path) -> Iterator[Path]:
    states.write(directory / "state.json", states.full())
    with full_segment().live(directory):
        dead = segments.Segment(
            volume="v1", brick="/bricks/b1", fops={"read": segments.Fop({0: 1})}
        )
        dead.write(directory)
        (directory / "v2.bricks-b2.seg").write_bytes(b"not a segment")
        yield directory


def golden(directory: Path) -> Scraper:
    return scraper(directory, state_file=directory / "state.json")


def test_golden_output(tmp_path: Path) -> None:
    with golden_directory(tmp_path):
        text = stable(scrapes.text(golden(tmp_path)))
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_openmetrics_says_the_same_as_text(tmp_path: Path) -> None:
    with golden_directory(tmp_path):
        text = scrapes.text(golden(tmp_path))
        other = scrapes.openmetrics(golden(tmp_path))
    assert other.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(other)}
    assert families["glupy_fop_duration_seconds"].unit == "seconds"
    assert families["glupy_io_bytes"].unit == "bytes"

    def samples(parsed) -> set:
        return {
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in parsed
            for sample in family.samples
            if not sample.name.startswith(VOLATILE)
        }

    assert samples(families.values()) == samples(parse_text(text))


def test_promtool_has_no_complaint(tmp_path: Path, need: Callable[[object, str], None]) -> None:
    need(shutil.which("promtool"), "promtool")
    with golden_directory(tmp_path):
        text = scrapes.text(golden(tmp_path)).encode()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_family_is_declared_once_and_documented(tmp_path: Path) -> None:
    declared = [family for collector in COLLECTORS for family in collector.families]
    names = [family.name for family in (*declared, *SCRAPE_FAMILIES)]
    assert len(names) == len(set(names))
    with golden_directory(tmp_path):
        served = {family.name for family in parse_text(scrapes.text(golden(tmp_path)))}
    known = {family.base for family in (*declared, *SCRAPE_FAMILIES)}
    assert known - {REACHABLE.base} <= served  # the other has to be asked for
    assert all(name.startswith(("process_", "python_")) for name in served - known)


def test_counts_of_the_translator_have_start_times(tmp_path: Path) -> None:
    """Those of a brick since its segment is there, those of a row since it has its slot."""
    with golden_directory(tmp_path):
        exposed = [each for each in scraper(tmp_path).collect() if isinstance(each, Exposed)]
    started = {
        each.family.name: block.started
        for each in exposed
        for _, block in each.blocks
        if each.family.type != "gauge"
    }
    created = segments.CREATED_REALTIME / 1e9
    assert started["glupy_fop_errors_total"] == started["glupy_fop_duration_seconds"] == created
    for name in ("glupy_file_fops_total", "glupy_client_io_bytes_total"):
        assert set(started[name]) == {created + 5}
    unknown = {name for name, start in started.items() if start is None}
    # Of the process, and of what the exporter saw.
    assert unknown == {
        "glupy_brick_process_cpu_seconds_total",
        "glupy_file_unexported_fops_total",
        "glupy_client_unexported_fops_total",
    }


def test_switched_off_collector_serves_nothing(tmp_path: Path) -> None:
    with golden_directory(tmp_path):
        fops_only = [c() for c in COLLECTORS if c.name == "fops"]
        text = scrapes.text(Scraper(tmp_path, DAY, fops_only))
    served = {family.name for family in parse_text(text)}
    assert "glupy_fop_duration_seconds" in served
    assert not any(
        name.startswith(("glupy_file", "glupy_client", "glupy_brick")) for name in served
    )


def of_facts(samples: Samples) -> set[str]:
    families = {family.name for family in Facts.families}
    return {name for name, _ in samples if name in families}


def test_facts_that_are_not_known_have_no_row(tmp_path: Path) -> None:
    with segments.Segment().live(tmp_path):
        assert not of_facts(scrape(scraper(tmp_path)))
    known = {"queue_low": 0, "filesystem_size": 7, "arbiter": 1}
    with segments.Segment(facts=known).live(tmp_path):
        samples = scrape(scraper(tmp_path))
    # Without its id, a file system could be counted twice.
    assert of_facts(samples) == {"glupy_brick_io_threads_queue", "glupy_brick_arbiter"}
    assert values(samples, "glupy_brick_io_threads_queue", "priority") == {("low",): 0}


def test_a_file_system_has_the_name_of_its_block_device(tmp_path: Path) -> None:
    block = next(Path("/sys/dev/block").glob("*"), None)
    number = os.makedev(*map(int, block.name.split(":"))) if block else os.makedev(0, 77)
    facts = {"filesystem_id": 255, "filesystem_device": number, "filesystem_free": 5}
    with segments.Segment(facts=facts).live(tmp_path):
        found = values(
            scrape(scraper(tmp_path)), "glupy_brick_filesystem_free_bytes", "device", "fsid"
        )
    assert found == {(block.resolve().name if block else "0:77", "ff"): 5}


@pytest.mark.parametrize("number", [0, 1 << 63, 2**64 - 2])
def test_facts_of_any_size_are_served(tmp_path: Path, number: int) -> None:
    with segments.Segment(facts={each.name: number for each in quantities.FACTS}).live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert not errors(samples)
    assert of_facts(samples) == {family.name for family in Facts.families}


def test_dead_brick_is_down_until_it_expires(tmp_path: Path) -> None:
    beat = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 2  # half of the time since the boot ago
    segments.Segment(numbers={"heartbeat": beat}).write(tmp_path)
    assert values(scrape(scraper(tmp_path, expiry=beat / 1e9 + 60)), "glupy_brick_up") == {(): 0}
    samples = scrape(scraper(tmp_path, expiry=beat / 1e9 - 1))
    assert values(samples, "glupy_brick_up") == {}
    assert errors(samples) == {}


def test_dead_brick_has_identity_but_no_counters(tmp_path: Path) -> None:
    full_segment().write(tmp_path)
    names = {name for name, labels in scrape(scraper(tmp_path)) if "brick" in dict(labels)}
    assert names == {
        "glupy_brick_up",
        "glupy_brick_info",
        "glupy_segment_created_timestamp_seconds",
    }


def test_bricks_come_and_go_between_scrapes(tmp_path: Path) -> None:
    source, path = scraper(tmp_path), tmp_path / segments.Segment().name
    with segments.Segment().live(path):
        assert values(scrape(source), "glupy_brick_up") == {(): 1}
    assert values(scrape(source), "glupy_brick_up") == {(): 0}
    with segments.Segment().live(path):  # replaced, as a restarted brick does
        assert values(scrape(source), "glupy_brick_up") == {(): 1}
        path.unlink()
        assert values(scrape(source), "glupy_brick_up") == {}
    assert errors(scrape(source)) == {}


def test_two_segments_of_one_brick(tmp_path: Path) -> None:
    names = naming.names("v0", "/bricks/b0")
    older = segments.Segment(header={"created_realtime": 1, "pid": 1})
    newer = segments.Segment(header={"created_realtime": 2 * 10**18, "pid": 2})
    older.write(tmp_path / names[0])
    newer.write(tmp_path / names[1])
    source = scraper(tmp_path)
    samples = scrape(source)
    assert list(values(samples, "glupy_brick_info", "pid")) == [("2",)]
    assert errors(samples) == {"duplicate": 1}
    with segments.locked(tmp_path / names[0]):
        samples = scrape(source)
        assert list(values(samples, "glupy_brick_info", "pid")) == [("1",)]
        assert errors(samples) == {"duplicate": 2}


@pytest.mark.parametrize("who", [{"volume": "v1"}, {"brick": "/bricks/b1"}])
def test_a_segment_cannot_take_another_bricks_place(tmp_path: Path, who: dict[str, str]) -> None:
    later = segments.Segment(header={"created_realtime": 2 * 10**18, "pid": 2})
    elsewhere = tmp_path / segments.Segment(**who).name
    source = scraper(tmp_path)
    with later.live(elsewhere):
        assert values(scrape(source), "glupy_brick_up") == {}
        segments.Segment(header={"pid": 1}).write(tmp_path)
        samples = scrape(source)
    assert list(values(samples, "glupy_brick_info", "pid")) == [("1",)]
    assert values(samples, "glupy_brick_up") == {(): 0}
    assert errors(samples) == {"misnamed": 2}


def test_bad_segments_are_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad = tmp_path / "bad.seg"
    bad.write_bytes(b"\0" * 5000)
    source = scraper(tmp_path)
    with segments.Segment().live(tmp_path):
        for scrapes in (1, 2, 3):
            samples = scrape(source)
            assert errors(samples) == {"bad_magic": scrapes}
            assert values(samples, "glupy_brick_up") == {(): 1}
        assert caplog.messages == ["segment cannot be used: not a glupy segment"]
        caplog.clear()
        bad.write_bytes(b"")
        assert errors(scrape(source)) == {"bad_magic": 3, "truncated": 1}
        assert caplog.messages == ["segment cannot be used: 0 bytes are too few for a header"]
        caplog.clear()
        bad.unlink()
        assert errors(scrape(source)) == {"bad_magic": 3, "truncated": 1}
        assert caplog.messages == ["segment is good again or gone"]
        caplog.clear()
        scrape(source)
        assert caplog.messages == []


def test_every_reason_is_there_from_the_first_scrape(tmp_path: Path) -> None:
    found = values(scrape(scraper(tmp_path)), "glupy_segment_errors_total", "reason")
    assert found == {(reason,): 0 for reason in REASONS}


def test_a_segment_full_of_the_highest_numbers_is_served(tmp_path: Path) -> None:
    most = 2**64 - 1
    segment = segments.Segment(
        fops={"read": segments.Fop({5: most}, nanoseconds=most)},
        io={"read": ({12: most}, most)},
        files={
            0: segments.File(b"/most", HOT, (most,) * 3, (most,) * 2, (most,) * 3, most),
            1: segments.File(b"/some", COLD, (1, 2, 3)),
        },
        clients={0: segments.Client(b"c", (most,) * 3, (most,) * 2, (most,) * 3, most, most)},
    )
    with segment.live(tmp_path):
        source = scraper(tmp_path)
        for _ in range(2):
            samples = scrape(source)
            assert not errors(samples)
            found = values(samples, "glupy_file_fops_total", "path", "kind")
            assert found["/most", "read"] == most
            assert found["/some", "write"] == 2


def test_missing_directory_of_bricks_that_should_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = segments.write_state(tmp_path / "state.json", {"gv0": (["/bricks/b0"], True, True)})
    source = scraper(tmp_path / "none", state_file=state)
    assert errors(scrape(source)) == {"no_directory": 1}
    assert errors(scrape(source)) == {"no_directory": 2}
    assert caplog.messages == [
        "segment cannot be used: No such file or directory, though bricks of gv0 should count here"
    ]
    (tmp_path / "none").mkdir()
    with segments.Segment().live(tmp_path / "none"):
        samples = scrape(source)
    assert values(samples, "glupy_brick_up") == {(): 1}
    assert errors(samples) == {"no_directory": 2}


IDLE: dict[str, dict[str, tuple[list[str], bool, bool]] | None] = {
    "nothing is known": None,
    "a node without volumes": {},
    "a volume without the translator": {"gv0": (["/b"], True, False)},
    "a volume that is stopped": {"gv0": (["/b"], False, True)},
    "a volume without bricks here": {"gv0": ([], True, True)},
}


@pytest.mark.parametrize("volumes", IDLE.values(), ids=IDLE)
def test_missing_directory_where_no_brick_counts(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    volumes: dict[str, tuple[list[str], bool, bool]] | None,
) -> None:
    caplog.set_level("INFO")
    state = tmp_path / "state.json"
    if volumes is not None:
        segments.write_state(state, volumes)
    source = scraper(tmp_path / "none", state_file=state)
    for _ in range(2):
        assert errors(scrape(source)) == {}
    assert caplog.messages == ["no segment directory, so no brick of this node counts"]


def test_directory_that_cannot_be_listed_is_always_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # root may list any directory
    assert errors(scrape(scraper(tmp_path / "file"))) == {"no_directory": 1}


@pytest.mark.parametrize(
    ("volumes", "age", "served"),
    [
        ({"v0": (["/bricks/b0"], True, True)}, 0, True),
        ({"v0": (["/bricks/b1"], True, True)}, 0, False),
        ({"v0": ([], True, True)}, 0, False),
        ({"v0": (["/bricks/b0"], False, True)}, 0, True),
        ({"v0": (["/bricks/b0"], True, False)}, 0, False),
        ({"v1": (["/bricks/b0"], True, True)}, 0, False),
        ({}, 0, False),
        ({}, 100, True),
        ({}, 1000, True),
        ({}, -100, True),
    ],
)
def test_dead_brick_that_was_removed_is_gone(
    tmp_path: Path, volumes: dict[str, tuple[list[str], bool, bool]], age: float, served: bool
) -> None:
    """It ended 10 seconds ago: a state of before that tells nothing, nor does one of the future."""
    beat = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 10 * 10**9
    subject = segments.Segment(numbers={"heartbeat": beat})
    state = segments.write_state(tmp_path / "state.json", volumes, age)
    source = scraper(tmp_path, state_file=state)
    path = subject.write(tmp_path)
    samples = scrape(source)
    assert values(samples, "glupy_brick_up") == ({(): 0} if served else {})
    assert errors(samples) == {}
    with segments.locked(path):
        assert values(scrape(source), "glupy_brick_up") == {(): 1}


def test_whether_volumes_are_started_and_have_the_translator_on_record(tmp_path: Path) -> None:
    state = segments.write_state(
        tmp_path / "state.json",
        {"on": (["/b"], True, False), "off": (["/c"], False, True), "elsewhere": ([], True, True)},
    )
    source = scraper(tmp_path, state_file=state)
    configured = "glupy_volume_translator_configured"
    samples = scrape(source)
    assert values(samples, "glupy_volume_started", "volume") == {("on",): 1, ("off",): 0}
    assert values(samples, configured, "volume") == {("on",): 0, ("off",): 1}
    state.unlink()
    samples = scrape(source)
    assert values(samples, "glupy_volume_started", "volume") == {}
    assert values(samples, configured, "volume") == {}


def test_collector_drops_only_the_brick_it_cannot_read(tmp_path: Path) -> None:
    """Two fops of one name: the header is fine, so only collectors of fops can find out."""
    broken = full_segment()
    broken.brick, broken.names = "/bricks/broken", ("read", "write", "read")
    with full_segment().live(tmp_path), broken.live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert errors(samples) == {"bad_layout": 2}  # of fops, and of the recorder
    for name, bricks in {
        "glupy_brick_up": {("/bricks/b0",), ("/bricks/broken",)},
        "glupy_files_tracked": {("/bricks/b0",), ("/bricks/broken",)},
        "glupy_fop_duration_seconds_count": {("/bricks/b0",)},
        "glupy_io_bytes_total": {("/bricks/b0",)},
    }.items():
        assert set(values(samples, name, "brick")) == bricks, name
    success = values(samples, "glupy_collector_success", "collector")
    assert [name for (name,), good in success.items() if not good] == ["fops", "recorder"]


class Buggy(Collector):
    """A collector with a bug that one brick brings out after its first block."""

    name = "buggy"
    help = "fails"
    families = (COLLECTORS[0].families[0],)

    def live(self, brick):
        yield single(self.families[0], 1)
        if brick.about.path == "/bricks/b1":
            raise ZeroDivisionError


def test_bug_in_a_collector_costs_one_brick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = segments.Segment(brick="/bricks/b0"), segments.Segment(brick="/bricks/b1")
    with good.live(tmp_path), bad.live(tmp_path):
        samples = scrape(Scraper(tmp_path, DAY, [Buggy()]))
    assert values(samples, "glupy_brick_up", "brick") == {("/bricks/b0",): 1}
    assert errors(samples) == {"internal": 1}
    assert values(samples, "glupy_collector_success") == {(): 0}
    assert "ZeroDivisionError" in caplog.text


class Nodes(Collector):
    """A collector of the node with a bug that shows after its first family."""

    name = "nodes"
    help = "fails"
    families = (REACHABLE, STARTED)
    wrong = "\ud800"

    def node(self, state):
        yield Exposed.of_node(REACHABLE, {("a",): 1})
        if self.wrong is None:
            raise ZeroDivisionError
        yield Exposed.of_node(STARTED, {(self.wrong,): 1})


@pytest.mark.parametrize("wrong", ["\ud800", 7, None])
@pytest.mark.parametrize("form", [scrapes.text, scrapes.openmetrics, scrapes.protobuf])
def test_bug_in_a_collector_of_the_node_costs_its_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: object, form: Callable[..., object]
) -> None:
    caplog.set_level(logging.INFO)
    collector = Nodes()
    collector.wrong = wrong
    source = Scraper(tmp_path, DAY, [Fops(), collector, Exporter()])
    for _ in range(3):
        samples = scrape(source)
        assert values(samples, REACHABLE.name) == {(): 1}
        assert values(samples, "glupy_exporter_build_info") == {(): 1}
        assert values(samples, "glupy_collector_success", "collector") == {
            ("fops",): 1,
            ("nodes",): 0,
            ("exporter",): 1,
        }
        assert form(source)
    collector.wrong = "v0"
    assert values(scrape(source), "glupy_collector_success") == {(): 1}
    messages = [
        record.getMessage() for record in caplog.records if "collector" in record.getMessage()
    ]
    assert messages == ["collector failed", "collector works again"]


def test_only_the_busiest_files_are_served(tmp_path: Path) -> None:
    files = {
        slot: segments.File(b"/f%d" % slot, uuid.UUID(int=slot + 1), (slot, 0, 0))
        for slot in range(20)
    }
    with segments.Segment(files=files).live(tmp_path):
        samples = scrape(scraper(tmp_path, files=3))
    paths = {path for path, kind in values(samples, "glupy_file_fops_total", "path", "kind")}
    assert paths == {"/f17", "/f18", "/f19"}
    assert values(samples, "glupy_files_tracked") == {(): 20}


def test_each_order_has_its_own_busiest_files(tmp_path: Path) -> None:
    rows = {
        b"/many": ((90, 0, 9), (0, 0), (1, 0, 0)),
        b"/read": ((1, 0, 0), (900, 0), (1, 0, 0)),
        b"/written": ((0, 1, 0), (0, 900), (1, 0, 0)),
        b"/slow": ((0, 0, 1), (0, 0), (0, 0, 99)),
        b"/idle": ((1, 0, 1), (1, 1), (1, 0, 1)),
    }
    files = {
        slot: segments.File(path, uuid.UUID(int=(slot + 1) << 64), *counts)
        for slot, (path, counts) in enumerate(rows.items())
    }
    with segments.Segment(files=files).live(tmp_path):
        samples = scrape(scraper(tmp_path, files=4))
    paths = {path for (path,) in values(samples, "glupy_file_fops_total", "path")}
    assert paths == {"/many", "/read", "/written", "/slow"}


def test_half_life_is_that_of_the_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two scrapes a minute apart, and one when who is no longer among the busiest is dropped."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for half_life, winner in ((60, "/new"), (3600, "/old")):
        source = scraper(tmp_path, files=1)
        for old, new, wait in ((1000, 0, 60), (1000, 600, 301), (1000, 600, 0)):
            segment = segments.Segment(
                files={
                    0: segments.File(b"/old", HOT, (old, 0, 0)),
                    1: segments.File(b"/new", COLD, (new, 0, 0), last_seen=new),
                },
                numbers={"half_life": half_life},
            )
            with segment.live(tmp_path):
                samples = scrape(source)
            clock[0] += wait
        paths = {path for (path,) in values(samples, "glupy_file_fops_total", "path")}
        assert paths == {winner}


@pytest.mark.parametrize(("idle", "read"), [(1e6, 10**12), (60.0, 0), (0.0, 0)])
def test_files_in_use_have_series_at_the_first_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle: float, read: int
) -> None:
    """Among files that were busy long ago, and that somebody may have looked at just now; the
    exporter has its default settings."""
    second = 10**9
    now = 3 * 10**6 * second
    monkeypatch.setattr(time, "monotonic", lambda: now / second)
    files = [
        segments.File(
            path=b"/idle",
            gfid=uuid.UUID(int=(number + 1) << 64),
            fops=(10**6, 0, 1),
            bytes=(read, 0),
            nanoseconds=(10**12, 0, 1),
            first_seen=second,
            last_seen=now - int(idle * second),
        )
        for number in range(300)
    ]
    files += [
        segments.File(
            path=b"/busy%d" % number,
            gfid=uuid.UUID(int=number + 1),
            fops=(0, 10_000, 0),
            bytes=(0, 4096 * 10_000),
            nanoseconds=(0, second + number, 0),
            first_seen=now - 100 * second,
            last_seen=now - number,
        )
        for number in range(20)
    ]
    segment = segments.Segment(files=dict(enumerate(files)), file_slots=len(files))
    with segment.live(tmp_path):
        samples = scrape(Scraper(tmp_path, DAY, [Files()]))
    paths = {path for path, _ in values(samples, "glupy_file_fops_total", "path", "kind")}
    assert {f"/busy{number}" for number in range(20)} <= paths


@pytest.mark.parametrize("half_life", [0, 2**64 - 1])
def test_half_life_that_cannot_be(tmp_path: Path, half_life: int) -> None:
    segment = full_segment()
    segment.numbers = {"half_life": half_life}
    with segment.live(tmp_path):
        source = scraper(tmp_path)
        for _ in range(2):
            assert errors(scrape(source)) == {}


def test_top_client_is_there_if_it_is_known(tmp_path: Path) -> None:
    with full_segment().live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_file_top_client_info", "gfid", "path", "client") == {
        (str(HOT), "/dir/hot \\xff\\x0a", "2001:db8::1"): 1
    }


def test_top_client_of_a_file_in_two_slots_is_the_one_with_the_lead(tmp_path: Path) -> None:
    segment = segments.Segment(
        files={
            0: segments.File(b"/f", HOT, (1, 0, 0), top_client=1, top_client_lead=3),
            1: segments.File(b"/f", HOT, (1, 0, 0), top_client=2, top_client_lead=4),
        },
        clients={0: segments.Client(b"a"), 1: segments.Client(b"b")},
    )
    with segment.live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_file_top_client_info", "client") == {("b",): 1}


def secret_files() -> segments.Segment:
    paths = (b"/home/ann/x", b"/home/ann/y", b"/home/bob/x", b"/srv/x", b"")
    return segments.Segment(
        files={
            slot: segments.File(path, uuid.UUID(int=(slot + 1) << 64), (slot + 1, 0, 0))
            for slot, path in enumerate(paths)
        }
    )


def file_paths(samples: Samples) -> list[str]:
    return sorted(
        path
        for path, _, kind in values(samples, "glupy_file_fops_total", "path", "gfid", "kind")
        if kind == "read"
    )


def test_cut_paths_that_fall_together_are_series_of_their_own(tmp_path: Path) -> None:
    with secret_files().live(tmp_path):
        samples = scrape(scraper(tmp_path, privacy=Privacy(depth=2)))
    assert file_paths(samples)[:4] == ["/home/ann/...", "/home/ann/...", "/home/bob/...", "/srv/x"]


@pytest.mark.parametrize("privacy", [Privacy("hash"), Privacy("none")])
def test_no_path_is_served(tmp_path: Path, privacy: Privacy) -> None:
    with secret_files().live(tmp_path):
        text = scrapes.text(scraper(tmp_path, privacy=privacy))
    assert text.count("glupy_file_fops_total{") == 5
    assert not any(name in text for name in ("home", "ann", "srv"))


def test_files_not_shown_take_nobodys_place(tmp_path: Path) -> None:
    source = scraper(tmp_path, privacy=Privacy(exclude=("/srv/*", "/home/bob/*")), files=2)
    with secret_files().live(tmp_path):
        samples = scrape(source)
    nameless = "<gfid:00000000-0000-0005-0000-000000000000>"
    assert file_paths(samples) == ["/home/ann/y", nameless]
    assert values(samples, "glupy_files_tracked") == {(): 5}


def test_file_renamed_out_of_sight_and_back(tmp_path: Path) -> None:
    source = scraper(tmp_path, privacy=Privacy(include=("/open/*",)))
    path = tmp_path / segments.Segment().name
    with segments.Segment(files={0: segments.File(b"/open/f", HOT, (1, 0, 0))}).live(path):
        made = path.read_bytes()
        assert file_paths(scrape(source)) == ["/open/f"]
        for seq, name, shown in ((4, b"/shut/f", []), (6, b"/open/g", ["/open/g"])):
            with path.open("r+b") as file:
                file.seek(segments.offset(made, "files_names", 0, layout.FileName.path))
                file.write(name)
                file.seek(segments.offset(made, "files_seqs"))
                file.write(struct.pack("I", seq))
            for _ in range(2):
                assert file_paths(scrape(source)) == shown


def test_renamed_file_has_no_start_time_until_it_has_another_slot(tmp_path: Path) -> None:
    """Its new series have all that the old ones had: nothing of it grew from 0."""

    def created(source: Scraper) -> dict[str, float]:
        text = b"".join(exposition.openmetrics(source, created=True)).decode()
        assert text.count("glupy_file_fops_total{") == 2
        return {
            sample.labels["path"]: sample.value
            for family in parse_openmetrics(text)
            for sample in family.samples
            if sample.name == "glupy_file_fops_created"
        }

    source = scraper(tmp_path)
    first = segments.CREATED_REALTIME / 1e9 + 5
    for number, (path, first_seen, later) in enumerate(
        (
            (b"/f", 5, {"/f": first, "/other": first}),
            (b"/g", 5, {"/other": first}),
            (b"/g", 5, {"/other": first}),
            (b"/g", 7, {"/g": first + 2, "/other": first}),
        )
    ):
        files = {
            0: segments.File(path, HOT, (1, 0, 0)),
            1: segments.File(b"/other", COLD, (1, 0, 0)),
        }
        files[0].first_seen = files[0].last_seen = segments.CREATED_MONOTONIC + first_seen * 10**9
        # Another process, as the names of one segment are kept while its seqs are the same.
        with segments.Segment(files=files, header={"pid": 5000 + number}).live(tmp_path):
            assert created(source) == later


def test_brick_that_was_restarted_is_judged_anew(tmp_path: Path) -> None:
    source = scraper(tmp_path, privacy=Privacy(include=("/open/*",)))
    for created, name, shown in ((1, b"/shut/f", []), (2, b"/open/f", ["/open/f"])):
        segment = segments.Segment(
            files={0: segments.File(name, HOT, (1, 0, 0))},
            header={"created_monotonic": created * 10**9},
        )
        with segment.live(tmp_path):
            assert file_paths(scrape(source)) == shown


def test_a_recorder_with_one_ring(tmp_path: Path) -> None:
    """As a hostile segment may have, or a later translator."""
    made = segments.Segment(
        recorded={"trace": [segments.Recorded()]}, entries={"slow_ring": {"name": b"unknown"}}
    )
    with made.live(tmp_path):
        found = scrape(scraper(tmp_path))
    assert values(found, "glupy_recorder_records_total", "ring") == {("trace",): 1}
    assert errors(found) == {}


def test_error_bound_is_that_of_served_files(tmp_path: Path) -> None:
    files = {
        0: segments.File(b"/hot", HOT, (100, 0, 0), error_bound=3),
        1: segments.File(b"/cold", COLD, (1, 0, 0), error_bound=99),
    }
    with segments.Segment(files=files).live(tmp_path):
        assert values(scrape(scraper(tmp_path, files=1)), "glupy_file_count_error_bound") == {(): 3}


def test_one_file_in_two_slots_is_one_series(tmp_path: Path) -> None:
    files = {
        0: segments.File(b"", HOT, (1, 2, 3), (4, 5), (6, 7, 8)),
        1: segments.File(b"/hot", HOT, (10, 20, 30), (40, 50), (60, 70, 80)),
    }
    with segments.Segment(files=files).live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_file_fops_total", "path", "kind") == {
        ("/hot", "read"): 11,
        ("/hot", "write"): 22,
        ("/hot", "metadata"): 33,
    }
    assert values(samples, "glupy_file_io_bytes_total", "direction") == {
        ("read",): 44,
        ("write",): 55,
    }


def test_one_client_in_two_slots_is_one_series(tmp_path: Path) -> None:
    clients = {0: segments.Client(b"c", (1, 2, 3)), 1: segments.Client(b"c", (10, 20, 30))}
    with segments.Segment(clients=clients).live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_client_fops_total", "client", "kind") == {
        ("c", "read"): 11,
        ("c", "write"): 22,
        ("c", "metadata"): 33,
    }


def test_only_the_busiest_clients_are_served_but_all_are_connected(tmp_path: Path) -> None:
    clients = {
        slot: segments.Client(b"10.0.0.%d" % slot, (slot + 1, 0, 0), connections=slot % 2)
        for slot in range(10)
    }
    with segments.Segment(clients=clients).live(tmp_path):
        samples = scrape(scraper(tmp_path, clients=1))
    assert {c for c, _ in values(samples, "glupy_client_fops_total", "client", "kind")} == {
        "10.0.0.9"
    }
    assert values(samples, "glupy_clients_connected") == {(): 5}


def test_client_that_went_away_ages_out(tmp_path: Path, uptime: int) -> None:
    long_ago = uptime - int((AWAY + 60) * 1e9)
    clients = {
        0: segments.Client(b"here", (1, 0, 0), last_seen=long_ago),
        1: segments.Client(b"left", (2, 0, 0), last_seen=uptime, connections=0),
        2: segments.Client(b"gone", (3, 0, 0), last_seen=long_ago, connections=0),
    }
    with segments.Segment(clients=clients).live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_client_connections", "client") == {("here",): 1, ("left",): 0}
    for family in ("fops_total", "fop_errors_total", "connections"):
        found = values(samples, f"glupy_client_{family}", "client")
        assert found.keys() == {("here",), ("left",)}
    assert values(samples, "glupy_clients_tracked") == {(): 3}


def test_internal_origins_are_there_once_seen(tmp_path: Path) -> None:
    internal = {"rebalance": segments.Internal((1, 2, 3), (4, 5), (6, 7, 8))}
    with segments.Segment(internal=internal).live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_internal_fops_total", "origin", "kind") == {
        ("rebalance", "read"): 1,
        ("rebalance", "write"): 2,
        ("rebalance", "metadata"): 3,
    }
    assert values(samples, "glupy_internal_io_bytes_total", "origin", "direction") == {
        ("rebalance", "read"): 4,
        ("rebalance", "write"): 5,
    }


def test_errors_of_later_scrapes(tmp_path: Path) -> None:
    """What a scrape remembers of a fop's errors holds only while all of them stay as they are."""
    source = scraper(tmp_path)
    for errnos in ({2: 1, 140: 3, 141: 4}, {2: 1, 140: 3, 141: 4}, {2: 2, 11: 1, 141: 8}, {0: 1}):
        fops = {"lookup": segments.Fop(errnos=errnos), "read": segments.Fop(errnos={5: 1})}
        with segments.Segment(fops=fops).live(tmp_path):
            samples = scrape(source)
        names = {2: "ENOENT", 11: "EAGAIN"}
        expected: dict[tuple[str, ...], float] = {("read", "EIO"): 1}
        for number, count in errnos.items():
            which = "lookup", names.get(number, "other")
            expected[which] = expected.get(which, 0) + count
        assert values(samples, "glupy_fop_errors_total", "fop", "errno") == expected


OF_FOPS = ("glupy_fop_duration", "glupy_fop_errors", "glupy_io")


def test_histograms_are_cumulative_and_agree_with_count(tmp_path: Path) -> None:
    with full_segment().live(tmp_path):
        samples = scrape(Scraper(tmp_path, DAY, [Fops(Options({"buckets": "all"}))]))
        few = scrape(scraper(tmp_path))
    buckets = [
        (float(le), count)
        for (fop, le), count in values(
            samples, "glupy_fop_duration_seconds_bucket", "fop", "le"
        ).items()
        if fop == "read"
    ]
    assert [le for le, _ in buckets] == [*(2.0**i for i in range(-20, 7)), float("inf")]
    assert [count for _, count in buckets] == [0] * 5 + [10] * 21 + [11, 12]
    assert values(samples, "glupy_fop_duration_seconds_count", "fop")["read",] == 12
    sizes = [
        float(le)
        for direction, le in values(samples, "glupy_io_size_bytes_bucket", "direction", "le")
        if direction == "read"
    ]
    assert sizes == [*(2 ** (i + 1) - 1 for i in range(31)), float("inf")]
    # By default there are fewer, and those count the same.
    fops = {key: count for key, count in few.items() if key[0].startswith(OF_FOPS)}
    assert fops.items() <= samples.items()
    by_le = values(few, "glupy_fop_duration_seconds_bucket", "fop", "le")
    assert [float(le) for fop, le in by_le if fop == "read"] == [
        *(4.0**i for i in range(-8, 3)),
        float("inf"),
    ]
    assert len(values(few, "glupy_io_size_bytes_bucket", "direction", "le")) == 2 * 9


def test_hostile_label_values_stay_inside_their_labels(tmp_path: Path) -> None:
    evil = b'/x"} 1\nglupy_brick_up{volume="other"} 0\n\\'
    segment = segments.Segment(
        volume='v"\n\\',
        files={0: segments.File(evil, HOT, (1, 0, 0))},
        clients={0: segments.Client(b'"\n{}', (1, 0, 0))},
    )
    with segment.live(tmp_path):
        samples = scrape(scraper(tmp_path))
    assert values(samples, "glupy_brick_up", "volume") == {('v"\\x0a\\\\',): 1}
    paths = {path for path, _ in values(samples, "glupy_file_fops_total", "path", "kind")}
    assert paths == {'/x"} 1\\x0aglupy_brick_up{volume="other"} 0\\x0a\\\\'}


def stuck(path: str = "/db/x", seconds: float = 100, **lock: int) -> segments.Flight:
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - round(seconds * 1e9)
    return segments.Flight("write", started, gfid=uuid.uuid5(HOT, path), client=1, fields=lock)


def in_flight(tmp_path: Path, *flights: segments.Flight, **settings: Any) -> Samples:
    """The samples of a brick with these fops in flight."""
    made = segments.Segment(
        names=(*segments.FOP_NAMES, "inodelk"),
        flights=dict(enumerate(flights)),
        files={
            n: segments.File(path.encode(), uuid.uuid5(HOT, path))
            for n, path in enumerate(("/db/x", "/db/y"))
        },
        clients={0: segments.Client(b"192.0.2.1"), 1: segments.Client(b"192.0.2.2")},
        held_locks={
            0: segments.HeldLock("inodelk", "write", b"gv0", uuid.uuid5(HOT, "/db/x"), client=2)
        },
    )
    options = Options(settings, Privacy(exclude=("/db/y",)))
    with made.live(tmp_path):
        return scrape(Scraper(tmp_path, DAY, [Recorder(options)]))


STUCK = "glupy_fop_in_flight_seconds"


def test_the_oldest_fop_in_flight_of_each_kind(tmp_path: Path) -> None:
    samples = in_flight(tmp_path, stuck(seconds=3), stuck(seconds=50), segments.Flight("read"))
    oldest = values(samples, "glupy_fops_in_flight_oldest_seconds", "fop")
    assert oldest["write",] == pytest.approx(50, abs=5)
    assert oldest.keys() == {("write",), ("read",)}


def test_only_fops_above_an_age_have_a_series_with_their_file(tmp_path: Path) -> None:
    assert not values(in_flight(tmp_path, stuck(seconds=50)), STUCK, "path")
    samples = in_flight(tmp_path, stuck(seconds=70), stuck(seconds=100), stuck("/db/y"))
    found = values(samples, STUCK, "fop", "path", "client", "holder")
    assert list(found) == [("write", "/db/x", "192.0.2.1", "")]
    assert next(iter(found.values())) == pytest.approx(100, abs=5)
    assert values(in_flight(tmp_path, stuck(seconds=5), age=2.0), STUCK, "path")


def test_no_more_than_the_oldest_have_a_series(tmp_path: Path) -> None:
    flights = [stuck(str(number), 100 + number) for number in range(8)]
    found = values(in_flight(tmp_path, *flights, limit=3), STUCK, "gfid")
    assert {gfid for (gfid,) in found} == {str(uuid.uuid5(HOT, str(n))) for n in (5, 6, 7)}


def hanging(
    directory: Path, clock: list[float], at: float, age: float, count: int, collector: Recorder
) -> Samples:
    """The samples at a time, of a brick in which other fops hang than at any other time."""
    clock[0] = at
    flights = [stuck(f"{at} {number}", age) for number in range(count)]
    with segments.Segment(flights=dict(enumerate(flights))).live(directory):
        return scrape(Scraper(directory, DAY, [collector]))


def test_fops_that_hang_in_turn_get_few_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five others at each scrape of three hours, and then some that hang for much longer."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    collector = Recorder()
    different = set()
    for minute in range(180):
        samples = hanging(tmp_path, clock, minute * 60.0, 90, 7, collector)
        assert values(samples, "glupy_fops_in_flight_overdue") == {(): 7}
        different |= values(samples, STUCK, "gfid").keys()
    assert 25 <= len(different) <= 5 + 20 + 30
    samples = hanging(tmp_path, clock, 180 * 60.0, 90, 5, collector)
    assert not values(samples, STUCK, "gfid")
    samples = hanging(tmp_path, clock, 180 * 60.0 + 1, 700, 5, collector)
    assert len(values(samples, STUCK, "gfid")) == 5


def test_a_fop_that_hangs_keeps_its_series(tmp_path: Path) -> None:
    collector = Recorder(Options({"new-per-hour": 0}))
    with segments.Segment(flights={0: stuck()}).live(tmp_path):
        scraper = Scraper(tmp_path, DAY, [collector])
        for _ in range(8):
            assert len(values(scrape(scraper), STUCK, "gfid")) == 1
            assert values(scrape(scraper), "glupy_fops_in_flight_overdue") == {(): 1}


def test_no_fop_that_is_young_is_overdue(tmp_path: Path) -> None:
    samples = in_flight(tmp_path, stuck(seconds=50))
    assert not values(samples, "glupy_fops_in_flight_overdue")


def test_a_fop_that_waits_for_a_lock_is_there_with_the_holder(tmp_path: Path) -> None:
    waiter = stuck(lock_type=2)
    waiter.fop, waiter.text = "inodelk", b"gv0"
    found = values(in_flight(tmp_path, waiter), STUCK, "fop", "domain", "holder")
    assert list(found) == [("inodelk", "gv0", "192.0.2.2")]


if __name__ == "__main__":  # writes the golden file anew; look at what changed
    import tempfile

    with tempfile.TemporaryDirectory() as name, golden_directory(Path(name)) as where:
        GOLDEN.write_text(stable(scrapes.text(golden(where))), encoding="utf-8")
