"""Panels that several pages have, each with a text of its own."""

from __future__ import annotations

from collections.abc import Sequence

from grafanalib import core
from grafanalib import formatunits as unit

from grafana.blocks.colors import BAD, GOOD, ODD
from grafana.blocks.form import Panel
from grafana.blocks.links import RUNBOOKS, Link, to
from grafana.blocks.panels import Column, areas, stat, table, thresholds
from grafana.blocks.queries import or_zero, with_all
from grafana.blocks.tables import TO_VOLUME

Summed = tuple[str, str]  # an expression whose sum is shown, and its description

NONE_IS_WELL = thresholds((0, GOOD), (1, BAD))
FULL = thresholds((0, GOOD), (0.8, ODD), (0.9, BAD))
BRICKS = "glupy_brick_up{$*}"
FIRING = 'ALERTS{$*,alertname=~"Glupy.*",alertstate="firing"}'
USED = "1 - glupy_brick_filesystem_avail_bytes{$*} / glupy_brick_filesystem_size_bytes{$*}"
"""The share of a brick's file system that is used, as far as it is not kept for root."""
RUNS = (
    "((max by (cluster, host, volume, brick) (glupy_brick_up{$*})"
    " or max by (cluster, host, volume, brick) (glupy_brick_online{$*})"
    " or 0 * max by (cluster, host, volume, brick) ("
    "cluster_host_volume_brick:glupy_brick_set:last_seen{$*}"
    " and on (cluster, host) cluster_host:glupy_node:silent))"
    " unless on (cluster, volume) glupy_volume_started{$*} == 0)"
)
"""1 of each brick that runs and 0 of others, for those that should run.

It is as new as the scrape, and for bricks without the translator up to a minute old. Bricks of a
silent node count as down; those of a node of which only the exporter is down are left out.
"""
SEVERITIES = {3: ("critical", BAD), 2: ("warning", ODD), 1: ("info", "text")}
TO_HEAL = "cluster_volume_set:glupy_heal_entries:min15m{$*}"


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
        " / (sum(max by (cluster, volume) (glupy_volume_bricks{$*}))"
        " - (count(cluster_host_volume_brick:glupy_brick_set:last_seen{$*}"
        " and on (cluster, volume) glupy_volume_bricks{$*}"
        ' and on (cluster, host) up{job="glupy"} == 0)'
        " or on () 0 * count(glupy_volume_bricks{$*})))"
        " or on () 0 * count(glupy_volume_translator_configured{$*} == 0)",
        unit.PERCENT_UNIT,
        f"Bricks with the translator, of those that the volumes have on nodes that answer{missing}",
        levels=thresholds((0, BAD), (0.001, ODD), (1, GOOD)),
        **size,
    )


def up(title: str, description: str, links: Sequence[Link] = (), **size: int) -> Panel:
    """The share of bricks that run, of those that should."""
    return stat(
        title,
        f"sum({RUNS}) / count({RUNS})",
        unit.PERCENT_UNIT,
        description,
        levels=thresholds((0, BAD), (1, GOOD)),
        links=links,
        **size,
    )


def down() -> Panel:
    """How many bricks do not run."""
    return stat(
        "Bricks down",
        or_zero(f"count({RUNS} == 0)", RUNS),
        unit.SHORT,
        "Bricks of volumes that are started, whose process does not run or whose node is silent.",
        levels=NONE_IS_WELL,
        width=6,
        links=[to("brick", "Bricks")],
    )


def under_way(seconds: str, known: str = BRICKS) -> Panel:
    """The number of fops in flight: the time that they take, in seconds a second."""
    return stat(
        "In flight",
        or_zero(f"sum({seconds})", known),
        unit.SHORT,
        "Fops that are in flight at any moment, as a mean: the time that they take a second. Those"
        " that wait for a lock are counted when the wait is over.",
        width=6,
    )


def to_heal() -> Panel:
    """How many entries wait for self-heal."""
    return stat(
        "Entries to heal",
        f"sum({TO_HEAL})",
        unit.SHORT,
        "Files and directories of which a replica has lacked changes for fifteen minutes. For each"
        " set, this is the count of the replica that knows of most.",
        levels=thresholds((0, GOOD), (1, ODD), (10_000, BAD)),
        width=6,
        links=[to("health", "Health")],
    )


def fullest(links: Sequence[Link] = (), width: int = 6) -> Panel:
    """How full the fullest file system of a brick is."""
    return stat(
        "Fullest file system",
        f"max({USED})",
        unit.PERCENT_UNIT,
        "The fullest of the bricks' file systems. Writes to the bricks' sets fail when it is full.",
        levels=FULL,
        width=width,
        links=links,
    )


def firing() -> Panel:
    """The alerts that fire, with links to their runbooks."""
    runbook = core.DataLink(
        title="Runbook", linkUrl=f"{RUNBOOKS}/${{__data.fields.alertname}}.md", isNewTab=True
    )
    by = "max by (cluster, alertname, host, volume, brick)"
    severity = " or ".join(
        f'{rank} * {FIRING[:-1]},severity="{name}"}}' for rank, (name, _) in SEVERITIES.items()
    )
    since = f'1000 * ALERTS_FOR_STATE{{$*,alertname=~"Glupy.*"}} and ignoring (alertstate) {FIRING}'
    return table(
        "Firing",
        [
            Column("severity", with_all(f"{by} ({severity})", "volume"), unit.SHORT, SEVERITIES),
            Column("since", with_all(f"{by} ({since})", "volume"), unit.DATE_TIME_FROM_NOW),
        ],
        "alertname, cluster, volume, host, brick",
        "Alerts of the shipped rules, the most severe first, and how long they have held."
        " A click on an alert leads to its runbook.",
        height=6,
        links={"alertname": runbook, "volume": TO_VOLUME},
        hidden=["cluster"],
        none="No alert of the shipped rules is known to fire.",
    )
