"""What the checks of values take and refuse, whichever file or flag a value is from."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from glupy_exporter import values

GOOD: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (values.string, "", ""),
    (values.duration, 0, 0),
    (values.duration, "1d12h", 129600),
    (values.duration_of_go, 0, 0),
    (values.duration_of_go, "1h1.5s", 3601.5),
    (values.duration_of_go, "20µs", pytest.approx(2e-5)),
    (values.whole(0, 9), "9", 9),
    (values.number(0.5, 9), "0.5", 0.5),
    (values.number(0.5, 9), 9, 9),
    (values.several(values.text), "a", ("a",)),
    (values.several(values.text), [], ()),
    (values.addresses, [":1", ":1"], (values.Address("", 1),)),
    (values.mapping, None, {}),
]
BAD: list[tuple[Callable[[Any], Any], Any, str]] = [
    (values.string, 1, "1 is not a text"),
    (values.text, "", "'' is not a text"),
    (values.switch, "yes", "'yes' is not true or false"),
    (values.duration, "1.5s", "'1.5s' is not a duration like 90s"),
    (values.duration, "1us", "'1us' is not a duration"),
    (values.duration, False, "False is not a duration"),
    (values.duration_of_go, "1d", "'1d' is not a duration like 1s"),
    (values.duration_of_go, "", "'' is not a duration"),
    (values.duration_of_go, "1s ", "'1s ' is not a duration"),
    (values.duration_of_go, False, "False is not a duration"),
    (values.whole(0, 9), "10", "'10' is not a whole number from 0 to 9"),
    (values.whole(0, 9), True, "True is not a whole number"),
    (values.whole(0, 9), "٣", "'٣' is not a whole number"),
    (values.number(0.5, 9), "nan", "'nan' is not a number from 0.5 to 9"),
    (values.number(0.5, 9), "inf", "'inf' is not a number"),
    (values.number(0.5, 9), [], r"\[\] is not a number"),
    (values.number(0.5, 9), True, "True is not a number"),
    (values.one_of("ab"), "c", "'c' is not one of a, b"),
    (values.strings, ["a", 1], "1 is not a text"),
    (values.strings, "a", "'a' is not a list of texts"),
    (values.mapping, [1], "expected KEY: VALUE lines"),
    (values.absolute, "/a\0", "is not an absolute path"),
    (values.string, ["x" * 1000], "^.{,130}$"),
]


@pytest.mark.parametrize(("check", "value", "wanted"), GOOD)
def test_taken(check: Callable[[Any], Any], value: Any, wanted: Any) -> None:
    assert check(value) == wanted


@pytest.mark.parametrize(("check", "value", "why"), BAD)
def test_refused(check: Callable[[Any], Any], value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(value)


def test_a_flag_is_refused_with_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=values.argument(values.whole(1, 65535)))
    assert parser.parse_args(["--port=7"]).port == 7
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--port=0"])
    assert ended.value.code == 2
    assert "--port: '0' is not a whole number from 1 to 65535" in capsys.readouterr().err
