"""Which of the busiest rows get series, over time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from glupy_exporter.node.admission import (
    KEEP,
    RESERVE,
    SAVED_HOURS,
    SURE,
    YIELD,
    Admission,
    Budget,
    Candidate,
)

HOUR = 3600.0
LASTING = 30.0
SCRAPE = 15.0


def admit(
    admission: Admission,
    names: Iterable[object],
    now: float,
    lasted: float = 1e6,
    here: str = "",
    working: str = "",
) -> set[object]:
    """What is admitted of candidates of that age; the letters of ``here`` are there as well, and
    those of ``working`` are at work.
    """
    candidates = [Candidate(name, lasted) for name in names]
    present = {*here, *(each.identity for each in candidates)}
    return {*admission.admit(candidates, present, {*working}, now)}


def test_the_best_are_admitted_up_to_the_limit() -> None:
    assert admit(Admission(3, 10, LASTING, 0.0), "abcde", 0.0) == {*"abc"}


def test_a_row_keeps_its_series_for_five_minutes() -> None:
    admission = Admission(3, 10, LASTING, 0.0)
    admit(admission, "ab", 0.0)
    assert admit(admission, "b", KEEP, here="a") == {*"ab"}
    assert admit(admission, "b", KEEP + 1, here="a") == {"b"}


def test_a_row_that_is_at_work_keeps_its_series_if_nobody_takes_its_place() -> None:
    admission = Admission(2, 10, LASTING, 0.0)
    admit(admission, "ab", 0.0)
    assert admit(admission, "b", KEEP, here="a", working="a") == {*"ab"}
    assert admit(admission, "b", 2 * KEEP, here="a") == {*"ab"}
    assert admit(admission, "bc", 2 * KEEP, here="a", working="a") == {*"bc"}


def test_a_row_that_is_gone_has_none() -> None:
    admission = Admission(3, 10, LASTING, 0.0)
    admit(admission, "ab", 0.0)
    assert admit(admission, "b", 1.0) == {"b"}


def test_one_that_is_busy_no_more_makes_room_after_a_minute() -> None:
    admission = Admission(2, 10, LASTING, 0.0)
    admit(admission, "ab", 0.0)
    assert admit(admission, "ac", YIELD, here="b") == {*"ab"}
    assert admission.refused == set()
    assert admit(admission, "ac", YIELD + 1, here="b") == {*"ac"}


def test_the_one_that_was_busy_longest_ago_makes_room() -> None:
    admission = Admission(3, 10, LASTING, 0.0)
    admit(admission, "abc", 0.0)
    admit(admission, "bc", 50.0, here="a")
    assert admit(admission, "cd", 120.0, here="ab") == {*"bcd"}


def test_the_budget_is_saved_up_for_two_hours() -> None:
    numbers = count()

    def spent(budget: Budget, now: float) -> int:
        return next(n for n in count() if not budget.spend(next(numbers), now))

    budget = Budget(5, 10, 0.0)
    assert spent(budget, 0.0) == 5 + SAVED_HOURS * 10
    assert spent(budget, HOUR / 20) == 0
    assert spent(budget, HOUR / 10) == 1
    assert spent(budget, HOUR * 1.1) == 10
    assert spent(budget, HOUR * 100) == SAVED_HOURS * 10


def test_a_row_that_had_series_of_late_is_free() -> None:
    admission = Admission(2, 0, LASTING, 0.0)
    assert admit(admission, "ab", 0.0) == {*"ab"}
    assert admit(admission, "ac", 1000.0) == {"a"}
    assert admission.refused == {"c"}
    assert admit(admission, "ab", 10_000.0) == {*"ab"}


def test_what_is_remembered_is_bounded() -> None:
    budget = Budget(4, 1000, 0.0)
    for name in range(7):
        assert budget.spend(name, 0.0)
    budget = Budget(2, 1, 0.0)  # remembers 3
    assert all(budget.spend(name, 0.0) for name in "abcd")
    assert budget.spend("b", 0.0) and budget.spend("c", 0.0)
    assert not budget.spend("a", 0.0)


def test_the_last_third_is_for_those_that_are_sure() -> None:
    admission = Admission(100, 15, LASTING, 0.0)
    young = SURE * LASTING - 1
    assert len(admit(admission, range(100), 0.0, young)) == 100
    admission = Admission(40, 15, LASTING, 0.0)
    names, now = iter(range(1000)), 0.0

    def newcomers(number: int, lasted: float) -> int:
        nonlocal now
        now += YIELD + 1
        before = {*admission.served}
        here = [next(names) for _ in range(number)]
        found = admission.admit(
            [Candidate(name, lasted) for name in here], {*here, *before}, (), now
        )
        return len({*found} - before)

    assert newcomers(40, young) == 40
    kept = RESERVE * SAVED_HOURS * 15
    assert newcomers(40, young) == SAVED_HOURS * 15 - kept
    assert newcomers(1, SURE * LASTING) == 1
    # Those of the less busy half are not sure, however long they have lasted.
    assert newcomers(40, SURE * LASTING) == kept - 1


def test_names_and_notes_are_paid_for() -> None:
    admission = Admission(2, 3, LASTING, 0.0)
    admit(admission, "ab", 0.0)
    assert sum(admission.rename(number, 0.0) for number in range(100)) == 4  # 2 are in reserve
    assert sum(admission.note(number, 0.0) for number in range(100)) == 2 + SAVED_HOURS * 3


WORK = st.lists(
    st.tuples(
        st.lists(st.integers(0, 60), max_size=12, unique=True),  # the busiest, best first
        st.sampled_from((1.0, SCRAPE, 60.0, 400.0, HOUR)),  # until the next scrape
        st.floats(LASTING, 3000.0),
    ),
    max_size=120,
)


@settings(max_examples=200)
@given(WORK, st.integers(1, 8), st.integers(0, 20))
def test_no_work_gets_more_series_than_the_budget_has(
    work: list[tuple[list[int], float, float]], limit: int, an_hour: int
) -> None:
    """In any window, and whatever is renamed: what was never there, or is no longer remembered."""
    admission, now = Admission(limit, an_hour, LASTING, 0.0), 0.0
    paid: list[float] = []
    remembered: list[object] = []
    for busiest, wait, lasted in work:
        now += wait
        served = admit(admission, busiest[:limit], now, lasted, here="")
        assert len(served) <= limit
        assert served <= {*busiest}
        labels = {
            ("renamed", name, lasted) for name in served if admission.rename((name, lasted), now)
        }
        for identity in sorted(served | labels, key=repr):
            if identity not in remembered:
                paid.append(now)
        remembered = [each for each in remembered if each not in served | labels]
        remembered += sorted(served | labels, key=repr)
    for end, last in enumerate(paid):
        for first in range(end + 1):
            window = (last - paid[first]) / HOUR
            assert end + 1 - first <= limit + an_hour * (SAVED_HOURS + window) + 1e-6


@settings(max_examples=100)
@given(
    st.integers(4, 24),
    st.integers(0, 30),
    st.integers(2, 100),
    st.randoms(use_true_random=False),
)
def test_what_lasts_is_shown_whatever_passes(
    lasting: int, an_hour: int, passing: int, dice: object
) -> None:
    """Files that were there first are all shown, and stay, while others come and go."""
    admission = Admission(24, an_hour, LASTING, 0.0)
    here = [f"lasting {number}" for number in range(lasting)]
    assert {*here} <= admit(admission, here, 0.0)
    for turn in range(200):
        others = [f"passing {turn // 5}.{number}" for number in range(passing)]
        ranked = here + others[: 24 - lasting]
        dice.shuffle(ranked)  # type: ignore[attr-defined]
        found = admission.admit(
            [Candidate(name, 1e5 if name in here else 45.0) for name in ranked],
            {*here, *others},
            (),
            (turn + 1) * SCRAPE,
        )
        assert {*here} <= {*found}
