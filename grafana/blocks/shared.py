"""Panels that several dashboards have, each with its own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grafanalib import core
from grafanalib import formatunits as unit

from blocks.form import Panel
from blocks.panels import BAD, GOOD, ODD, lines, stat, thresholds
from blocks.queries import or_zero

Summed = tuple[str, str]  # an expression whose sum is shown, and what it says


def work(operations: Summed, read: Summed, written: Summed, *, width: int = 3) -> list[Panel]:
    """What is done now: operations, bytes read, bytes written."""
    return [
        stat(title, or_zero(f"sum({expr})"), of, description, width=width)
        for title, of, (expr, description) in (
            ("Operations", unit.OPS_PER_SEC, operations),
            ("Read", unit.BYTES_SEC_IEC, read),
            ("Written", unit.BYTES_SEC_IEC, written),
        )
    ]


def throughput(
    read: str,
    written: str,
    description: str,
    *,
    width: int = 12,
    kind: Callable[..., Panel] = lines,
) -> Panel:
    """Bytes read and written over time."""
    series = [("read", or_zero(f"sum({read})")), ("write", or_zero(f"sum({written})"))]
    return kind("Throughput", series, unit.BYTES_SEC_IEC, description, width=width)


def translator(missing: str) -> Panel:
    """How many bricks have the translator; `missing` says what that means for those without it."""
    return stat(
        "Translator",
        "sum(count by (cluster, volume) (glupy_brick_info{$cluster,$volume})"
        " and on (cluster, volume) glupy_volume_bricks{$cluster,$volume})"
        " / sum(max by (cluster, volume) (glupy_volume_bricks{$cluster,$volume}))",
        unit.PERCENT_UNIT,
        f"Bricks with the translator, of all bricks that the volumes have{missing} The selectors of"
        " hosts and bricks do not apply.",
        levels=thresholds((0, BAD), (0.001, ODD), (1, GOOD)),
        none="unknown",
    )


def up(title: str, description: str, links: Sequence[core.DataLink] = ()) -> Panel:
    """How many of the bricks that are known run."""
    return stat(
        title,
        "sum(glupy_brick_up{$*}) / count(glupy_brick_up{$*})",
        unit.PERCENT_UNIT,
        description,
        levels=thresholds((0, BAD), (1, GOOD)),
        none="unknown",
        links=links,
    )
