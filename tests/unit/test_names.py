"""Names that a brick has not learned, from its siblings."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.files import Files
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.node.privacy import Privacy
from tests.support import scrapes, segments

IMAGE = uuid.UUID("6a1c07a1-70f2-4bd5-9a86-3b3c0b7a5c11")
OTHER = uuid.UUID("11111111-70f2-4bd5-9a86-3b3c0b7a5c11")


def paths(scraper: Scraper) -> dict[str, set[str]]:
    """The paths that are served, by brick."""
    found: dict[str, set[str]] = {}
    for family in parse_text(scrapes.text(scraper)):
        for sample in family.samples:
            if sample.name == "glupy_file_fops_total":
                found.setdefault(sample.labels["brick"], set()).add(sample.labels["path"])
    return found


@pytest.fixture
def sharded(tmp_path: Path) -> Iterator[Path]:
    """A directory with the segments of three bricks, of which only one knows the image's name."""
    nameless = {4: segments.File(b"", IMAGE, (1, 1, 1), type="")}
    with ExitStack() as stack:
        for volume, brick, files in (
            ("v0", "/b0", {9: segments.File(b"/vm.img", IMAGE, (0, 0, 5))}),
            ("v0", "/b1", {**nameless, 5: segments.File(b"", OTHER, (1, 0, 0), type="")}),
            ("v1", "/b0", nameless),
        ):
            contents = segments.Segment(volume=volume, brick=brick, files=files)
            stack.enter_context(contents.live(tmp_path))
        yield tmp_path


@pytest.fixture
def scraper(sharded: Path) -> Callable[..., Scraper]:
    def make(privacy: Privacy = Privacy()) -> Scraper:
        return Scraper(sharded, 86400.0, [Files(Options(privacy=privacy, once=True))])

    return make


def test_a_sibling_knows_the_name(scraper: Callable[..., Scraper]) -> None:
    """Only a brick of the same volume is asked."""
    found = {}
    for family in parse_text(scrapes.text(scraper())):
        for sample in family.samples:
            if sample.name == "glupy_file_fops_total":
                labels = sample.labels
                key = labels["volume"], labels["brick"], labels["gfid"]
                found[key] = labels["path"], labels["type"]
    assert found == {
        ("v0", "/b0", str(IMAGE)): ("/vm.img", "file"),
        ("v0", "/b1", str(IMAGE)): ("/vm.img", "file"),
        ("v0", "/b1", str(OTHER)): (f"<gfid:{OTHER}>", ""),
        ("v1", "/b0", str(IMAGE)): (f"<gfid:{IMAGE}>", ""),
    }


@pytest.mark.parametrize(
    ("privacy", "seen"),
    [
        (Privacy(include=("/vm*",)), {"/b0": {"/vm.img"}, "/b1": {"/vm.img"}}),
        (Privacy(exclude=("/vm*",)), {"/b1": {f"<gfid:{OTHER}>"}, "/b0": {f"<gfid:{IMAGE}>"}}),
    ],
)
def test_a_name_from_elsewhere_is_judged_like_any_other(
    scraper: Callable[..., Scraper], privacy: Privacy, seen: dict[str, set[str]]
) -> None:
    assert paths(scraper(privacy)) == seen


def test_a_name_that_is_learned_later_is_judged_then(
    scraper: Callable[..., Scraper], sharded: Path
) -> None:
    included, excluded = (
        scraper(Privacy(include=("/dir/*",))),
        scraper(Privacy(exclude=("/dir/*",))),
    )
    assert paths(included) == {}
    assert paths(excluded)["/b1"] == {"/vm.img", f"<gfid:{OTHER}>"}
    learned = segments.Segment(
        volume="v0", brick="/b2", files={7: segments.File(b"/dir/other", OTHER)}
    )
    with learned.live(sharded):
        assert paths(included)["/b1"] == {"/dir/other"}
        assert paths(excluded)["/b1"] == {"/vm.img"}


@pytest.mark.parametrize("privacy", [Privacy(), Privacy("hash"), Privacy("none"), Privacy(depth=1)])
def test_a_name_is_kept_while_the_brick_that_knows_it_is_down(
    tmp_path: Path, privacy: Privacy
) -> None:
    def labels() -> set[tuple[str, str]]:
        return {
            (sample.labels["path"], sample.labels["type"])
            for family in parse_text(scrapes.text(source))
            for sample in family.samples
            if sample.name == "glupy_file_fops_total" and sample.labels["brick"] == "/b1"
        }

    def only(path: bytes, type: str = "file") -> segments.Segment:
        files = {9: segments.File(path, IMAGE, (0, 0, 5), type=type)}
        return segments.Segment(brick="/b0", files=files)

    source = Scraper(tmp_path, 86400.0, [Files(Options(privacy=privacy, once=True))])
    nameless = {4: segments.File(b"", IMAGE, (1, 1, 1), type="")}
    with segments.Segment(brick="/b1", files=nameless).live(tmp_path):
        with only(b"/dir/vm.img").live(tmp_path):
            known = labels()
        assert labels() == known
        with only(b"<gfid:00000000-0000-0000-0000-000000000007>/vm.img", type="").live(tmp_path):
            assert labels() == known
        with only(b"/other/vm.img", type="").live(tmp_path):
            ((path, type),) = labels()
    ((was, _),) = known
    assert type == "file"
    assert (path != was) == (privacy.paths != "none")
