"""The pool that all scenarios share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import pool as pools
from tests.cluster.client_work import Work
from tests.cluster.client_work import work as working
from tests.cluster.expected import GAP, PING_TIMEOUT
from tests.cluster.machine import Machine
from tests.cluster.monitor import Monitor, hurry_timer
from tests.cluster.monitor import monitor as monitoring
from tests.cluster.pool import Pool, Volume
from tests.support.gluster.volumes import wait_for

Need = Callable[[object, str], None]

ORDER = (
    *("install", "units", "commands", "interrupted", "faults", "membership", "kinds"),
    *("upgrade", "removal"),
)
"""In which the modules run: the packages come first and go last."""

_POOL = pytest.StashKey[Pool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = {here / f"test_cluster_{name}.py": place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path, -1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """What the machines have to say about a failure."""
    report = yield
    if report.failed and _POOL in item.config.stash:
        for machine in item.config.stash[_POOL].machines:
            told = machine.last_words(since=call.start - 5)
            report.sections.append((f"{machine.name}", told))
    return report


@pytest.fixture(scope="session")
def pool(need: Need, pytestconfig: pytest.Config) -> Iterator[Pool]:
    """Three nodes that are a pool, and a client, without our packages."""
    need(os.geteuid() == 0, "root")
    for command, package in (
        ("debootstrap", "debootstrap"),
        ("systemd-nspawn", "systemd-container"),
        ("mkfs.xfs", "xfsprogs"),
        ("ip", "iproute2"),
        ("prometheus", "prometheus"),
    ):
        need(shutil.which(command), f"{command} (Debian: {package})")
    need(Path("/dev/loop-control").exists(), "loop devices")
    need(os.access("/dev/fuse", os.R_OK | os.W_OK), "/dev/fuse")
    with pools.pool() as made:
        pytestconfig.stash[_POOL] = made
        yield made


@pytest.fixture(scope="session")
def data(pool: Pool) -> Iterator[Volume]:
    """A volume with a replica on each node."""
    options = {"network__ping_timeout": str(PING_TIMEOUT)}
    with pools.volume(pool, "data", "replica", "3", **options) as made:
        yield made


@pytest.fixture(scope="session")
def work(data: Volume) -> Iterator[Work]:
    """What the client does on that volume all the time."""
    with working(data) as made:
        yield made


@pytest.fixture(scope="session")
def installed(debs: list[Path], pool: Pool, work: Work) -> Pool:
    """The pool with our packages, which were installed while the client worked."""
    with work.unharmed(gap=GAP):
        pools.side_by_side(lambda node: node.install(*debs), pool.nodes)
        pools.side_by_side(hurry_timer, pool.nodes)
    return pool


@pytest.fixture(scope="session")
def monitor(installed: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """A Prometheus that watches the pool."""
    with monitoring(installed, tmp_path_factory.mktemp("prometheus")) as made:
        wait_for(lambda: made.up() == dict.fromkeys(pools.NODES, 1), "all nodes to be scraped", 60)
        yield made


@pytest.fixture
def enabled(installed: Pool, data: Volume) -> Machine:
    """A node of the pool, whose volume has the translator."""
    if "user.xlator.glupy" not in data.options():
        installed.nodes[0].glupy("xlator", "enable", data.name, "--yes")
    return installed.nodes[0]


@pytest.fixture
def disabled(installed: Pool, data: Volume) -> Machine:
    """A node of the pool, whose volume does not have the translator."""
    if "user.xlator.glupy" in data.options():
        installed.nodes[0].glupy("xlator", "disable", data.name, "--yes")
    return installed.nodes[0]
