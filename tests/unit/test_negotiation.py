"""What a client is given for the headers it sends."""

from __future__ import annotations

import pytest

from glupy_exporter.metrics import protobuf
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


FAMILY = "io.prometheus.client.MetricFamily"
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)
PROMETHEUS_2_42_NATIVE = f"{PROTOBUF},{PROMETHEUS_2}"
PROMETHEUS_2_53_NATIVE = (
    f"{PROTOBUF};q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,"
    "application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_NATIVE = f"{PROTOBUF};q=0.7,{PROMETHEUS_3}"
PROMETHEUS_3_14_NATIVE = f"{PROTOBUF};escaping=allow-utf-8;q=0.7,{PROMETHEUS_3}"
MANY = ",".join(f"application/x{n};q=0.{n % 10}" for n in range(5000))


@pytest.mark.parametrize(
    ("accept", "delimited"),
    [
        (PROTOBUF, True),
        (PROMETHEUS_2_42_NATIVE, True),
        (PROMETHEUS_2_53_NATIVE, True),
        (PROMETHEUS_3_NATIVE, True),
        (PROMETHEUS_3_14_NATIVE, True),
        (PROTOBUF.replace("application", "Application").replace("proto=", "Proto="), True),
        (f"{PROTOBUF}, {MANY}", True),
        (f"{MANY},{PROTOBUF};q=1", True),
        ('application/vnd.google.protobuf; encoding="delimited"; proto="' + FAMILY + '"', True),
        (f"{PROTOBUF};q=0.5,{PROTOBUF};q=0", True),
        (f"{PROTOBUF};q=0.5,*/*;q=0.5", True),
        (f"{PROTOBUF};q=0.5,text/plain", False),
        (f"{PROTOBUF};q=0.5,application/openmetrics-text", False),
        (f"{PROTOBUF};q=0", False),
        (f"{PROTOBUF};q=2", False),
        (PROTOBUF.replace("delimited", "text"), False),
        (PROTOBUF.replace("delimited", "compact-text"), False),
        (PROTOBUF.replace("MetricFamily", "Metric"), False),
        ("application/vnd.google.protobuf", False),
        ("application/vnd.google.protobuf;proto;encoding", False),
        ("application/*", False),
    ],
)
def test_protobuf(accept: str, delimited: bool) -> None:
    encode, content_type = encoder(accept)
    assert (encode is protobuf.protobuf) is delimited
    assert content_type.startswith("application/vnd.google.protobuf; proto=") is delimited


def test_start_times_are_only_in_openmetrics_that_asks_for_them() -> None:
    for accept in ("", PROTOBUF, PROMETHEUS_2):
        assert (encoder(accept) == encoder(accept, created=True)) is (accept != PROMETHEUS_2)


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
