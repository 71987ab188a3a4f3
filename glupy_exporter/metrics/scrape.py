"""One scrape: opens every segment and runs every collector; a bad segment costs only its brick."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client.core import Metric

from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.exporter import (
    CONFIGURED,
    DURATION,
    RELOAD_TIME,
    RELOADED,
    SEGMENT_ERRORS,
    STARTED,
    STATE_DURATION,
    STATE_PART,
    STATE_TIME,
    SUCCESS,
)
from glupy_exporter.metrics.family import Block, Exposed, Family, Labels, Value
from glupy_exporter.node import nodestate
from glupy_exporter.node.bricks import REASONS, OpenBrick, Problem, open_bricks
from glupy_exporter.node.nodestate import Known, NodeState
from glupy_exporter.segment.check import SegmentError

LOG = logging.getLogger(__name__)


def _of_bricks(
    collector: Collector, bricks: Sequence[OpenBrick]
) -> tuple[list[Exposed], list[Problem]]:
    """The collector's metrics of bricks, and a problem for each brick that is missing from them."""
    blocks: dict[Family, list[tuple[Labels, Block]]] = {family: [] for family in collector.families}
    problems = []
    for brick in bricks:
        try:
            found = list(collector.live(brick) if brick.about.alive else collector.dead(brick))
        except SegmentError as error:
            problems.append(Problem(brick.segment.path, error.reason, str(error)))
            continue
        except Exception as error:
            message = f"collector {collector.name} failed: {error!r}"
            problems.append(Problem(brick.segment.path, "internal", message, error))
            continue
        for block in found:
            if block.labels:
                blocks[block.family].append((brick.key, block))
    return [Exposed(family, found) for family, found in blocks.items() if found], problems


def _of_node(
    collector: Collector, state: NodeState | None
) -> tuple[list[Exposed | Metric], Exception | None]:
    """The collector's metrics that belong to no segment, and why those that follow are missing."""
    found: list[Exposed | Metric] = []
    try:
        for metric in collector.node(state):
            if isinstance(metric, Exposed):
                metric.check()
            found.append(metric)
    except Exception as error:
        return found, error
    return found, None


class Scraper:
    """A source of metrics for encoders, one for each configuration; threads may share it.

    One scrape runs at a time: it is bound to the interpreter, so two at once would only slow each
    other down. So collectors need no locks.
    """

    def __init__(
        self,
        directory: Path,
        expiry: float,
        collectors: Sequence[Collector],
        state_file: Path | None = None,
        before: Scraper | None = None,
    ) -> None:
        """A scraper that goes on counting errors where the one ``before`` is. Both may have
        collectors in common."""
        self.reload_failed = False
        """Whether a later configuration than this scraper's has been refused."""
        self._configured = time.time()
        self._directory = directory
        self._expiry = expiry
        self._state_file = state_file
        self.collectors = collectors
        self._lock: threading.Lock = before._lock if before else threading.Lock()
        self._began: float = before._began if before else self._configured
        self._errors: dict[str, int] = before._errors if before else dict.fromkeys(REASONS, 0)
        self._states: dict[Path, str] = {}
        self._missing: dict[str, str] = {}
        self._failed: set[str] = set()
        self._idle = False  # there is no segment directory, and none is expected

    def collect(self) -> list[Exposed | Metric]:
        """Every metric of one scrape. Never raises because of a segment or a collector."""
        metrics: list[Exposed | Metric] = []
        durations: dict[Labels, Value] = {}
        successes: dict[Labels, Value] = {}
        failed: dict[str, Exception] = {}
        known = nodestate.look(self._state_file) if self._state_file else Known(None, None)
        state = known.state
        with self._lock, open_bricks(self._directory, self._expiry, state) as (bricks, problems):
            idle = not bricks and not problems and not self._directory.exists()
            for collector in self.collectors:
                started = time.perf_counter()
                of_bricks, failures = _of_bricks(collector, bricks)
                of_node, error = _of_node(collector, state)
                metrics += of_bricks
                metrics += of_node
                problems += failures
                if error:
                    failed[collector.name] = error
                durations[collector.name,] = time.perf_counter() - started
                successes[collector.name,] = int(not failures and not error)
            self._note(problems, idle)
            self._note_failed(failed)
            self._note_parts(state)
            errors: dict[Labels, Value] = {
                (reason,): count for reason, count in self._errors.items()
            }
        volumes = state.here if state else {}
        parts = state.parts if state else {}
        learned = [Exposed.of_node(STATE_TIME, {(): known.time})] if known.time is not None else []
        if state and state.version > 1:
            learned.append(Exposed.of_node(STATE_DURATION, {(): state.seconds}))
        started_volumes: dict[Labels, Value] = {(n,): int(v.started) for n, v in volumes.items()}
        configured: dict[Labels, Value] = {(n,): int(v.translator) for n, v in volumes.items()}
        return [
            *metrics,
            Exposed.of_node(RELOADED, {(): int(not self.reload_failed)}),
            Exposed.of_node(RELOAD_TIME, {(): self._configured}),
            *learned,
            Exposed.of_node(STATE_PART, {(part,): int(not why) for part, why in parts.items()}),
            Exposed.of_node(STARTED, started_volumes),
            Exposed.of_node(CONFIGURED, configured),
            Exposed.of_node(SEGMENT_ERRORS, errors, self._began),
            Exposed.of_node(DURATION, durations),
            Exposed.of_node(SUCCESS, successes),
        ]

    def _note_failed(self, failed: Mapping[str, Exception]) -> None:
        """Log which collectors have failed, if that has changed since the last scrape."""
        for name, error in failed.items():
            if name not in self._failed:
                fields = {"collector": name}
                LOG.error("collector failed", exc_info=error, extra={"fields": fields})
        for name in self._failed - failed.keys():
            LOG.info("collector works again", extra={"fields": {"collector": name}})
        self._failed = {*failed}

    def _note_parts(self, state: NodeState | None) -> None:
        """Log which parts of the state are missing, if that has changed since the last scrape."""
        if state is None:
            return
        missing = {part: why for part, why in state.parts.items() if why}
        for part, why in missing.items():
            if self._missing.get(part) != why:
                LOG.warning(
                    "part of the state is missing: %s", why, extra={"fields": {"part": part}}
                )
        for part in self._missing.keys() - missing.keys():
            LOG.info("part of the state is complete again", extra={"fields": {"part": part}})
        self._missing = missing

    def _note(self, problems: Sequence[Problem], idle: bool) -> None:
        """Count the problems of a scrape, and log what has changed since the one before."""
        if idle and not self._idle:
            fields = {"path": self._directory}
            LOG.info(
                "no segment directory, so no brick of this node counts", extra={"fields": fields}
            )
        self._idle = idle
        states: dict[Path, str] = {}
        for problem in problems:
            self._errors[problem.reason] += 1
            known = states.get(problem.path) or self._states.get(problem.path)
            if known != problem.reason:
                LOG.warning(
                    "segment cannot be used: %s",
                    problem.message,
                    exc_info=problem.error,
                    extra={"fields": {"path": problem.path, "reason": problem.reason}},
                )
            states[problem.path] = problem.reason
        for path in self._states.keys() - states.keys():
            LOG.info("segment is good again or gone", extra={"fields": {"path": path}})
        self._states = states
