"""What a client accepts: exposition format and compression, by the q-values of RFC 9110."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from glupy_exporter.metrics import exposition

_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")
_OPENMETRICS = "application/openmetrics-text"
_OPENMETRICS_VERSIONS = ("", "0.0.1", "1.0.0")

Encoder = Callable[[exposition.Source], Iterator[bytes]]


def _choices(header: str) -> list[tuple[str, dict[str, str], float]]:
    """Each element of an Accept or Accept-Encoding header: name, parameters, quality."""
    choices = []
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        parameters = {}
        for part in rest:
            key, _, value = part.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        quality = parameters.get("q", "1")
        choices.append(
            (name.lower(), parameters, float(quality) if _QUALITY.fullmatch(quality) else 0.0)
        )
    return choices


def _quality(header: str, *names: str) -> float:
    """The quality of the first of ``names`` that the header has, most specific first, or 0."""
    qualities = {name: quality for name, _, quality in _choices(header)}
    return next((qualities[name] for name in names if name in qualities), 0.0)


def gzip_accepted(accept_encoding: str) -> bool:
    """Whether a response to this Accept-Encoding may be compressed with gzip."""
    return _quality(accept_encoding, "gzip", "x-gzip", "*") > 0


def encoder(accept: str) -> tuple[Encoder, str]:
    """The encoder of metrics for this Accept header, and the content type of what it makes.

    A client gets OpenMetrics if it names it and does not prefer the text format. All others get the
    text format, whatever they accept.
    """
    openmetrics = max(
        (
            quality
            for name, parameters, quality in _choices(accept)
            if name == _OPENMETRICS and parameters.get("version", "") in _OPENMETRICS_VERSIONS
        ),
        default=0.0,
    )
    if openmetrics > 0 and openmetrics >= _quality(accept, "text/plain", "text/*", "*/*"):
        return exposition.openmetrics, f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"
    return exposition.text, "text/plain; version=0.0.4; charset=utf-8"
