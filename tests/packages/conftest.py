"""A clean Debian to put the packages into."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.support.roots import Root

Need = Callable[[object, str], None]


@pytest.fixture(scope="session")
def root(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    need(shutil.which("debootstrap"), "debootstrap")
    path = tmp_path_factory.mktemp("root")
    yield Root.make(path, "bookworm")
    shutil.rmtree(path)
