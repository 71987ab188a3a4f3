"""Settings of `serve`, `dump` and `top`: a YAML file, and flags that win over it.

Every flag but ``--config.file`` is a key of the file, without the dashes: the flag
``--web.listen-address`` is the key ``web.listen-address``. Both go through the same checks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glupy_exporter import log, values, yamlfile
from glupy_exporter.errors import UserError
from glupy_exporter.metrics import COLLECTORS, exposition
from glupy_exporter.metrics.base import Collector
from glupy_exporter.node import bricks, discovery, nodestate, privacy
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.probes import settings as probes
from glupy_exporter.values import Address, Setting, Settings
from glupy_exporter.web import settings as web


@dataclass(frozen=True)
class Config:
    """The settings of `serve`, `dump` and `top`, checked."""

    listen_addresses: tuple[Address, ...]
    systemd_socket: bool
    """Listen only on sockets that systemd hands over."""
    telemetry_path: str
    api: bool
    """Whether the API serves the tables of those collectors that are on."""
    host_names: frozenset[str]
    """The hosts that a request may name; empty: any."""
    web_config_file: Path | None
    """The file with TLS, headers, users and a rate limit; None: none of these."""
    segment_dir: Path
    segment_expiry: float
    """Seconds after its last heartbeat until a dead brick is no longer served."""
    state_file: Path
    """The file that `state` writes about this node; it may be missing."""
    discovery_file: Path
    """The file that `state` writes for /sd; if it is missing, /sd reads glusterd's files."""
    discovery_cluster: str
    discovery_port: int
    discovery_address: str
    """A pattern for the names by which Prometheus reaches the nodes."""
    collectors: Mapping[str, Mapping[str, Any]]
    """The collectors that are on, by name, each with the values of its own settings."""
    openmetrics_created: bool
    """Whether OpenMetrics has the start times of counters and histograms."""
    privacy: Privacy
    probe_directory: Path | None
    """The directory of the probes that `serve` runs; None: it runs none."""
    log_level: str
    log_format: str
    ignored: tuple[str, ...] = ()
    """A line for each setting that was given but no longer has an effect."""


def settings() -> Settings:
    """All settings, each declared in the module that it configures."""
    found = {
        **web.SETTINGS,
        **bricks.SETTINGS,
        **nodestate.SETTINGS,
        **discovery.SETTINGS,
        **exposition.SETTINGS,
        **privacy.SETTINGS,
        **probes.SETTINGS,
        **log.SETTINGS,
    }
    for collector in COLLECTORS:
        key = f"collector.{collector.name}"
        found[key] = Setting(values.switch, True, collector.help)
        found |= {f"{key}.{own}": each for own, each in collector.settings.items()}
    return found


SETTINGS = settings()
"""Every setting by its key in the file."""

# Settings of earlier releases have no effect, but are accepted: no upgrade breaks a configuration.
IGNORED = {
    "files.resolve": "each brick finds the names of its files on its own disk; remove the setting, "
    "and CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN where the exporter was given them for it"
}


def add_flags(parser: argparse.ArgumentParser, *prefixes: str) -> None:
    """Give ``parser`` flags for the settings whose keys begin with ``prefixes``; none: for all."""
    parser.add_argument(
        "--config.file",
        dest="config.file",
        type=Path,
        metavar="FILE",
        help="YAML file with the exporter's settings; its keys are the flags without dashes",
    )
    for key, setting in SETTINGS.items():
        if not key.startswith(prefixes or ""):
            continue
        options: dict[str, Any] = {"dest": key, "default": argparse.SUPPRESS}
        if setting.check is values.switch:
            options["action"] = argparse.BooleanOptionalAction
            options["help"] = setting.help
        else:
            default = setting.default
            if isinstance(default, list):
                options["action"] = "append"
                default = ", ".join(default)
            options["metavar"] = setting.metavar
            options["help"] = f"{setting.help} (default {'none' if default == '' else default})"
        parser.add_argument(f"--{key}", **options)
    for key in IGNORED:
        if key.startswith(prefixes or ""):
            flags = (f"--{key}", f"--no-{key}")
            parser.add_argument(*flags, dest=key, action="store_true", help=argparse.SUPPRESS)


def load(args: argparse.Namespace) -> Config:
    """The settings: flags in ``args`` win over the file that ``args`` names, and it over defaults.

    Raises:
        UserError: the file cannot be read, or the file or a flag has a wrong key or value.
    """
    chosen = {key: setting.check(setting.default) for key, setting in SETTINGS.items()}
    ignored = [f"--{key}" for key in IGNORED if getattr(args, key, False)]
    path: Path | None = getattr(args, "config.file", None)
    if path is not None:
        where = f"config file {path}"
        content = yamlfile.read(path, "config file")
        for key, value in _checked(values.mapping, content, where).items():
            if key in IGNORED:
                ignored.append(key)
            elif key in SETTINGS:
                chosen[key] = _checked(SETTINGS[key].check, value, f"{where}: {key}")
            else:
                known = ", ".join(SETTINGS)
                raise UserError(f"{where}: unknown key {key!r}; the keys are {known}")
    for key, value in vars(args).items():
        if key in SETTINGS:
            chosen[key] = _checked(SETTINGS[key].check, value, f"--{key}")
    return Config(
        listen_addresses=chosen["web.listen-address"],
        systemd_socket=chosen["web.systemd-socket"],
        telemetry_path=chosen["web.telemetry-path"],
        api=chosen["web.api"],
        host_names=frozenset(chosen["web.host-name"]),
        web_config_file=chosen["web.config.file"],
        segment_dir=chosen["segment.dir"],
        segment_expiry=chosen["segment.expiry"],
        state_file=chosen["state.file"],
        discovery_file=chosen["discovery.file"],
        discovery_cluster=chosen["discovery.cluster"],
        discovery_port=chosen["discovery.port"],
        discovery_address=chosen["discovery.address"],
        collectors={
            collector.name: _own(collector, chosen)
            for collector in COLLECTORS
            if chosen[f"collector.{collector.name}"]
        },
        openmetrics_created=chosen["openmetrics.created"],
        privacy=Privacy.of(chosen),
        probe_directory=chosen["probe.directory"],
        log_level=chosen["log.level"],
        log_format=chosen["log.format"],
        ignored=tuple(f"{given} is ignored: {IGNORED[given.lstrip('-')]}" for given in ignored),
    )


def _checked(check: Callable[[Any], Any], value: Any, where: str) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _own(collector: type[Collector], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the collector's own settings."""
    return {own: chosen[f"collector.{collector.name}.{own}"] for own in collector.settings}
