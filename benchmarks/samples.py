"""Processor times of processes, and what a few ratios say."""

from __future__ import annotations

import ctypes
import math
import statistics
import time

SAMPLES = 12
_STUDENT_95 = 2.201
"""The 97.5 % point of Student's t with SAMPLES - 1 degrees of freedom."""

_libc = ctypes.CDLL(None)


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have run, those that ended included.

    Raises:
        ProcessLookupError: there is no such process.
    """
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(pid)
    return time.clock_gettime(clock.value)


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """The geometric mean of SAMPLES ratios, and its 95 % confidence interval by Student's t."""
    assert len(ratios) == SAMPLES
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.mean(logs)
    half = _STUDENT_95 * statistics.stdev(logs) / math.sqrt(SAMPLES)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
