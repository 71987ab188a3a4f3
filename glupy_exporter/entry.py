"""The entry point, which starts the command of root's timer without the imports of all others."""

from __future__ import annotations

import sys

from glupy_exporter.state import command


def main() -> int:
    """Run one subcommand and return the exit code."""
    if sys.argv[1:2] and sys.argv[1] in command.NAMES:
        return command.main(sys.argv[1:])
    from glupy_exporter import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
