"""A Prometheus with the shipped configuration and rules that watches the pool."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from tests.cluster.machine import Machine
from tests.cluster.pool import NODES, Pool
from tests.support.gluster.monitored import HURRIED, Prometheus, prometheus, seed_with
from tests.support.gluster.volumes import wait_for

SPEED = 10
"""How much faster than as shipped all goes. What takes longer than something else still does: a
rolling restart is over before anybody is alerted, here as well."""

# The nodes are known by their names to it, and to nothing else of this machine.
WITH_HOSTS = ("sh", "-ec", 'mount --bind "$0" /etc/hosts; exec "$@"')

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def faster(text: str) -> str:
    """A shipped file with all that :data:`~monitored.HURRIED` knows :data:`SPEED` times as fast."""

    def scaled(found: re.Match[str]) -> str:
        parts = re.findall(r"(\d+)([smhdwy])", found.group())
        seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
        return f"{math.ceil(seconds / SPEED)}s"

    def line(found: re.Match[str]) -> str:
        return re.sub(r"(?:\d+[smhdwy])+", scaled, found.group())

    for pattern, _ in HURRIED:
        text = pattern.sub(line, text)
    return text


def _drop_in(node: Machine) -> Path:
    return node.path / "etc/systemd/system/glupy-state.timer.d/faster.conf"


def leave_timer(node: Machine) -> None:
    """The node has the timer as shipped again."""
    shutil.rmtree(_drop_in(node).parent)
    node.run("systemctl", "daemon-reload")


def hurry_timer(node: Machine) -> None:
    """Have the node note as much faster what glusterd has on record, once a minute as shipped."""
    drop_in = _drop_in(node)
    drop_in.parent.mkdir()
    seconds = 60 // SPEED
    # The empty value takes OnActiveSec= away as well, without which no run comes after a boot.
    lines = ("OnActiveSec=", "OnActiveSec=0", f"OnUnitActiveSec={seconds}", "AccuracySec=1")
    drop_in.write_text("\n".join(["[Timer]", *lines, ""]))
    node.run("systemctl", "daemon-reload")
    node.run("systemctl", "restart", "glupy-state.timer")


class Monitor(Prometheus):
    """Prometheus, asked for more."""

    def up(self) -> dict[str, float]:
        """Whether each target answers, by host."""
        return {labels["host"]: value for labels, value in self.query('up{job="glupy"}')}

    def number(self, expression: str) -> float:
        """The value of the only sample that an expression has."""
        ((_, value),) = self.query(expression)
        return value

    def fired(self, seconds: float, state: str = "firing") -> dict[str, list[dict[str, str]]]:
        """The labels of all alerts that were in a state in the last seconds, by name."""
        query = f'max_over_time(ALERTS{{alertstate="{state}"}}[{max(1, round(seconds))}s])'
        found: dict[str, list[dict[str, str]]] = {}
        for labels, _ in self.query(query):
            found.setdefault(labels["alertname"], []).append(labels)
        return found

    @contextlib.contextmanager
    def alerting(self, *wanted: str, perhaps: Collection[str] = ()) -> Iterator[None]:
        """Exactly these alerts fire in the block, and have resolved soon after it.

        ``perhaps`` may fire too: how long something takes on this machine decides that.
        """
        self.wait_for_silence()
        began = time.monotonic()
        yield
        self.wait_for_silence()
        found = self.fired(time.monotonic() - began)
        unwanted = found.keys() - {*wanted, *perhaps}
        assert not unwanted, {name: found[name] for name in unwanted}
        assert found.keys() >= set(wanted), f"{set(wanted) - found.keys()} did not fire"

    def wait_for_silence(self) -> None:
        """Wait until nothing fires."""
        try:
            wait_for(lambda: not self.firing(), "all alerts to resolve", 90)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.firing()}") from None

    def wait_for_calm(self, why: str) -> None:
        """Wait until no alert even waits to fire; none fires meanwhile.

        GlupyExporterAbsent waits until Prometheus has asked for its targets.
        """
        wait_for(lambda: self.firing() or not self.ask("alerts")["alerts"], why, 60)
        assert not self.firing(), why


@contextlib.contextmanager
def monitor(pool: Pool, home: Path, seed: str = NODES[0]) -> Iterator[Monitor]:
    """Have Prometheus watch the pool; ``seed`` is the only node that it is told of."""
    seed_with(home, seed, faster)
    with watching(pool, home) as made:
        yield made


@contextlib.contextmanager
def watching(pool: Pool, home: Path) -> Iterator[Monitor]:
    """A Prometheus that knows the machines' names; ``home`` has its configuration."""
    with prometheus(home, "unshare", "--mount", *WITH_HOSTS, pool.home / "hosts") as made:
        yield Monitor(made.url)
