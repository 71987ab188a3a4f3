"""GlusterFS's daemons on this node, rebalances, snapshots and geo-replication."""

from __future__ import annotations

from glupy_exporter.metrics.base import OfState, Rows
from glupy_exporter.metrics.family import Family
from glupy_exporter.node.labels import fitting
from glupy_exporter.node.nodestate import NodeState


def _family(name: str, kind: str, help_text: str, *labels: str) -> Family:
    return Family(f"glupy_{name}", kind, help_text, labels, of_brick=False)


_OF_DAEMON = ("daemon", "volume")
DAEMON_UP = _family(
    "daemon_up",
    "gauge",
    "1 if a daemon of GlusterFS ran on this node, 0 if it should but did not; volume is empty for "
    "a daemon of all volumes.",
    *_OF_DAEMON,
)
DAEMON_CPU = _family(
    "daemon_cpu_seconds_total",
    "counter",
    "Processor time that a daemon has used since it started, in seconds.",
    *_OF_DAEMON,
)
DAEMON_MEMORY = _family(
    "daemon_resident_memory_bytes", "gauge", "Resident memory of a daemon, in bytes.", *_OF_DAEMON
)
DAEMON_START = _family(
    "daemon_start_time_seconds",
    "gauge",
    "When a daemon started, in seconds since the epoch.",
    *_OF_DAEMON,
)
REBALANCE = _family(
    "rebalance_info",
    "gauge",
    "Always 1; the status of the volume's last rebalance on this node, in the words of `gluster "
    "volume rebalance status`.",
    *("volume", "status"),
)
REBALANCE_FILES = _family(
    "rebalance_files",
    "gauge",
    "Files that the volume's last rebalance handled on this node, by what became of them.",
    *("volume", "result"),
)
REBALANCE_BYTES = _family(
    "rebalance_moved_bytes",
    "gauge",
    "Data that the volume's last rebalance moved from this node's bricks, in bytes.",
    "volume",
)
REBALANCE_TIME = _family(
    "rebalance_duration_seconds",
    "gauge",
    "Time that the volume's last rebalance took on this node, in seconds.",
    "volume",
)
SNAPSHOTS = _family(
    "snapshots",
    "gauge",
    "Snapshots of the volume, by whether they are activated.",
    "volume",
    "state",
)
SNAPSHOT_OLDEST = _family(
    "snapshot_oldest_timestamp_seconds",
    "gauge",
    "When the volume's oldest snapshot was taken, in seconds since the epoch.",
    "volume",
)
SNAPSHOT_LIMIT = _family(
    "snapshots_limit",
    "gauge",
    "Number of snapshots of the volume at which glusterd warns (soft), or refuses another one "
    "(hard).",
    *("volume", "limit"),
)
_OF_WORKER = ("volume", "secondary", "brick")
SESSION = _family(
    "georep_session_info",
    "gauge",
    "Always 1; status is the state that the last command gave a geo-replication session.",
    *("volume", "secondary", "status"),
)
WORKER = _family(
    "georep_worker_info",
    "gauge",
    "Always 1; the status and the kind of crawl of the worker that replicates a brick of this "
    "node.",
    *(*_OF_WORKER, "status", "crawl"),
)
SYNCED = _family(
    "georep_last_synced_timestamp_seconds",
    "gauge",
    "Time up to which the secondary has the changes of a brick, in seconds since the epoch; active "
    "workers only.",
    *_OF_WORKER,
)
PENDING = _family(
    "georep_pending_operations",
    "gauge",
    "Operations that a worker still has to do for the changes it knows of, by kind: entry, data or "
    "meta; active workers only.",
    *(*_OF_WORKER, "kind"),
)
FAILURES = _family(
    "georep_failures",
    "gauge",
    "Operations that a worker could not do; active workers only.",
    *_OF_WORKER,
)

_MORE = """\
These metrics are from the state file, so they are up to a minute old.

A daemon has rows if glusterd starts it for a volume that is started and has bricks on this node, or
if it runs (one that was stopped by SIGSTOP or a debugger does not): `glusterd`, `shd` (self-heal),
`quotad`, `bitd` and `scrub` (bitrot), `nfs`, `snapd` by volume, `rebalance` by volume while one is
in progress, and `gsyncd` by volume for its sessions. `shd` is one process for all volumes. glusterd
attaches each volume to it, and may fail to. Then `gluster volume status VOLUME` shows no Self-heal
Daemon, and the volume has a row that is 0.

glusterd writes the figures of a rebalance when it ends, so there are none while one is in progress.
Each node has the figures of its own bricks, which `sum by (cluster, volume)` adds up. Snapshots are
the same on all nodes with bricks of the volume, which `max by (cluster, volume)` folds. An active
worker of geo-replication sends the changes of its brick; the workers of the other replicas are
passive. `glupy_georep_last_synced_timestamp_seconds` stands still while nobody changes the brick;
`cluster_volume_secondary:glupy_georep_lag_seconds:max` takes that into account."""


class Services(OfState):
    """Daemons, rebalances, snapshots and geo-replication."""

    name = "services"
    help = "GlusterFS's daemons on this node, rebalances, snapshots and geo-replication"
    families = (
        *(DAEMON_UP, DAEMON_CPU, DAEMON_MEMORY, DAEMON_START),
        *(REBALANCE, REBALANCE_FILES, REBALANCE_BYTES, REBALANCE_TIME),
        *(SNAPSHOTS, SNAPSHOT_OLDEST, SNAPSHOT_LIMIT),
        *(SESSION, WORKER, SYNCED, PENDING, FAILURES),
    )
    more = _MORE

    def fill(self, rows: Rows, state: NodeState) -> None:
        """Put in all of them."""
        _daemons(rows, state)
        _rebalances(rows, state)
        _snapshots(rows, state)
        _geo_replication(rows, state)


def _daemons(rows: Rows, state: NodeState) -> None:
    for daemon in state.daemons:
        key = daemon.name, daemon.volume
        rows[DAEMON_UP][key] = int(daemon.up)
        if daemon.started:
            rows[DAEMON_CPU][key] = daemon.cpu
            rows[DAEMON_MEMORY][key] = daemon.resident
            rows[DAEMON_START][key] = daemon.started


def _rebalances(rows: Rows, state: NodeState) -> None:
    for name, rebalance in state.rebalances.items():
        rows[REBALANCE][name, rebalance.status] = 1
        if not rebalance.running:
            rows[REBALANCE_FILES][name, "moved"] = rebalance.files
            rows[REBALANCE_FILES][name, "scanned"] = rebalance.scanned
            rows[REBALANCE_FILES][name, "failed"] = rebalance.failures
            rows[REBALANCE_FILES][name, "skipped"] = rebalance.skipped
            rows[REBALANCE_BYTES][name,] = rebalance.bytes
            rows[REBALANCE_TIME][name,] = rebalance.seconds


def _snapshots(rows: Rows, state: NodeState) -> None:
    here = state.here
    for name, snapshots in state.snapshots.items():
        if name in here:
            rows[SNAPSHOTS][name, "active"] = snapshots.active
            rows[SNAPSHOTS][name, "inactive"] = snapshots.total - snapshots.active
            rows[SNAPSHOT_OLDEST][name,] = snapshots.oldest
            rows[SNAPSHOT_LIMIT][name, "soft"] = snapshots.soft_limit
            rows[SNAPSHOT_LIMIT][name, "hard"] = snapshots.limit


def _geo_replication(rows: Rows, state: NodeState) -> None:
    for session in state.geo_replication:
        secondary = fitting(session.secondary)
        rows[SESSION][session.volume, secondary, session.status] = 1
        for worker in session.workers:
            key = session.volume, secondary, fitting(worker.brick)
            rows[WORKER][(*key, worker.status, worker.crawl)] = 1
            if worker.status == "Active":
                if worker.synced:
                    rows[SYNCED][key] = worker.synced
                for kind in ("entry", "data", "meta"):
                    rows[PENDING][(*key, kind)] = getattr(worker, kind)
                rows[FAILURES][key] = worker.failures
