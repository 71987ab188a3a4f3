"""Settings of `serve`, `dump` and `top`: a YAML file, and flags that win over it.

Every flag but ``--config.file`` is a key of the file under its own name, without the dashes in
front: ``--web.listen-address`` is the key ``web.listen-address``. Both go through the same checks.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from glupy_exporter import discovery, log, yamlfile
from glupy_exporter.collectors import COLLECTORS
from glupy_exporter.errors import UserError
from glupy_exporter.privacy import HASH_KEY_MAX, PATHS, Privacy, glob
from glupy_exporter.segment import layout

API_PATH = "/api/"
HEALTHY_PATH = "/-/healthy"
READY_PATH = "/-/ready"
SD_PATH = "/sd"

_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(r"0|(?:[0-9]+(?:ms|[smhdwy]))+")


class Address(NamedTuple):
    """Where to listen; an empty host means every address of IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Config:
    """What `serve` and `dump` were asked to do, checked."""

    listen_addresses: tuple[Address, ...]
    systemd_socket: bool
    """Listen on no address if systemd hands no socket over."""
    telemetry_path: str
    api: bool
    """Whether whole tables may be asked for, of those collectors that are on."""
    host_names: frozenset[str]
    """What a request may have asked for as Host; empty for anything."""
    web_config_file: Path | None
    """TLS, headers, users and a rate limit; None for none of them."""
    segment_dir: Path
    segment_expiry: float
    """Seconds after its last heartbeat until a dead brick is no longer served."""
    state_file: Path
    """What `discover` writes of this node's bricks; without it, segments are all there is."""
    discovery_file: Path
    """What `discover` writes, of which /sd tells; without it glusterd's files are read."""
    discovery_cluster: str
    discovery_port: int
    collectors: tuple[str, ...]
    limits: Mapping[str, int]
    """How many rows a brick a collector exports, for those collectors that have a limit."""
    privacy: Privacy
    log_level: str
    log_format: str
    ignored: tuple[str, ...] = ()
    """A line for each setting that was given but has no effect any more."""


class _Setting(NamedTuple):
    """``check`` takes a value from YAML or a flag and returns the value to use, or ValueError."""

    check: Callable[[Any], Any]
    default: Any
    help: str
    metavar: str | None = None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


def _address(value: Any) -> Address:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^:\[\]]*)):([0-9]{1,5})", _text(value))
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{value!r} is not HOST:PORT, [IPV6]:PORT or :PORT")
    return Address(match[1] or match[2] or "", int(match[3]))


def _addresses(value: Any) -> tuple[Address, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("names no address")
    return tuple(dict.fromkeys(_address(item) for item in values))


def _url_path(value: Any) -> str:
    taken = value in (HEALTHY_PATH, READY_PATH, SD_PATH) or str(value).startswith(API_PATH)
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", _text(value)) or taken:
        raise ValueError(f"{value!r} is not a path like /metrics")
    return str(value)


def _host_names(value: Any) -> frozenset[str]:
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", _text(name)):
            raise ValueError(f"{name!r} is not a name, an IPv4 address or an [IPv6] one")
    return frozenset(name.lower() for name in names)


def _directory(value: Any) -> Path:
    path = Path(_text(value))
    if not path.is_absolute() or "\0" in value:
        raise ValueError(f"{value!r} is not an absolute path")
    return path


def _file(value: Any) -> Path | None:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is not the name of a file")
    return Path(value) if value else None


def _duration(value: Any) -> float:
    text = str(value) if value == 0 and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError(f"{value!r} is not a duration like 90s, 24h or 1d12h")
    return sum(
        int(number) * _UNIT_SECONDS[unit]
        for number, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", text)
    )


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        digits = isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value)
        number = int(value) if digits else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
        return number

    return check


def _globs(value: Any) -> tuple[str, ...]:
    patterns = tuple(_text(item) for item in (value if isinstance(value, list) else [value]))
    for pattern in patterns:
        glob(pattern)
    return patterns


def _hash_key(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > HASH_KEY_MAX:
        raise ValueError(f"{value!r} is not a text of at most {HASH_KEY_MAX} bytes")
    return value


def _one_of(choices: Mapping[str, object]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return check


def _settings() -> dict[str, _Setting]:
    settings = {
        "web.listen-address": _Setting(
            _addresses,
            [":9714"],
            "address to listen on, may be repeated (a list in the file); without a host, every "
            "IPv4 and IPv6 address",
            "HOST:PORT",
        ),
        "web.systemd-socket": _Setting(
            _switch,
            False,
            "serve only on sockets that systemd hands over, which are used in place of the "
            "addresses in any case",
        ),
        "web.telemetry-path": _Setting(_url_path, "/metrics", "path of the metrics", "PATH"),
        "web.api": _Setting(
            _switch,
            True,
            "answer the whole tables of files and clients at /api/v1; a table whose collector is "
            "off is not answered in any case",
        ),
        "web.host-name": _Setting(
            _host_names,
            [],
            "answer only requests to this host, by name or address as the client's URL has it, may "
            "be repeated (a list in the file); without any, the name does not matter",
            "NAME",
        ),
        "web.config.file": _Setting(
            _file,
            "",
            "YAML file with TLS, users, headers and a rate limit, in the format of Prometheus's "
            "own programs",
            "FILE",
        ),
        "segment.dir": _Setting(
            _directory, layout.DIRECTORY, "where the bricks' segments are", "DIR"
        ),
        "segment.expiry": _Setting(
            _duration, "24h", "how long a dead brick is served as down", "DURATION"
        ),
        "state.file": _Setting(
            _directory,
            "/run/glupy-exporter/state.json",
            "file with this node's bricks, as `discover --state` writes it, by which a brick that "
            "was removed is told from one that is down",
            "FILE",
        ),
        "discovery.file": _Setting(
            _directory,
            "/run/glupy-exporter/targets.json",
            "file with the pool's nodes for /sd, as `discover --file` writes it; without the file, "
            "glusterd's own are read, for which it takes root",
            "FILE",
        ),
        "discovery.cluster": _Setting(
            _text, discovery.CLUSTER, "what /sd calls the cluster when it reads them", "NAME"
        ),
        "discovery.port": _Setting(
            _whole(1, 65535), discovery.PORT, "where /sd then says that exporters listen", "PORT"
        ),
        "privacy.paths": _Setting(
            _one_of(PATHS),
            "full",
            "how the paths of files are shown: "
            + ", ".join(f"{name} ({text})" for name, text in PATHS.items())
            + "; each file keeps its gfid, by which whoever can mount the volume can look it up",
            "HOW",
        ),
        "privacy.path-depth": _Setting(
            _whole(0, 1000), 0, "names of a path that are shown, from the root; 0 for all", "N"
        ),
        "privacy.hash-key": _Setting(
            _hash_key,
            "",
            "key of the hashes, without which anybody can check a guess at a path; better in the "
            "file, as other users see flags",
            "KEY",
        ),
        "files.include": _Setting(
            _globs,
            [],
            "show only files whose path matches, may be repeated (a list in the file); * stands "
            "for any text, / included; of a path that is cut, only what it shows is known",
            "GLOB",
        ),
        "files.exclude": _Setting(
            _globs,
            [],
            "do not show files whose path matches, or may match if it is cut; may be repeated",
            "GLOB",
        ),
        "log.level": _Setting(
            _one_of(log.LEVELS), "info", f"least level to log: {', '.join(log.LEVELS)}", "LEVEL"
        ),
        "log.format": _Setting(
            _one_of(log.FORMATS), "logfmt", f"one of {', '.join(log.FORMATS)}", "FORMAT"
        ),
    }
    for collector in COLLECTORS:
        key = f"collector.{collector.name}"
        settings[key] = _Setting(_switch, True, collector.help)
        if collector.default_limit is not None:
            settings[f"{key}.limit"] = _Setting(
                _whole(1, 10_000),
                collector.default_limit,
                "how many of them a brick, by each order: fops, bytes read, bytes written, time",
                "N",
            )
    return settings


_SETTINGS = _settings()

# What earlier releases knew stays without effect, so that an upgrade breaks no configuration.
_IGNORED = {
    "files.resolve": "each brick finds the names of its files on its own disk; remove the setting, "
    "and CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN where the exporter was given them for it"
}


def add_flags(parser: argparse.ArgumentParser, *prefixes: str) -> None:
    """Give ``parser`` a flag for every setting, or those whose keys begin with ``prefixes``."""
    parser.add_argument(
        "--config.file",
        dest="config.file",
        type=Path,
        metavar="FILE",
        help="YAML file with the exporter's settings, under the names of their flags",
    )
    for key, setting in _SETTINGS.items():
        if not key.startswith(prefixes or ""):
            continue
        options: dict[str, Any] = {"dest": key, "default": argparse.SUPPRESS}
        if setting.check is _switch:
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
    for key in _IGNORED:
        if key.startswith(prefixes or ""):
            flags = (f"--{key}", f"--no-{key}")
            parser.add_argument(*flags, dest=key, action="store_true", help=argparse.SUPPRESS)


def _read(path: Path) -> dict[str, Any]:
    values = yamlfile.read(path, "config file")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"config file {path}: expected KEY: VALUE lines, found {values!r:.60}")
    return values


def load(args: argparse.Namespace) -> Config:
    """The settings from defaults, the file that ``args`` names, and flags, each over the last.

    Raises:
        UserError: the file cannot be read, or a key or value in it or in a flag is wrong.
    """
    values = {key: setting.check(setting.default) for key, setting in _SETTINGS.items()}
    flags = {key: value for key, value in vars(args).items() if key in _SETTINGS}
    ignored = [f"--{key}" for key in _IGNORED if getattr(args, key, False)]
    path: Path | None = getattr(args, "config.file", None)
    if path is not None:
        for key, value in _read(path).items():
            if key in _IGNORED:
                ignored.append(key)
                continue
            if key not in _SETTINGS:
                known = ", ".join(_SETTINGS)
                raise UserError(f"config file {path}: unknown key {key!r}; the keys are {known}")
            values[key] = _check(key, value, f"config file {path}: {key}")
    for key, value in flags.items():
        values[key] = _check(key, value, f"--{key}")
    names = [collector.name for collector in COLLECTORS]
    limits = {name: values.get(f"collector.{name}.limit") for name in names}
    return Config(
        listen_addresses=values["web.listen-address"],
        systemd_socket=values["web.systemd-socket"],
        telemetry_path=values["web.telemetry-path"],
        api=values["web.api"],
        host_names=values["web.host-name"],
        web_config_file=values["web.config.file"],
        segment_dir=values["segment.dir"],
        segment_expiry=values["segment.expiry"],
        state_file=values["state.file"],
        discovery_file=values["discovery.file"],
        discovery_cluster=values["discovery.cluster"],
        discovery_port=values["discovery.port"],
        collectors=tuple(name for name in names if values[f"collector.{name}"]),
        limits={name: limit for name, limit in limits.items() if limit is not None},
        privacy=Privacy(
            paths=values["privacy.paths"],
            depth=values["privacy.path-depth"],
            hash_key=values["privacy.hash-key"],
            include=values["files.include"],
            exclude=values["files.exclude"],
        ),
        log_level=values["log.level"],
        log_format=values["log.format"],
        ignored=tuple(f"{given} is ignored: {_IGNORED[given.lstrip('-')]}" for given in ignored),
    )


def _check(key: str, value: Any, where: str) -> Any:
    try:
        return _SETTINGS[key].check(value)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
