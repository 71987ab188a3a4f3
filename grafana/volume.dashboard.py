"""Volumes: what they are asked to do, how fast they do it, how evenly their replicas share it."""

from grafanalib import formatunits as unit

from blocks import shared, tables
from blocks.board import board, row
from blocks.links import column, field_label, to
from blocks.panels import (
    BAD,
    ODD,
    Column,
    bars,
    columns,
    gauges,
    heatmap,
    lines,
    stat,
    table,
    thresholds,
)
from blocks.queries import or_zero

FOPS = "cluster_volume_fop:glupy_fops:rate5m"
READ = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_volume_direction:glupy_io_bytes:rate5m{$*,direction="write"}'
KIND_P50 = "cluster_volume_kind:glupy_fop_duration_seconds:p50_rate5m{$*}"
KIND_P99 = "cluster_volume_kind:glupy_fop_duration_seconds:p99_rate5m{$*}"
FOP_P99 = "cluster_volume_fop:glupy_fop_duration_seconds:p99_rate5m{$*}"
ERRORS = "cluster_volume_errno:glupy_fop_errors:rate5m{$*}"
BRICK_READS = 'cluster_host_volume_brick_kind:glupy_fops:rate5m{$*,kind="read"}'
BRICK_MEAN = "cluster_host_volume_brick_kind:glupy_fop_duration_seconds:mean_rate5m"

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

now = row(
    "Now",
    *shared.work(
        (f"{FOPS}{{$*}}", "Fops that clients asked for, a write to all replicas counted once."),
        (READ, "Bytes of file data that reads returned."),
        (WRITTEN, "Bytes of file data that writes stored, all replicas counted once."),
    ),
    stat(
        "In flight",
        or_zero("sum(glupy_fops_in_flight{$*})"),
        unit.SHORT,
        "Fops that the bricks have not answered yet, those that wait for a lock included.",
    ),
    stat(
        "p99 latency",
        f"max({KIND_P99})",
        unit.SECONDS,
        "99 of 100 fops of the slowest kind took no longer in the bricks.",
        none="no fops",
    ),
    stat(
        "Errors",
        or_zero(f"sum({ERRORS})"),
        unit.OPS_PER_SEC,
        "Fops answered with an error. Many are answers, such as ENOENT to a lookup.",
    ),
    shared.up(
        "Bricks up",
        "Of the bricks with the translator, those whose process runs.",
        links=[to("brick", "Bricks")],
    ),
    shared.translator(". What the others do is missing here."),
)

operations = row(
    "Operations",
    bars(
        "Operations by kind",
        [("{{kind}}", "sum by (kind) (cluster_volume_kind:glupy_fops:rate5m{$*})")],
        unit.OPS_PER_SEC,
        "Reads and writes of file data, and all other fops, as metadata.",
    ),
    bars(
        "Operations by fop",
        [("{{fop}}", f"sum by (fop) ({FOPS}{{$*}})")],
        unit.OPS_PER_SEC,
        "Each fop by its name in GlusterFS. A click chooses the fop.",
        links=[TO_FOP],
    ),
    columns(
        "Operations in the time range",
        "fop",
        Column(
            "operations",
            f"sort_desc(topk(15, sum by (fop) (avg_over_time({FOPS}{{$*}}[$__range])) > 0))",
            unit.OPS_PER_SEC,
            links=[to("volume", "This fop", fop=column("fop"))],
        ),
        "The mean of the 15 busiest fops over the time range of the page. A click chooses the fop.",
    ),
    shared.throughput(
        READ, WRITTEN, "Bytes of file data read, and written with all replicas counted once."
    ),
)

latency = row(
    "Latency",
    heatmap(
        "Latency of all fops",
        "sum by (le) (cluster_volume_fop_le:glupy_fop_duration_seconds_bucket:rate5m{$*})",
        unit.SECONDS,
        "How many fops a second took how long in the bricks: each replica's answer is one. Fops"
        " that wait for another client's lock are in it; the selector of fops leaves them out.",
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
        ("{{fop}}", f"sort_desc(max by (fop) (avg_over_time({FOP_P99}[$__range])))"),
        unit.SECONDS,
        "The mean over the time range of what 99 of 100 took at most. A click chooses the fop.",
        levels=thresholds((0.05, ODD), (0.5, BAD)),
        links=[TO_FOP],
    ),
    bars(
        "Errors by errno",
        [("{{errno}}", or_zero(f"sum by (errno) ({ERRORS})", errno="none"))],
        unit.OPS_PER_SEC,
        "Fops that bricks answered with an error, of each replica. Many are answers, such as ENOENT"
        " to a lookup of a name that is free: watch EIO, EROFS, ENOSPC, and changes.",
        width=6,
    ),
    lines(
        "Share of errors by fop",
        [
            (
                "{{fop}}",
                or_zero(
                    "max by (fop) (cluster_volume_fop:glupy_fop_errors:ratio_rate5m{$*})",
                    fop="none",
                ),
            )
        ],
        unit.PERCENT_UNIT,
        "How much of a fop is answered with an error. A click chooses the fop.",
        width=6,
        links=[TO_FOP],
    ),
)

sizes = row(
    "I/O sizes",
    heatmap(
        "Sizes of reads",
        'sum by (le) (rate(glupy_io_size_bytes_bucket{$*,direction="read"}[5m]))',
        unit.BYTES_IEC,
        "How many reads a second returned how much, in the block sizes of gluster volume profile.",
    ),
    heatmap(
        "Sizes of writes",
        'sum by (le) (rate(glupy_io_size_bytes_bucket{$*,direction="write"}[5m]))',
        unit.BYTES_IEC,
        "How many writes a second stored how much, on each replica.",
    ),
)

replicas = row(
    "Replicas",
    bars(
        "Reads by replica",
        [("{{host}}:{{brick}}", f"sum by (host, brick) ({BRICK_READS})")],
        unit.OPS_PER_SEC,
        "Which replicas serve the reads; those of one set should have equal shares. A click leads"
        " to the brick.",
        links=[TO_BRICK],
    ),
    lines(
        "Imbalance of reads",
        [
            (
                "{{volume}} set {{set}}",
                f"max by {SET} ({BRICK_READS}{IN_SET})"
                f" / (avg by {SET} ({BRICK_READS}{IN_SET}) > 0) or max by {SET} (1 + 0 *"
                f" {BRICK_READS}{IN_SET})",
            )
        ],
        unit.SHORT,
        "Reads of a set's busiest replica as a multiple of its mean: 1 is even, or nothing is read;"
        " the number of replicas means that one serves all.",
    ),
    lines(
        "Write latency by replica",
        [("{{host}}:{{brick}}", f'max by (host, brick) ({BRICK_MEAN}{{$*,kind="write"}})')],
        unit.SECONDS,
        "Mean time of writes in each brick. A write is done when the slowest replica is. A click"
        " leads to the brick.",
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
                "times the fastest",
                f"topk by {SET} (1, {PER_BRICK} ({WRITE_LATENCY}))"
                f" / on {SET} group_left () min by {SET} ({WRITE_LATENCY})",
                unit.SHORT,
            ),
        ],
        "cluster, volume, set, host, brick",
        "The replica that holds up the writes of its set, by its mean. A click on a brick leads to"
        " it.",
        width=12,
        height=8,
        links={"brick": tables.TO_BRICK},
        hidden=["cluster"],
        bars=False,
    ),
)

busiest = row(
    "Busiest",
    tables.bricks("Bricks", "What bricks do, every replica's work counted."),
    tables.files("Files", "Files only.", only=',type!="directory"'),
    tables.files("Directories", "Directories only.", only=',type="directory"'),
    tables.clients("Clients", "Who works on these volumes."),
)

dashboard = board(
    "volume",
    "Volume",
    "What volumes are asked to do, how fast they do it, and how evenly their replicas share it.",
    [now, operations, latency, sizes, replicas, busiest],
)
