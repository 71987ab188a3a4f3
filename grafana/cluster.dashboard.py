"""The whole cluster: is it well, what does it do, and who makes it do so."""

from grafanalib import formatunits as unit

from blocks import shared, tables
from blocks.board import board, row
from blocks.links import column, field_label, to
from blocks.panels import BAD, Column, bars, lines, stat, table, thresholds
from blocks.queries import or_zero, with_cluster

NONE_IS_WELL = thresholds((1, BAD))

FOPS = "cluster_volume_kind:glupy_fops:rate5m{$*}"
READ = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="write"}'
BUCKETS = "cluster_volume_kind_le:glupy_fop_duration_seconds_bucket:rate5m{$*}"
P99 = "cluster_volume_kind:glupy_fop_duration_seconds:p99_rate5m{$*}"
ERRORS = "cluster_volume_errno:glupy_fop_errors:rate5m{$*}"
HOST_BYTES = "cluster_host_volume_brick_direction:glupy_io_bytes:rate5m"

TO_VOLUME = to("volume", "Volume", cluster=field_label("cluster"), volume=field_label("volume"))
TO_HOST = to("brick", "Bricks of the host", cluster=column("cluster"), host=column("host"))

health = row(
    "Health",
    stat(
        "Bricks up",
        or_zero("sum(glupy_brick_up{$*})"),
        unit.SHORT,
        "Bricks whose process runs and holds its segment.",
    ),
    stat(
        "Bricks down",
        or_zero("count(glupy_brick_up{$*} == 0)"),
        unit.SHORT,
        "Bricks whose process ended without an orderly stop and left its segment behind.",
        levels=NONE_IS_WELL,
        links=[to("brick", "Bricks")],
    ),
    shared.translator("; a volume without any is not known."),
    stat(
        "Alerts firing",
        or_zero('count(ALERTS{$*,alertname=~"Glupy.*",alertstate="firing"})'),
        unit.SHORT,
        "Alerts of the shipped rules that fire; they are listed at the end.",
        levels=NONE_IS_WELL,
    ),
    stat(
        "Exporters down",
        or_zero('count(up{$*,job="glupy"} == 0)'),
        unit.SHORT,
        "Nodes whose exporter does not answer: nothing is known of their bricks.",
        levels=NONE_IS_WELL,
        links=[to("exporter", "Exporters")],
    ),
    *shared.work(
        (FOPS, "Fops that clients asked for, a write to all replicas counted once."),
        (READ, "Bytes of file data that reads returned."),
        (WRITTEN, "Bytes of file data that writes stored, all replicas counted once."),
    ),
)

operations = row(
    "Operations and throughput",
    bars(
        "Operations by volume",
        [("{{volume}}", with_cluster(f"sum by (cluster, volume) ({FOPS})"))],
        unit.OPS_PER_SEC,
        "Fops a second, a write to all replicas counted once. A click leads to the volume.",
        width=8,
        links=[TO_VOLUME],
    ),
    bars(
        "Operations by fop",
        [("{{fop}}", "sum by (fop) (cluster_volume_fop:glupy_fops:rate5m{$*})")],
        unit.OPS_PER_SEC,
        "The same by fop. A click leads to what is known of the fop.",
        width=8,
        links=[to("volume", "Volume", fop=field_label("fop"))],
    ),
    shared.throughput(
        READ,
        WRITTEN,
        "Bytes of file data read, and written with all replicas counted once.",
        width=8,
    ),
)

quality = row(
    "Latency and errors",
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
        width=8,
    ),
    lines(
        "p99 latency by volume",
        [("{{volume}}", with_cluster(f"max by (cluster, volume) ({P99})"))],
        unit.SECONDS,
        "99 of 100 fops of the volume's slowest kind took no longer. A click leads to the volume.",
        width=8,
        links=[TO_VOLUME],
    ),
    bars(
        "Errors by errno",
        [("{{errno}}", or_zero(f"sum by (errno) ({ERRORS})", errno="none"))],
        unit.OPS_PER_SEC,
        "Fops that bricks answered with an error. Many are answers, such as ENOENT to a lookup of a"
        " name that is free: watch EIO, EROFS, ENOSPC, and changes.",
        width=8,
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
        width=12,
        links={"volume": tables.TO_VOLUME},
        bars=False,
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
        "What the bricks of each node do, every replica's work counted. A click on a name leads to"
        " the node's bricks.",
        width=12,
        links={"host": TO_HOST},
        bars=False,
    ),
    tables.files("Files and directories", "What is worked on, in all volumes."),
    tables.clients("Clients", "Who works, in all volumes."),
)

alerts = row(
    "Alerts",
    table(
        "Firing",
        [
            Column(
                "firing",
                "count by (cluster, severity, alertname, host, volume, brick)"
                ' (ALERTS{$*,alertname=~"Glupy.*",alertstate="firing"})',
                unit.SHORT,
            )
        ],
        "severity, alertname, cluster, host, volume, brick",
        "Alerts of the shipped rules; each has a runbook. An empty table means that none fires.",
        height=6,
    ),
)

dashboard = board(
    "cluster",
    "Cluster",
    "Is the cluster well, what does it do, and who makes it do so.",
    [health, operations, quality, busiest, alerts],
)
