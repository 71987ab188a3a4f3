"""Bricks: the state, the work, the latencies and the tables of each."""

from grafanalib import formatunits as unit

from blocks import shared, tables
from blocks.board import board, row
from blocks.links import field_label, to
from blocks.panels import BAD, ODD, Column, bars, heatmap, lines, stat, table, thresholds
from blocks.queries import or_zero

FOPS = "cluster_host_volume_brick_fop:glupy_fops:rate5m{$*}"
READ = 'cluster_host_volume_brick_direction:glupy_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_host_volume_brick_direction:glupy_io_bytes:rate5m{$*,direction="write"}'
BUCKETS = "rate(glupy_fop_duration_seconds_bucket{$*}[5m])"
BRICK = "{{host}}:{{brick}}"

TO_FOP = to("brick", "This fop", fop=field_label("fop"))


def share(title: str, noun: str) -> list:
    """Three panels about the table of `noun`, "file" or "client", of each brick."""
    return [
        lines(
            f"{title} tracked",
            [
                (
                    BRICK,
                    f"max by (host, brick) (glupy_{noun}s_tracked{{$*}}"
                    f" / glupy_{noun}s_slots{{$*}})",
                )
            ],
            unit.PERCENT_UNIT,
            f"Slots of the brick's {noun} table that are used. A full table is well as long as few"
            " are evicted.",
            width=6,
        ),
        lines(
            f"{title} evicted",
            [(BRICK, f"sum by (host, brick) (rate(glupy_{noun}s_evicted_total{{$*}}[5m]))")],
            unit.COUNTS_PER_SEC,
            f"{title} that lost their slot to busier ones. If many do, more slots help:"
            f" user.xlator.glupy.{noun}-slots.",
            width=6,
        ),
        lines(
            f"Fops of {noun}s without a slot",
            [(BRICK, f"sum by (host, brick) (rate(glupy_{noun}_untracked_fops_total{{$*}}[5m]))")],
            unit.OPS_PER_SEC,
            f"Work that no glupy_{noun}_ metric has.",
            width=6,
        ),
        lines(
            f"Error bound of {noun}s' counts",
            [(BRICK, f"max by (host, brick) (glupy_{noun}_count_error_bound{{$*}})")],
            unit.SHORT,
            f"The most fops by which the count of any exported {noun} may be too low, since it may"
            " have been at work before it got its slot.",
            width=6,
        ),
    ]


state = row(
    "State",
    shared.up("Up", "Of the chosen bricks, those whose process runs."),
    stat(
        "Heartbeat",
        "max((time() - glupy_segment_heartbeat_timestamp_seconds{$*})"
        " and on (cluster, host, volume, brick) glupy_brick_up == 1)",
        unit.SECONDS,
        "How long ago the translator's maintenance thread, which wakes every second, last ran in"
        " the worst of the bricks that are up; as old as the scrape when all is well.",
        levels=thresholds((60, BAD)),
        none="unknown",
    ),
    stat(
        "Counting off",
        or_zero("count(glupy_brick_counting_enabled{$*} == 0)"),
        unit.SHORT,
        "Bricks that do not count, as user.xlator.glupy.enabled is off.",
        levels=thresholds((1, ODD)),
    ),
    stat(
        "Counting for",
        "min(time() - glupy_segment_created_timestamp_seconds{$*})",
        unit.SECONDS,
        "Since the last start of a brick, or change of its slots: then all counters began at 0.",
        none="unknown",
    ),
    *shared.work(
        (FOPS, "Fops that came to the bricks, those of GlusterFS's own clients included."),
        (READ, "Bytes of file data that reads returned."),
        (WRITTEN, "Bytes of file data that writes stored."),
    ),
    stat(
        "In flight",
        or_zero("sum(glupy_fops_in_flight{$*})"),
        unit.SHORT,
        "Fops that have not been answered yet.",
    ),
)

operations = row(
    "Operations",
    bars(
        "Operations by fop",
        [("{{fop}}", f"sum by (fop) ({FOPS})")],
        unit.OPS_PER_SEC,
        "Every fop's rate. A click chooses the fop.",
        height=10,
        links=[TO_FOP],
    ),
    bars(
        "Operations by brick",
        [(BRICK, f"sum by (host, brick) ({FOPS})")],
        unit.OPS_PER_SEC,
        "The same by brick. A click chooses the brick.",
        height=10,
        links=[to("brick", "This brick", host=field_label("host"), brick=field_label("brick"))],
    ),
    shared.throughput(READ, WRITTEN, "Bytes of file data.", width=8),
    lines(
        "In flight by fop",
        [("{{fop}}", or_zero("sum by (fop) (glupy_fops_in_flight{$*}) > 0"))],
        unit.SHORT,
        "Fops that have not been answered at the time of the scrape. Locks may wait for long; any"
        " other fop that stays here is stuck.",
        width=8,
        links=[TO_FOP],
    ),
    bars(
        "Operations of GlusterFS itself",
        [
            (
                "{{origin}} {{kind}}",
                or_zero(
                    "sum by (origin, kind) (rate(glupy_internal_fops_total{$*}[5m]))", origin="none"
                ),
            )
        ],
        unit.OPS_PER_SEC,
        "Self-heal, rebalance and the like. It is in the operations above, but in no file's and no"
        " client's.",
        width=8,
    ),
)

latency = row(
    "Latency and errors",
    heatmap(
        "Latency",
        f"sum by (le) ({BUCKETS})",
        unit.SECONDS,
        "How many fops a second took how long below the translator. Fops that wait for another"
        " client's lock are in it; the selector of fops leaves them out.",
    ),
    lines(
        "Latency by kind",
        [
            (
                "{{kind}} p99",
                "max by (kind)"
                " (cluster_host_volume_brick_kind:glupy_fop_duration_seconds:p99_rate5m{$*})",
            ),
            (
                "{{kind}} mean",
                "max by (kind)"
                " (cluster_host_volume_brick_kind:glupy_fop_duration_seconds:mean_rate5m{$*})",
            ),
        ],
        unit.SECONDS,
        "99 of 100 fops took no longer, and the mean; of several bricks the slowest. Fops that may"
        " wait for another client's lock are left out.",
        height=9,
    ),
    lines(
        "Median latency by fop",
        [("{{fop}}", f"histogram_quantile(0.5, sum by (fop, le) ({BUCKETS}))")],
        unit.SECONDS,
        "Half of the fops took no longer. A click chooses the fop.",
        width=8,
        links=[TO_FOP],
    ),
    lines(
        "p99 latency by fop",
        [("{{fop}}", f"histogram_quantile(0.99, sum by (fop, le) ({BUCKETS}))")],
        unit.SECONDS,
        "99 of 100 took no longer. A click chooses the fop.",
        width=8,
        links=[TO_FOP],
    ),
    bars(
        "Errors by fop and errno",
        [
            (
                "{{fop}} {{errno}}",
                or_zero(
                    "sum by (fop, errno) (rate(glupy_fop_errors_total{$*}[5m])) > 0", errno="none"
                ),
            )
        ],
        unit.OPS_PER_SEC,
        "Fops answered with an error. EIO, EROFS and ENOSPC are the brick's file system's.",
        width=8,
        links=[TO_FOP],
    ),
)

health = row("Tables of files and clients", *share("Files", "file"), *share("Clients", "client"))

who = row(
    "Which brick",
    tables.bricks("Busiest", "What the chosen bricks do."),
    table(
        "Identity",
        [
            Column(
                "up",
                "sum by (cluster, volume, host, brick, subvolume, pid, glusterfs_version,"
                " xlator_version) (glupy_brick_info{$*} * on (cluster, host, volume, brick)"
                " group_left () glupy_brick_up)",
                unit.SHORT,
            )
        ],
        "cluster, volume, host, brick, subvolume, pid, glusterfs_version, xlator_version",
        "The process of each brick and the versions that it runs; subvolume is the number of its"
        " replica or disperse set.",
        links={"brick": tables.TO_BRICK, "volume": tables.TO_VOLUME},
        bars=False,
    ),
)

dashboard = board(
    "brick",
    "Brick",
    "The state, the work, the latencies and the tables of bricks.",
    [state, operations, latency, health, who],
)
