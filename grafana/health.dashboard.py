"""Health: is the data safe, will it fit, what heals, and what is behind."""

from grafanalib import formatunits as unit

from grafana.blocks import shared, tables
from grafana.blocks.board import board, row
from grafana.blocks.colors import BAD, GOOD, ODD, UNKNOWN
from grafana.blocks.links import column, to
from grafana.blocks.panels import Column, areas, lines, stat, table, thresholds
from grafana.blocks.queries import or_zero, top, with_cluster

OF_BRICK = "cluster, host, volume, brick"
DOWN = "cluster_volume_set:glupy_bricks:down{$*}"
COUNT = "cluster_volume_set:glupy_bricks:count{$*}"
SPLIT = "cluster_volume:glupy_split_brain_entries:count{$*}"
HEALTH = {4: ("all run", GOOD), 3: ("degraded", ODD), 2: ("no quorum", BAD), 1: ("down", BAD)}
HEALTH |= {0: ("stopped", UNKNOWN)}
PENDING = 'glupy_brick_heal_pending_entries{$*,index="xattrop"}'
BEHIND = "cluster_volume_secondary:glupy_georep_lag_seconds:max{$*}"
PEERS = "glupy_pool_peer_unsettled{$*}"
DAEMONS = "glupy_daemon_up{$*}"
EXPORTERS = 'up{$*,job="glupy"}'
DAMAGED = "glupy_brick_quarantined_objects{$*}"
LATE = thresholds((0, GOOD), (3600, ODD), (86400, BAD))

now = row(
    "Now",
    shared.down(),
    stat(
        "Sets that lack a brick",
        or_zero(f"count({DOWN} > 0)", COUNT),
        unit.SHORT,
        "Sets of which a brick is down or on a silent node: their data has fewer copies.",
        levels=thresholds((0, GOOD), (1, ODD)),
        width=6,
    ),
    stat(
        "Sets without quorum",
        or_zero("count(cluster_volume_set:glupy_set:without_quorum{$*})", COUNT),
        unit.SHORT,
        "Sets whose files nobody can read or write, as too few of their bricks run.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    shared.to_heal(),
    shared.fullest(links=[to("capacity", "Capacity")]),
    stat(
        "Daemons down",
        or_zero(f"count({DAEMONS} == 0)", DAEMONS),
        unit.SHORT,
        "Daemons that should run and do not, such as glusterd or self-heal.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    stat(
        "Peers not settled",
        or_zero(f"count(count by (cluster, peer) ({PEERS}))", "glupy_pool_nodes{$*}"),
        unit.SHORT,
        "Nodes that another node of the pool does not have on record as befriended.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    stat(
        "Nodes without an answer",
        or_zero(f"count({EXPORTERS} == 0)", EXPORTERS),
        unit.SHORT,
        "Nodes whose exporter does not answer: nothing is known of their bricks.",
        levels=shared.NONE_IS_WELL,
        width=6,
        links=[to("exporter", "Exporters")],
    ),
    stat(
        "In split-brain",
        f"sum({SPLIT})",
        unit.SHORT,
        "Entries whose replicas all are blamed by another one. Self-heal leaves them alone, and"
        " clients cannot read them.",
        levels=shared.NONE_IS_WELL,
        width=6,
    ),
    stat(
        "Damaged objects",
        f"sum({DAMAGED})",
        unit.SHORT,
        "Objects that bit-rot detection found damaged and has put out of use.",
        levels=shared.NONE_IS_WELL,
        width=6,
        none="no search is known",
    ),
    stat(
        "Geo-replication behind",
        f"max({BEHIND})",
        unit.SECONDS,
        "Age of the oldest change that the secondary of the slowest session lacks.",
        levels=LATE,
        width=6,
        none="no session is known",
    ),
    stat(
        "Age of state",
        "max(time() - glupy_state_timestamp_seconds{$*})",
        unit.SECONDS,
        "Age of the oldest of the nodes' state files, which have the records of glusterd.",
        levels=thresholds((0, GOOD), (180, ODD), (600, BAD)),
        width=6,
    ),
)

volumes = row(
    "Alerts and volumes",
    shared.firing(),
    table(
        "Volumes",
        [
            Column("bricks down", f"sum by (cluster, volume) ({DOWN})", unit.SHORT),
            Column(
                "health",
                "max by (cluster, volume) (cluster_volume:glupy_volume:health{$*})",
                unit.SHORT,
                HEALTH,
            ),
            Column("sets short", f"sum by (cluster, volume) ({DOWN} > bool 0)", unit.SHORT),
            Column("to heal", f"sum by (cluster, volume) ({shared.TO_HEAL})", unit.SHORT),
            Column("split", f"max by (cluster, volume) ({SPLIT})", unit.SHORT),
            Column("damaged", f"sum by (cluster, volume) ({DAMAGED})", unit.SHORT),
            Column("fullest", f"max by (cluster, volume) ({shared.USED})", unit.PERCENT_UNIT),
            Column("behind", f"max by (cluster, volume) ({BEHIND})", unit.SECONDS),
        ],
        "cluster, volume",
        "The faults of each volume: bricks and sets as above, entries to heal and in split-brain,"
        " damaged objects, its fullest file system, and the delay of its geo-replication. A click"
        " on a name leads to the volume.",
        height=7,
        links={"volume": tables.TO_VOLUME},
        hidden=["cluster"],
    ),
)

healing = row(
    "Healing",
    lines(
        "Entries to heal by set",
        [("{{volume}} set {{set}}", f"topk(10, {shared.TO_HEAL})")],
        unit.SHORT,
        "Entries that wait for self-heal: they should become fewer once all bricks run. The ten"
        " sets with most.",
    ),
    areas(
        "Work of self-heal",
        [
            (
                "{{name}}",
                or_zero(
                    with_cluster(
                        top('glupy_internal_fops_total{$*,origin="self-heal"}', "cluster, volume")
                    ),
                    cluster="All",
                    name="none",
                ),
            )
        ],
        unit.OPS_PER_SEC,
        "Fops of self-heal on all bricks. Entries that wait while it does nothing need attention.",
        width=24,
    ),
    table(
        "Bricks that know of entries to heal",
        [
            Column("entries", f"topk(20, max by ({OF_BRICK}) ({PENDING}) > 0)", unit.SHORT),
        ],
        "cluster, volume, host, brick",
        "Entries with changes that another brick of the set lacks, as these bricks count them now."
        " The numbers above are the least of fifteen minutes, so they leave out writes in flight.",
        height=6,
        links={"brick": tables.TO_BRICK, "volume": tables.TO_VOLUME},
        hidden=["cluster"],
        none="No brick is known to have any.",
    ),
)

behind = row(
    "Copies",
    lines(
        "Geo-replication behind by session",
        [("{{volume}} to {{secondary}}", f"topk(10, max by (volume, secondary) ({BEHIND}))")],
        unit.SECONDS,
        "Age of the oldest change that the secondary lacks. The ten slowest sessions.",
    ),
    table(
        "Geo-replication workers",
        [
            Column(
                "workers",
                "count by (cluster, volume, secondary, host, status, crawl)"
                " (glupy_georep_worker_info{$*})",
                unit.SHORT,
            )
        ],
        "cluster, volume, secondary, host, status, crawl",
        "The workers of each node. One replica of each set is active, the others are passive.",
        height=6,
        links={"volume": tables.TO_VOLUME},
        hidden=["cluster"],
        none="No session is known.",
    ),
    table(
        "Snapshots",
        [
            Column(
                "snapshots",
                "sum by (cluster, volume) (max by (cluster, volume, state) (glupy_snapshots{$*}))",
                unit.SHORT,
            ),
            Column(
                "at most",
                'max by (cluster, volume) (glupy_snapshots_limit{$*,limit="hard"})',
                unit.SHORT,
            ),
            Column(
                "oldest",
                "min by (cluster, volume) (glupy_snapshot_oldest_timestamp_seconds{$*}) * 1000",
                unit.DATE_TIME_FROM_NOW,
            ),
        ],
        "cluster, volume",
        "The number of snapshots of a volume, its limit, and the age of the oldest one.",
        height=6,
        links={"volume": tables.TO_VOLUME},
        none="No snapshot is known.",
    ),
    table(
        "Rebalances",
        [
            Column(
                "nodes",
                "count by (cluster, volume, status) (glupy_rebalance_info{$*})",
                unit.SHORT,
            )
        ],
        "cluster, volume, status",
        "The status of the last rebalance of a volume, and on how many nodes it has that status.",
        height=6,
        links={"volume": tables.TO_VOLUME},
        none="No rebalance is known.",
    ),
)

daemons = row(
    "Daemons and peers",
    table(
        "Daemons that do not run",
        [
            Column(
                "process",
                f"max by (cluster, host, daemon, volume) ({DAEMONS}) == 0",
                unit.SHORT,
                {0: ("down", BAD)},
            )
        ],
        "cluster, host, daemon, volume",
        "Daemons that glusterd should have started. A click on a host leads to its bricks.",
        height=6,
        links={"host": to("brick", "Bricks", cluster=column("cluster"), host=column("host"))},
        none="No daemon is known to be down.",
    ),
    lines(
        "Memory of daemons",
        [("{{daemon}}", "max by (daemon) (glupy_daemon_resident_memory_bytes{$*})")],
        unit.BYTES_IEC,
        "Resident memory of each kind of daemon, on the node where it has most.",
    ),
    lines(
        "Processor time of daemons",
        [
            (
                "{{daemon}}",
                "max by (daemon) (rate(glupy_daemon_cpu_seconds_total{$*}[$__rate_interval]))",
            )
        ],
        unit.PERCENT_UNIT,
        "Processor time of each kind of daemon, on the node where it takes most; 100 % is a core.",
    ),
    table(
        "Peers not settled on record",
        [
            Column(
                "nodes",
                "count by (cluster, peer, state) (glupy_pool_peer_unsettled{$*})",
                unit.SHORT,
            )
        ],
        "cluster, peer, state",
        "Peers that are joining, leaving or rejected, and the number of nodes that say so.",
        height=6,
        none="No such peer is known.",
    ),
)

dashboard = board(
    "health",
    "Is my data safe, will it fit, what heals, and what is behind?",
    "A click on a volume or a brick leads to its page; Capacity says when they will be full.",
    [now, volumes, healing, behind, daemons],
    since="now-6h",
)
