"""The arguments of the commands `slow`, `inflight` and `trace`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glupy_exporter import values
from glupy_exporter.node import errnos
from glupy_exporter.node.privacy import glob
from glupy_exporter.segment.control import LONGEST
from glupy_exporter.trace.live import Wanted

_LIMIT = values.argument(values.whole(1, 100_000_000))


def _fops(value: Any) -> frozenset[str]:
    names = str(value).split(",")
    if not all(names):
        raise values.expected("names of fops such as read,write", value)
    return frozenset(names)


def _errno(value: Any) -> int:
    return -1 if value == "any" else errnos.number(str(value).upper())


def _glob(value: Any) -> str:
    glob(value)
    return str(value)


def _seconds(value: Any) -> float:
    return values.duration_of_go(value)


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json", action="store_true", help="write JSON, one object a line, instead of text"
    )


def _volume(command: argparse.ArgumentParser) -> None:
    command.add_argument("volume", nargs="?", metavar="VOLUME", help="show only this volume")


def add_slow(command: argparse.ArgumentParser) -> None:
    """Give ``command`` the arguments of `slow`."""
    command.description = (
        "Shows the fops that took at least the threshold of their class, the latest last. Each "
        "brick keeps its last 2048 slow fops by default (volume option slow-records)."
    )
    _volume(command)
    _common(command)
    command.add_argument(
        "--limit", type=_LIMIT, metavar="N", help="show only the last N (default: all)"
    )


def add_inflight(command: argparse.ArgumentParser) -> None:
    """Give ``command`` the arguments of `inflight`."""
    command.description = (
        "Shows the fops that bricks have not answered, the oldest first. If a fop waits for a "
        "lock, a second line names the client that holds it."
    )
    _volume(command)
    _common(command)
    command.add_argument(
        "--limit", type=_LIMIT, metavar="N", help="show only the N oldest (default: all)"
    )


_EXAMPLES = """\
examples:
  glupy-exporter trace vm --slower 10ms               fops that take 10 ms or more
  glupy-exporter trace vm --fop lookup --errno ENOENT lookups of names that do not exist
  glupy-exporter trace vm --path '/db/*' --summary    fops below /db, and a table at Ctrl-C
  glupy-exporter trace vm --duration 10s --json       every fop for 10 s, for a program to read
"""


def add_trace(command: argparse.ArgumentParser) -> None:
    """Give ``command`` the arguments of `trace`."""
    command.description = (
        "Shows the fops of a volume's bricks on this node when they come back, until Ctrl-C.\n"
        "A fop has to match all filters. Only root may run this command."
    )
    command.epilog = _EXAMPLES
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_argument("volume", metavar="VOLUME", help="name of the volume")
    command.add_argument(
        "--fop",
        type=values.argument(_fops),
        default=frozenset(),
        metavar="NAME[,NAME]",
        help="only these fops, such as read,write",
    )
    command.add_argument(
        "--client",
        type=values.argument(_glob),
        metavar="GLOB",
        help="only fops of clients whose address matches",
    )
    command.add_argument(
        "--uid",
        type=values.argument(values.whole(0, 2**32 - 1)),
        metavar="N",
        help="only fops of this user",
    )
    command.add_argument(
        "--path",
        type=values.argument(glob),
        metavar="GLOB",
        help="only fops on files whose path matches as it is shown; * matches / too",
    )
    command.add_argument(
        "--errno",
        type=values.argument(_errno),
        metavar="NAME",
        help="only fops that fail with this errno, such as ENOENT; any: with any errno",
    )
    command.add_argument(
        "--slower",
        type=values.argument(_seconds),
        default=0.0,
        metavar="DURATION",
        help="only fops that take this long, such as 10ms, or longer",
    )
    command.add_argument(
        "--sample",
        type=values.argument(values.whole(1, 1_000_000_000)),
        default=1,
        metavar="N",
        help="only one of N fops, at random",
    )
    command.add_argument(
        "--duration",
        type=values.argument(_seconds),
        metavar="DURATION",
        help="end after this time, such as 30s",
    )
    command.add_argument("--limit", type=_LIMIT, metavar="N", help="end after N fops")
    _common(command)
    command.add_argument(
        "--summary",
        action="store_true",
        help="end with a table of fops, errors and time by fop, file and client, and of latencies "
        "by fop",
    )
    command.add_argument(
        "--probe",
        type=Path,
        metavar="FILE",
        help="give the fops to the probe in this file instead of writing them; at the end, write "
        "the metrics of the probe",
    )


def wanted(args: argparse.Namespace) -> Wanted:
    """The filters of `trace`."""
    return Wanted(
        fops=args.fop,
        client=glob(args.client) if args.client else None,
        address="" if args.client is None or set("*?[") & set(args.client) else args.client,
        uid=args.uid,
        path=args.path,
        errno=args.errno,
        slower=min(round(args.slower * 1e9), LONGEST),
        sample=args.sample,
    )
