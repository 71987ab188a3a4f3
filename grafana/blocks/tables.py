"""The tables of the busiest files, clients and bricks, which several pages have."""

from __future__ import annotations

from grafanalib import formatunits as unit

from grafana.blocks.form import Panel
from grafana.blocks.links import column, to
from grafana.blocks.panels import Column, table

_ROWS = 20
_OF_VOLUME = {"cluster": column("cluster"), "volume": column("volume")}
TO_VOLUME = to("volume", "Volume", **_OF_VOLUME)
TO_BRICK = to("brick", "Brick", **_OF_VOLUME, host=column("host"), brick=column("brick"))
TO_FILE = to("file", "File", **_OF_VOLUME, file=column("gfid"))
TO_CLIENT = to("client", "Client", cluster=column("cluster"), client=column("client"))


def _busiest(
    by: str, fops: str, moved: str, these_by: str, chosen: str = "$*"
) -> tuple[str, list[Column]]:
    """A condition that keeps only series of the busiest rows, and the columns of their work."""
    busiest = f"topk({_ROWS}, {by} ({fops}) > 0)"
    these = f"and on ({these_by}) {busiest}"
    return these, [
        Column("operations", busiest, unit.OPS_PER_SEC),
        Column("read", f'{by} ({moved}{{{chosen},direction="read"}}) {these}', unit.BYTES_SEC_IEC),
        Column(
            "written", f'{by} ({moved}{{{chosen},direction="write"}}) {these}', unit.BYTES_SEC_IEC
        ),
    ]


def files(title: str, description: str, chosen: str = "$*", among: str = "") -> Panel:
    """The files with most operations; `chosen` has matchers, `among` a condition on the series."""
    by = "sum by (cluster, volume, gfid, path, type)"
    seconds = f"cluster_volume_gfid_path_type_kind:glupy_file_fop_seconds:rate5m{{{chosen}}}"
    these, work = _busiest(
        by,
        f"cluster_volume_gfid_path_type_kind:glupy_file_fops:rate5m{{{chosen}}}{among}",
        "cluster_volume_gfid_path_type_direction:glupy_file_io_bytes:rate5m",
        "cluster, volume, gfid",
        chosen,
    )
    return table(
        title,
        [*work, Column("time/s", f"{by} ({seconds}) {these}", unit.SECONDS)],
        "cluster, volume, path, type, gfid",
        f"{description} The {_ROWS} with most operations, all replicas' writes counted once. Time"
        " is what their fops took in the bricks. A click on a path leads to the file.",
        links={"path": TO_FILE},
        hidden=["cluster", "gfid"],
    )


def clients(title: str, description: str) -> Panel:
    """The clients with most operations."""
    by = "sum by (cluster, volume, client)"
    these, work = _busiest(
        by,
        "cluster_volume_client_kind:glupy_client_fops:rate5m{$*}",
        "cluster_volume_client_direction:glupy_client_io_bytes:rate5m",
        "cluster, volume, client",
    )
    seconds = f"{by} (cluster_volume_client_kind:glupy_client_fop_seconds:rate5m{{$*}}) {these}"
    errors = f"{by} (cluster_volume_client:glupy_client_fop_errors:rate5m{{$*}}) {these}"
    return table(
        title,
        [
            *work,
            Column("time/s", seconds, unit.SECONDS),
            Column("errors", errors, unit.OPS_PER_SEC),
        ],
        "cluster, volume, client",
        f"{description} The {_ROWS} with most operations, all replicas' writes counted once. Time"
        " is what their fops took in the bricks. A click on a client leads to what it does.",
        links={"client": TO_CLIENT},
        hidden=["cluster"],
    )


def bricks(title: str, description: str) -> Panel:
    """The bricks with most operations."""
    by = "sum by (cluster, volume, host, brick)"
    these, work = _busiest(
        by,
        "cluster_host_volume_brick:glupy_fops:rate5m{$*}",
        "cluster_host_volume_brick_direction:glupy_io_bytes:rate5m",
        "cluster, volume, host, brick",
    )
    slowest = (
        "max by (cluster, volume, host, brick)"
        f" (cluster_host_volume_brick_kind:glupy_fop_duration_seconds:p99_rate5m{{$*}}) {these}"
    )
    return table(
        title,
        [
            *work,
            Column("p99", slowest, unit.SECONDS),
        ],
        "cluster, volume, host, brick",
        f"{description} The {_ROWS} with most operations; p99 is that of the brick's slowest kind"
        " of fop. A click on a brick leads to it.",
        links={"brick": TO_BRICK, "volume": TO_VOLUME},
        hidden=["cluster"],
    )
