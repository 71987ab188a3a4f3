"""A Prometheus goes on scraping while others open connections by the thousand."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from glupy_exporter.web.toolkit.connections import MAX_CONNECTIONS
from tests.support.gluster.monitored import hurried, monitored
from tests.support.gluster.volumes import wait_for

CONNECTIONS = 10_000
A_SECOND = 500
"""More than the exporter can close are a matter for a firewall: docs/security.md."""
SCRAPES = 5


def unhurried(text: str) -> str:
    """With three seconds for a scrape, which a busy machine may take, and thus between two."""
    return hurried(text).replace("scrape_interval: 1s", "scrape_interval: 3s")


def test_prometheus_is_answered_in_a_flood(
    many_files: None, tmp_path: Path, need: Callable[[object, str], None]
) -> None:
    need(shutil.which("prometheus"), "prometheus")
    with monitored(tmp_path, unhurried) as (prometheus, exporter), contextlib.ExitStack() as stack:
        wait_for(lambda: prometheus.query("up == 1"), "the first scrape")
        (target,) = prometheus.ask("targets")["activeTargets"]
        host, _, port = target["discoveredLabels"]["__address__"].rpartition(":")

        def scrapes() -> float:
            ((_, count),) = prometheus.query("count_over_time(up[1h])")
            return count

        before, opened = scrapes(), 0
        held: deque[socket.socket] = deque()
        while opened < CONNECTIONS or scrapes() < before + SCRAPES:
            assert opened < 20 * CONNECTIONS
            for _ in range(100):
                client = socket.create_connection((host, int(port)), timeout=20)
                held.append(stack.enter_context(client))
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
                if len(held) > 2 * MAX_CONNECTIONS:
                    held.popleft().close()
            opened += 100
            time.sleep(100 / A_SECOND)
        assert [value for _, value in prometheus.query("min_over_time(up[1h])")] == [1]
        assert exporter.poll() is None
