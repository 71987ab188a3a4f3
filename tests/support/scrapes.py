"""A scrape as the exporter serves it, from its own encoder."""

from __future__ import annotations

from glupy_exporter.metrics import exposition
from glupy_exporter.metrics import protobuf as encoder


def text(source: exposition.Source) -> str:
    """One scrape in Prometheus's text format."""
    return b"".join(exposition.text(source)).decode()


def openmetrics(source: exposition.Source) -> str:
    """One scrape in OpenMetrics."""
    return b"".join(exposition.openmetrics(source)).decode()


def protobuf(source: exposition.Source) -> bytes:
    """One scrape in the protobuf format."""
    return b"".join(encoder.protobuf(source))
