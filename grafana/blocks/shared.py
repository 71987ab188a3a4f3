"""Panels that several pages have, each with a text of its own."""

from __future__ import annotations

from collections.abc import Sequence

from grafanalib import formatunits as unit

from grafana.blocks.colors import BAD, GOOD, ODD
from grafana.blocks.form import Panel
from grafana.blocks.links import Link
from grafana.blocks.panels import areas, stat, thresholds
from grafana.blocks.queries import or_zero

Summed = tuple[str, str]  # an expression whose sum is shown, and its description

NONE_IS_WELL = thresholds((0, GOOD), (1, BAD))
BRICKS = "glupy_brick_up{$*}"


def work(
    operations: Summed, read: Summed, written: Summed, *, known: str = BRICKS, width: int = 4
) -> list[Panel]:
    """The work of now: operations, bytes read, bytes written."""
    return [
        stat(title, or_zero(f"sum({expr})", known), of, description, width=width)
        for title, of, (expr, description) in (
            ("Operations", unit.OPS_PER_SEC, operations),
            ("Read", unit.BYTES_SEC_IEC, read),
            ("Written", unit.BYTES_SEC_IEC, written),
        )
    ]


def throughput(
    read: str, written: str, description: str, *, known: str = BRICKS, **size: int
) -> Panel:
    """Bytes read and written over time."""
    series = [
        ("read", or_zero(f"sum({read})", known)),
        ("write", or_zero(f"sum({written})", known)),
    ]
    return areas("Throughput", series, unit.BYTES_SEC_IEC, description, **size)


def translator(missing: str, **size: int) -> Panel:
    """The share of bricks that have the translator; `missing` ends the description."""
    return stat(
        "Translator",
        "sum(count by (cluster, volume) (glupy_brick_info{$*})"
        " and on (cluster, volume) glupy_volume_bricks{$*})"
        " / sum(max by (cluster, volume) (glupy_volume_bricks{$*}))",
        unit.PERCENT_UNIT,
        f"Bricks with the translator, of all bricks that the volumes have{missing}",
        levels=thresholds((0, BAD), (0.001, ODD), (1, GOOD)),
        **size,
    )


def up(title: str, description: str, links: Sequence[Link] = (), **size: int) -> Panel:
    """The share of the known bricks that run."""
    return stat(
        title,
        "sum(glupy_brick_up{$*}) / count(glupy_brick_up{$*})",
        unit.PERCENT_UNIT,
        description,
        levels=thresholds((0, BAD), (1, GOOD)),
        links=links,
        **size,
    )


def under_way(seconds: str, known: str = BRICKS) -> Panel:
    """How many fops are under way: the time that they take, in seconds a second."""
    return stat(
        "Under way",
        or_zero(f"sum({seconds})", known),
        unit.SHORT,
        "Fops that are under way at any moment, as a mean: the time that they take a second. Those"
        " that wait for a lock are counted when the wait is over.",
        width=6,
    )
