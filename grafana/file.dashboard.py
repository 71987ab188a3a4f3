"""One file or directory: who does what to it, and where."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.links import field_label, to
from grafana.blocks.panels import Column, areas, lines, stat, table
from grafana.blocks.queries import Folded, named, or_zero, rate

INFO = "cluster_volume_gfid_path_type:glupy_file_fops:rate5m{$*}"
FOPS = Folded("glupy_file_fops_total", "kind")
SECONDS = Folded("glupy_file_fop_seconds_total", "kind")
BYTES = Folded("glupy_file_io_bytes_total", "direction")
READ, WRITTEN = BYTES.reads(), BYTES.others()

ON_BRICK = rate("glupy_file_fops_total{$*}")
BYTES_ON_BRICK = rate("glupy_file_io_bytes_total{$*}")
SECONDS_ON_BRICK = rate("glupy_file_fop_seconds_total{$*}")
TOP_CLIENT = "glupy_file_top_client_info{$*}"

TO_BRICK = to("brick", "Brick", host=field_label("host"), brick=field_label("brick"))
TO_CLIENT = to("client", "Client", client=field_label("client"))


def by_replica(expr: str) -> list[tuple[str, str]]:
    """Each brick's sum; a file is on the few bricks of its set."""
    return [("{{name}}", named(expr, "brick"))]


which = row(
    "Which file",
    stat(
        "Path",
        f"topk(1, {INFO})",
        unit.SHORT,
        "The file's path from the volume's root.",
        width=24,
        legend="{{path}}",
        none="nothing is known of this file",
    ),
    stat(
        "Volume",
        f"topk(1, {INFO})",
        unit.SHORT,
        "The volume that the file is in. A click leads to it.",
        width=8,
        legend="{{volume}}",
        links=[to("volume", "Volume", volume=field_label("volume"))],
    ),
    stat(
        "Type",
        f"topk(1, {INFO})",
        unit.SHORT,
        "File, directory, or another type.",
        width=8,
        legend="{{type}}",
    ),
    stat(
        "Busiest client",
        f"topk(1, count by (client) ({TOP_CLIENT}))",
        unit.SHORT,
        "The client that does most on the file of late, as far as it is known: right if one does"
        " more than half. A click leads to it.",
        width=8,
        legend="{{client}}",
        links=[TO_CLIENT],
    ),
)

now = row(
    "Now",
    *shared.work(
        (str(FOPS), "Fops on the file, a write to all replicas counted once."),
        (READ, "Bytes that reads of the file returned."),
        (WRITTEN, "Bytes that writes to the file stored, all replicas counted once."),
        known=INFO,
    ),
    stat(
        "Time a second",
        or_zero(f"sum({SECONDS})", INFO),
        unit.SECONDS,
        "Time that fops on the file take in the bricks: 2 s a second are two fops at any moment.",
        width=6,
    ),
    stat(
        "Mean time",
        f"sum({SECONDS}) / (sum({FOPS}) > 0)",
        unit.SECONDS,
        "Time that a fop on the file takes in the bricks.",
        width=6,
    ),
)

course = row(
    "Over time",
    areas(
        "Operations by kind",
        [("{{kind}}", f"sum by (kind) ({FOPS})")],
        unit.OPS_PER_SEC,
        "Fops on the file, a write to all replicas counted once.",
    ),
    shared.throughput(
        READ,
        WRITTEN,
        "Bytes of the file read, and written with all replicas counted once.",
        known=INFO,
    ),
    areas(
        "Time a second by kind",
        [("{{kind}}", f"sum by (kind) ({SECONDS})")],
        unit.SECONDS,
        "Time that fops on the file take in the bricks.",
    ),
    areas(
        "Operations by busiest client",
        [
            (
                "{{client}}",
                or_zero(
                    f"sum by (client) (sum by (cluster, host, volume, brick, gfid) ({ON_BRICK})"
                    " * on (cluster, host, volume, brick, gfid) group_left (client)"
                    " max by (cluster, host, volume, brick, gfid, client)"
                    f" ({TOP_CLIENT}))",
                    INFO,
                    client="not known",
                ),
            )
        ],
        unit.OPS_PER_SEC,
        "The work of each replica on the file, by the client that does most there of late. A click"
        " leads to the client.",
        links=[TO_CLIENT],
    ),
)

replicas = row(
    "Replicas",
    areas(
        "Operations by replica",
        by_replica(f"sum by (host, brick) ({ON_BRICK})"),
        unit.OPS_PER_SEC,
        "Fops on the file on each brick that has it. A click leads to the brick.",
        links=[TO_BRICK],
    ),
    areas(
        "Throughput by replica",
        by_replica(f"sum by (host, brick) ({BYTES_ON_BRICK})"),
        unit.BYTES_SEC_IEC,
        "Bytes of the file read and written on each brick.",
        links=[TO_BRICK],
    ),
    lines(
        "Mean time by replica",
        by_replica(
            f"sum by (host, brick) ({SECONDS_ON_BRICK}) / (sum by (host, brick) ({ON_BRICK}) > 0)"
        ),
        unit.SECONDS,
        "Time that a fop on the file takes in each brick.",
        width=24,
        links=[TO_BRICK],
    ),
    table(
        "Busiest client on each replica",
        [
            Column(
                "operations",
                f"sum by (cluster, volume, host, brick, gfid) ({ON_BRICK})"
                " * on (cluster, volume, host, brick, gfid) group_left (client)"
                f" max by (cluster, volume, host, brick, gfid, client) ({TOP_CLIENT})",
                unit.OPS_PER_SEC,
            )
        ],
        "cluster, volume, client, host, brick, gfid",
        "The client that does most on the file of late, on each brick that has it. A click on a"
        " client leads to it.",
        height=6,
        links={"client": tables.TO_CLIENT, "brick": tables.TO_BRICK},
        hidden=["cluster", "volume", "gfid"],
        none="not known",
    ),
)

others = row(
    "Other files",
    tables.files(
        "Busiest files and directories", "Those of the chosen volumes.", "$cluster,$volume"
    ),
)

dashboard = board(
    "file",
    "Who does what to one file or directory, and on which bricks?",
    "The page opens on the busiest file; choose another one above, or from the table at the end.",
    [which, now, course, replicas, others],
)
