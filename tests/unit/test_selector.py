"""Which rows are the busiest, over time."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import pytest

from glupy_exporter.node.selector import FORGET, Ranking, Selector, _State

HALF_LIFE = 60.0
SLOTS = 4
Row = tuple[int, ...]
"""Tag, and a count for each order."""


def select(
    selector: Selector,
    now: float,
    rows: dict[int, Row],
    key: str = "b",
    half_life: float = HALF_LIFE,
) -> list[int]:
    """The slots selected of a table with these rows in its slots."""
    nobody = (0,) * (selector._orders + 1)
    return select_of(
        selector, [rows.get(slot, nobody) for slot in range(SLOTS)], now, key, half_life
    )


def select_of(
    selector: Selector,
    rows: Sequence[Row],
    now: float,
    key: str = "b",
    half_life: float = HALF_LIFE,
) -> list[int]:
    """The slots selected of a table with these rows, one in each slot."""
    return ranking(selector, rows, now, key, half_life).slots


def ranking(
    selector: Selector,
    rows: Sequence[Row],
    now: float,
    key: str = "b",
    half_life: float = HALF_LIFE,
    lasted: Collection[int] = range(10_000),
    recent: Sequence[float] = (1.0,) * 10_000,
) -> Ranking:
    """Those of the slots ``lasted`` count that have lasted. ``recent`` is by slot."""

    def totals(slots: Sequence[int]) -> list[Row]:
        return [*zip(*(rows[slot][1:] for slot in slots))]

    def long_enough(slots: Sequence[int]) -> list[bool]:
        return [slot in lasted for slot in slots]

    def shares(slots: Sequence[int]) -> list[float]:
        return [recent[slot] for slot in slots]

    stamps = [hash(row) % 2**64 for row in rows]
    tags = [row[0] for row in rows]
    return selector.select(key, tags, stamps, totals, long_enough, shares, half_life, now)


def table(**counts: int | Row) -> dict[int, Row]:
    """Rows s0=..., s1=...; the tag of slot N is 100 + N."""
    return {
        int(slot[1:]): (100 + int(slot[1:]), *(count if isinstance(count, tuple) else (count,)))
        for slot, count in counts.items()
    }


def test_first_sight_goes_by_totals() -> None:
    assert select(Selector(2, 1), 0.0, table(s0=5, s1=9, s2=7)) == [1, 2]


def test_first_sight_goes_by_what_is_recent_of_totals() -> None:
    selector, rows = Selector(2, 1), [(1, 1000), (2, 10), (3, 9), (4, 800)]
    recent = (1e-9, 1.0, 1.0, 1e-9)
    assert ranking(selector, rows, 1e6, recent=recent).slots == [1, 2]
    rows[0], rows[3] = (1, 1007), (5, 20)  # slot 3 has a new owner
    assert ranking(selector, rows, 1e6 + 15, recent=recent).slots == [3, 1]
    rows.append((6, 3))  # the table has grown
    assert ranking(selector, rows, 1e6 + 30, recent=(0.0, *recent)).slots == [3, 2]


def test_rows_that_are_idle_in_an_order_come_last() -> None:
    selector = Selector(4, 2)
    rows = [(1, 9, 0), (2, 8, 0), (3, 7, 0), (4, 1, 900), (5, 1, 800)]
    assert ranking(selector, rows, 0.0).slots == [0, 3, 1, 4]
    rows = [(tag, fops + 1000 * (tag < 4), byte) for tag, fops, byte in rows]
    assert ranking(selector, rows, 11 * HALF_LIFE).slots == [0, 1, 2, 3]


def test_fewer_rows_than_the_limit() -> None:
    assert select(Selector(5, 1), 0.0, table(s0=2, s3=1)) == [0, 3]
    assert select(Selector(5, 1), 0.0, {}) == []


def test_rows_that_count_nothing_are_not_busy() -> None:
    assert select(Selector(5, 1), 0.0, table(s0=0, s3=1)) == [3]


def test_rows_without_a_tag_take_nobodys_place() -> None:
    assert select(Selector(1, 1), 0.0, {0: (0, 9), 1: (101, 1)}) == [1]


def test_recent_fops_outweigh_old_ones() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=10))
    assert select(selector, 20 * HALF_LIFE, table(s0=1000, s1=20)) == [1]


@pytest.mark.parametrize("half_life", [10.0, HALF_LIFE])
@pytest.mark.parametrize(("half_lives", "winner"), [(0.9, 0), (1.1, 1)])
def test_a_score_halves_in_a_half_life(half_life: float, half_lives: float, winner: int) -> None:
    selector = Selector(1, 1)
    seconds = half_lives * half_life
    select(selector, 0.0, table(s0=1000, s1=0), half_life=half_life)
    select(selector, seconds, table(s0=1000, s1=500), half_life=half_life)
    later = select(selector, seconds + 1, table(s0=1000, s1=500), half_life=half_life)
    assert later == [winner]  # scores now fall together


@pytest.mark.parametrize(("fops", "winner"), [(240, 0), (260, 1)])
@pytest.mark.parametrize("interval", [1, 15, 120])
def test_how_often_one_scrapes_does_not_matter(interval: int, fops: int, winner: int) -> None:
    selector = Selector(1, 1)
    for second in range(0, 120, interval):
        select(selector, float(second), table(s0=1000, s1=0))
    rows = table(s0=1000, s1=fops)  # 1000 fops two half-lives ago are worth 250 now
    assert select(selector, 120.0, rows) == [winner]


@pytest.mark.parametrize("half_life", [1.0, 0.01])
def test_scores_hold_for_any_number_of_half_lives(half_life: float) -> None:
    """Far more of them than a float has powers of two."""
    selector = Selector(1, 1)
    for second in range(0, 3000, 15):
        select(selector, float(second), table(s0=2**63, s1=10 + second), half_life=half_life)
    rows = table(s0=2**63, s1=9000)
    assert select(selector, 3000.0, rows, half_life=half_life) == [1]
    assert select(selector, 3299.0, {**rows, 2: (102, 1)}, half_life=half_life) == [2]


def test_each_order_has_its_turn() -> None:
    rows = table(s0=(9, 0, 1), s1=(8, 0, 2), s2=(7, 5, 3), s3=(6, 4, 4))
    assert select(Selector(1, 3), 0.0, rows) == [0]
    assert select(Selector(3, 3), 0.0, rows) == [0, 2, 3]
    assert select(Selector(4, 3), 0.0, rows) == [0, 2, 3, 1]


def test_only_what_has_lasted_is_among_the_busiest() -> None:
    selector, rows = Selector(2, 1), [(1, 9), (2, 8), (3, 7), (4, 6)]
    assert ranking(selector, rows, 0.0, lasted={1, 3}).slots == [1, 3]
    rows[0], rows[2] = (1, 10), (3, 8)  # neither the first nor the third has changed otherwise
    found = ranking(selector, rows, 1.0, lasted={0, 1, 3})
    assert found.slots == [0, 1]
    assert [*found.lasted] == [1, 1, 0, 1]


def test_what_is_gained_in_the_first_order_is_told() -> None:
    selector = Selector(2, 2)
    rows = [(1, 10, 5), (2, 7, 0), (3, 3, 3), (0, 0, 0)]
    assert ranking(selector, rows, 0.0).added == []  # all of before the first look
    rows[0], rows[1], rows[3] = (1, 12, 5), (9, 4, 0), (4, 1, 1)  # a row has another owner
    assert sorted(ranking(selector, rows, 1.0).added) == [(0, 2), (1, 4), (3, 1)]


def test_orders_decay_each_by_itself() -> None:
    selector = Selector(2, 2)
    select(selector, 0.0, table(s0=(9, 900), s1=(1, 1)))
    # Slot 1 makes more fops now, but next to no bytes.
    assert select(selector, 1.0, table(s0=(9, 900), s1=(99, 2))) == [1, 0]
    assert select(Selector(1, 2), 0.0, table(s0=(9, 900), s1=(1, 1))) == [0]


def test_a_slot_with_a_new_owner_is_a_new_row() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, {0: (100, 1000), 1: (101, 10)})
    # Slot 0 was given to another file with a fop or two: it inherits neither score nor place.
    assert select(selector, 1.0, {0: (999, 2), 1: (101, 12)}) == [1]


def test_a_new_owner_that_counts_as_much_as_the_old_one() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=10))
    select(selector, 10 * HALF_LIFE, {0: (999, 1000), 1: (101, 10)})
    # Counted just now, all of it.
    rows = {0: (999, 1000), 1: (101, 510)}
    assert select(selector, 10 * HALF_LIFE + 1, rows) == [0]


def test_a_count_that_went_down_is_a_new_row() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=10))
    select(selector, 100.0, table(s0=5, s1=10))  # the brick was restarted
    assert select(selector, 101.0, table(s0=5, s1=100)) == [1]


def test_a_row_that_lost_its_slot_is_gone_at_once() -> None:
    selector = Selector(2, 1)
    select(selector, 0.0, table(s0=1000, s1=10))
    assert select(selector, 1.0, table(s1=10)) == [1]


def test_bricks_do_not_share_rows() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=1), "a")
    assert select(selector, 0.0, table(s0=0, s1=1), "b") == [1]


def test_a_vanished_brick_is_forgotten() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=1), "gone")
    select(selector, FORGET + 1, table(s0=1), "here")
    assert list(selector._states) == ["here"]


def test_a_table_of_another_size_is_a_new_one() -> None:
    selector = Selector(1, 1)
    select_of(selector, [(1, 1000), (2, 1)], 0.0)
    assert select_of(selector, [(3, 9), (2, 8), (1, 7)], 1.0) == [0]


def test_a_long_time_between_scrapes_is_no_reason_to_forget() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=1))
    assert select(selector, 20 * HALF_LIFE, table(s0=1000, s1=11)) == [1]


def test_a_brick_that_missed_one_scrape_is_not() -> None:
    selector = Selector(1, 1)
    select(selector, 0.0, table(s0=1000, s1=1))
    select(selector, FORGET - 1, table(s0=1), "other")
    assert select(selector, FORGET, table(s0=1000, s1=2)) == [0]


def test_a_slot_that_was_given_up_is_gone_though_all_slots_were_busy() -> None:
    selector = Selector(SLOTS, 1)
    rows = table(s0=1, s1=2, s2=3, s3=4)
    assert select(selector, 0.0, rows) == [3, 2, 1, 0]
    rows[2], rows[3] = (0, 0), (999, 0)  # vacated, and taken by somebody who has done nothing yet
    assert select(selector, 1.0, rows) == [1, 0]


def test_what_was_not_seen_with_its_stamp_is_noticed_at_the_next() -> None:
    selector = Selector(1, 1)

    def selected(stamps: Sequence[int], counts: Sequence[int], now: float) -> list[int]:
        def totals(slots: Sequence[int]) -> list[Row]:
            return [tuple(counts[slot] for slot in slots)]

        def lasted(slots: Sequence[int]) -> list[bool]:
            return [True for _ in slots]

        def recent(slots: Sequence[int]) -> list[float]:
            return [1.0 for _ in slots]

        return selector.select("b", [1, 2], stamps, totals, lasted, recent, HALF_LIFE, now).slots

    assert selected([1, 1], [1000, 1], 0.0) == [0]
    # Of slot 1 the stamp was seen, and what was counted before it was not.
    assert selected([1, 2], [1000, 1], 1.0) == [0]
    assert selected([1, 2], [1000, 2001], 2.0) == [0]
    assert selected([1, 3], [1000, 2002], 3.0) == [1]


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_need_no_look_are_not_missed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rows that have changed are compared with the busiest: as good as comparing all."""
    dice = random.Random(seed)
    slots, orders = 203, 3
    table = [[dice.randrange(1, 2**64), *(0 for _ in range(orders))] for _ in range(slots)]
    turns = []
    for _ in range(60):
        for slot in dice.choices(range(slots), k=dice.choice((0, 3, 50))):
            table[slot][dice.randint(1, orders)] += dice.randrange(1, 1000)
        for slot in dice.sample(range(slots), dice.choice((0, 0, 2))):
            tag = dice.choice((0, dice.randrange(1, 2**64)))
            table[slot] = [tag, *(dice.randrange(10) for _ in range(orders))]
        turns.append([tuple(row) for row in table])

    def chosen() -> list[list[int]]:
        selector = Selector(5, orders)
        return [select_of(selector, rows, 30.0 * turn) for turn, rows in enumerate(turns)]

    found = chosen()
    monkeypatch.setattr(_State, "_candidates", lambda self, *_: range(len(self.tags)))
    assert found == chosen()
    assert len({tuple(each) for each in found}) > 20
