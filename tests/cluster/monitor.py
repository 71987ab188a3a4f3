"""A Prometheus with the shipped configuration and rules that watches the pool."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from monitored import Prometheus, prometheus, seed_with
from pool import NODES, Pool

# The nodes are known by their names to it, and to nothing else of this machine.
WITH_HOSTS = ("sh", "-ec", 'mount --bind "$0" /etc/hosts; exec "$@"')


class Monitor(Prometheus):
    """Prometheus, asked for more."""

    def alerts(self, state: str) -> set[str]:
        """The names of the alerts in a state now."""
        return {
            a["labels"]["alertname"] for a in self.ask("alerts")["alerts"] if a["state"] == state
        }

    def up(self) -> dict[str, float]:
        """Whether each target answers, by host."""
        return {labels["host"]: value for labels, value in self.query('up{job="glupy"}')}


@contextlib.contextmanager
def monitor(pool: Pool, home: Path, seed: str = NODES[0]) -> Iterator[Monitor]:
    """Have Prometheus watch the pool, hurried; ``seed`` is the only node that it is told of."""
    seed_with(home, seed)
    hosts = pool.home / "hosts"
    with prometheus(home, "unshare", "--mount", *WITH_HOSTS, hosts) as watching:
        yield Monitor(watching.url)
