"""PromQL with the dashboard's selectors in it.

Dashboards write `glupy_brick_up{$*}`, and panels ask for
`glupy_brick_up{cluster=~"$cluster",volume=~"$volume",host=~"$host",brick=~"$brick"}`. Rates are
taken over 5 minutes, as in the recording rules, so that panels agree with each other.
"""

from __future__ import annotations

import re

# The selectors that every dashboard has, each narrowed down by those before it.
SELECTORS = ("cluster", "volume", "host", "brick", "fop", "client")

_OF_BRICK = ("cluster", "volume", "host", "brick")
_OF_FOP = (*_OF_BRICK, "fop")
_OF_CLIENT = (*_OF_BRICK, "client")
# Which selectors a raw metric has labels for; the longest beginning of its name counts.
_LABELS = {
    "glupy_": _OF_BRICK,
    "glupy_fop_": _OF_FOP,
    "glupy_fops_in_flight": _OF_FOP,
    "glupy_client_": _OF_CLIENT,
    "glupy_client_untracked_fops_total": _OF_BRICK,
    "glupy_client_count_error_bound": _OF_BRICK,
    "glupy_file_top_client_info": _OF_CLIENT,
    "glupy_collector_": ("cluster", "host"),
    "glupy_exporter_": ("cluster", "host"),
    "glupy_segment_errors_total": ("cluster", "host"),
    "ALERTS": ("cluster",),
    # What Prometheus and prometheus_client say of each exporter.
    "up": ("cluster", "host"),
    "scrape_": ("cluster", "host"),
    "process_": ("cluster", "host"),
}

_SHORTHAND = re.compile(r'(?<!")\$(\w+)')
_MATCHER = r'\1=~"$\1"'


def labels_of(metric: str) -> tuple[str, ...]:
    """The selectors that apply to a metric: those in a recorded one's level, or see `_LABELS`."""
    level, colon, _ = metric.partition(":")
    if colon:
        return tuple(label for label in SELECTORS if label in level.split("_"))
    return _LABELS[max(filter(metric.startswith, _LABELS), key=len)]


def expand(expr: str) -> str:
    """`expr` with the selectors in place of their shorthands.

    In a metric's braces `$volume` is `volume=~"$volume"`, and `$*` all selectors that apply to it.
    """

    def matchers(found: re.Match[str]) -> str:
        metric, inside = found.groups()
        every = ",".join(f"${label}" for label in labels_of(metric))
        inside = inside.replace("$*", every)
        return f"{metric}{{{re.sub(_SHORTHAND, _MATCHER, inside)}}}"

    return re.sub(r"([\w:]+)\{(\$[^}]*)\}", matchers, expr)


def or_zero(expr: str, **labels: str) -> str:
    """`expr`, or 0 with these labels where nothing to be counted has ever been."""
    zero = "vector(0)"
    for label, value in labels.items():
        zero = f'label_replace({zero}, "{label}", "{value}", "", "")'
    return f"{expr} or on () {zero}"


def with_cluster(expr: str) -> str:
    """`expr` with "All" for the cluster of series that have none, for links to pass on."""
    return f'label_replace({expr}, "cluster", "All", "cluster", "")'
