"""The live view: samples the bricks, draws the screen and obeys keys until the user quits."""

from __future__ import annotations

import codecs
import curses
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Union

from glupy_exporter.errors import UserError
from glupy_exporter.top.model import Rates, Sampler
from glupy_exporter.top.text import printable
from glupy_exporter.top.view import VIEWS, Line, Sort, State, screen

Key = Union[int, str]
"""A character, or curses' number of a key that has no character."""

INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""The seconds between two looks that the user can choose with + and -."""

_MOVES: dict[Key, int] = {
    curses.KEY_UP: -1,
    curses.KEY_DOWN: 1,
    curses.KEY_PPAGE: -10,
    curses.KEY_NPAGE: 10,
}
_ERASE = (curses.KEY_BACKSPACE, "\b", "\x7f")
_ESCAPE_MILLISECONDS = 50  # the rest of a key's sequence may take this long
_FIRST_WAIT = 1.0  # seconds at most: until the second look the screen is empty
_SIZE_SECONDS = 0.5  # a resize that curses missed may go unnoticed this long


def run(sampler: Sampler, first: Rates, state: State) -> None:
    """Show the live view until the user quits, then restore the terminal.

    Raises:
        UserError: there is no terminal, or curses cannot draw on it.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("top needs a terminal: use --once or --json to write to a pipe or file")
    try:
        curses.setupterm()
    except curses.error as error:
        kind = printable(os.environ.get("TERM", ""))
        raise UserError(
            f"terminal type '{kind}' is unknown here: set TERM, or use --once"
        ) from error
    if not curses.tigetstr("cup"):
        raise UserError("this terminal cannot be drawn on: set TERM, or use --once")
    # Without a handler, SIGTERM would end the process before the terminal is restored.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    curses.wrapper(_loop, sampler, first, state)


def _loop(window: curses.window, sampler: Sampler, first: Rates, state: State) -> None:
    curses.set_escdelay(_ESCAPE_MILLISECONDS)
    with suppress(curses.error):
        curses.use_default_colors()
    with suppress(curses.error):
        curses.curs_set(0)
    with suppress(curses.error):
        curses.meta(True)  # keys keep their eighth bit
    decoder = codecs.getincrementaldecoder(window.encoding)("ignore")
    shown = first
    due = time.monotonic() + min(_FIRST_WAIT, state.interval)
    while True:
        _follow_size()
        height, columns = window.getmaxyx()
        _draw(window, screen(state, shown, height, columns, window.encoding))
        wait = min(due - time.monotonic(), state.interval)
        if wait <= 0:
            rates = sampler.sample()
            if not state.paused:
                shown = rates
            # Counted from now, so that keys are read even if a look takes longer than the interval.
            due = time.monotonic() + state.interval
            continue
        window.timeout(int(min(wait, _SIZE_SECONDS) * 1000) + 1)
        # Not get_wch, which loses the keys that follow a byte that is not UTF-8.
        code = window.getch()
        key = decoder.decode(bytes([code])) if 0 <= code <= 255 else code
        if key not in ("", curses.ERR) and not press(state, key):
            return


def _follow_size() -> None:
    """Tell curses the terminal's size: it may miss the second of two resizes in a row."""
    columns, height = os.get_terminal_size(sys.stdout.fileno())
    if columns and height and curses.is_term_resized(height, columns):
        curses.resizeterm(height, columns)


def _draw(window: curses.window, lines: list[Line]) -> None:
    window.erase()
    for number, line in enumerate(lines):
        style = curses.A_REVERSE if line.title else curses.A_NORMAL
        start, columns = line.marked
        # addstr raises after it wrote the screen's last cell; both raise if the screen just shrank.
        with suppress(curses.error):
            window.addstr(number, 0, line.text, style)
        with suppress(curses.error):
            window.chgat(number, start, columns, style ^ curses.A_REVERSE | curses.A_BOLD)
    window.refresh()


def press(state: State, key: Key) -> bool:
    """Change ``state`` as ``key`` asks; return False if the user quits."""
    if state.prompt is not None:
        _type(state, state.prompt, key)
    elif key == curses.KEY_RESIZE:
        pass
    elif state.help:
        state.help = False
    elif key == "q":
        return False
    elif key in [str(number) for number, _ in enumerate(VIEWS, 1)]:
        _switch(state, int(key) - 1)
    elif key == "\t":
        _switch(state, (state.view + 1) % len(VIEWS))
    elif key == curses.KEY_BTAB:
        _switch(state, (state.view - 1) % len(VIEWS))
    elif key == "s":
        state.sorts[state.view] = Sort((state.sort.index + 1) % len(VIEWS[state.view].sorts))
    elif key == "S":
        state.sort.reverse = not state.sort.reverse
    elif key == "/":
        state.prompt = ""
    elif key in ("p", " "):
        state.paused = not state.paused
    elif key == "+":
        state.interval = next((i for i in INTERVALS if i > state.interval), state.interval)
    elif key == "-":
        state.interval = next((i for i in INTERVALS[::-1] if i < state.interval), state.interval)
    elif key in ("?", "h"):
        state.help = True
    elif key == curses.KEY_HOME:
        state.first = 0
    elif key in _MOVES:
        state.first += _MOVES[key]
    return True


def _switch(state: State, view: int) -> None:
    state.view, state.first = view, 0


def _type(state: State, typed: str, key: Key) -> None:
    """Handle a key while the user types the filter."""
    if key in ("\n", "\r", curses.KEY_ENTER):
        state.filter, state.prompt, state.first = typed, None, 0
    elif key == "\x1b":
        state.prompt = None
    elif key in _ERASE:
        state.prompt = typed[:-1]
    elif key == "\x15":  # Ctrl-U, as in a shell
        state.prompt = ""
    elif isinstance(key, str) and key.isprintable():
        state.prompt = typed + key
