"""Capacity: how full volumes and file systems are, how fast they grow, and when they are full."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.colors import BAD, GOOD, ODD
from grafana.blocks.links import column, field_label, to
from grafana.blocks.panels import Column, lines, stat, table, thresholds
from grafana.blocks.queries import with_cluster

SIZE = "cluster_volume:glupy_capacity_bytes:size{$*}"
AVAIL = "cluster_volume:glupy_capacity_bytes:avail{$*}"
# How many bytes less are left each second, by a point every five minutes.
GROWTH = "-deriv(cluster_volume:glupy_capacity_bytes:avail{$*}[$__range:5m])"
FS = "cluster, host, device, fsid"
OF_FS = f"max by ({FS})"
FS_SIZE = "glupy_brick_filesystem_size_bytes{$*}"
FS_AVAIL = "glupy_brick_filesystem_avail_bytes{$*}"
FS_GROWTH = "-deriv(glupy_brick_filesystem_avail_bytes{$*}[$__range:5m])"
FS_FILES = "1 - glupy_brick_filesystem_files_free{$*} / glupy_brick_filesystem_files{$*}"
FULL_IN = f"{OF_FS} ({FS_AVAIL}) / ({OF_FS} ({FS_GROWTH}) > 0)"
FULLEST = f"topk(20, {OF_FS} ({shared.USED}))"
THESE = f" and on ({FS}) {FULLEST}"
DAY, WEEK = 86400, 7 * 86400
SHARED = " Room that several volumes share on one file system counts for each of them."

TO_VOLUME = to("volume", "Volume", cluster=field_label("cluster"), volume=field_label("volume"))

now = row(
    "Now",
    stat(
        "Used",
        f"1 - sum({AVAIL}) / sum({SIZE})",
        unit.PERCENT_UNIT,
        "The used part of the room for data of all chosen volumes." + SHARED,
        levels=shared.FULL,
        width=8,
    ),
    stat(
        "Room for data",
        f"sum({AVAIL})",
        unit.BYTES_IEC,
        "Bytes of file data that clients can still write, all replicas counted once." + SHARED,
        width=8,
    ),
    stat(
        "Size",
        f"sum({SIZE})",
        unit.BYTES_IEC,
        "Bytes of file data that the volumes can hold, all replicas counted once." + SHARED,
        width=8,
    ),
    shared.fullest(width=8),
    stat(
        "Fullest inodes",
        f"max({FS_FILES})",
        unit.PERCENT_UNIT,
        "The largest used part of a file system's inodes. Without one, nobody can create a file.",
        levels=shared.FULL,
        width=8,
        none="no limit is known",
    ),
    stat(
        "Full in",
        f"min({FULL_IN})",
        unit.SECONDS,
        "Time until the first file system is full, if all go on as in the time range of the page.",
        levels=thresholds((0, BAD), (WEEK, ODD), (4 * WEEK, GOOD)),
        width=8,
        none="no growth is known",
    ),
)

volumes = row(
    "Volumes",
    table(
        "Volumes",
        [
            Column(
                "used",
                f"1 - sum by (cluster, volume) ({AVAIL}) / sum by (cluster, volume) ({SIZE})",
                unit.PERCENT_UNIT,
            ),
            Column("size", f"sum by (cluster, volume) ({SIZE})", unit.BYTES_IEC),
            Column("free", f"sum by (cluster, volume) ({AVAIL})", unit.BYTES_IEC),
            Column("growth a day", f"sum by (cluster, volume) ({GROWTH}) * {DAY}", unit.BYTES_IEC),
            Column(
                "full in",
                f"sum by (cluster, volume) ({AVAIL}) / (sum by (cluster, volume) ({GROWTH}) > 0)",
                unit.SECONDS,
            ),
        ],
        "cluster, volume",
        "Room for data as a client's df shows it: that of the smallest brick of each set, or of all"
        " data bricks of a dispersed set. Growth is that of the page's time range. A click"
        " on a name leads to the volume.",
        height=7,
        links={"volume": tables.TO_VOLUME},
    ),
    lines(
        "Used by volume",
        [
            (
                "{{volume}}",
                with_cluster(
                    f"topk(10, 1 - sum by (cluster, volume) ({AVAIL})"
                    f" / sum by (cluster, volume) ({SIZE}))"
                ),
            )
        ],
        unit.PERCENT_UNIT,
        "The ten fullest volumes. A click leads to the volume.",
        links=[TO_VOLUME],
    ),
    lines(
        "Used bytes by volume",
        [
            (
                "{{volume}}",
                with_cluster(
                    f"topk(10, sum by (cluster, volume) ({SIZE})"
                    f" - sum by (cluster, volume) ({AVAIL}))"
                ),
            )
        ],
        unit.BYTES_IEC,
        "What df of a client shows, of the ten volumes that use most. Volumes that share a file"
        " system show its whole use each.",
        links=[TO_VOLUME],
    ),
)

systems = row(
    "File systems",
    table(
        "Fullest file systems",
        [
            Column("used", FULLEST, unit.PERCENT_UNIT),
            Column("size", f"{OF_FS} ({FS_SIZE}){THESE}", unit.BYTES_IEC),
            Column("free", f"{OF_FS} ({FS_AVAIL}){THESE}", unit.BYTES_IEC),
            Column("inodes", f"{OF_FS} ({FS_FILES}){THESE}", unit.PERCENT_UNIT),
            Column("bricks", f"count by ({FS}) ({FS_SIZE}){THESE}", unit.SHORT),
            Column("growth a day", f"{OF_FS} ({FS_GROWTH}) * {DAY}{THESE}", unit.BYTES_IEC),
            Column("full in", f"{FULL_IN}{THESE}", unit.SECONDS),
        ],
        "cluster, host, device, fsid",
        "The file systems of bricks, each once; inodes is the used part of them. Growth is that of"
        " the page's time range. A click on a host leads to its bricks.",
        links={"host": to("brick", "Bricks", cluster=column("cluster"), host=column("host"))},
        hidden=["cluster", "fsid"],
    ),
    lines(
        "Used by file system",
        [("{{host}} {{device}}", f"topk(10, max by (host, device) ({shared.USED}))")],
        unit.PERCENT_UNIT,
        "The ten fullest file systems of bricks.",
    ),
    lines(
        "Used inodes by file system",
        [("{{host}} {{device}}", f"topk(10, max by (host, device) ({FS_FILES}))")],
        unit.PERCENT_UNIT,
        "The ten file systems with the largest used part of their inodes. Those without a limit are"
        " left out.",
    ),
    table(
        "Bricks on the fullest file systems",
        [
            Column(
                "used",
                f"topk(20, max by (cluster, volume, host, brick, device) ({shared.USED}))",
                unit.PERCENT_UNIT,
            )
        ],
        "cluster, volume, host, brick, device",
        "The bricks on the fullest file systems. A click on a brick leads to it.",
        links={"brick": tables.TO_BRICK, "volume": tables.TO_VOLUME},
        hidden=["cluster"],
    ),
)

POOL = "max by (cluster, host, vg, pool)"
QUOTA = "cluster_volume_gfid_path:glupy_quota:used_ratio{$*}"
QUOTAS = f"topk(20, max by (cluster, volume, gfid, path) ({QUOTA}))"

limits = row(
    "Quotas and thin pools",
    table(
        "Fullest quotas",
        [
            Column("used", QUOTAS, unit.PERCENT_UNIT),
            Column(
                "limit",
                'max by (cluster, volume, gfid, path) (glupy_quota_limit_bytes{$*,limit="hard"})'
                f" and on (cluster, volume, gfid) {QUOTAS}",
                unit.BYTES_IEC,
            ),
        ],
        "cluster, volume, path, gfid",
        "The used part of each quota. When a quota is used up, nobody can write to the directory."
        " A click on a path leads to the directory.",
        height=6,
        links={"path": tables.TO_FILE, "volume": tables.TO_VOLUME},
        hidden=["cluster", "gfid"],
        none="No quota is known.",
    ),
    table(
        "Thin pools",
        [
            Column(
                "data",
                f"{POOL} (glupy_thin_pool_used_bytes{{$*}} / glupy_thin_pool_size_bytes{{$*}})",
                unit.PERCENT_UNIT,
            ),
            Column(
                "metadata",
                f"{POOL} (glupy_thin_pool_metadata_used_bytes{{$*}}"
                " / glupy_thin_pool_metadata_size_bytes{$*})",
                unit.PERCENT_UNIT,
            ),
            Column("size", f"{POOL} (glupy_thin_pool_size_bytes{{$*}})", unit.BYTES_IEC),
        ],
        "cluster, host, vg, pool",
        "The LVM thin pools that bricks are on. When one is full, writes to its bricks fail, even"
        " if their file systems have room.",
        height=6,
        links={"host": to("brick", "Bricks", cluster=column("cluster"), host=column("host"))},
        hidden=["cluster"],
        none="No thin pool is known.",
    ),
)

dashboard = board(
    "capacity",
    "How full is it, how fast does it grow, and when is it full?",
    "A longer time range makes a steadier forecast. A click on a volume leads to it.",
    [now, volumes, systems, limits],
    since="now-7d",
)
