"""Errors that the user can correct, and how a command reports them."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake of the user's. Its text is one line that says what is wrong and what to do.

    The command line prints the text and exits with ``exit_code``.
    """

    exit_code = 2


class Unavailable(UserError):
    """An error that may pass by itself: a service that systemd starts again may succeed."""

    exit_code = 1


def reported(command: Callable[[], int]) -> int:
    """Run a command of the command line; the exit code is its own, or that of its error."""
    try:
        return command()
    except UserError as error:
        print(f"glupy-exporter: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
