"""The exceptions that mean "the user can mend this"."""


class UserError(Exception):
    """A mistake of the user's: its text is one line that says what is wrong and what to do.

    The command line prints it and exits with ``exit_code``.
    """

    exit_code = 2


class Unavailable(UserError):
    """What may pass without anybody's help: a service that is started again may succeed."""

    exit_code = 1
