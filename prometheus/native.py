"""Expressions about the latency of fops, for a Prometheus that has native histograms.

Rules and dashboards are written for classic histograms, which every store has. `rendered` gives the
same expression for the feature native-histograms of Prometheus 2.40 and later:

- It looks for the native form of a series first, and for the classic form where that is missing. So
  the change-over leaves no gap, the nodes of a cluster may serve different forms, and a node's fops
  count once if Prometheus keeps both forms.
- Where a quantile folds several bricks, some of which may have the one form and some the other, it
  is the higher one of both.
- A heat map shows native histograms only, since both forms have no rows in common.
"""

from __future__ import annotations

import re

METRIC = "glupy_fop_duration_seconds"

# The buckets of classic histograms, raw or recorded. The native form has neither le nor the suffix.
_BUCKETS = re.compile(rf"\b(?:(\w+)_le:)?{METRIC}_bucket\b")
_MATCHERS = r"\{(?:[^}`]|`[^`]*`)*\}"
_PART = re.compile(
    rf"(\()?\b(rate|increase)\({METRIC}_(count|sum)((?:{_MATCHERS})?\[[^\]]*\](?: @ end\(\))?)\)"
    r"(?(1)\))"
)
_NUMBER = re.compile(rf"\bcount by (\([^)]*\)) \({METRIC}_count\{{")
# A sum of the last buckets of recorded histograms: of their counts.
_LAST = re.compile(rf'\b(sum by \([^)]*\) )\(\w+_le:{METRIC}_bucket:rate5m\{{le="\+Inf"\}}\)')
# Prometheus takes the mean of native histograms only from 2.45 on, but the rate over any time.
_MEAN = re.compile(rf"\bavg_over_time\(\w+_fop_le:{METRIC}_bucket:rate5m\b")
# Recorded counts and sums are of both forms.
_LEFT_OVER = re.compile(rf"(?:\b\w+:{METRIC}_bucket|(?<![\w:]){METRIC}_(?:bucket|count|sum))\b")
_QUANTILE = re.compile(r"\bhistogram_quantile\(")


class NotUnderstood(Exception):
    """An expression asks for the histogram in a way for which there is no native one."""


def rendered(expression: str) -> str:
    """An expression for both forms of histograms.

    Raises:
        NotUnderstood: it asks for the histogram in another way than by rate() or increase() of its
            count and sum, by histogram_quantile(), by a sum of the last bucket of a recorded one,
            and by the number of its series.
    """
    done, rest = "", expression
    while found := _QUANTILE.search(rest):
        end = _end_of_call(rest, found.end())
        done += _parts(rest[: found.start()]) + _quantile(rest[found.start() : end])
        rest = rest[end:]
    return done + _parts(rest)


def heatmap(expression: str) -> str:
    """The expression of a heat map, ``sum by (le) (...)``, for native histograms.

    Raises:
        NotUnderstood: it has another form.
    """
    if not _BUCKETS.search(expression) or not expression.startswith("sum by (le) ("):
        raise NotUnderstood(expression)
    return _without_buckets(expression)


def rules(text: str) -> str:
    """A file of rules for both forms of histograms, with its comments.

    A rule that records buckets gets one beside it that records native histograms.
    """
    return re.sub(r"^ +- (?:record|alert): .*\n(?: {8}.*\n)+", _rule, text, flags=re.M)


def _rule(found: re.Match[str]) -> str:
    rule = found[0]
    name, _, _ = rule.partition("\n")
    if _BUCKETS.search(name):
        return rule + _without_buckets(rule)
    before, expr, asked = rule.partition("        expr:")
    return before + expr + rendered(asked)


def _end_of_call(text: str, start: int) -> int:
    """The place behind the parenthesis that closes the one before `start`."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(text[start], 0)
        start += 1
    return start


def _parts(text: str) -> str:
    """Expressions without quantiles: rates of the count and the sum, and numbers of series."""

    def both(found: re.Match[str]) -> str:
        _, function, part, series = found.groups()
        native = f"histogram_{part}({function}({METRIC}{series}))"
        return f"({native} or {function}({METRIC}_{part}{series}))"

    # Sums of one form and of the other have a node twice that serves both.
    text = _LAST.sub(rf"\1(rate({METRIC}_count[5m]))", text)
    if left := _LEFT_OVER.search(_NUMBER.sub("", _PART.sub("", text))):
        raise NotUnderstood(f"{left[0]} in {text}")
    counted = _NUMBER.sub(rf'count by \1 ({{__name__=~"{METRIC}(_count)?",', text)
    return _PART.sub(both, counted)


def _quantile(call: str) -> str:
    if not _BUCKETS.search(call):
        return call
    native = _without_buckets(call)
    if re.search(r"\bby \([^)]*\bbrick\b", call):
        return f"({native} or {call})"
    return f"({native} >= {call} or {call} >= 0 or {native})"


def _without_buckets(text: str) -> str:
    def name(found: re.Match[str]) -> str:
        return f"{found[1]}:{METRIC}" if found[1] else METRIC

    return re.sub(r" by \(le\) |, le\b", "", _BUCKETS.sub(name, _MEAN.sub(f"rate({METRIC}", text)))
