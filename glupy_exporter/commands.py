"""Runs programs without the caller's directory and environment.

The caller may be root, and the current directory, ``PYTHONPATH`` and ``PATH`` may lead to code that
another user has put there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence

from glupy_exporter import interrupts

DIRECTORY = "/"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
"""``/usr/local``, where a GlusterFS built from its source is, comes last: it hides nothing."""

ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C"}


def run(
    command: Sequence[str],
    seconds: float,
    *,
    given: str = "",
    descriptors: Collection[int] = (),
    inheriting: bool = False,
    undisturbed: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        seconds: how long it may take; then it is killed.
        given: its standard input.
        descriptors: descriptors of this process that it inherits.
        inheriting: whether it also inherits all descriptors that were made inheritable.
        undisturbed: whether it goes on whatever signals the caller's terminal or session gets.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took too long.
    """
    # Between fork and setsid it is in the caller's process group, whose signals would end it.
    with interrupts.held(undisturbed):
        process = subprocess.Popen(
            command,
            cwd=DIRECTORY,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=undisturbed,
            close_fds=not inheriting,
            pass_fds=descriptors,
        )
    with process:
        try:
            told = process.communicate(given.encode("utf-8"), seconds)
        except BaseException:
            process.kill()
            raise
    # Popen's text mode would end a line at a carriage return, which a name may have.
    output, trouble = (text.decode("utf-8", "replace") for text in told)
    return subprocess.CompletedProcess(command, process.returncode, output, trouble)
