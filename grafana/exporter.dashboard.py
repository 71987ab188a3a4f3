"""The exporters: what scrapes cost, what they could not read, and which versions run."""

from grafanalib import formatunits as unit

from blocks import tables
from blocks.board import board, row
from blocks.panels import BAD, ODD, Column, bars, lines, stat, table, thresholds
from blocks.queries import or_zero

GLUPY = '{$*,job="glupy"}'
HOST = "{{host}}"
LARGEST = (
    "glupy_fop_duration_seconds_bucket",
    "glupy_fop_errors_total",
    "glupy_io_size_bytes_bucket",
    "glupy_file_fops_total",
    "glupy_client_fops_total",
)


def versions(title: str, label: str, metric: str, what: str) -> object:
    """How many different values of `label` there are; more than one stands out."""
    return stat(
        title,
        or_zero(f"count(count by ({label}) ({metric}{{$*}}))"),
        unit.SHORT,
        f"How many different versions of {what} run. More than one is fine only during an upgrade.",
        levels=thresholds((2, ODD)),
    )


health = row(
    "Health",
    stat(
        "Exporters up",
        or_zero(f"sum(up{GLUPY})"),
        unit.SHORT,
        "Nodes whose exporter answers.",
    ),
    stat(
        "Exporters down",
        or_zero(f"count(up{GLUPY} == 0)"),
        unit.SHORT,
        "Nodes whose exporter does not answer: nothing is known of their bricks.",
        levels=thresholds((1, BAD)),
    ),
    stat(
        "Failed collectors",
        or_zero("count(glupy_collector_success{$*} == 0)"),
        unit.SHORT,
        "Collectors that had to leave a brick out of the last scrape.",
        levels=thresholds((1, BAD)),
    ),
    stat(
        "Segment errors",
        or_zero("sum(increase(glupy_segment_errors_total{$*}[5m]))"),
        unit.SHORT,
        "Segments that could not be used, in the last 5 minutes of scrapes.",
        levels=thresholds((1, BAD)),
    ),
    stat(
        "Slowest scrape",
        f"max(scrape_duration_seconds{GLUPY})",
        unit.SECONDS,
        "How long Prometheus waited for the slowest exporter's answer; it gives up after 10 s.",
        levels=thresholds((1, ODD), (5, BAD)),
        none="unknown",
    ),
    versions("Exporter builds", "version", "glupy_exporter_build_info", "the exporter"),
    versions("Translator builds", "xlator_version", "glupy_brick_info", "the translator"),
    versions("GlusterFS builds", "glusterfs_version", "glupy_brick_info", "GlusterFS"),
)

cost = row(
    "Cost",
    lines(
        "Duration of scrapes",
        [(HOST, f"max by (host) (scrape_duration_seconds{GLUPY})")],
        unit.SECONDS,
        "How long Prometheus waited for each exporter's answer.",
        width=8,
    ),
    lines(
        "Duration of collectors",
        [("{{collector}}", "max by (collector) (glupy_collector_duration_seconds{$*})")],
        unit.SECONDS,
        "Time that each collector took, on the slowest node.",
        width=8,
    ),
    lines(
        "CPU",
        [(HOST, f"sum by (host) (rate(process_cpu_seconds_total{GLUPY}[5m]))")],
        unit.PERCENT_UNIT,
        "CPU time of each exporter's process; 100 % is one core.",
        width=8,
    ),
    lines(
        "Memory",
        [(HOST, f"sum by (host) (process_resident_memory_bytes{GLUPY})")],
        unit.BYTES_IEC,
        "Resident memory of each exporter's process.",
        width=8,
    ),
    bars(
        "Segment errors by reason",
        [
            (
                "{{host}} {{reason}}",
                or_zero(
                    "sum by (host, reason) (rate(glupy_segment_errors_total{$*}[5m]))",
                    reason="none",
                ),
            )
        ],
        unit.COUNTS_PER_SEC,
        "Why segments could not be used; bad_version is a translator of another release.",
        width=8,
    ),
    lines(
        "Collectors that succeed",
        [("{{collector}}", "min by (collector) (glupy_collector_success{$*})")],
        unit.SHORT,
        "1 if a collector served every brick of every node, 0 if it had to leave one out.",
        width=8,
    ),
)

series = row(
    "Series",
    bars(
        "Samples by host",
        [(HOST, f"sum by (host) (scrape_samples_scraped{GLUPY})")],
        unit.SHORT,
        "Series that each exporter serves.",
        width=8,
    ),
    bars(
        "Series of the largest metrics",
        [(metric, or_zero(f"count({metric}{{$*}})")) for metric in LARGEST],
        unit.SHORT,
        "How many series of each metric the chosen bricks, fops and clients have.",
        width=8,
    ),
    lines(
        "New series",
        [(HOST, f"sum by (host) (scrape_series_added{GLUPY})")],
        unit.SHORT,
        "Series that a scrape brought for the first time: files and clients that became busy.",
        width=8,
    ),
)

running = row(
    "Versions",
    table(
        "Exporters",
        [
            Column(
                "exporters",
                "count by (cluster, host, version) (glupy_exporter_build_info{$*})",
                unit.SHORT,
            )
        ],
        "cluster, host, version",
        "The version that each node's exporter has.",
        width=12,
        bars=False,
    ),
    table(
        "Bricks",
        [
            Column(
                "bricks",
                "count by (cluster, host, volume, xlator_version, glusterfs_version)"
                " (glupy_brick_info{$*})",
                unit.SHORT,
            )
        ],
        "cluster, host, volume, xlator_version, glusterfs_version",
        "The versions of the translator and of GlusterFS that bricks run; a brick keeps its own"
        " until it is restarted.",
        width=12,
        links={"volume": tables.TO_VOLUME},
        bars=False,
    ),
)

dashboard = board(
    "exporter",
    "Exporter",
    "What scrapes cost, what exporters could not read, and which versions run.",
    [health, cost, series, running],
)
