"""Turns Ctrl-C, SIGTERM and a lost terminal into errors, or puts them off."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from glupy_exporter import output
from glupy_exporter.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(UserError):
    """A signal ended the command; the exit code is a shell's for that."""

    def __init__(self, number: int, so_far: str = "") -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}{so_far}")
        self.exit_code = 128 + number


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have ``handler`` called for :data:`SIGNALS`, but for those that are ignored, as by nohup."""
    before = {
        number: signal.signal(number, handler)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def raised() -> contextlib.AbstractContextManager[None]:
    """Have :data:`SIGNALS` raise :class:`Interrupted` in the block."""
    return _handled(_raise)


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """Note the first of :data:`SIGNALS` in the list, for the block to end by itself.

    A second one raises :class:`Interrupted`: the block may wait for a reader of its output.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise Interrupted(number)
        caught.append(number)

    with _handled(note):
        yield caught


@contextlib.contextmanager
def held(wanted: bool = True) -> Iterator[None]:
    """Hold :data:`SIGNALS` back until the block has ended, if ``wanted``.

    A program that is started in the block never gets them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if wanted else ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def deferred(until: str) -> Iterator[None]:
    """Have :data:`SIGNALS` wait until the block has ended, and say so on standard error.

    Ctrl-Z is ignored meanwhile.

    Args:
        until: the condition that they wait for, as in ``"host1:/brick1 is back"``.

    Raises:
        Interrupted: the block ended well, and there was a signal meanwhile.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        # Not print, which the signal may have interrupted; the terminal may be gone or stopped.
        with contextlib.suppress(OSError):
            if not output.takes(2):
                return
            line = f"glupy-exporter: {signal.Signals(number).name}: ends as soon as {until}\n"
            os.write(2, line.encode(errors="replace"))

    # Ctrl-Z would leave all as it is until somebody remembers the command.
    earlier = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        with _handled(note):
            yield
    finally:
        signal.signal(signal.SIGTSTP, earlier)
    if caught:
        raise Interrupted(caught[0], f"; {until}")
