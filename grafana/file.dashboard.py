"""One file or directory, by its path or gfid: who does what to it, and where."""

from grafanalib import formatunits as unit

from blocks import shared, tables
from blocks.board import board, row
from blocks.links import field_label, to
from blocks.panels import Column, bars, lines, stat, table
from blocks.queries import or_zero

FOPS = "cluster_volume_gfid_path_type_kind:glupy_file_fops:rate5m{$*,$path,$gfid}"
SECONDS = "cluster_volume_gfid_path_type_kind:glupy_file_fop_seconds:rate5m{$*,$path,$gfid}"
BYTES = "cluster_volume_gfid_path_type_direction:glupy_file_io_bytes:rate5m"
READ = f'{BYTES}{{$*,$path,$gfid,direction="read"}}'
WRITTEN = f'{BYTES}{{$*,$path,$gfid,direction="write"}}'

# A brick may know a file by its gfid only; the recorded name tells whether it is among the chosen.
AMONG = "and on (cluster, volume, gfid) cluster_volume_gfid:glupy_file:info{$*,$path,$gfid}"
ON_BRICK = f"rate(glupy_file_fops_total{{$*,$gfid}}[5m]) {AMONG}"
BYTES_ON_BRICK = f"rate(glupy_file_io_bytes_total{{$*,$gfid}}[5m]) {AMONG}"
SECONDS_ON_BRICK = f"rate(glupy_file_fop_seconds_total{{$*,$gfid}}[5m]) {AMONG}"
TOP_CLIENT = f"glupy_file_top_client_info{{$*,$gfid}} {AMONG}"

REPLICA = "{{host}}:{{brick}}"
TO_BRICK = to("brick", "Brick", host=field_label("host"), brick=field_label("brick"))
TO_CLIENT = to("client", "Client", client=field_label("client"))

now = row(
    "Now",
    *shared.work(
        (FOPS, "Fops on the chosen files, a write to all replicas counted once."),
        (READ, "Bytes that reads of the chosen files returned."),
        (WRITTEN, "Bytes that writes to the chosen files stored, all replicas counted once."),
        width=4,
    ),
    stat(
        "Time a second",
        or_zero(f"sum({SECONDS})"),
        unit.SECONDS,
        "Time that fops on the chosen files take in the bricks: 2 s a second are two fops at any"
        " moment.",
        width=4,
    ),
    stat(
        "Mean time",
        f"sum({SECONDS}) / (sum({FOPS}) > 0)",
        unit.SECONDS,
        "Time that a fop on the chosen files takes in the bricks.",
        width=4,
        none="no fops",
    ),
    stat(
        "Top client",
        f"topk(1, count by (client) ({TOP_CLIENT}))",
        unit.SHORT,
        "The client that does most on the chosen files of late, as far as it is known: right if one"
        " does more than half. A click leads to it.",
        width=4,
        legend="{{client}}",
        text="name",
        none="not known",
        links=[TO_CLIENT],
    ),
)

course = row(
    "Over time",
    bars(
        "Operations by kind",
        [("{{kind}}", f"sum by (kind) ({FOPS})")],
        unit.OPS_PER_SEC,
        "Fops on the chosen files, a write to all replicas counted once.",
    ),
    shared.throughput(
        READ,
        WRITTEN,
        "Bytes of the chosen files read, and written with all replicas counted once.",
        kind=bars,
    ),
    bars(
        "Time a second by kind",
        [("{{kind}}", f"sum by (kind) ({SECONDS})")],
        unit.SECONDS,
        "Time that fops on the chosen files take in the bricks.",
    ),
    bars(
        "Operations by top client",
        [
            (
                "{{client}}",
                or_zero(
                    f"sum by (client) (sum by (cluster, host, volume, brick, gfid) ({ON_BRICK})"
                    " * on (cluster, host, volume, brick, gfid) group_left (client)"
                    " max by (cluster, host, volume, brick, gfid, client)"
                    " (glupy_file_top_client_info{$*,$gfid}))",
                    client="not known",
                ),
            )
        ],
        unit.OPS_PER_SEC,
        "What each replica did on the chosen files, by the client that does most there of late. A"
        " click leads to the client.",
        links=[TO_CLIENT],
    ),
)

replicas = row(
    "Replicas",
    bars(
        "Operations by replica",
        [(REPLICA, f"sum by (host, brick) ({ON_BRICK})")],
        unit.OPS_PER_SEC,
        "Where the chosen files are, and what was asked there. A click leads to the brick.",
        width=8,
        links=[TO_BRICK],
    ),
    bars(
        "Throughput by replica",
        [(REPLICA, f"sum by (host, brick) ({BYTES_ON_BRICK})")],
        unit.BYTES_SEC_IEC,
        "Bytes of the chosen files read and written on each brick.",
        width=8,
        links=[TO_BRICK],
    ),
    lines(
        "Mean time by replica",
        [
            (
                REPLICA,
                f"sum by (host, brick) ({SECONDS_ON_BRICK})"
                f" / (sum by (host, brick) ({ON_BRICK}) > 0)",
            )
        ],
        unit.SECONDS,
        "Time that a fop on the chosen files takes in each brick.",
        width=8,
        links=[TO_BRICK],
    ),
)

which = row(
    "Which file",
    tables.files("Files and directories", "The chosen ones.", only=",$path,$gfid"),
    table(
        "Top client on each replica",
        [
            Column(
                "operations",
                f"sum by (cluster, volume, host, brick, gfid) ({ON_BRICK})"
                " * on (cluster, volume, host, brick, gfid) group_left (path, client)"
                " max by (cluster, volume, host, brick, gfid, path, client)"
                " (glupy_file_top_client_info{$*,$gfid})",
                unit.OPS_PER_SEC,
            )
        ],
        "cluster, volume, path, client, host, brick, gfid",
        "The client that does most on each file of late, on each brick that has it. A click on a"
        " client leads to it.",
        links={"path": tables.TO_FILE, "client": tables.TO_CLIENT, "brick": tables.TO_BRICK},
        hidden=["gfid"],
    ),
)

dashboard = board(
    "file",
    "File",
    "One file or directory, by its path or gfid: who does what to it, and where.",
    [now, course, replicas, which],
    "path",
    "gfid",
)
