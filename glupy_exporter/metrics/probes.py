"""The metrics that probes have made, and the health of the probes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.family import Exposed, Family, Labels, Value
from glupy_exporter.node import labels as fit
from glupy_exporter.node.nodestate import NodeState
from glupy_exporter.probes.base import PREFIX
from glupy_exporter.probes.runner import EXITS as ENDS
from glupy_exporter.probes.runner import Runner, Status

UP = Family(
    "glupy_probes_up",
    "gauge",
    "1 if the probe's process runs and answers, 0 if not.",
    ("probe",),
    of_brick=False,
)
RECORDS = Family(
    "glupy_probes_records_total",
    "counter",
    "Fops that the probe got.",
    ("probe",),
    of_brick=False,
)
MISSED = Family(
    "glupy_probes_missed_records_total",
    "counter",
    "Fops that the probe did not get: the brick had overwritten them (overwritten), or there was "
    "no time for them (skipped).",
    ("probe", "reason"),
    parts=("overwritten", "skipped"),
    of_brick=False,
)
ERRORS = Family(
    "glupy_probes_errors_total",
    "counter",
    "Calls of the probe that raised an exception; the log has the first ten.",
    ("probe",),
    of_brick=False,
)
EXITS = Family(
    "glupy_probes_exits_total",
    "counter",
    "Times that the probe's process ended: a call took too long (timeout), a signal ended it "
    "(killed), it could not be loaded or failed (error), or it gave no proper answer (answer).",
    ("probe", "reason"),
    parts=ENDS,
    of_brick=False,
)
CPU = Family(
    "glupy_probes_cpu_seconds_total",
    "counter",
    "Processor time that the probe took, in seconds.",
    ("probe",),
    of_brick=False,
)

MORE = f"""\
These are there if `--probe.directory` has probes ([probes.md](probes.md)). The names of the probes'
own metrics begin with `{PREFIX}`. If two probes have a metric of the same name, only that of the
first one by file name is served. OpenMetrics names a counter without its `_total`, so a counter
`x_total` and a gauge `x` have the same name in this sense."""


class Probes(Collector):
    """The probes that the exporter runs."""

    name = "probes"
    help = "the probes of the directory `probe.directory`"
    families = (UP, RECORDS, MISSED, ERRORS, EXITS, CPU)
    more = MORE

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def node(self, state: NodeState | None) -> Iterable[Exposed]:
        """The metrics of all probes."""
        statuses = self._runner.statuses()
        if statuses:
            yield from _health(statuses)
        taken: set[str] = set()
        for status in statuses:
            for given in status.answer.families:
                family = Family(
                    *(PREFIX + given["name"], given["type"], given["help"], given["labels"]),
                    of_brick=False,
                )
                names = _names(family)
                if not names & taken:
                    taken |= names
                    rows: dict[Labels, Value] = {
                        tuple(map(fit.fitting, labels)): value
                        for labels, value in given["rows"].items()
                    }
                    if rows:
                        yield Exposed.of_node(family, rows)


def _names(family: Family) -> set[str]:
    """The names that no other family may have: its own, and those of its samples."""
    suffixes = ("", "_total", "_created") if family.type == "counter" else ("",)
    return {family.base + suffix for suffix in suffixes}


def _health(statuses: Sequence[Status]) -> Iterable[Exposed]:
    yield Exposed.of_node(UP, {(each.name,): int(each.up) for each in statuses})
    yield Exposed.of_node(RECORDS, {(each.name,): each.answer.records for each in statuses})
    missed: dict[Labels, Value] = {}
    exits: dict[Labels, Value] = {}
    for each in statuses:
        missed[each.name, "overwritten"] = each.answer.lost
        missed[each.name, "skipped"] = each.answer.skipped
        exits |= {(each.name, reason): count for reason, count in each.exits.items()}
    yield Exposed.of_node(MISSED, missed)
    yield Exposed.of_node(ERRORS, {(each.name,): each.answer.errors for each in statuses})
    yield Exposed.of_node(EXITS, exits)
    yield Exposed.of_node(CPU, {(each.name,): each.answer.seconds for each in statuses})
