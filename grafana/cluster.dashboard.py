"""The whole cluster: is it well, what does it do, and who makes it do so."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.colors import BAD, GOOD, ODD
from grafana.blocks.links import column, field_label, to
from grafana.blocks.panels import Column, areas, lines, stat, table, thresholds
from grafana.blocks.queries import WAITING, of_busiest, or_zero, top, with_cluster

FOPS = "cluster_volume_kind:glupy_fops:rate5m{$*}"
READ = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="write"}'
BUCKETS = f'cluster_volume_fop_le:glupy_fop_duration_seconds_bucket:rate5m{{$*,fop!~"{WAITING}"}}'
P99 = "cluster_volume_kind:glupy_fop_duration_seconds:p99_rate5m{$*}"
ERRORS = "cluster_volume_errno:glupy_fop_errors:rate5m{$*}"
HOST_BYTES = "cluster_host_volume_brick_direction:glupy_io_bytes:rate5m"
EXPORTERS = 'up{$*,job="glupy"}'

TO_VOLUME = to("volume", "Volume", cluster=field_label("cluster"), volume=field_label("volume"))
TO_HOST = to("brick", "Bricks of the host", cluster=column("cluster"), host=column("host"))

health = row(
    "Health",
    stat(
        "Bricks up",
        f"sum({shared.RUNS})",
        unit.SHORT,
        "Bricks of volumes that are started, whose process runs, with the translator or without.",
        width=6,
    ),
    shared.down(),
    shared.translator("; a volume without any is not known.", width=6),
    stat(
        "Alerts firing",
        # Where no rule has recorded anything, none can fire.
        or_zero(f"count({shared.FIRING})", "cluster_volume_kind:glupy_fops:rate5m{$*}"),
        unit.SHORT,
        "Alerts of the shipped rules that fire; the next table lists them.",
        levels=shared.NONE_IS_WELL,
        width=6,
        links=[to("health", "Health")],
    ),
    stat(
        "Exporters down",
        or_zero(f"count({EXPORTERS} == 0)", EXPORTERS),
        unit.SHORT,
        "Nodes whose exporter does not answer: nothing is known of their bricks.",
        levels=shared.NONE_IS_WELL,
        width=6,
        links=[to("exporter", "Exporters")],
    ),
    stat(
        "Age of data",
        "max(time() - timestamp(glupy_brick_up{$*}))",
        unit.SECONDS,
        "Time since the oldest of the last scrapes.",
        levels=thresholds((0, GOOD), (60, ODD), (180, BAD)),
        width=6,
    ),
    shared.to_heal(),
    shared.fullest(links=[to("capacity", "Capacity")]),
)

alerts = row(
    "Alerts",
    shared.firing(),
)

operations = row(
    "Operations and throughput",
    *shared.work(
        (FOPS, "Fops that clients asked for, a write to all replicas counted once."),
        (READ, "Bytes of file data that reads returned."),
        (WRITTEN, "Bytes of file data that writes stored, all replicas counted once."),
        width=6,
    ),
    shared.under_way("cluster_volume_fop:glupy_fop_duration_seconds_sum:rate5m{$*}"),
    areas(
        "Operations by volume",
        [("{{name}}", with_cluster(top(FOPS, "cluster, volume")))],
        unit.OPS_PER_SEC,
        "Fops a second, a write to all replicas counted once. A click leads to the volume.",
        links=[TO_VOLUME],
    ),
    areas(
        "Operations by fop",
        [("{{name}}", top("cluster_volume_fop:glupy_fops:rate5m{$*}", "fop"))],
        unit.OPS_PER_SEC,
        "Fops a second by fop. A click leads to the page of volumes with that fop.",
        links=[to("volume", "Volume", fop=field_label("fop"))],
    ),
    shared.throughput(
        READ, WRITTEN, "Bytes of file data read, and written with all replicas counted once."
    ),
    areas(
        "Errors by errno",
        [("{{name}}", or_zero(top(ERRORS, "errno"), name="none"))],
        unit.OPS_PER_SEC,
        "Fops that bricks answered with an error. Many of these are normal, such as ENOENT to a"
        " lookup of a free name. Watch EIO, EROFS, ENOSPC, and changes.",
    ),
)

latency = row(
    "Latency",
    lines(
        "Latency",
        [
            ("median", f"histogram_quantile(0.5, sum by (le) ({BUCKETS}))"),
            ("p99", f"histogram_quantile(0.99, sum by (le) ({BUCKETS}))"),
            # Of 1 the sums of rounded rates make the last bucket, if the highest two differ at all.
            ("slowest", f"histogram_quantile(0.99999, sum by (le) ({BUCKETS}))"),
        ],
        unit.SECONDS,
        "Time that fops took in the bricks, without those that wait for another client's lock. The"
        " slowest is 1 in 100,000, as far as the buckets of the histogram tell.",
    ),
    lines(
        "p99 latency by volume",
        [
            (
                "{{name}}",
                with_cluster(
                    of_busiest(f"max by (cluster, volume) ({P99})", FOPS, "cluster, volume")
                ),
            )
        ],
        unit.SECONDS,
        "99 of 100 fops of the volume's slowest kind took no longer; of the ten busiest volumes. A"
        " click leads to the volume.",
        links=[TO_VOLUME],
    ),
)

busiest = row(
    "Busiest",
    table(
        "Volumes",
        [
            Column("operations", f"sum by (cluster, volume) ({FOPS})", unit.OPS_PER_SEC),
            Column("read", f"sum by (cluster, volume) ({READ})", unit.BYTES_SEC_IEC),
            Column("written", f"sum by (cluster, volume) ({WRITTEN})", unit.BYTES_SEC_IEC),
            Column("p99", f"max by (cluster, volume) ({P99})", unit.SECONDS),
            Column("errors", f"sum by (cluster, volume) ({ERRORS})", unit.OPS_PER_SEC),
        ],
        "cluster, volume",
        "All volumes with the translator; p99 is that of the slowest kind of fop. A click on a name"
        " leads to the volume.",
        height=6,
        links={"volume": tables.TO_VOLUME},
    ),
    table(
        "Hosts",
        [
            Column(
                "operations",
                "sum by (cluster, host) (cluster_host_volume_brick:glupy_fops:rate5m{$*})",
                unit.OPS_PER_SEC,
            ),
            Column(
                "read",
                f'sum by (cluster, host) ({HOST_BYTES}{{$*,direction="read"}})',
                unit.BYTES_SEC_IEC,
            ),
            Column(
                "written",
                f'sum by (cluster, host) ({HOST_BYTES}{{$*,direction="write"}})',
                unit.BYTES_SEC_IEC,
            ),
            Column("bricks up", "sum by (cluster, host) (glupy_brick_up{$*})", unit.SHORT),
        ],
        "cluster, host",
        "The work of each node's bricks, each replica counted. A click on a name leads to the"
        " node's bricks.",
        height=6,
        links={"host": TO_HOST},
    ),
    tables.files("Files and directories", "What is worked on, in all volumes."),
    tables.clients("Clients", "Who works, in all volumes."),
)

dashboard = board(
    "cluster",
    "Is the cluster well, what does it do, and who makes it do so?",
    "A click on a volume, a host, a file or a client leads to its own page.",
    [health, alerts, operations, latency, busiest],
)
