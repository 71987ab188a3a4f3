"""The file of ``--web.config.file``: TLS, headers, users and a rate limit.

Its format is that of Prometheus's own programs and exporters (exporter-toolkit,
docs/web-configuration.md), so that one file serves for all exporters of a node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from glupy_exporter import values, yamlfile
from glupy_exporter.errors import UserError
from glupy_exporter.web.toolkit import tls

_T = TypeVar("_T")

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""Headers that may be set, with the values that they may have; empty for any value."""

_BCRYPT = re.compile(r"\$2[abxy]?\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BURST_MAX = 1_000_000_000


@dataclass(frozen=True)
class WebConfig:
    """The file's content, checked."""

    tls: tls.Settings | None = None
    headers: Mapping[str, str] | None = None
    users: Mapping[str, str] | None = None
    """bcrypt hashes of passwords by user; None if anybody may ask."""
    interval: float = 0.0
    """Seconds until one more request is allowed; 0 for no limit."""
    burst: int = 0
    """Requests that may come at once."""


class _Section:
    """The keys of one mapping; those that are not taken before the end are unknown."""

    def __init__(self, where: str, value: Any) -> None:
        self._where = where
        self._values = self._checked(where, values.mapping, value)

    @staticmethod
    def _checked(where: str, check: Callable[[Any], _T], value: Any) -> _T:
        try:
            return check(value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def take(self, key: str, check: Callable[[Any], _T], default: _T) -> _T:
        value = self._values.pop(key, None)
        return default if value is None else self._checked(f"{self._where}.{key}", check, value)

    def section(self, key: str) -> _Section:
        return _Section(key, self._values.pop(key, None))

    def mapping(self, key: str) -> dict[str, Any]:
        return self._checked(f"{self._where}.{key}", values.mapping, self._values.pop(key, None))

    def end(self) -> None:
        for key in self._values:
            raise ValueError(f"{self._where}: unknown key {key!r}")


def read(path: Path) -> WebConfig:
    """The file's content.

    Raises:
        UserError: it cannot be read, or is wrong.
    """
    content = yamlfile.read(path, "web config file")
    try:
        return _checked(content, path.parent)
    except ValueError as error:
        raise UserError(f"web config file {path}: {error}") from error


def _checked(content: Any, directory: Path) -> WebConfig:
    top = _Section("top level", content)
    http = top.section("http_server_config")
    http2 = http.take("http2", values.switch, True)
    headers = http.mapping("headers")
    http.end()
    settings = _tls(top.section("tls_server_config"), directory)
    if settings and http2:
        _check_for_http2(settings)
    limit = top.section("rate_limit")
    burst = limit.take("burst", values.whole(0, _BURST_MAX), 0)
    interval = limit.take("interval", values.duration_of_go, 0.0)
    limit.end()
    users = top.mapping("basic_auth_users")
    top.end()
    _check_users(users)
    return WebConfig(settings, _headers(headers), users or None, interval, burst)


def _tls(section: _Section, directory: Path) -> tls.Settings | None:
    def text(key: str) -> str:
        return section.take(key, values.string, "")

    def path(key: str) -> Path | None:
        name = text(key)
        return directory / name if name else None

    def texts(key: str) -> tuple[str, ...]:
        return section.take(key, values.strings, ())

    settings = tls.Settings(
        cert=text("cert"),
        key=text("key"),
        cert_file=path("cert_file"),
        key_file=path("key_file"),
        client_ca=text("client_ca"),
        client_ca_file=path("client_ca_file"),
        client_auth_type=text("client_auth_type"),
        client_allowed_sans=texts("client_allowed_sans"),
        min_version=text("min_version") or "TLS12",
        max_version=text("max_version") or "TLS13",
        cipher_suites=texts("cipher_suites"),
        curve_preferences=texts("curve_preferences"),
        prefer_server_cipher_suites=section.take(
            "prefer_server_cipher_suites", values.switch, True
        ),
    )
    section.end()
    return tls.checked(settings)


def _check_for_http2(settings: tls.Settings) -> None:
    """Refuse what Go's programs refuse for HTTP/2, though nothing here speaks it."""
    if not settings.cipher_suites or settings.min_version == "TLS13":
        return
    if not any(name in tls.REQUIRED_FOR_HTTP2 for name in settings.cipher_suites):
        needed = " or ".join(tls.REQUIRED_FOR_HTTP2)
        raise ValueError(f"cipher_suites: HTTP/2 requires {needed}; add one, or set http2: false")


def _headers(wanted: Mapping[str, Any]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in wanted.items():
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


def _check_users(users: Mapping[str, Any]) -> None:
    for name, hashed in users.items():
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            raise ValueError(
                f"basic_auth_users: the value of {name!r} is no bcrypt hash; "
                "`htpasswd -nBC 10 USER` prints one"
            )


def stamp(*paths: Path) -> tuple[tuple[int, int, int] | None, ...]:
    """A value that differs once any of the files has changed."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
