"""Bricks: the state, the work, the latencies and the tables of each."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.colors import BAD, GOOD, ODD
from grafana.blocks.links import field_label, to
from grafana.blocks.panels import (
    PER_SECOND,
    Column,
    areas,
    gauges,
    heatmap,
    lines,
    stat,
    table,
    thresholds,
)
from grafana.blocks.queries import SLOW, WAITING, OfBricks, named, of_busiest, or_zero, rate, top

FOPS = OfBricks(
    "glupy_fop_duration_seconds_count", "cluster_volume_fop:glupy_fop_duration_seconds_count:rate5m"
)
BRICK_FOPS = "cluster_host_volume_brick:glupy_fops:rate5m{$*}"
READ = 'cluster_host_volume_brick_direction:glupy_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_host_volume_brick_direction:glupy_io_bytes:rate5m{$*,direction="write"}'
BUCKETS = OfBricks(
    "glupy_fop_duration_seconds_bucket",
    "cluster_volume_fop_le:glupy_fop_duration_seconds_bucket:rate5m",
)
SECONDS = OfBricks(
    "glupy_fop_duration_seconds_sum", "cluster_volume_fop:glupy_fop_duration_seconds_sum:rate5m"
)
ERRORS = OfBricks("glupy_fop_errors_total", "cluster_volume_fop_errno:glupy_fop_errors:rate5m")
KIND = "cluster_host_volume_brick_kind:glupy_fop_duration_seconds"

TO_FOP = to("brick", "This fop", fop=field_label("fop"))
TO_THIS = to("brick", "This brick", host=field_label("host"), brick=field_label("brick"))


def of_bricks(value: str) -> list[tuple[str, str]]:
    """A value of each of the ten busiest bricks."""
    return [("{{name}}", of_busiest(value, BRICK_FOPS, "host, brick"))]


def share(title: str, noun: str) -> list:
    """Panels about the table of `noun`, "file" or "client", of each brick."""
    return [
        lines(
            f"{title} tracked",
            of_bricks(
                f"max by (host, brick) (glupy_{noun}s_tracked{{$*}} / glupy_{noun}s_slots{{$*}})"
            ),
            unit.PERCENT_UNIT,
            f"Slots of the brick's {noun} table that are used. A full table is well as long as few"
            " are evicted.",
            height=6,
        ),
        areas(
            f"{title} evicted",
            [("{{name}}", top(f"glupy_{noun}s_evicted_total{{$*}}", "host, brick"))],
            PER_SECOND,
            f"{title} that lost their slot to busier ones. If many do, more slots help:"
            f" user.xlator.glupy.{noun}-slots.",
            height=6,
        ),
        areas(
            f"Fops of {noun}s without a slot",
            [("{{name}}", top(f"glupy_{noun}_untracked_fops_total{{$*}}", "host, brick"))],
            unit.OPS_PER_SEC,
            f"Fops that no glupy_{noun}_ metric has.",
            height=6,
        ),
        lines(
            f"Error bound of {noun}s' counts",
            of_bricks(f"max by (host, brick) (glupy_{noun}_count_error_bound{{$*}})"),
            unit.SHORT,
            f"The most fops by which the count of any exported {noun} may be too low, since it may"
            " have been at work before it got its slot.",
            height=6,
        ),
    ]


state = row(
    "State",
    shared.up("Up", "Of the chosen bricks of started volumes, those whose process runs."),
    stat(
        "Heartbeat",
        "max(glupy_segment_heartbeat_age_seconds{$*}"
        " and on (cluster, host, volume, brick) glupy_brick_up == 1)",
        unit.SECONDS,
        "How long ago the translator's maintenance thread, which wakes every second, last ran in"
        " the worst of the bricks that are up; as old as the scrape when all is well.",
        levels=thresholds((0, GOOD), (60, BAD)),
    ),
    stat(
        "Counting off",
        or_zero("count(glupy_brick_counting_enabled{$*} == 0)"),
        unit.SHORT,
        "Bricks that do not count, as user.xlator.glupy.enabled is off.",
        levels=thresholds((0, GOOD), (1, ODD)),
    ),
    stat(
        "Oldest non-lock fop",
        or_zero(f'max(glupy_fops_in_flight_oldest_seconds{{$*,fop!~"{WAITING}"}})'),
        unit.SECONDS,
        "Age of the oldest fop that has not come back. Fops that may wait for another client's lock"
        ' are left out; the row "Slow fops" has them.',
        levels=thresholds((0, GOOD), (1, ODD), (30, BAD)),
        width=6,
    ),
    stat(
        "Counting for",
        "min(time() - glupy_segment_created_timestamp_seconds{$*})",
        unit.SECONDS,
        "Time since all counters of the youngest brick began at 0, at its start or a change of its"
        " tables.",
        width=6,
    ),
    shared.under_way(SECONDS.each()),
    *shared.work(
        (FOPS.each(), "Fops that came to the bricks, those of GlusterFS's own clients included."),
        (READ, "Bytes of file data that reads returned."),
        (WRITTEN, "Bytes of file data that writes stored."),
        width=6,
    ),
)

operations = row(
    "Operations",
    areas(
        "Operations by fop",
        [("{{name}}", top(FOPS, "fop"))],
        unit.OPS_PER_SEC,
        "The ten busiest fops, and all others. A click chooses the fop.",
        links=[TO_FOP],
    ),
    areas(
        "Operations by brick",
        [("{{name}}", top(BRICK_FOPS, "host, brick"))],
        unit.OPS_PER_SEC,
        "Fops a second of the ten busiest bricks, and of all others. A click chooses the brick.",
        links=[TO_THIS],
    ),
    shared.throughput(READ, WRITTEN, "Bytes of file data."),
    areas(
        "In flight by fop",
        [("{{name}}", top(SECONDS, "fop"))],
        unit.SHORT,
        "Fops that are in flight at any moment, as a mean: the time that they take a second. A fop"
        " that waits for a lock is counted when the wait is over. A click chooses the fop.",
        links=[TO_FOP],
    ),
    areas(
        "Operations of GlusterFS itself",
        [
            (
                "{{origin}} {{kind}}",
                or_zero(
                    f"sum by (origin, kind) ({rate('glupy_internal_fops_total{$*}')})",
                    origin="none",
                ),
            )
        ],
        unit.OPS_PER_SEC,
        "Self-heal, rebalance and others. The operations above include them; the numbers of files"
        " and clients do not.",
        width=24,
    ),
)

latency = row(
    "Latency and errors",
    heatmap(
        "Latency",
        f"sum by (le) ({BUCKETS.each()})",
        unit.SECONDS,
        "Fops a second by the time that they took below the translator. Fops that wait for another"
        " client's lock are included; the selector of fops leaves them out.",
    ),
    lines(
        "Latency by kind",
        [
            ("{{kind}} p99", f"max by (kind) ({KIND}:p99_rate5m{{$*}})"),
            ("{{kind}} mean", f"max by (kind) ({KIND}:mean_rate5m{{$*}})"),
        ],
        unit.SECONDS,
        "99 of 100 fops took no longer, and the mean; of several bricks the slowest. Fops that may"
        " wait for another client's lock are left out.",
        height=9,
    ),
    gauges(
        "Median latency by fop",
        f"sort_desc(histogram_quantile(0.5, sum by (fop, le) ({BUCKETS.whole()}))"
        f" and on (fop) topk(10, sum by (fop) ({FOPS.whole()})))",
        unit.SECONDS,
        "Half of each of the ten busiest fops took no longer, over the time range. A click chooses"
        " the fop.",
        links=[TO_FOP],
    ),
    lines(
        "p99 latency by fop",
        [
            (
                "{{name}}",
                of_busiest(
                    f"histogram_quantile(0.99, sum by (fop, le) ({BUCKETS.each()}))", FOPS, "fop"
                ),
            )
        ],
        unit.SECONDS,
        "99 of 100 of each of the ten busiest fops took no longer. A click chooses the fop.",
        height=10,
        links=[TO_FOP],
    ),
    areas(
        "Errors by fop and errno",
        [
            (
                "{{fop}} {{name}}",
                or_zero(top(ERRORS, "fop, errno"), fop="none"),
            )
        ],
        unit.OPS_PER_SEC,
        "Fops answered with an error. EIO, EROFS and ENOSPC come from the brick's file system.",
        width=24,
        links=[TO_FOP],
    ),
)

slow = row(
    "Slow fops",
    areas(
        "Slow fops by fop",
        [("{{name}}", or_zero(top(SLOW, "fop"), name="none"))],
        unit.OPS_PER_SEC,
        "Fops that took at least the threshold of their class. `glupy-exporter slow` on the node"
        " shows each of them. A click chooses the fop.",
        links=[TO_FOP],
    ),
    lines(
        "Oldest fop in flight by fop",
        [
            (
                "{{name}}",
                named("topk(10, max by (fop) (glupy_fops_in_flight_oldest_seconds{$*}))", "fop"),
            )
        ],
        unit.SECONDS,
        "Age of the oldest fop of each name that has not come back. A fop that asks for a lock may"
        " wait as long as the holder likes. A click chooses the fop.",
        links=[TO_FOP],
    ),
    table(
        "Oldest fops in flight",
        [
            Column(
                "age",
                "topk(20, max by (cluster, volume, path, fop, client, holder, host, brick, gfid)"
                " (glupy_fop_in_flight_seconds{$*}))",
                unit.SECONDS,
            )
        ],
        "cluster, volume, path, fop, client, holder, host, brick, gfid",
        "Fops that have not come back for long, with their clients, and with the holders of the"
        " locks for which they wait. A click on a path leads to the file.",
        height=6,
        links={
            "path": tables.TO_FILE,
            "client": tables.TO_CLIENT,
            "fop": tables.TO_BRICK,
        },
        hidden=["cluster", "host", "brick", "gfid"],
        none="No fop is known to be in flight for long.",
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
                "process",
                "sum by (cluster, volume, host, brick, subvolume, pid) (glupy_brick_info{$*}"
                " * on (cluster, host, volume, brick) group_left () glupy_brick_up)",
                unit.SHORT,
                {1: ("up", GOOD), 0: ("down", BAD)},
            )
        ],
        "cluster, volume, host, brick, subvolume, pid",
        "The process of each brick; subvolume is the number of its replica or disperse set. The"
        " page Exporter has the versions.",
        links={"brick": tables.TO_BRICK, "volume": tables.TO_VOLUME},
        hidden=["cluster"],
    ),
)

dashboard = board(
    "brick",
    "Are bricks well, which of them is slow, and at what?",
    "A click on a brick or a fop narrows the page to it; one on a volume leads to the volume.",
    [state, operations, latency, slow, health, who],
)
