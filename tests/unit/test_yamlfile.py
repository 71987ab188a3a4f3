"""What is refused in a file of settings, whichever it is, and with which line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter import config, yamlfile
from glupy_exporter.errors import UserError
from glupy_exporter.web.toolkit import webconfig


def load_config(path: Path) -> None:
    config.load(argparse.Namespace(**{"config.file": path}))


LOADERS = {"config file": load_config, "web config file": webconfig.read}
LAUGHS = "a: &a0 [ha, ha]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 60)
)
BAD = {
    "a key twice": ("log.level: info\n# x\nlog.level: info\n", 3, "found 'log.level' twice"),
    "a key twice, further in": ("a:\n  - b: 1\n    b: 2\n", 3, "found 'b' twice"),
    "a key twice in a set": ("a: !!set {b, b}\n", 1, "found 'b' twice"),
    "a key that is a number": ("a: 1\n1: 2\n", 2, "the key '1' is not a text: put it in quotes"),
    "a key that is a truth value": ("yes: 2\n", 1, "the key 'yes' is not a text: put it in quotes"),
    "a key that is a list": ("? [a]\n: 2\n", 1, "is not a text"),
    "a key that is nothing": ("~: 2\n", 1, "the key '~' is not a text"),
    "an alias of itself": ("a: &a [*a]\n", 1, "contains itself"),
    "aliases without end": (LAUGHS, 7, "is too large with all its aliases written out"),
}


@pytest.mark.parametrize("what", LOADERS)
@pytest.mark.parametrize(("text", "line", "why"), BAD.values(), ids=BAD)
def test_refused_with_the_line(tmp_path: Path, what: str, text: str, line: int, why: str) -> None:
    path = tmp_path / "settings.yml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        LOADERS[what](path)
    assert str(refused.value).startswith(f"{what} {path}, line {line}: ")
    assert why in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("text", ["a: !!python/name:os.system x\n", "a: !b c\n", "a: !!int x\n"])
def test_tags_that_make_something_are_refused(
    tmp_path: Path, load: Callable[[Path], object], text: str
) -> None:
    path = tmp_path / "settings.yml"
    path.write_text(text)
    with pytest.raises(UserError, match="is not valid YAML"):
        load(path)


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_a_file_without_end_is_refused(load: Callable[[Path], object]) -> None:
    with pytest.raises(UserError, match="has more than 1048576 bytes"):
        load(Path("/dev/zero"))


def test_aliases_and_merges_of_a_reasonable_size_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    path.write_text("a: &a {b: 1, c: 2}\nd: *a\ne: {<<: *a, c: 3}\n")
    known = {"b": 1, "c": 2}
    assert yamlfile.read(path, "file") == {"a": known, "d": known, "e": {"b": 1, "c": 3}}
