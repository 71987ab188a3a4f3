"""Chooses the exposition format and compression that a client accepts, by RFC 9110's q-values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from glupy_exporter.metrics import exposition, protobuf

_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")
_OPENMETRICS = "application/openmetrics-text"
_OPENMETRICS_VERSIONS = ("", "0.0.1", "1.0.0")
_PROTOBUF = "application/vnd.google.protobuf"
_FAMILY = "io.prometheus.client.MetricFamily"

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


def _named(accept: str, name: str, accepted: Mapping[str, tuple[str, ...]]) -> float:
    """The quality of the media type ``name`` if the header has it with ``accepted`` parameters; a
    parameter that is not there counts as empty."""
    return max(
        (
            quality
            for found, parameters, quality in _choices(accept)
            if found == name
            and all(parameters.get(each, "") in values for each, values in accepted.items())
        ),
        default=0.0,
    )


def encoder(accept: str, created: bool = False) -> tuple[Encoder, str]:
    """The encoder of metrics for this Accept header, and the content type of what it makes.

    A client gets protobuf or OpenMetrics if it names it and prefers no other format; of formats
    with the same quality it gets the one with more in it. All others get the text format, whatever
    they accept. ``created`` is for :func:`exposition.openmetrics`.
    """
    delimited = _named(accept, _PROTOBUF, {"proto": (_FAMILY,), "encoding": ("delimited",)})
    openmetrics = _named(accept, _OPENMETRICS, {"version": _OPENMETRICS_VERSIONS})
    text = _quality(accept, "text/plain", "text/*", "*/*")
    if delimited > 0 and delimited >= max(openmetrics, text):
        return protobuf.protobuf, f"{_PROTOBUF}; proto={_FAMILY}; encoding=delimited"
    if openmetrics > 0 and openmetrics >= text:
        with_created = partial(exposition.openmetrics, created=True)
        encode = with_created if created else exposition.openmetrics
        return encode, f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"
    return exposition.text, "text/plain; version=0.0.4; charset=utf-8"
