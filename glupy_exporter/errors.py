"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """A mistake of the user's: its text is one line that says what is wrong and what to do.

    The command line prints it and exits with ``exit_code``.
    """

    exit_code = 2
