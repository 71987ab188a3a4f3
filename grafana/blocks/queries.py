"""PromQL with the page's selectors in it.

Dashboards write `glupy_brick_up{$*}`, and the page of bricks asks for ``glupy_brick_up{cluster=~
`${cluster:regex}`,...}``, with those of its selectors that the metric has labels for. Values are
between backticks, where a quote and a backslash stand for themselves, and Grafana escapes the
characters of regular expressions. So every byte is safe but the backtick. No brick, host, volume,
client or fop has one in its name: GlusterFS would run the text behind it as a command when it reads
the brick's volfile. A file's name may have one, so a file is chosen by its gfid.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Union

# The selectors and their labels. Each selector is narrowed by those before it on the same page.
SELECTORS = {
    "cluster": "cluster",
    "volume": "volume",
    "host": "host",
    "brick": "brick",
    "fop": "fop",
    "client": "client",
    "file": "gfid",
}

RANGE = "$__rate_interval"
SLOW = 'glupy_recorded_fops_total{$*,cause="slow"}'
"""Fops that took longer than the threshold of their class."""

WAITING = "lk|f?inodelk|f?entrylk|lease"
"""The fops that may wait for another client's lock."""
SET = "cluster_host_volume_brick:glupy_brick:set"
NOWHERE = "narrowed"
"""A label that no series has: so its value is "", which `.*` matches and a name does not."""
_SINGLE = ("host", "brick")
"""The selectors that choose single bricks of a volume."""
_TOP = 10

_OF_NODE = ("cluster", "host")
_OF_VOLUME = ("cluster", "volume")
_OF_BRICK = ("cluster", "volume", "host", "brick")
_OF_FOP = (*_OF_BRICK, "fop")
_OF_FILE = (*_OF_BRICK, "file")
_OF_CLIENT = (*_OF_BRICK, "client")
# The selectors that a raw metric has labels for, by the longest beginning of its name.
_LABELS = {
    "glupy_": _OF_BRICK,
    "glupy_fop_": _OF_FOP,
    "glupy_fops_in_flight": _OF_FOP,
    "glupy_client_": _OF_CLIENT,
    "glupy_client_untracked_fops_total": _OF_BRICK,
    "glupy_client_count_error_bound": _OF_BRICK,
    "glupy_client_unexported_fops_total": _OF_BRICK,
    "glupy_file_": _OF_FILE,
    "glupy_file_untracked_fops_total": _OF_BRICK,
    "glupy_file_count_error_bound": _OF_BRICK,
    "glupy_file_unexported_fops_total": _OF_BRICK,
    "glupy_file_top_client_info": (*_OF_FILE, "client"),
    "glupy_collector_": _OF_NODE,
    "glupy_exporter_": _OF_NODE,
    "glupy_segment_errors_total": _OF_NODE,
    "glupy_daemon_": _OF_NODE,
    "glupy_pool_": _OF_NODE,
    "glupy_state_": _OF_NODE,
    "glupy_thin_pool_": _OF_NODE,
    "glupy_quota_": (*_OF_VOLUME, "file"),
    "glupy_snapshot": _OF_VOLUME,
    "glupy_rebalance_": ("cluster", "volume", "host"),
    "glupy_recorded_fops_total": _OF_FOP,
    "glupy_fop_in_flight_seconds": (*_OF_FOP, "file", "client"),
    # Not of a host: all exporters of the volume's nodes say the same.
    "glupy_volume_": _OF_VOLUME,
    "ALERTS": ("cluster",),
    # Prometheus and prometheus_client make these of each exporter.
    "up": _OF_NODE,
    "scrape_": _OF_NODE,
    "process_": _OF_NODE,
}


def selectors_of(metric: str) -> tuple[str, ...]:
    """The selectors that apply to a metric: those in a recorded one's level, else `_LABELS`."""
    level, colon, _ = metric.partition(":")
    if colon:
        return tuple(name for name, label in SELECTORS.items() if label in level.split("_"))
    return _LABELS[max(filter(metric.startswith, _LABELS), key=len)]


def expand(expr: str, page: tuple[str, ...]) -> str:
    """`expr` with matchers for the page's selectors.

    In a metric's braces `$*` stands for all that apply to it, `$volume` for the one called volume.
    `$some` matches only if single bricks or hosts are chosen, `$all` only if none are.
    """
    single = "".join(f"${{{name}:regex}}" for name in _SINGLE if name in page)
    special = {"$some": f"{NOWHERE}!~`{single}`", "$all": f"{NOWHERE}=~`{single}`"}

    def matchers(found: re.Match[str]) -> str:
        metric, inside = found.groups()
        said = []
        for word in inside.split(","):
            names = selectors_of(metric) if word == "$*" else (word.removeprefix("$"),)
            chosen = [name for name in names if name in page]
            if word in special:
                said.append(special[word])
            elif word.startswith("$"):
                said += [f"{SELECTORS[name]}=~`${{{name}:regex}}`" for name in chosen]
            else:
                said.append(word)
        return f"{metric}{{{','.join(said)}}}"

    return re.sub(r"([\w:]+)\{(\$[^}]*)\}", matchers, expr)


class OfBricks(NamedTuple):
    """The rate of a counter on the chosen bricks, whatever their number.

    While single bricks or hosts are chosen it comes from their own series. A thousand bricks have
    too many of these to look at, so while All are chosen it comes from what the rules record of
    each volume, with the same labels but those of bricks. Only one of both matches at a time.
    """

    counter: str
    recorded: str

    def each(self) -> str:
        """At each point."""
        return f"({rate(f'{self.counter}{{$*,$some}}')} or {self.recorded}{{$*,$all}})"

    def whole(self, end: str = "") -> str:
        """Over the page's time range, which ends at each point unless `end` is " @ end()"."""
        raw = f"rate({self.counter}{{$*,$some}}[$__range]{end})"
        return f"({raw} or avg_over_time({self.recorded}{{$*,$all}}[$__range]{end}))"


Series = Union[str, OfBricks]


def rate(counter: str) -> str:
    """The rate of a counter over the range that Grafana takes for a point of the graph."""
    return f"rate({counter}[{RANGE}])"


def or_zero(expr: str, known: str = "glupy_brick_up{$*}", **labels: str) -> str:
    """`expr`, or 0 with these labels if it finds nothing.

    It is unknown, not 0, if `known` finds nothing either.
    """
    return f"{expr} or on () {_labelled(f'0 * count({known})', **labels)}"


def top(series: Series, by: str) -> str:
    """The ten busiest of the page's time range by their sums, and "other", for the legend {{name}}.

    `series` is a recorded rate, or a raw counter, whose rate is taken, or one of chosen bricks. The
    labels in `by` are "All" for "other", for links to pass on.
    """
    if isinstance(series, OfBricks):
        each = series.each()
    else:
        each = series if ":" in series else rate(series)
    each = f"sum by ({by}) ({each})"
    busiest = f"on ({by}) topk({_TOP}, sum by ({by}) ({_whole(series)}))"
    labels = by.split(", ")
    others = _labelled(
        f"sum({each} unless {busiest})", **dict.fromkeys(labels, "All"), name="other"
    )
    return f"{named(f'{each} and {busiest}', labels[-1])} or {others}"


def of_busiest(value: str, series: Series, by: str, among: str = "") -> str:
    """`value` of the ten with the highest `series`, as `top` takes it, for the legend {{name}}.

    `among` is a condition on the series.
    """
    most = f"topk({_TOP}, sum by ({by}) ({_whole(series)}{among}))"
    return named(f"{value} and on ({by}) {most}", by.split(", ")[-1])


def _whole(series: Series) -> str:
    """`series` over the page's time range."""
    if isinstance(series, OfBricks):
        return series.whole(" @ end()")
    function = "avg_over_time" if ":" in series else "rate"
    return f"{function}({series}[$__range] @ end())"


class Folded(NamedTuple):
    """The rates of a counter of files or clients by `part` of the work and by `by`.

    Replicas are folded as in prometheus/rules/recording.yml, which tells why. `chosen` has
    matchers, `among` is a condition on the counter's series.
    """

    metric: str
    part: str  # the label "kind" or "direction"
    chosen: str = "$*"
    by: str = ""
    among: str = ""

    def _rate(self, *matchers: str) -> str:
        return (
            rate(f"{self.metric}{{{','.join(filter(None, [self.chosen, *matchers]))}}}")
            + self.among
        )

    def _labels(self, *but: str) -> str:
        labels = [*self.by.split(", "), self.part] if self.by else [self.part]
        return ", ".join(label for label in labels if label not in but)

    def reads(self) -> str:
        """Only what was read, which is from one replica each time."""
        return f"""sum by ({self._labels()}) ({self._rate(f'{self.part}="read"')})"""

    def others(self) -> str:
        """All else, which goes to all replicas of a set, and to all sets if it is a directory's."""
        other, more = f'{self.part}!="read"', self._labels("cluster", "volume")
        directories = files = ""
        if self.metric.startswith("glupy_file_"):
            rates = self._rate(other, 'type="directory"')
            directories, files = f"max by ({self._labels()}) ({rates}) or ", 'type!="directory"'
        on_brick = f"sum by (cluster, host, volume, brick, {more}) ({self._rate(other, files)})"
        in_set = f"on (cluster, host, volume, brick) group_left (set) {SET}"
        of_set = f"max by (cluster, volume, set, {more}) ({on_brick} * {in_set})"
        return f"({directories}sum by ({self._labels()}) ({of_set}))"

    def __str__(self) -> str:
        return f"({self.reads()} or {self.others()})"


def named(expr: str, label: str) -> str:
    """`expr` with the label `name` for legends: the value of `label`, or a short name of it.

    A host's is the first part of its name. A brick's is that and the last two parts of its path.
    """
    if label not in ("host", "brick"):
        return f'label_replace({expr}, "name", "$1", "{label}", "(.*)")'
    host = r"([0-9-]*[a-zA-Z_][^.]*)[.].*|(.*)"
    node = f'label_replace({expr}, "name", "$1$2", "host", "{host}")'
    if label == "host":
        return node
    path = r".*/([^/]+/[^/]+)|(.*)"
    directory = f'label_replace({node}, "directory", "$1$2", "brick", "{path}")'
    return f'label_join({directory}, "name", ":", "name", "directory")'


def to_next_power(expr: str) -> str:
    """`expr` with le rounded up to a power of two, which Grafana shows as 1 KiB, not as 1023 B."""
    for power in (2**exponent for exponent in range(1, 32)):
        bound = power - 1
        forms = f"{bound}(.0)?|{str(bound)[0]}.{str(bound)[1:]}e[+]0{len(str(bound)) - 1}"
        expr = f'label_replace({expr}, "le", "{power}", "le", "{forms}")'
    return expr


def with_all(expr: str, label: str) -> str:
    """`expr` with "All" for the label of series that have none, for links to pass on."""
    return f'label_replace({expr}, "{label}", "All", "{label}", "")'


def with_cluster(expr: str) -> str:
    """`expr` with a cluster for links to pass on."""
    return with_all(expr, "cluster")


def _labelled(expr: str, **labels: str) -> str:
    for label, value in labels.items():
        expr = f'label_replace({expr}, "{label}", "{value}", "", "")'
    return expr
