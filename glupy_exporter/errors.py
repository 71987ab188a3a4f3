"""Exceptions for errors that the user can correct."""


class UserError(Exception):
    """A mistake of the user's. Its text is one line that says what is wrong and what to do.

    The command line prints the text and exits with ``exit_code``.
    """

    exit_code = 2


class Unavailable(UserError):
    """An error that may pass by itself: a service that systemd starts again may succeed."""

    exit_code = 1
