"""Which rows are exported, over time."""

from __future__ import annotations

import pytest

from glupy_exporter.collectors.selector import HALF_LIFE, KEEP, Selector


def slots(rows: list[tuple[int, int, int]]) -> list[int]:
    return [slot for slot, _, _ in rows]


def table(**fops: int) -> list[tuple[int, int, int]]:
    """Rows s0=..., s1=...; the tag of slot N is 100 + N."""
    return [(int(slot[1:]), 100 + int(slot[1:]), count) for slot, count in fops.items()]


def test_first_sight_goes_by_totals() -> None:
    assert slots(Selector(2).select("b", table(s0=5, s1=9, s2=7), 0.0)) == [1, 2]


def test_fewer_rows_than_the_limit() -> None:
    assert slots(Selector(5).select("b", table(s0=0, s3=1), 0.0)) == [0, 3]
    assert Selector(5).select("b", [], 0.0) == []


def test_recent_fops_outweigh_old_ones() -> None:
    selector = Selector(1)
    selector.select("b", table(s0=1000, s1=10), 0.0)
    much_later = 20 * HALF_LIFE
    assert slots(selector.select("b", table(s0=1000, s1=20), much_later)) == [1]


@pytest.mark.parametrize(("seconds", "winner"), [(0.9 * HALF_LIFE, 0), (1.1 * HALF_LIFE, 1)])
def test_a_score_halves_in_a_half_life(seconds: float, winner: int) -> None:
    selector = Selector(1)
    selector.select("b", table(s0=1000, s1=0), 0.0)
    selector.select("b", table(s0=1000, s1=500), seconds)
    # Scores now fall together; once the loser is no longer kept, only the winner is left.
    assert slots(selector.select("b", table(s0=1000, s1=500), seconds + KEEP + 1)) == [winner]


@pytest.mark.parametrize(("fops", "winner"), [(240, 0), (260, 1)])
@pytest.mark.parametrize("interval", [1, 15, 120])
def test_how_often_one_scrapes_does_not_matter(interval: int, fops: int, winner: int) -> None:
    selector = Selector(1)
    for second in range(0, 120, interval):
        selector.select("b", table(s0=1000, s1=0), float(second))
    rows = table(s0=1000, s1=fops)  # 1000 fops two half-lives ago are worth 250 now
    selector.select("b", rows, 120.0)
    assert slots(selector.select("b", rows, 120.0 + KEEP + 1)) == [winner]


def test_a_row_stays_for_five_minutes_after_it_was_among_the_busiest() -> None:
    selector = Selector(1)
    selector.select("b", table(s0=10, s1=0), 0.0)
    rows = table(s0=10, s1=1_000_000)
    for second in range(15, int(KEEP) + 1, 15):
        assert slots(selector.select("b", rows, float(second))) == [0, 1]
    assert slots(selector.select("b", rows, KEEP + 1)) == [1]


def test_a_slot_with_a_new_owner_is_a_new_row() -> None:
    selector = Selector(1)
    selector.select("b", [(0, 100, 1000), (1, 101, 10)], 0.0)
    # Slot 0 was given to another file with a fop or two: it inherits neither score nor place.
    assert slots(selector.select("b", [(0, 999, 2), (1, 101, 12)], 1.0)) == [1]


def test_a_count_that_went_down_is_a_new_row() -> None:
    selector = Selector(1)
    selector.select("b", table(s0=1000, s1=10), 0.0)
    selector.select("b", table(s0=5, s1=10), KEEP / 2)  # the brick was restarted
    assert slots(selector.select("b", table(s0=5, s1=100), 2 * KEEP)) == [1]


def test_bricks_do_not_share_rows() -> None:
    selector = Selector(1)
    selector.select("a", table(s0=1000, s1=1), 0.0)
    assert slots(selector.select("b", table(s0=0, s1=1), 0.0)) == [1]


def test_a_vanished_brick_is_forgotten() -> None:
    selector = Selector(1)
    selector.select("gone", table(s0=1000, s1=1), 0.0)
    selector.select("here", table(s0=1), KEEP + 1)
    assert list(selector._states) == ["here"]


def test_a_long_time_between_scrapes_is_no_reason_to_forget() -> None:
    selector = Selector(1)
    selector.select("b", table(s0=1000, s1=1), 0.0)
    assert slots(selector.select("b", table(s0=1000, s1=11), 20 * HALF_LIFE)) == [1]


def test_a_brick_that_missed_one_scrape_is_not() -> None:
    selector = Selector(1)
    selector.select("b", table(s0=1000, s1=1), 0.0)
    selector.select("other", table(s0=1), KEEP - 1)
    assert slots(selector.select("b", table(s0=1000, s1=2), KEEP)) == [0]
