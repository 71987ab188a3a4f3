"""Volumes: what they are asked to do, how fast they do it, how evenly their replicas share it."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.links import field_label, to
from grafana.blocks.panels import Column, areas, gauges, heatmap, lines, stat, table
from grafana.blocks.queries import SLOW, of_busiest, or_zero, rate, to_next_power, top

FOPS = "cluster_volume_fop:glupy_fops:rate5m{$*}"
READ = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="write"}'
KIND_P50 = "cluster_volume_kind:glupy_fop_duration_seconds:p50_rate5m{$*}"
KIND_P99 = "cluster_volume_kind:glupy_fop_duration_seconds:p99_rate5m{$*}"
FOP_BUCKETS = "cluster_volume_fop_le:glupy_fop_duration_seconds_bucket:rate5m{$*}"
ERRORS = "cluster_volume_errno:glupy_fop_errors:rate5m{$*}"
ERROR_RATIO = "cluster_volume_fop:glupy_fop_errors:ratio_rate5m{$*}"
BRICK_FOPS = "cluster_host_volume_brick_kind:glupy_fops:rate5m"
BRICK_MEAN = "cluster_host_volume_brick_kind:glupy_fop_duration_seconds:mean_rate5m"
BRICK_READS = f'{BRICK_FOPS}{{$*,kind="read"}}'

# What a brick does, with the replica set that it belongs to.
IN_SET = (
    " * on (cluster, host, volume, brick) group_left (set)"
    " cluster_host_volume_brick:glupy_brick:set"
)
SET = "(cluster, volume, set)"
WRITE_LATENCY = f'{BRICK_MEAN}{{$*,kind="write"}}{IN_SET}'
PER_BRICK = "max by (cluster, volume, set, host, brick)"

TO_FOP = to("volume", "This fop", fop=field_label("fop"))
TO_BRICK = to("brick", "Brick", host=field_label("host"), brick=field_label("brick"))


def sizes(direction: str) -> str:
    """How many reads or writes a second were of each size."""
    buckets = rate(f'glupy_io_size_bytes_bucket{{$*,direction="{direction}"}}')
    return to_next_power(f"sum by (le) ({buckets})")


now = row(
    "Now",
    *shared.work(
        (FOPS, "Fops that clients asked for, a write to all replicas counted once."),
        (READ, "Bytes of file data that reads returned."),
        (WRITTEN, "Bytes of file data that writes stored, all replicas counted once."),
        width=6,
    ),
    shared.under_way("cluster_volume_fop:glupy_fop_duration_seconds_sum:rate5m{$*}"),
    stat(
        "p99 latency",
        f"max({KIND_P99})",
        unit.SECONDS,
        "99 of 100 fops of the slowest kind took no longer in the bricks.",
        width=6,
    ),
    stat(
        "Errors",
        or_zero(f"sum({ERRORS})"),
        unit.OPS_PER_SEC,
        "Fops answered with an error. Many of these are normal, such as ENOENT to a lookup.",
        width=6,
    ),
    shared.up(
        "Bricks up",
        "Of the bricks of started volumes, with the translator or without, those whose process"
        " runs.",
        links=[to("brick", "Bricks")],
        width=6,
    ),
    shared.translator(". What the others do is missing here.", width=6),
)

operations = row(
    "Operations",
    areas(
        "Operations by kind",
        [("{{kind}}", "sum by (kind) (cluster_volume_kind:glupy_fops:rate5m{$*})")],
        unit.OPS_PER_SEC,
        "Reads and writes of file data, and all other fops, as metadata.",
    ),
    areas(
        "Operations by fop",
        [("{{name}}", top(FOPS, "fop"))],
        unit.OPS_PER_SEC,
        "The ten busiest fops by their names in GlusterFS, and all others. A click chooses the"
        " fop.",
        links=[TO_FOP],
    ),
    gauges(
        "Operations in the time range",
        f"sort_desc(topk(10, sum by (fop) (avg_over_time({FOPS}[$__range]))) > 0)",
        unit.OPS_PER_SEC,
        "The mean of the 10 busiest fops over the time range of the page. A click chooses the fop.",
        links=[TO_FOP],
    ),
    shared.throughput(
        READ,
        WRITTEN,
        "Bytes of file data read, and written with all replicas counted once.",
        height=10,
    ),
)

latency = row(
    "Latency",
    heatmap(
        "Latency of all fops",
        f"sum by (le) ({FOP_BUCKETS})",
        unit.SECONDS,
        "Fops a second by the time that they took in the bricks, each replica's answer counted."
        " Fops that wait for another client's lock are included; the selector of fops leaves them"
        " out.",
    ),
    lines(
        "Latency by kind",
        [
            ("{{kind}} p99", f"max by (kind) ({KIND_P99})"),
            ("{{kind}} median", f"max by (kind) ({KIND_P50})"),
        ],
        unit.SECONDS,
        "Half of the fops, and 99 of 100, took no longer. Of several volumes the slowest. Fops that"
        " may wait for another client's lock are left out.",
        height=9,
    ),
    gauges(
        "p99 latency by fop",
        "sort_desc(topk(10, histogram_quantile(0.99, sum by (fop, le)"
        f" (avg_over_time({FOP_BUCKETS}[$__range]))) > 0))",
        unit.SECONDS,
        "Of the 10 slowest fops: 99 of 100 took no longer, over the time range. A click chooses the"
        " fop.",
        links=[TO_FOP],
    ),
    lines(
        "Share of errors by fop",
        [
            (
                "{{name}}",
                or_zero(of_busiest(f"max by (fop) ({ERROR_RATIO})", FOPS, "fop"), name="none"),
            )
        ],
        unit.PERCENT_UNIT,
        "The share of each of the busiest fops that is answered with an error. A click chooses the"
        " fop.",
        height=10,
        links=[TO_FOP],
    ),
    areas(
        "Errors by errno",
        [("{{name}}", or_zero(top(ERRORS, "errno"), name="none"))],
        unit.OPS_PER_SEC,
        "Fops that bricks answered with an error, each replica counted. Many of these are normal,"
        " such as ENOENT to a lookup of a free name. Watch EIO, EROFS, ENOSPC, and changes.",
    ),
    areas(
        "Slow fops by fop",
        [("{{name}}", or_zero(top(SLOW, "fop"), name="none"))],
        unit.OPS_PER_SEC,
        "Fops that took at least the threshold of their class in a brick. A click chooses the fop.",
        links=[TO_FOP],
    ),
)

io_sizes = row(
    "I/O sizes",
    heatmap(
        "Sizes of reads",
        sizes("read"),
        unit.BYTES_IEC,
        "Reads a second by the bytes that they returned, in the block sizes of gluster volume"
        " profile. A row has the reads below its size, down to that of the row below.",
    ),
    heatmap(
        "Sizes of writes",
        sizes("write"),
        unit.BYTES_IEC,
        "Writes a second by the bytes that they stored, each replica counted.",
    ),
)

replicas = row(
    "Replicas of ${volume}",
    areas(
        "Reads by replica",
        [("{{name}}", top(BRICK_READS, "host, brick"))],
        unit.OPS_PER_SEC,
        "Reads that each replica serves. The replicas of a set should have equal shares. A click"
        " leads to the brick.",
        links=[TO_BRICK],
    ),
    lines(
        "Imbalance of reads",
        [
            (
                "{{volume}} set {{set}}",
                f"topk(10, max by {SET} ({BRICK_READS}{IN_SET})"
                f" / (avg by {SET} ({BRICK_READS}{IN_SET}) > 0) or max by {SET} (1 + 0 *"
                f" {BRICK_READS}{IN_SET}))",
            )
        ],
        unit.SHORT,
        "Reads of a set's busiest replica as a multiple of its mean: 1 is even, or nothing is read;"
        " the number of replicas means that one serves all. At each moment the ten largest.",
    ),
    lines(
        "Write latency by replica",
        [
            (
                "{{name}}",
                of_busiest(
                    f'max by (host, brick) ({BRICK_MEAN}{{$*,kind="write"}})',
                    f'{BRICK_FOPS}{{$*,kind="write"}}',
                    "host, brick",
                ),
            )
        ],
        unit.SECONDS,
        "Mean time of writes in each of the ten bricks with most. A write is done when the slowest"
        " replica is. A click leads to the brick.",
        width=24,
        links=[TO_BRICK],
    ),
    table(
        "Slowest replica of each set",
        [
            Column(
                "write latency",
                f"topk by {SET} (1, {PER_BRICK} ({WRITE_LATENCY}))",
                unit.SECONDS,
            ),
            Column(
                "times fastest",
                f"topk by {SET} (1, {PER_BRICK} ({WRITE_LATENCY}))"
                f" / on {SET} group_left () min by {SET} ({WRITE_LATENCY})",
                unit.SHORT,
            ),
        ],
        "cluster, volume, set, host, brick",
        "The replica that holds up the writes of its set, by its mean. A click on a brick leads to"
        " it.",
        height=8,
        links={"brick": tables.TO_BRICK},
        hidden=["cluster"],
    ),
    repeat="volume",
)

busiest = row(
    "Busiest",
    tables.bricks("Bricks", "What bricks do, every replica's work counted."),
    tables.files("Files", "Files only.", '$*,type!="directory"'),
    tables.files("Directories", "Directories only.", '$*,type="directory"', data=False),
    tables.clients("Clients", "Who works on these volumes."),
)

dashboard = board(
    "volume",
    "What do volumes do, how fast, and do their replicas share it evenly?",
    "A click on a fop narrows the page to it; one on a brick, file or client leads there.",
    [now, operations, latency, io_sizes, replicas, busiest],
)
