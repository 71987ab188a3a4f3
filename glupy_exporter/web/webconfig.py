"""The file of ``--web.config.file``: TLS, headers, users and a rate limit.

Its format is that of Prometheus's own programs and exporters (exporter-toolkit,
docs/web-configuration.md), so that one file serves for all exporters of a node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glupy_exporter import yamlfile
from glupy_exporter.errors import UserError
from glupy_exporter.web import tls

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""Headers that may be set, with the values they may have, if not any."""

_BCRYPT = re.compile(r"\$2[abxy]?\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_INTERVAL = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_KINDS = {bool: "true or false", dict: "a mapping", int: "a number", list: "a list", str: "a text"}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class WebConfig:
    """What the file says, checked."""

    tls: tls.Settings | None = None
    headers: Mapping[str, str] | None = None
    users: Mapping[str, str] | None = None
    """bcrypt hashes of the passwords of those who may ask, None if anybody may."""
    interval: float = 0.0
    """Seconds between two requests, 0 for any number of them."""
    burst: int = 0
    """Requests that may come at once, beyond those."""


class _Section:
    """The keys of one mapping: those that nobody takes are unknown."""

    def __init__(self, where: str, value: Any) -> None:
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"{where}: expected KEY: VALUE lines, found {value!r:.60}")
        self._where = where
        self._values = dict(value or {})

    def take(self, key: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        value = self._values.pop(key, None)
        if value is None:
            return default
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        # In YAML yes and no are truth values, which Python takes for numbers.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise ValueError(f"{self._where}.{key}: expected {expected}, found {value!r:.60}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{self._where}.{key}: expected a list of texts")
        return tuple(values)

    def end(self) -> None:
        for key in self._values:
            raise ValueError(f"{self._where}: unknown key {key!r}")


def read(path: Path) -> WebConfig:
    """The file's content.

    Raises:
        UserError: it cannot be read, or says what cannot be done.
    """
    values = yamlfile.read(path, "web config file")
    try:
        return _checked(values, path.parent)
    except ValueError as error:
        raise UserError(f"web config file {path}: {error}") from error


def _checked(values: Any, directory: Path) -> WebConfig:
    top = _Section("top level", values)
    http = _Section("http_server_config", top.take("http_server_config", dict, None))
    http2 = http.take("http2", bool, True)
    headers = http.take("headers", dict, {})
    http.end()
    settings = _tls(top.take("tls_server_config", dict, None), directory)
    if settings and http2:
        _check_for_http2(settings)
    limit = _Section("rate_limit", top.take("rate_limit", dict, None))
    burst = limit.take("burst", int, 0)
    interval = _interval(limit)
    limit.end()
    users = top.take("basic_auth_users", dict, {})
    top.end()
    _check_users(users)
    return WebConfig(settings, _headers(headers), users or None, interval, burst)


def _tls(value: Any, directory: Path) -> tls.Settings | None:
    section = _Section("tls_server_config", value)

    def text(key: str) -> str:
        return str(section.take(key, str, ""))

    def path(key: str) -> Path | None:
        name = text(key)
        return directory / name if name else None

    settings = tls.Settings(
        cert=text("cert"),
        key=text("key"),
        cert_file=path("cert_file"),
        key_file=path("key_file"),
        client_ca=text("client_ca"),
        client_ca_file=path("client_ca_file"),
        client_auth_type=text("client_auth_type"),
        client_allowed_sans=section.texts("client_allowed_sans"),
        min_version=text("min_version") or "TLS12",
        max_version=text("max_version") or "TLS13",
        cipher_suites=section.texts("cipher_suites"),
        curve_preferences=section.texts("curve_preferences"),
        prefer_server_cipher_suites=section.take("prefer_server_cipher_suites", bool, True),
    )
    section.end()
    return tls.checked(settings)


def _check_for_http2(settings: tls.Settings) -> None:
    """HTTP/2 is not spoken here, but a file that Go's programs refuse is to be refused as well."""
    if not settings.cipher_suites or settings.min_version == "TLS13":
        return
    if not any(name in tls.REQUIRED_FOR_HTTP2 for name in settings.cipher_suites):
        needed = " or ".join(tls.REQUIRED_FOR_HTTP2)
        raise ValueError(f"cipher_suites: HTTP/2 requires {needed}; add one, or set http2: false")


def _interval(limit: _Section) -> float:
    """A duration as Go has it, "1.5s" or "1m30s", in seconds; a bare 0 is none."""
    value = limit.take("interval", (str, int), 0)
    text = "" if value == 0 else str(value)
    parts = _INTERVAL.findall(text)
    if "".join(map("".join, parts)) != text:
        raise ValueError(
            f"rate_limit.interval: expected a duration such as 1s, found {value!r:.60}"
        )
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _headers(values: Mapping[Any, Any]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in values.items():
        if name not in HEADERS:
            allowed = ", ".join(HEADERS)
            raise ValueError(f"HTTP header {name!r} cannot be configured; these can: {allowed}")
        text = value if isinstance(value, str) else str(value)  # X-XSS-Protection: 1
        if not text.isprintable() or not text.isascii():
            raise ValueError(f"invalid value for {name}: {value!r:.60} is not a line of ASCII")
        if HEADERS[name] and text not in HEADERS[name]:
            expected = ", ".join(HEADERS[name])
            raise ValueError(f"invalid value for {name}: expected one of {expected}, got {value!r}")
        headers[name] = text
    return headers


def _check_users(users: Mapping[Any, Any]) -> None:
    for name, hashed in users.items():
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            raise ValueError(
                f"basic_auth_users: what {name!r} has is no bcrypt hash; `htpasswd -nBC 10 USER` "
                "prints one"
            )


def stamp(*paths: Path) -> tuple[tuple[int, int, int] | None, ...]:
    """Something that differs when any of the files has changed."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
