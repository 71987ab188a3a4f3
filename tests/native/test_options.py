"""The options of the translator as C reads them, beside the table that declares them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from glupy_exporter.builder import build
from glupy_exporter.schema import option_table
from tests.native.conftest import NATIVE, WARNINGS
from tests.support.core import CORE

DEFAULTS = ["1", "4096", "512", "0", "60", "/run/gluster/glupy"]
VALUES = [
    *("", " ", "on", "OFF", "Enable", "1", "0", "perhaps"),
    *("host", "process", "Host", "hos", "host process"),
    *("7", "8", "9", "08", "0000000000008", "3600", "3601", "65535", "65536", "65537"),
    *("+8", "-8", "8.5", " 8", "8 ", "0x8", "4294967304", "9" * 30),
    *("a/b", "/", "//", "/a", "/a//", "/" + "x" * 1023, "/" + "x" * 1024, "/" + "ü" * 600),
]
CHANGED = [
    ("enabled", "no", 0, "0"),
    ("file-slots", "9", 1, "16"),
    ("client-slots", "65536", 2, "65536"),
    ("client-detail", "process", 3, "1"),
    ("half-life", "7", 4, "7"),
    ("segment-dir", "/run/x/", 5, "/run/x"),
]


@pytest.fixture(scope="module")
def harness(
    gluster: build.GlusterFS, compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    work = tmp_path_factory.mktemp("options")
    build.generate(gluster, work)
    includes = [*build.includes(gluster), f"-I{work}", f"-I{CORE}"]
    sources = [str(NATIVE / "options_harness.c"), "-o", str(work / "harness")]
    words = [*WARNINGS, "-fsanitize=address,undefined", *build.defines(gluster), *includes]
    subprocess.run([compiler, *words, *sources, str(gluster.library)], check=True)
    return work / "harness"


def read(harness: Path, key: str, value: str) -> tuple[str, list[str]]:
    """What the log says, and the values in force."""
    done = subprocess.run([harness, key, value], stdout=subprocess.PIPE, text=True, check=True)
    *log, values = done.stdout.splitlines()
    return "".join(log), values.split()


@pytest.mark.parametrize("option", option_table.OPTIONS, ids=lambda option: option.key)
def test_c_and_python_take_the_same_values(harness: Path, option: option_table.Option) -> None:
    taken = {}
    for value in VALUES:
        log, values = read(harness, option.key, value)
        taken[value] = not log
        if log:
            assert log == (
                f'option {option.key}: "{value}" is not {option.expected}; the value in force stays'
            )
            assert values == DEFAULTS
    assert taken == {value: option.takes(value) for value in VALUES}
    assert option.takes(option.default)


@pytest.mark.parametrize(("key", "value", "place", "wanted"), CHANGED)
def test_a_value_reaches_its_member(
    harness: Path, key: str, value: str, place: int, wanted: str
) -> None:
    expected = [*DEFAULTS[:place], wanted, *DEFAULTS[place + 1 :]]
    assert read(harness, key, value) == ("", expected)


def test_what_is_not_an_option_is_not_read(harness: Path) -> None:
    assert read(harness, "half-lives", "7") == ("", DEFAULTS)
