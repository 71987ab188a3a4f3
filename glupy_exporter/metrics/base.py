"""The base class of collectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from prometheus_client.core import Metric

from glupy_exporter.metrics.family import Block, Exposed, Family, Labels, Value
from glupy_exporter.node.bricks import OpenBrick
from glupy_exporter.node.nodestate import NodeState
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.values import Settings


@dataclass(frozen=True)
class Options:
    """The configuration of a collector."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values of the collector's own settings, by key; missing ones have their defaults."""
    privacy: Privacy = Privacy()
    once: bool = False
    """Whether there is one scrape only, which goes to no Prometheus."""


class Collector:
    """One group of families, switched on and off as a whole.

    One scrape at a time calls a collector, so it needs no locks. If ``live`` or ``dead`` raises
    SegmentError, the scrape drops all rows of that brick and serves those of the others. If
    ``node`` raises, the scrape serves what came before.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    families: tuple[Family, ...]
    """The families that it may serve; a setting may change the buckets of its histograms."""
    more: ClassVar[str] = ""
    """Further text for docs/metrics.md."""
    settings: ClassVar[Settings] = {}
    """Its own settings; ``limit`` here is the key and flag ``collector.NAME.limit``."""

    def __init__(self, options: Options = Options()) -> None:
        self.options = options
        self.privacy = options.privacy

    def setting(self, key: str) -> Any:
        """The value of one of the collector's own settings."""
        if key in self.options.settings:
            return self.options.settings[key]
        return self.settings[key].check(self.settings[key].default)

    def live(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick that runs."""
        return ()

    def dead(self, brick: OpenBrick) -> Iterable[Block]:
        """The rows of a brick whose process is gone but whose segment is not."""
        return ()

    def node(self, state: NodeState | None) -> Iterable[Exposed | Metric]:
        """Metrics that belong to no segment; ``state`` is that of the node, None if not known."""
        return ()


Rows = dict[Family, dict[Labels, Value]]
"""The values of families by the values of their labels."""


class OfState(Collector):
    """A collector of what is in the state file; a family without rows is not served."""

    def node(self, state: NodeState | None) -> Iterable[Exposed | Metric]:
        """All families that have rows."""
        rows: Rows = {family: {} for family in self.families}
        if state:
            self.fill(rows, state)
        return [Exposed.of_node(family, found) for family, found in rows.items() if found]

    def fill(self, rows: Rows, state: NodeState) -> None:
        """Put the rows of this collector into ``rows``, which has all its families."""
        raise NotImplementedError
