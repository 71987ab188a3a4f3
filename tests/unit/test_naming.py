"""The names of segments' files; tests/native compares them with those that the translator gives."""

from __future__ import annotations

import os

import pytest

from glupy_exporter.segment import naming


def test_the_usual_name_is_the_path_with_dashes() -> None:
    assert naming.names("home", "/srv/a/b1") == ("home.srv-a-b1.seg", HASHED)


HASHED = "home.srv-a-b1.32210cea55daed9d.seg"


def test_paths_that_look_alike_share_no_more_than_the_usual_name() -> None:
    first, second = naming.names("home", "/a-b/c"), naming.names("home", "/a/b-c")
    assert first[0] == second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize("character", ["x", "\N{EURO SIGN}", "\udcff"])
@pytest.mark.parametrize("length", range(1, 400, 7))
def test_every_name_is_short_enough(character: str, length: int) -> None:
    brick = "/" + character * length
    names = naming.names("home", brick)
    usual = os.fsencode(f"home.{brick[1:]}.seg")
    assert (os.fsdecode(usual) in names) == (len(usual) <= 255)
    assert all(len(os.fsencode(name)) <= 255 and name.endswith(".seg") for name in names)
