"""The tables of the busiest files, clients and bricks, which several pages have."""

from __future__ import annotations

from grafanalib import formatunits as unit

from grafana.blocks.form import Panel
from grafana.blocks.links import column, to
from grafana.blocks.panels import Column, table
from grafana.blocks.queries import Folded, rate

_ROWS = 20
_OF_VOLUME = {"cluster": column("cluster"), "volume": column("volume")}
TO_VOLUME = to("volume", "Volume", **_OF_VOLUME)
TO_BRICK = to("brick", "Brick", **_OF_VOLUME, host=column("host"), brick=column("brick"))
TO_FILE = to("file", "File", **_OF_VOLUME, file=column("gfid"))
TO_CLIENT = to("client", "Client", cluster=column("cluster"), client=column("client"))


def files(
    title: str, description: str, chosen: str = "$*", among: str = "", data: bool = True
) -> Panel:
    """The files with most operations; `chosen` has matchers, `among` a condition on the series.

    Directories have no `data` that somebody reads or writes.
    """
    by = "cluster, volume, gfid"
    fops = f"cluster_volume_gfid_path_type:glupy_file_fops:rate5m{{{chosen}}}"
    busiest = f"topk({_ROWS}, max by ({by}, path, type) ({fops}{among}) > 0)"
    rows = ("$cluster,$volume", by, f" and on ({by}) {busiest}")

    def column(name: str, expr: str, of: str) -> Column:
        named = f"* on ({by}) group_left (path, type) (0 * {busiest} + 1)"
        return Column(name, f"sum by ({by}) ({expr}) {named}", of)

    moved = Folded("glupy_file_io_bytes_total", "direction", *rows)
    seconds = Folded("glupy_file_fop_seconds_total", "kind", *rows)
    bytes_moved = [
        column("read", moved.reads(), unit.BYTES_SEC_IEC),
        column("written", moved.others(), unit.BYTES_SEC_IEC),
    ]
    return table(
        title,
        [
            Column("operations", busiest, unit.OPS_PER_SEC),
            *(bytes_moved if data else []),
            column("time/s", str(seconds), unit.SECONDS),
        ],
        "cluster, volume, path, type, gfid",
        f"{description} The {_ROWS} with most operations, all replicas' writes counted once. Time"
        " is what their fops took in the bricks. A click on a path leads to the file.",
        links={"path": TO_FILE},
        hidden=["cluster", "gfid"],
    )


def clients(title: str, description: str, linked: str = "client", height: int = 9) -> Panel:
    """The clients with most operations on each volume; a click on the label `linked` leads on."""
    by = "cluster, volume, client"
    fops = f"sum by ({by}) (cluster_volume_client_kind:glupy_client_fops:rate5m{{$*}})"
    busiest = f"topk({_ROWS}, {fops} > 0)"
    rows = ("$cluster,$volume,$client", by, f" and on ({by}) {busiest}")
    moved = Folded("glupy_client_io_bytes_total", "direction", *rows)
    seconds = Folded("glupy_client_fop_seconds_total", "kind", *rows)
    errors = f"{rate('glupy_client_fop_errors_total{$cluster,$volume,$client}')}{rows[-1]}"
    return table(
        title,
        [
            Column("operations", busiest, unit.OPS_PER_SEC),
            Column("read", f"sum by ({by}) ({moved.reads()})", unit.BYTES_SEC_IEC),
            Column("written", f"sum by ({by}) ({moved.others()})", unit.BYTES_SEC_IEC),
            Column("time/s", f"sum by ({by}) ({seconds})", unit.SECONDS),
            Column("errors", f"sum by ({by}) ({errors})", unit.OPS_PER_SEC),
        ],
        by,
        f"{description} The {_ROWS} with most operations, all replicas' writes counted once. Time"
        f" is what their fops took in the bricks. A click on a {linked} leads to it.",
        height=height,
        links={linked: {"client": TO_CLIENT, "volume": TO_VOLUME}[linked]},
        hidden=["cluster"],
    )


def bricks(title: str, description: str) -> Panel:
    """The bricks with most operations."""
    by = "sum by (cluster, volume, host, brick)"
    busiest = f"topk({_ROWS}, {by} (cluster_host_volume_brick:glupy_fops:rate5m{{$*}}) > 0)"
    these = f"and on (cluster, volume, host, brick) {busiest}"
    moved = "cluster_host_volume_brick_direction:glupy_io_bytes:rate5m"
    slowest = (
        "max by (cluster, volume, host, brick)"
        f" (cluster_host_volume_brick_kind:glupy_fop_duration_seconds:p99_rate5m{{$*}}) {these}"
    )
    return table(
        title,
        [
            Column("operations", busiest, unit.OPS_PER_SEC),
            Column("read", f'{by} ({moved}{{$*,direction="read"}}) {these}', unit.BYTES_SEC_IEC),
            Column(
                "written", f'{by} ({moved}{{$*,direction="write"}}) {these}', unit.BYTES_SEC_IEC
            ),
            Column("p99", slowest, unit.SECONDS),
        ],
        "cluster, volume, host, brick",
        f"{description} The {_ROWS} with most operations; p99 is that of the brick's slowest kind"
        " of fop. A click on a brick leads to it.",
        links={"brick": TO_BRICK, "volume": TO_VOLUME},
        hidden=["cluster"],
    )
