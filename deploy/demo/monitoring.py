"""Starts the exporter and the Prometheus of the demo, and asks them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from deploy.demo import machine
from glupy_exporter.errors import UserError

_REPOSITORY = Path(__file__).resolve().parents[2]
_ADDRESS = "127.0.0.1"
_EXPORTER_PORT = 9714
_PROMETHEUS_PORT = 9090
_MODULES = ("glupy_exporter", "prometheus_client", "tornado", "yaml")


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UserError(f"no port is free on {_ADDRESS}")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def _wait_until_ready(name: str, url: str) -> None:
    def ready() -> bool:
        try:
            return bool(_get(f"{url}/-/ready"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    machine.wait_for(f"the start of {name}", ready, 30)


def _keep_state() -> Path:
    """Have root write the state of the node twice a minute, in place of glupy-state.timer."""
    file = machine.DIRECTORY / "state.json"
    learn = [sys.executable, "-m", "glupy_exporter.cli", "state", f"--file={file}"]
    again = ["sh", "-c", 'while :; do "$@"; sleep 30; done', "state", *learn]
    machine.start_service("state", again, group="root", user="root")
    machine.wait_for("the state of the node", file.exists, 30)
    return file


def start_exporter() -> str:
    """Start the exporter as an unprivileged user in group gluster and return its URL."""
    url = f"http://{_ADDRESS}:{_free_port(_EXPORTER_PORT)}"
    machine.say(f"starting the exporter on {url} as {machine.USER} in group gluster")
    # A copy, as that user may not be able to read this checkout and its virtual environment, which
    # may be below /root.
    code = machine.DIRECTORY / "code"
    for name in _MODULES:
        module = importlib.util.find_spec(name)
        if module is None or module.origin is None:
            raise UserError(f"Python module {name} is missing; remove .venv and try again")
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(module.origin).parent, code / name, ignore=ignore)
    command = ["/usr/bin/python3", "-m", "glupy_exporter.cli", "serve"]
    listen = f"--web.listen-address={url.removeprefix('http://')}"
    state = f"--state.file={_keep_state()}"
    # The workload is over before anything has lasted. The directories that it makes and removes
    # would use up the budget of new files, so that the one that stays might never be shown.
    shown = [f"--collector.{rows}.lasting=0" for rows in ("files", "clients")]
    shown += ["--collector.files.limit=100", "--collector.files.new-per-hour=10000"]
    machine.start_service(
        "exporter",
        [*command, listen, state, *shown],
        group="gluster",
        env={"PYTHONPATH": str(code)},
    )
    _wait_until_ready("the exporter", url)
    return url


class Prometheus:
    """A Prometheus with the shipped configuration and rules that scrapes one exporter."""

    def __init__(self, exporter: str) -> None:
        self.url = f"http://{_ADDRESS}:{_free_port(_PROMETHEUS_PORT)}"
        machine.say(f"starting Prometheus on {self.url}")
        home = machine.DIRECTORY / "prometheus"
        shutil.copytree(_REPOSITORY / "prometheus", home)
        configuration = home / "prometheus.yml"
        shipped = yaml.safe_load(configuration.read_text(encoding="utf-8"))
        (job,) = shipped["scrape_configs"]
        # The exporter here listens on the loopback only, which is no node's address.
        del job["http_sd_configs"]
        target = {"targets": [exporter.removeprefix("http://")], "labels": {"cluster": "main"}}
        job["static_configs"] = [target]
        configuration.write_text(yaml.safe_dump(shipped), encoding="utf-8")
        data = home / "data"
        data.mkdir()
        shutil.chown(data, machine.USER, "nogroup")
        machine.start_service(
            "prometheus",
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            group="nogroup",
        )
        _wait_until_ready("Prometheus", self.url)

    @property
    def pages(self) -> str:
        """Where the web pages are: Debian's Prometheus has only the classic ones."""
        return f"{self.url}/classic"

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every sample of an instant query."""
        words = urllib.parse.urlencode({"query": expression})
        answer = json.loads(_get(f"{self.url}/api/v1/query?{words}"))
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def graph(self, *expressions: str) -> str:
        """The URL of a page with a graph of each expression."""
        words = {}
        for number, expression in enumerate(expressions):
            words[f"g{number}.expr"] = expression
            words[f"g{number}.tab"] = "0"
            words[f"g{number}.range_input"] = "15m"
        return f"{self.pages}/graph?{urllib.parse.urlencode(words)}"


def top_of_metrics(exporter: str, lines: int) -> list[str]:
    """The first lines of the exporter's /metrics."""
    return _get(f"{exporter}/metrics").splitlines()[:lines]
