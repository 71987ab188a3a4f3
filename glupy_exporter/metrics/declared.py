"""Makes families of the numbers that the schema declares, and their rows.

A row has no series of a part that is 0: a file that nobody ever wrote to has no writes. Most files
and clients do few kinds of work, and each series costs Prometheus the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress
from typing import Any

from glupy_exporter.metrics.family import Block, Family, Labels, Started, Value
from glupy_exporter.schema.quantities import COUNTER, DURATION, Quantity, Subject

Kept = dict[str, tuple[tuple[list[Labels], bytes], list[Labels]]]
"""The rows of a brick's quantities at its last scrape, by name: which labels and parts they were
made of, and the rows."""


class Declared:
    """The families of those ``quantities`` that ``subject`` exports.

    Quantities of one metric share a family. ``which`` is added to the help of each family, and
    ``labels`` come before a family's own.
    """

    def __init__(
        self,
        quantities: Iterable[Quantity],
        subject: Subject,
        labels: Labels = (),
        which: str = "",
    ) -> None:
        self._families: dict[str, Family] = {}
        self._quantities = list(filter(subject.exports, quantities))
        for each in self._quantities:
            own = (each.label,) if each.parts else tuple(name for name, _ in each.labels)
            self._families.setdefault(
                each.metric,
                Family(
                    subject.say(each.metric),
                    "counter" if each.kind in (COUNTER, DURATION) else "gauge",
                    f"{subject.say(each.help)} {which}".strip(),
                    (*labels, *own),
                    parts=each.parts,
                    nanoseconds=each.kind == DURATION,
                ),
            )

    @property
    def families(self) -> tuple[Family, ...]:
        """The families in the order of the quantities."""
        return tuple(self._families.values())

    def __getitem__(self, name: str) -> Family:
        """The family of the quantity that is called ``name``."""
        return next(self._families[q.metric] for q in self._quantities if q.name == name)

    def single(
        self, values: Mapping[str, Value], *labels: str, started: Started = None
    ) -> Iterator[Block]:
        """The single row of each quantity that has a value in ``values``, by name; durations in
        nanoseconds.

        ``labels`` are the values of the labels before a family's own.
        """
        for each in self._quantities:
            if each.name in values:
                row = (*labels, *(value for _, value in each.labels))
                family, value = self._families[each.metric], values[each.name]
                yield Block(family, (row,), (value,), started)

    def rows(
        self,
        labels: Sequence[Labels],
        values: Mapping[str, Sequence[Any]],
        started: Sequence[float],
        kept: Kept,
    ) -> Iterator[Block]:
        """Every quantity's rows: one for each of ``labels``, and for each part that is not 0.

        ``values`` has a column for each quantity, by name, in the order of ``labels``; a quantity
        with parts has a tuple in each place. Durations are in nanoseconds. ``started`` is when the
        counts of each row began at 0, as in :class:`Block`. ``kept`` belongs to the brick: rows
        that stay are the same objects at its next scrape, so that comparing them is quick.
        """
        for each in self._quantities:
            family, column = self._families[each.metric], values[each.name]
            if each.parts:
                numbers = [*chain.from_iterable(column)]
                which = [*labels], bytes(map(bool, numbers))
                if each.name not in kept or kept[each.name][0] != which:
                    of_parts = [(*label, part) for label in labels for part in each.parts]
                    kept[each.name] = which, [*compress(of_parts, numbers)]
                starts = [start for start in started for _ in each.parts]
                yield Block(
                    family,
                    kept[each.name][1],
                    [*filter(None, numbers)],
                    [*compress(starts, numbers)],
                )
            else:
                yield Block(family, labels, column, started)
