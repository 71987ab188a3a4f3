"""The last rebalance of each volume on this node."""

from __future__ import annotations

from glupy_exporter.node import glusterd
from glupy_exporter.node.nodestate import Rebalance
from glupy_exporter.state.records import Records

# Of enum gf_defrag_status_t (cli1-xdr.x), in the words of `gluster volume rebalance status`.
STATUSES = (
    "not started",
    "in progress",
    "stopped",
    "completed",
    "failed",
    "fix-layout in progress",
    "fix-layout stopped",
    "fix-layout completed",
    "fix-layout failed",
    "reset due to replace-brick",
    "reset due to reset-brick",
)


def rebalances(records: Records) -> dict[str, Rebalance]:
    """The last rebalance of each volume that ever had one, by the volume's name.

    glusterd writes the file at the start and at the end, so while one is in progress there are no
    figures.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file holds something else.
    """
    found = {}
    for name in records.volumes:
        try:
            known = glusterd.record(records.volume(name) / "node_state.info")
        except FileNotFoundError:
            continue
        number = int(known.get("status") or "0")
        if not 0 < number < len(STATUSES):
            continue
        rebalance = Rebalance(STATUSES[number])
        if not rebalance.running:
            rebalance = rebalance._replace(
                files=int(known.get("rebalanced-files") or "0"),
                bytes=int(known.get("size") or "0"),
                scanned=int(known.get("scanned") or "0"),
                failures=int(known.get("failures") or "0"),
                skipped=int(known.get("skipped") or "0"),
                seconds=float(known.get("run-time") or "0"),
            )
        found[name] = rebalance
    return found
