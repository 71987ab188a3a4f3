"""The command `state`, which root's timer runs each minute, and its former name `discover`.

It imports only what it needs, since loading the whole program would take longer than its work.
"""

from __future__ import annotations

import argparse
import contextlib
import grp
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glupy_exporter import output, values
from glupy_exporter.errors import reported
from glupy_exporter.node import discovery, nodestate
from glupy_exporter.state import learn

NAMES = ("state", "discover")

_STANDARD_OUTPUT = Path("-")


def main(words: Sequence[str]) -> int:
    """Run one of the two commands and return its exit code."""
    parser = argparse.ArgumentParser(prog="glupy-exporter")
    add(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    args = parser.parse_args(words)
    return reported(lambda: int(args.run(args)))


def add(commands: Any) -> None:
    """Add the commands to argparse's subparsers."""
    command = commands.add_parser(
        NAMES[0],
        help="learn this node's state from glusterd's files, for the exporter and for /sd",
        allow_abbrev=False,
    )
    command.description = (
        "Learns the state of this node from glusterd's files, /proc and the bricks' disks. Only "
        "root may read all of these. Without --file and --targets, writes the state to standard "
        "output."
    )
    command.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="write the state to this file, which the exporter's --state.file names; - for "
        "standard output",
    )
    command.add_argument(
        "--targets",
        type=Path,
        metavar="FILE",
        help="write the pool's nodes to this file as Prometheus's targets; - for standard output",
    )
    command.add_argument(
        "--no-disks",
        dest="disks",
        action="store_false",
        help="do not ask the bricks' disks and LVM: quotas, entries that wait for a heal and thin "
        "pools are missing",
    )
    _add_targets(command)
    command.set_defaults(run=state)
    command = commands.add_parser(
        NAMES[1], help="the former name of `state --targets`", allow_abbrev=False
    )
    command.add_argument("--file", type=Path, metavar="FILE", help="see `state --targets`")
    _add_targets(command)
    command.set_defaults(run=discover)


def state(args: argparse.Namespace) -> int:
    """Learn this node's state and the pool's nodes, and write them to files for the exporter.

    ``-`` for a file is standard output, where the state goes if no file is named at all.
    """
    with contextlib.suppress(KeyError, OSError):  # the group is the packages' and the unit's
        group = grp.getgrnam(nodestate.GROUP).gr_gid
        if os.getegid() != group:
            os.setegid(group)
    if args.targets:
        found = discovery.groups(discovery.nodes(address=args.address), args.cluster, args.port)
        _put(args.targets, discovery.render(found), 0o644)
    if args.file or not args.targets:
        locks = args.file and args.file.absolute().parent
        learned = learn.learn(locks=locks, ask_disks=args.disks)
        _put(args.file or _STANDARD_OUTPUT, nodestate.render(learned), nodestate.MODE)
    return 0


def _put(path: Path, content: bytes, mode: int) -> None:
    if path == _STANDARD_OUTPUT:
        output.write(content)
    else:
        discovery.write(path, content, mode)


def discover(args: argparse.Namespace) -> int:
    """Run ``state --targets`` by its former name, with the former name of its flag."""
    args.targets, args.file = args.file or _STANDARD_OUTPUT, None
    return state(args)


def _add_targets(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cluster",
        type=values.argument(discovery.SETTINGS["discovery.cluster"].check),
        default=discovery.CLUSTER,
        metavar="NAME",
        help="name of the cluster in the targets (default: %(default)s)",
    )
    command.add_argument(
        "--port",
        type=values.argument(discovery.SETTINGS["discovery.port"].check),
        default=discovery.PORT,
        metavar="PORT",
        help="port on which the exporters listen (default: %(default)s)",
    )
    command.add_argument(
        "--address",
        default=discovery.ADDRESS,
        metavar="GLOB",
        help="pattern for the address of a node: the one of its names that matches and that most "
        "of its bricks have (default: %(default)s)",
    )
