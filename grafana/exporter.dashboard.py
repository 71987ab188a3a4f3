"""The exporters: what scrapes cost, what they could not read, and which versions run."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.colors import BAD, GOOD, ODD
from grafana.blocks.form import Panel
from grafana.blocks.panels import PER_SECOND, Column, areas, lines, stat, table, thresholds
from grafana.blocks.queries import RANGE, named, or_zero, rate, top

GLUPY = '{$*,job="glupy"}'
UP = f"up{GLUPY}"
# Not the buckets of histograms: those of fops are half of all series, which takes long to count.
LARGEST = (
    "glupy_fop_duration_seconds_count",
    "glupy_fop_errors_total",
    "glupy_io_size_bytes_count",
    "glupy_file_fops_total",
    "glupy_client_fops_total",
)


def versions(title: str, label: str, metric: str, what: str) -> Panel:
    """How many different values of `label` there are; more than one stands out."""
    return stat(
        title,
        f"count(count by ({label}) ({metric}{{$*}}))",
        unit.SHORT,
        f"The number of versions of {what} that run. During an upgrade there may be more than one.",
        levels=thresholds((0, GOOD), (2, ODD)),
        width=6,
    )


def of_hosts(value: str) -> list[tuple[str, str]]:
    """The ten highest at each moment, by their host."""
    return [("{{name}}", named(f"topk(10, {value})", "host"))]


def by_collector(value: str) -> list[tuple[str, str]]:
    """Each collector's line."""
    return [("{{name}}", named(value, "collector"))]


health = row(
    "Health",
    stat("Exporters up", f"sum({UP})", unit.SHORT, "Nodes whose exporter answers.", width=6),
    stat(
        "Exporters down",
        or_zero(f"count({UP} == 0)", UP),
        unit.SHORT,
        "Nodes whose exporter does not answer: nothing is known of their bricks.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    stat(
        "Failed collectors",
        or_zero("count(glupy_collector_success{$*} == 0)", "glupy_collector_success{$*}"),
        unit.SHORT,
        "Collectors that had to leave a brick out of the last scrape.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    stat(
        "Segment errors",
        or_zero(f"sum(increase(glupy_segment_errors_total{{$*}}[{RANGE}]))", UP),
        unit.SHORT,
        "Segments that could not be used, of late.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    stat(
        "Slowest scrape",
        f"max(scrape_duration_seconds{GLUPY})",
        unit.SECONDS,
        "Time that Prometheus waited for the slowest exporter's answer; it gives up after 10 s.",
        levels=thresholds((0, GOOD), (1, ODD), (5, BAD)),
        width=6,
    ),
    versions("Exporter versions", "version", "glupy_exporter_build_info", "the exporter"),
    versions("Translator versions", "xlator_version", "glupy_brick_info", "the translator"),
    versions("GlusterFS versions", "glusterfs_version", "glupy_brick_info", "GlusterFS"),
)

cost = row(
    "Cost",
    lines(
        "Duration of scrapes",
        of_hosts(f"max by (host) (scrape_duration_seconds{GLUPY})"),
        unit.SECONDS,
        "Time that Prometheus waited for each exporter's answer; the ten slowest.",
    ),
    lines(
        "Duration of collectors",
        by_collector("max by (collector) (glupy_collector_duration_seconds{$*})"),
        unit.SECONDS,
        "Time that each collector took, on the slowest node.",
    ),
    lines(
        "CPU",
        of_hosts(f"sum by (host) ({rate(f'process_cpu_seconds_total{GLUPY}')})"),
        unit.PERCENT_UNIT,
        "CPU time of each exporter's process; 100 % is one core. The ten busiest.",
    ),
    lines(
        "Memory",
        of_hosts(f"sum by (host) (process_resident_memory_bytes{GLUPY})"),
        unit.BYTES_IEC,
        "Resident memory of each exporter's process; the ten largest.",
    ),
    areas(
        "Segment errors by reason",
        [
            (
                "{{reason}} {{name}}",
                or_zero(top("glupy_segment_errors_total{$*}", "reason, host"), UP, reason="none"),
            )
        ],
        PER_SECOND,
        "Segments that could not be used, by reason; bad_version: a translator of another release.",
    ),
    lines(
        "Collectors that succeed",
        by_collector("min by (collector) (glupy_collector_success{$*})"),
        unit.SHORT,
        "1 if a collector served all of every node, 0 if it had to leave out a brick or a metric.",
    ),
)

series = row(
    "Series",
    lines(
        "Samples by host",
        of_hosts(f"sum by (host) (scrape_samples_scraped{GLUPY})"),
        unit.SHORT,
        "Series that each exporter serves; the ten with most.",
    ),
    lines(
        "New series",
        of_hosts(f"sum by (host) (scrape_series_added{GLUPY})"),
        unit.SHORT,
        "Series that a scrape brought for the first time: files and clients that became busy.",
    ),
    table(
        "Series of the largest metrics",
        [
            Column(
                "series",
                " or ".join(
                    f"label_replace(count by (cluster) ({metric}{{$*}}),"
                    f' "metric", "{metric.replace("_count", " (histograms)")}", "", "")'
                    for metric in LARGEST
                ),
                unit.SHORT,
            )
        ],
        "cluster, metric",
        "The number of series of each metric now. For a histogram it is the number of histograms:"
        " each of them has a series for each bucket.",
        height=8,
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
        links={"volume": tables.TO_VOLUME},
    ),
)

dashboard = board(
    "exporter",
    "Do the exporters answer, what do their scrapes cost, and which versions run?",
    "The page Cluster says what the bricks do; a click on a volume leads to it.",
    [health, cost, series, running],
)
