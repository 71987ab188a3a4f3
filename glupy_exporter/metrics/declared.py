"""The families of the numbers that the schema declares, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from glupy_exporter.metrics.family import Block, Family, Labels, Value
from glupy_exporter.schema.quantities import COUNTER, DURATION, Quantity, Subject


class Declared:
    """The families of some quantities; those of one metric share a family.

    Sentences and names are filled in for ``subject``; ``which`` is added to what each family says,
    and ``labels`` come before a family's own.
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
                ),
            )

    @property
    def families(self) -> tuple[Family, ...]:
        """In the order of the quantities."""
        return tuple(self._families.values())

    def __getitem__(self, name: str) -> Family:
        """The family of the quantity of that name."""
        return next(self._families[q.metric] for q in self._quantities if q.name == name)

    def single(self, values: Mapping[str, Value]) -> Iterator[Block]:
        """The rows of what a brick has one of; quantities without a value have none."""
        for each in self._quantities:
            if each.name in values:
                labels = tuple(value for _, value in each.labels)
                yield Block(self._families[each.metric], (labels,), (values[each.name],))

    def rows(
        self, labels: Sequence[Labels], values: Mapping[str, Sequence[Value]]
    ) -> Iterator[Block]:
        """A row for each of ``labels``, with its value of every quantity."""
        for each in self._quantities:
            yield Block(self._families[each.metric], labels, values[each.name])
