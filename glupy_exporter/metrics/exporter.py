"""The exporter itself: its version and process, and how the scrapes went."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import Metric

from glupy_exporter import __version__
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.family import Exposed, Family
from glupy_exporter.node.nodestate import NodeState

BUILD_INFO = Family(
    "glupy_exporter_build_info",
    "gauge",
    "Always 1; the label is the version of this exporter.",
    ("version",),
    of_brick=False,
)
RELOADED = Family(
    "glupy_exporter_config_last_reload_successful",
    "gauge",
    "1 if the configuration was good when it was last read, 0 if it was not and the one before is "
    "in force.",
    of_brick=False,
)
RELOAD_TIME = Family(
    "glupy_exporter_config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration that is in force was read, in seconds since the epoch.",
    of_brick=False,
)
SEGMENT_ERRORS = Family(
    "glupy_segment_errors_total",
    "counter",
    "Times that a scrape could not use a segment or list the segment directory, since the exporter "
    "started.",
    ("reason",),
    of_brick=False,
)
STARTED = Family(
    "glupy_volume_started",
    "gauge",
    "1 if this node's glusterd has the volume on record as started, 0 if not.",
    ("volume",),
    of_brick=False,
)
CONFIGURED = Family(
    "glupy_volume_translator_configured",
    "gauge",
    "1 if this node's glusterd has the volume's option user.xlator.glupy on record, 0 if not.",
    ("volume",),
    of_brick=False,
)
STATE_TIME = Family(
    "glupy_state_timestamp_seconds",
    "gauge",
    "When root's timer learned what is in the state file, in seconds since the epoch; absent if "
    "there is no state file.",
    of_brick=False,
)
STATE_DURATION = Family(
    "glupy_state_duration_seconds",
    "gauge",
    "Time that it took to learn what is in the state file, in seconds.",
    of_brick=False,
)
STATE_PART = Family(
    "glupy_state_part_success",
    "gauge",
    "1 if all of a part of the state could be learned, 0 if some of it is missing.",
    ("part",),
    of_brick=False,
)
DURATION = Family(
    "glupy_collector_duration_seconds",
    "gauge",
    "Time that a collector took in this scrape, in seconds.",
    ("collector",),
    of_brick=False,
)
SUCCESS = Family(
    "glupy_collector_success",
    "gauge",
    "1 if a collector served all that it has in this scrape, 0 if it had to leave out a brick or a "
    "metric.",
    ("collector",),
    of_brick=False,
)

SCRAPE_FAMILIES = (
    RELOADED,
    RELOAD_TIME,
    STATE_TIME,
    STATE_DURATION,
    STATE_PART,
    STARTED,
    CONFIGURED,
    SEGMENT_ERRORS,
    DURATION,
    SUCCESS,
)
"""Families that every scrape has, whichever collectors are switched on."""

SCRAPE_MORE = """\
No flag switches these off.

The exporter reads its configuration at the start and on SIGHUP. The web config file is not part of
it: the exporter reads that file whenever it changes, and lets nobody in while it is wrong.

The state file is written by `glupy-state.timer`. If it is older than ten minutes, or from the
future, everything that comes from it is absent but `glupy_state_timestamp_seconds`. The exporter
logs why a part of the state is missing (`glupy_state_part_success`).

`glupy_volume_started` and `glupy_volume_translator_configured` have rows for the volumes with
bricks on this node. The option `user.xlator.glupy` puts the translator into the volfiles of a
volume's bricks. A brick that runs the translator without that option ignores `gluster volume set`.

A missing segment directory (reason `no_directory`) is an error only if bricks with the translator
are known to be started. Segments beyond the limit of open files (reason `descriptors`) count as one
error in each scrape."""


class Exporter(Collector):
    """The exporter's version and, from prometheus_client, its process_ and python_ metrics."""

    name = "exporter"
    help = "version and process of the exporter itself"
    families = (BUILD_INFO,)
    more = "It also serves the `process_` and `python_` metrics of prometheus_client."

    def __init__(self, options: Options = Options()) -> None:
        super().__init__(options)
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def node(self, state: NodeState | None) -> Iterable[Exposed | Metric]:
        """The exporter's own metrics."""
        yield Exposed.of_node(BUILD_INFO, {(__version__,): 1})
        yield from self._registry.collect()
