"""A real Prometheus that scrapes a real exporter, by the shipped files but in a hurry."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gluster.volumes import wait_for

SHIPPED = Path(__file__).resolve().parents[3] / "prometheus"

_DURATION = r"(?:\d+[smhdwy])+"
HURRIED = (
    (re.compile(rf"^( *for: ){_DURATION}$", re.MULTILINE), r"\g<1>3s"),
    (re.compile(rf"\[{_DURATION}\]"), "[10s]"),
    (re.compile(rf"^( *(?:scrape_|evaluation_)?interval: ){_DURATION}$", re.MULTILINE), r"\g<1>1s"),
    (re.compile(r"^( *\) > )(?:300|600|5)$", re.MULTILINE), r"\g<1>5"),
    (re.compile(r"(predict_linear\(.*), \d+\)"), r"\g<1>, 10)"),
)
"""What is changed of the shipped files: how long things take, and nothing else."""
HURRIED_FLAGS = (
    *("--collector.files.lasting=0", "--collector.clients.lasting=0"),
    "--collector.recorder.age=2s",
)
"""What is changed of the exporter's settings."""


def hurried(text: str) -> str:
    for pattern, replacement in HURRIED:
        text = pattern.sub(replacement, text)
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, accept: str = "text/plain") -> str:
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def ready(url: str, path: str = "/-/ready") -> bool:
    with contextlib.suppress(OSError):
        return bool(get(f"{url}{path}"))
    return False


@contextlib.contextmanager
def service(
    command: Sequence[str | Path], url: str, path: str = "/-/ready", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ready at ``url`` and has to end properly when asked to."""
    with subprocess.Popen(command, env=environment, cwd="/") as process:
        try:
            wait_for(
                lambda: ready(url, path) or process.poll() is not None, f"{command} to be ready"
            )
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            yield process
        finally:
            process.terminate()
            code = process.wait(timeout=30)
    assert code == 0


class Exporter(NamedTuple):
    """One that runs."""

    url: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def exporter(*flags: str) -> Iterator[Exporter]:
    """One that serves the segments of this machine, in a hurry: tests last less than files have to.

    Later ``flags`` win.
    """
    address = f"127.0.0.1:{free_port()}"
    command = [Path(sys.executable).with_name("glupy-exporter"), "serve", *HURRIED_FLAGS, *flags]
    with service([*command, f"--web.listen-address={address}"], f"http://{address}") as process:
        yield Exporter(f"http://{address}", process)


def bricks_up(url: str, volume: str) -> dict[Path, float]:
    """What a scrape of the exporter says of the bricks of a volume; it has to have an answer."""
    return {
        Path(sample.labels["brick"]): sample.value
        for family in text_string_to_metric_families(get(f"{url}/metrics"))
        for sample in family.samples
        if sample.name == "glupy_brick_up" and sample.labels["volume"] == volume
    }


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API."""
        words = urllib.parse.urlencode(parameters)
        return json.loads(get(f"{self.url}/api/v1/{path}?{words}"))["data"]

    def query(self, expression: str, **parameters: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample now, or at another ``time``."""
        found = self.ask("query", query=expression, **parameters)["result"]
        return [(row["metric"], float(row["value"][1])) for row in found]

    def firing(self, **labels: str) -> dict[str, list[dict[str, str]]]:
        """The labels of each alert that fires and has these labels, by the alert's name."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self.ask("alerts")["alerts"]:
            if alert["state"] == "firing" and labels.items() <= alert["labels"].items():
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def wait_for_alert(self, name: str, timeout: float = 60, **labels: str) -> dict[str, str]:
        """The labels of the only alert of this name and these labels, once it fires."""
        try:
            (alert,) = wait_for(lambda: self.firing(**labels).get(name), name, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is {self.ask('alerts')['alerts']}") from None
        return alert

    def description(self, name: str, **labels: str) -> str:
        """What the only alert of this name and these labels says."""
        (text,) = (
            alert["annotations"]["description"]
            for alert in self.ask("alerts")["alerts"]
            if {"alertname": name, **labels}.items() <= alert["labels"].items()
        )
        return str(text)

    def wait_for_peace(self, name: str, timeout: float = 60, **labels: str) -> None:
        """Wait until no alert of this name fires any more."""
        wait_for(lambda: name not in self.firing(**labels), f"{name} to resolve", timeout)


def scrape_one(configuration: Path, target: str) -> None:
    """Have the shipped configuration scrape one exporter in place of those it discovers."""
    shipped = yaml.safe_load(configuration.read_text())
    (job,) = shipped["scrape_configs"]
    del job["http_sd_configs"]
    job["static_configs"] = [{"targets": [target], "labels": {"cluster": "main"}}]
    configuration.write_text(yaml.safe_dump(shipped))


def seed_with(home: Path, seed: str, change: Callable[[str], str] = hurried) -> None:
    """Put the shipped configuration into ``home``, hurried, with only the seed's name filled in."""
    hurry(home, change)
    file = home / "prometheus.yml"
    shipped = file.read_text()
    assert "http://127.0.0.1:9714/sd" in shipped
    config = yaml.safe_load(shipped.replace("127.0.0.1:9714", f"{seed}:9714"))
    (job,) = config["scrape_configs"]
    job["http_sd_configs"][0]["refresh_interval"] = "1s"
    file.write_text(yaml.safe_dump(config))


def hurry(home: Path, change: Callable[[str], str] = hurried) -> None:
    """Put the shipped configuration and rules into ``home``, hurried by ``change``."""
    for file in (SHIPPED / "prometheus.yml", *(SHIPPED / "rules").iterdir()):
        made = home / file.relative_to(SHIPPED)
        made.parent.mkdir(exist_ok=True)
        made.write_text(change(file.read_text()))


@contextlib.contextmanager
def prometheus(
    home: Path, *wrapper: str | Path, features: Sequence[str] = ()
) -> Iterator[Prometheus]:
    """One that works in ``home``, where its configuration is, run by the command ``wrapper``."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        *wrapper,
        shutil.which("prometheus") or "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
        *(f"--enable-feature={feature}" for feature in features),
    ]
    with service(command, f"http://{address}"):
        yield Prometheus(f"http://{address}")


@contextlib.contextmanager
def monitored(
    home: Path, change: Callable[[str], str] = hurried, **more: Any
) -> Iterator[tuple[Prometheus, subprocess.Popen[bytes]]]:
    """A Prometheus, which works in ``home``, and the exporter of this machine that it scrapes.

    ``change`` is what becomes of the shipped files; ``more`` are sections of its configuration.
    """
    with exporter() as serving:
        hurry(home, change)
        scrape_one(home / "prometheus.yml", serving.url.removeprefix("http://"))
        with (home / "prometheus.yml").open("a") as configuration:
            configuration.write(yaml.safe_dump(more) if more else "")
        with prometheus(home) as watching:
            yield watching, serving.process
