"""The entry point, which starts the command of root's timer without the imports of all others."""

from __future__ import annotations

import sys

from glupy_exporter import output
from glupy_exporter.errors import reported
from glupy_exporter.state import command


def main() -> int:
    """Run one subcommand and return the exit code."""
    output.stand_in()
    return reported(_run)


def _run() -> int:
    if sys.argv[1:2] and sys.argv[1] in command.NAMES:
        code = command.main(sys.argv[1:])
    else:
        from glupy_exporter import cli

        code = cli.main()
    output.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
