"""Whether peers can be reached, tried in the background."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.family import Labels
from glupy_exporter.metrics.pool import REACHABLE, Pool
from glupy_exporter.node import reachability
from glupy_exporter.node.nodestate import Peer
from glupy_exporter.node.reachability import Reachability
from tests.support import states


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settled(reachable: Reachability, names: list[str]) -> dict[str, bool]:
    deadline = time.monotonic() + 10
    while not (found := dict(reachable.reached(names))):
        assert time.monotonic() < deadline
    return found


def test_who_listens_is_reached(listening: int) -> None:
    reachable = Reachability(listening)
    assert reachable.reached([]) == {}
    assert reachable.reached(["127.0.0.1", "127.0.0.2"]) == {}
    found = settled(reachable, ["127.0.0.1", "127.0.0.2", "a..b", "x" * 300, "later"])
    assert found == {"127.0.0.1": True, "127.0.0.2": False}


@pytest.mark.timeout(20)
def test_nobody_waits_for_a_look_up_and_what_is_old_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hung = threading.Event()
    tried = []

    def connect(address: tuple[str, int], seconds: float) -> socket.socket:
        tried.append(address)
        hung.wait(20)
        raise OSError

    reachable = Reachability(1)
    monkeypatch.setattr(socket, "create_connection", connect)
    started = time.monotonic()
    for _ in range(50):
        assert reachable.reached(["a", "b"]) == {}
    assert time.monotonic() - started < 5
    hung.set()
    assert settled(reachable, ["a", "b"]) == {"a": False, "b": False}
    assert sorted(tried) == [("a", 1), ("b", 1)]
    monkeypatch.setattr(reachability, "EVERY", 1e-9)
    hung.clear()
    assert reachable.reached(["a"]) == {}
    hung.set()


def test_it_is_off_unless_asked_for(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    state = states.full()._replace(peers=(Peer("127.0.0.1", "befriended"),))
    assert REACHABLE not in [each.family for each in Pool().node(state)]  # type: ignore[union-attr]
    monkeypatch.setattr(reachability, "PORT", listening)
    pool = Pool(Options({"reachability": True}))
    pool._reachability = Reachability(listening)
    rows: list[tuple[Labels, object]] = []
    deadline = time.monotonic() + 10
    while not rows:
        assert time.monotonic() < deadline
        (exposed,) = (e for e in pool.node(state) if getattr(e, "family", None) is REACHABLE)
        for _, block in exposed.blocks:  # type: ignore[union-attr]
            rows += zip(block.labels, block.values)
    assert rows == [(("127.0.0.1",), 1)]
