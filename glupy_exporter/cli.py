"""The command line: one function a subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from glupy_exporter import __version__
from glupy_exporter.errors import UserError
from glupy_exporter.xlator import build


def xlator_build(args: argparse.Namespace) -> int:
    """Build glupy.so for the GlusterFS that is installed here."""
    shared_object = build.build(args.output)
    print(f"built {shared_object}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="glupy-exporter", description=__doc__)
    parser.add_argument("--version", action="version", version=f"glupy-exporter {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    xlator = commands.add_parser("xlator", help="build, install and insert the translator")
    actions = xlator.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("build", help="build glupy.so for the installed GlusterFS")
    action.add_argument("--output", type=Path, default=Path("build/xlator"), metavar="DIR")
    action.set_defaults(run=xlator_build)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code: 0, 1 (it failed) or 2 (the user's mistake)."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except UserError as error:
        print(f"glupy-exporter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
