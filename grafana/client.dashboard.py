"""One client: what it does to which volumes, bricks and files."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.links import field_label, to
from grafana.blocks.panels import Column, areas, lines, stat, table
from grafana.blocks.queries import Folded, of_busiest, or_zero, rate, top, with_cluster

FOPS = "cluster_volume_client_kind:glupy_client_fops:rate5m{$*}"
SECONDS = Folded("glupy_client_fop_seconds_total", "kind")
READ = 'cluster_volume_client_direction:glupy_client_io_bytes:rate5m{$*,direction="read"}'
WRITTEN = 'cluster_volume_client_direction:glupy_client_io_bytes:rate5m{$*,direction="write"}'
ERRORS = "glupy_client_fop_errors_total{$*}"
CONNECTIONS = "glupy_client_connections{$*}"

TO_VOLUME = to("volume", "Volume", cluster=field_label("cluster"), volume=field_label("volume"))
TO_BRICK = to("brick", "Brick", host=field_label("host"), brick=field_label("brick"))

now = row(
    "Now",
    *shared.work(
        (FOPS, "Fops that the client asks for, a write to all replicas counted once."),
        (READ, "Bytes that its reads returned."),
        (WRITTEN, "Bytes that its writes stored, all replicas counted once."),
        known=FOPS,
    ),
    stat(
        "Mean time",
        f"sum({SECONDS}) / (sum({FOPS}) > 0)",
        unit.SECONDS,
        "Time that one of its fops takes in the bricks, without the network.",
    ),
    stat(
        "Errors",
        or_zero(f"sum({rate(ERRORS)})", FOPS),
        unit.OPS_PER_SEC,
        "Its fops that were answered with an error, ENOENT of a lookup included.",
    ),
    stat(
        "Connections",
        or_zero(f"sum({CONNECTIONS})", FOPS),
        unit.SHORT,
        "Its open connections to bricks: one for each mount and brick.",
    ),
)

course = row(
    "Over time",
    areas(
        "Operations by volume",
        [("{{name}}", with_cluster(top(FOPS, "cluster, volume")))],
        unit.OPS_PER_SEC,
        "The volumes on which the client works. A click leads to the volume.",
        links=[TO_VOLUME],
    ),
    areas(
        "Operations by kind",
        [("{{kind}}", f"sum by (kind) ({FOPS})")],
        unit.OPS_PER_SEC,
        "Reads and writes of file data, and everything else.",
    ),
    areas(
        "Time a second by kind",
        [("{{kind}}", f"sum by (kind) ({SECONDS})")],
        unit.SECONDS,
        "Time that its fops take in the bricks: 2 s a second are two fops at any moment.",
    ),
    shared.throughput(
        READ,
        WRITTEN,
        "Bytes of file data read, and written with all replicas counted once.",
        known=FOPS,
    ),
    areas(
        "Errors by volume",
        [("{{name}}", or_zero(with_cluster(top(ERRORS, "cluster, volume")), FOPS, name="none"))],
        unit.OPS_PER_SEC,
        "Its fops that were answered with an error, by each replica.",
    ),
)

where = row(
    "Bricks",
    areas(
        "Operations by brick",
        [("{{name}}", top("glupy_client_fops_total{$*}", "host, brick"))],
        unit.OPS_PER_SEC,
        "The bricks on which the client works, each replica counted. A click leads to the brick.",
        links=[TO_BRICK],
    ),
    lines(
        "Connections by brick",
        [
            (
                "{{name}}",
                of_busiest(
                    f"sum by (host, brick) ({CONNECTIONS})",
                    "cluster_host_volume_brick:glupy_fops:rate5m{$*}",
                    "host, brick",
                    f" and on (cluster, volume) avg_over_time({FOPS}[$__range] @ end())",
                ),
            )
        ],
        unit.SHORT,
        "A client that has fewer connections to one replica than to the others writes to the others"
        " only, and leaves work for self-heal. Of the ten busiest bricks of the volumes on which it"
        " works.",
        links=[TO_BRICK],
    ),
)

what = row(
    "Files and volumes",
    tables.files(
        "Files",
        "Files on which no other client does more.",
        among=" and on (cluster, volume, gfid) glupy_file_top_client_info{$*}",
    ),
    tables.clients("Volumes", "What the client does on each volume.", "volume", 6),
    table(
        "Connections by process",
        [
            Column(
                "open",
                f"sum by (cluster, client, process) ({CONNECTIONS})",
                unit.SHORT,
            ),
        ],
        "cluster, client, process",
        "The open connections of a client to bricks. A process is shown only with the volume option"
        " client-detail. /api/v1/clients of a node says when each client was first and last seen.",
        height=6,
        links={"client": tables.TO_CLIENT},
        hidden=["cluster"],
    ),
)

dashboard = board(
    "client",
    "What does a client do, to which volumes, bricks and files, and does it reach all replicas?",
    "A click on a volume, a brick or a file leads to its page.",
    [now, course, where, what],
)
