"""What a client is given for the headers it sends."""

from __future__ import annotations

import pytest

from glupy_exporter.web.negotiation import encoder, gzip_accepted

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("text/plain;version=0.0.4", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text; Version=1.0.0", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.7", False),
        ("application/openmetrics-text;version=9.9.9", False),
        ("application/openmetrics-text;version=x;q=x", False),
        (",;=,;q=", False),
    ],
)
def test_format(accept: str, openmetrics: bool) -> None:
    _, content_type = encoder(accept)
    name, version, _ = content_type.split("; ", 2)
    if openmetrics:  # old releases of prometheus_client call their OpenMetrics 0.0.1
        assert name == "application/openmetrics-text"
        assert version in ("version=1.0.0", "version=0.0.1")
    else:
        assert (name, version) == ("text/plain", "version=0.0.4")


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("gzip;q=high", False),
    ],
)
def test_gzip(accept_encoding: str, accepted: bool) -> None:
    assert gzip_accepted(accept_encoding) is accepted
