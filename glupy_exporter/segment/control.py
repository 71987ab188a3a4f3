"""Has a brick record the fops that pass filters, as long as somebody reads them.

A segment has a few slots for tracers. A tracer takes a free slot, writes filters and a heartbeat
into it, and switches it on. Then the brick puts the fops that pass into the ring
``recorder.TRACE``. If the heartbeat is not renewed in time, the brick ends the trace. Only root may
write to a segment. A lock (flock) on the segment keeps tracers apart while they choose a slot.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from glupy_exporter.schema import layout
from glupy_exporter.segment import recorder
from glupy_exporter.segment.reader import Segment

RENEWAL = layout.TRACER_LEASE / 1e9 / 5
"""Seconds between two calls of :meth:`Tracer.renew`, at most."""

_LOCK_TRIES, _LOCK_DELAY = 100, 0.02  # two seconds
_MOST_ONE_IN = (1 << 32) - 1
LONGEST = (1 << 64) - 1
"""The most that :attr:`Filters.least_ns` may be."""


class ControlError(Exception):
    """A brick cannot be traced; the message says why, in one line."""


@dataclass(frozen=True)
class Filters:
    """The filters of a trace, which the brick applies. A fop has to pass all of them."""

    fops: Collection[int] | None = None
    """Indices of fops; None: all."""
    client: int | None = None
    """Tag of a client."""
    uid: int | None = None
    gfid: bytes | None = None
    """16 bytes."""
    error: int | None = None
    """An errno, or -1 for any error; 0: the fop succeeded."""
    least_ns: int = 0
    """Faster fops do not pass."""
    one_in: int = 1
    """One of so many passes, at random."""

    def fill(self, tracer: layout.Tracer) -> None:
        """Write the filters into a slot. Raises ValueError if one is out of range."""
        fops = range(layout.FOPS_MAX) if self.fops is None else self.fops
        for fop in fops:
            if not 0 <= fop < layout.FOPS_MAX:
                raise ValueError(f"there is no fop {fop}")
            tracer.fops[fop // 64] |= 1 << fop % 64
        if not 0 <= self.least_ns <= LONGEST:
            raise ValueError(f"a latency of {self.least_ns} ns")
        if not 1 <= self.one_in <= _MOST_ONE_IN:
            raise ValueError(f"one in {self.one_in} is not from 1 to {_MOST_ONE_IN}")
        tracer.least_ns, tracer.one_in = self.least_ns, self.one_in
        if self.client is not None:
            tracer.client = self.client
            tracer.filters |= layout.TRACE_CLIENT
        if self.uid is not None:
            if not 0 <= self.uid < 1 << 32:
                raise ValueError(f"there is no uid {self.uid}")
            tracer.uid = self.uid
            tracer.filters |= layout.TRACE_UID
        if self.gfid is not None:
            if len(self.gfid) != len(tracer.gfid):
                raise ValueError(f"a gfid of {len(self.gfid)} bytes")
            tracer.gfid[:] = self.gfid
            tracer.filters |= layout.TRACE_GFID
        if self.error is not None:
            if not -1 <= self.error < 1 << 16:
                raise ValueError(f"there is no errno {self.error}")
            tracer.error = self.error
            tracer.filters |= layout.TRACE_ERRNO


class Tracer:
    """A trace of one brick, from ``with`` on; the caller renews it, and reads the ring.

    Records of the ring whose ``tracers`` have :attr:`bit` passed these filters. :attr:`position`
    is where the first of them can be.

    Raises:
        ControlError: from ``with``: the segment cannot be written to, or has no free slot.
        SegmentError, FileNotFoundError: from ``with``: there is no good segment at ``path``.
        ValueError: from ``with``: a filter is out of range.
    """

    def __init__(self, path: Path, filters: Filters | None = None) -> None:
        self.path = path
        self._filters = filters or Filters()
        self._descriptor = -1
        self._slot = -1
        self._active = self._tracer = self._heartbeat = 0
        self.position = 0

    @property
    def bit(self) -> int:
        """The bit in ``tracers`` of a record."""
        return 1 << self._slot

    def __enter__(self) -> Tracer:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with Segment(self.path) as segment:
            control, tracers = (segment.spans.get(name) for name in ("control", "tracers"))
            if (
                not control
                or not tracers
                or not control.length
                or tracers.length < layout.TRACERS
                or control.element_size < ctypes.sizeof(layout.Control)
                or tracers.element_size < ctypes.sizeof(layout.Tracer)
            ):
                raise ControlError(f"{self.path}: its translator cannot trace; restart the brick")
            try:
                self._descriptor = os.open(self.path, flags)
            except OSError as error:
                raise ControlError(f"cannot trace {self.path}: {error.strerror}") from error
            try:
                self._take(segment, control.offset, tracers.offset, tracers.element_size)
            except BaseException:
                os.close(self._descriptor)
                raise
        return self

    def _take(self, segment: Segment, control: int, tracers: int, size: int) -> None:
        status = os.fstat(self._descriptor)
        if not segment.of(status) or status.st_size != segment.header.total_size:
            raise ControlError(f"{self.path} was replaced meanwhile")
        # Members of group gluster may put anything in the place of the directory. What a brick
        # writes belongs to its user, who has no other name for it.
        others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if status.st_uid != os.geteuid() or others or status.st_nlink > 1:
            raise ControlError(f"{self.path} is no file that only a brick could have made")
        made = layout.Tracer(owner=os.getpid())
        self._filters.fill(made)
        self._lock()
        try:
            active = os.pread(self._descriptor, layout.TRACERS, control)
            self._slot = self._free(active, tracers, size)
            self._active = control + self._slot
            self._tracer = tracers + self._slot * size
            os.pwrite(self._descriptor, b"\0", self._active)
            os.pwrite(self._descriptor, bytes(made), self._tracer)
            self.position = segment.position(recorder.TRACE)
            self.renew()
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _lock(self) -> None:
        """Keep other tracers from choosing a slot; anybody who may read can hold this lock."""
        for _ in range(_LOCK_TRIES):
            try:
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_DELAY)
        raise ControlError(f"{self.path} is locked by another process")

    def _free(self, active: bytes, tracers: int, size: int) -> int:
        """A slot that nobody has, or whose lease is over."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for slot, taken in enumerate(active):
            heartbeat = int.from_bytes(
                os.pread(self._descriptor, 8, tracers + slot * size), sys.byteorder
            )
            if not taken or not 0 <= now - heartbeat <= layout.TRACER_LEASE:
                return slot
        raise ControlError(f"{self.path} is being traced by {layout.TRACERS} others already")

    def renew(self) -> float:
        """Say that somebody still reads; at least every :data:`RENEWAL` seconds.

        Returns for how many seconds the brick has recorded nothing, as this came too late.

        Raises:
            ControlError: it came too late, and another tracer has the slot.
        """
        found = int.from_bytes(os.pread(self._descriptor, 8, self._tracer), sys.byteorder)
        if found != self._heartbeat:
            raise ControlError(f"the trace of {self.path} was not renewed in time")
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        missed = now - found - layout.TRACER_LEASE if found else 0
        self._heartbeat = now
        os.pwrite(self._descriptor, self._heartbeat.to_bytes(8, sys.byteorder), self._tracer)
        os.pwrite(self._descriptor, b"\1", self._active)
        return max(0, missed) / 1e9

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError, ControlError):
            self.renew()  # the slot is still ours
            os.pwrite(self._descriptor, b"\0", self._active)
        os.close(self._descriptor)
