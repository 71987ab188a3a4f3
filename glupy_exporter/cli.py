"""The command line: one function for each subcommand."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from glupy_exporter import __version__, config, interrupts, log, output, values
from glupy_exporter.builder import build
from glupy_exporter.errors import UserError, reported
from glupy_exporter.metrics import COLLECTORS, exposition
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.metrics.probes import Probes
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.operate import (
    change,
    claim,
    gluster,
    install,
    options,
    plan,
    status,
    unfinished,
)
from glupy_exporter.probes import loading
from glupy_exporter.probes.runner import Runner
from glupy_exporter.segment import reader
from glupy_exporter.state import command as state_command
from glupy_exporter.top.model import Sampler
from glupy_exporter.top.once import report
from glupy_exporter.top.text import printable
from glupy_exporter.top.view import VIEWS, State, sort_by
from glupy_exporter.trace import arguments as trace_arguments
from glupy_exporter.trace import run as recorder
from glupy_exporter.web import server

LOG = logging.getLogger(__name__)


def _configure(
    args: argparse.Namespace,
    once: bool = False,
    probes: Runner | None = None,
    before: Scraper | None = None,
) -> tuple[config.Config, Scraper]:
    """The settings, and a scraper; ``probes`` runs those of the settings from now on.

    Collectors of the scraper ``before`` go on with what they know if their options are the same:
    a reload must not give each brick a new budget of series.
    """
    settings = config.load(args)
    log.configure(settings.log_level, settings.log_format)
    for line in settings.ignored:
        LOG.warning(line)
    known = {each.name: each for each in before.collectors} if before else {}
    collectors: list[Collector] = []
    for kind in COLLECTORS:
        if kind.name in settings.collectors:
            chosen = Options(settings.collectors[kind.name], settings.privacy, once)
            same = kind.name in known and known[kind.name].options == chosen
            collectors.append(known[kind.name] if same else kind(chosen))
    where = (settings.segment_dir, settings.segment_expiry)
    if probes is not None:
        probes.replace(settings.probe_directory, *where, settings.privacy)
        if settings.probe_directory:
            collectors.append(Probes(probes))
    return settings, Scraper(*where, collectors, settings.state_file, before)


def _open_many() -> None:
    """Raise the soft limit of open files to the hard one, as every brick takes a descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # they are equal in the unit, whose filter of system calls may forbid this
        # The kernel refuses a limit above its own maximum; the soft limit then stays.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(args: argparse.Namespace) -> int:
    """Serve metrics over HTTP until SIGTERM or SIGINT."""
    _open_many()
    probes = Runner()
    try:
        server.serve(lambda before: _configure(args, probes=probes, before=before))
    finally:
        probes.stop()
    return 0


def dump(args: argparse.Namespace) -> int:
    """Write one scrape to standard output."""
    _open_many()
    _, scraper = _configure(args, once=True)
    output.write(b"".join(exposition.text(scraper)))
    return 0


def top(args: argparse.Namespace) -> int:
    """Show what the bricks of this node are doing, live or once."""
    _open_many()
    settings = config.load(args)
    views = [view for view in VIEWS if args.view in (view.name, None)]
    once = args.once or args.json
    state = State(interval=args.interval, filter=args.filter)
    state.view = VIEWS.index(views[0] if args.view else VIEWS[1])
    if args.sort:
        if once and not args.view:
            raise UserError("--sort needs --view, as the views have different columns")
        sort_by(state, args.sort)
    for line in settings.ignored:
        print(f"glupy-exporter: {line}", file=sys.stderr)
    try:
        reader.scan(settings.segment_dir)
    except OSError as error:
        raise UserError(
            f"cannot list {settings.segment_dir}: {error.strerror}; run this as root or in group "
            "gluster, on a node whose bricks have the translator"
        ) from error
    sampler = Sampler(
        settings.segment_dir,
        settings.segment_expiry,
        settings.privacy,
        state_file=settings.state_file,
    )
    rates = sampler.sample()
    if not once:
        # Imported here, so that a Python without curses can still serve.
        from glupy_exporter.top import app

        app.run(sampler, rates, state)
        return 0
    time.sleep(args.interval)
    rates = sampler.sample()
    for problem in rates.problems:
        where = printable(f"{problem.path}: {problem.message}")
        print(f"glupy-exporter: {where}", file=sys.stderr)
    encoding = sys.stdout.encoding
    text = report(rates, views, state, args.limit, None if args.json else encoding)
    output.write(text.encode(encoding))
    return 0


def _where(args: argparse.Namespace) -> recorder.Where:
    """The bricks that a command about the flight recorder looks at, by the exporter's settings."""
    _open_many()
    settings = config.load(args)
    for line in settings.ignored:
        print(f"glupy-exporter: {line}", file=sys.stderr)
    return recorder.Where(
        settings.segment_dir, settings.segment_expiry, settings.privacy, args.volume
    )


def slow(args: argparse.Namespace) -> int:
    """Show the slow fops that this node's bricks remember."""
    recorder.slow(_where(args), recorder.Output(args.json, args.limit))
    return 0


def inflight(args: argparse.Namespace) -> int:
    """Show the fops that are in flight in this node's bricks."""
    recorder.in_flight(_where(args), recorder.Output(args.json, args.limit))
    return 0


def trace(args: argparse.Namespace) -> int:
    """Show the fops of a volume on this node while they come back."""
    recorder.trace(
        _where(args),
        trace_arguments.wanted(args),
        recorder.Output(args.json, args.limit, args.summary),
        args.duration,
        loading.load(args.probe) if args.probe else None,
    )
    return 0


def xlator_build(args: argparse.Namespace) -> int:
    """Build glupy.so for the GlusterFS that is installed here."""
    shared_object = build.build(args.output)
    print(f"built {shared_object}")
    return 0


def xlator_install(args: argparse.Namespace) -> int:
    """Install glupy.so and the peer script, which answers other nodes, on this node."""
    print("\n".join(install.install(args.source, args.dry_run, args.script_only)))
    return 0


def xlator_uninstall(args: argparse.Namespace) -> int:
    """Remove what ``install`` put on this node."""
    print("\n".join(install.uninstall(args.dry_run)))
    return 0


def _agreed(args: argparse.Namespace) -> bool:
    """Whether the user agrees to what was shown: with ``--yes``, or on the terminal.

    Raises:
        UserError: there is no terminal to ask on.
    """
    if args.dry_run or args.yes:
        return not args.dry_run
    if not sys.stdin.isatty():
        raise UserError("cannot ask: standard input is not a terminal; use --yes or --dry-run")
    try:
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _change(
    args: argparse.Namespace, planner: Callable[[str], plan.Plan], then: str, done: str
) -> int:
    """Show what ``planner`` plans for the volume, ask, carry it out, and print ``done``.

    Work that an earlier command has left unfinished comes first; ``then`` names what follows it.
    """
    with interrupts.raised(), contextlib.ExitStack() as stack:
        gluster.volume(args.volume)
        if not args.dry_run:
            stack.enter_context(claim.held(args.volume))
        left = unfinished.read(args.volume)
        if left:
            print(
                f"`xlator {left.command} {left.volume}` has not ended: "
                f"{left.what} is to be brought back first, {then}",
                flush=True,
            )
            if not _agreed(args):
                return 0
            change.end_earlier(left, output.offer)
            disabled = not options.ours(gluster.volume(args.volume))
            if left.command == args.action == "disable" and disabled:
                output.offer(done)
                return 0
        planned = planner(args.volume)
        print("\n".join(planned.describe()), flush=True)
        if planned.command == "restart" and not planned.restart:
            return 0
        if _agreed(args):
            change.carry_out(planned, output.offer, args.timeout)
            output.offer(done)
    return 0


def xlator_enable(args: argparse.Namespace) -> int:
    """Insert the translator into every brick of a volume."""
    done = f"volume {args.volume} has the translator"
    return _change(args, plan.to_enable, "then the volume is enabled", done)


def xlator_restart(args: argparse.Namespace) -> int:
    """Have every brick of a volume run the translator that is installed on its node."""
    done = f"all bricks of {args.volume} run the installed translator"
    return _change(args, plan.to_restart, "then bricks are restarted", done)


def xlator_disable(args: argparse.Namespace) -> int:
    """Take the translator out of every brick of a volume."""
    done = f"volume {args.volume} does not have the translator any more"
    return _change(args, plan.to_disable, "then the volume is disabled", done)


def xlator_status(args: argparse.Namespace) -> int:
    """Show the translator's state in every brick; exit code 1 if a brick's state is not right."""
    rows = status.rows(args.volume)
    print(status.render_json(rows) if args.json else status.render(rows))
    return 0 if all(row.ok for row in rows) else 1


def _add_top(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Shows what this node's bricks do: fops, files, clients, slow fops and fops in flight. "
        "The key ? lists all keys."
    )
    config.add_flags(command, "segment.", "state.", "privacy.", "files.")
    command.add_argument(
        "--once", action="store_true", help="look twice, print a table for each view, and end"
    )
    command.add_argument("--json", action="store_true", help="like --once, as one JSON object")
    command.add_argument(
        "--interval",
        type=values.argument(values.number(0.1, 3600)),
        default=2.0,
        metavar="SECONDS",
        help="time between two looks (default: %(default)g)",
    )
    command.add_argument(
        "--view",
        choices=[view.name for view in VIEWS],
        help="begin with this view; with --once and --json, print only this one",
    )
    command.add_argument("--sort", metavar="COLUMN", help="title of the column to sort by")
    command.add_argument(
        "--filter", default="", metavar="TEXT", help="show only rows whose names contain this text"
    )
    command.add_argument(
        "--limit",
        type=values.argument(values.whole(1, 1_000_000)),
        metavar="N",
        help="with --once and --json: print at most this many rows of a view",
    )
    command.set_defaults(run=top)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glupy-exporter",
        description="Metrics of GlusterFS bricks, counted inside the bricks by a translator.",
    )
    parser.add_argument("--version", action="version", version=f"glupy-exporter {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    for run, text in (
        (serve, "serve metrics over HTTP"),
        (dump, "write one scrape to standard output"),
    ):
        command = commands.add_parser(run.__name__, help=text, allow_abbrev=False)
        config.add_flags(command)
        command.set_defaults(run=run)

    _add_top(commands.add_parser("top", help="show what bricks do, live", allow_abbrev=False))

    for run, text, add in (
        (slow, "show the slow fops that bricks remember", trace_arguments.add_slow),
        (inflight, "show the fops that bricks have not answered", trace_arguments.add_inflight),
        (trace, "show the fops of a volume, live", trace_arguments.add_trace),
    ):
        command = commands.add_parser(run.__name__, help=text, allow_abbrev=False)
        config.add_flags(command, "segment.", "privacy.", "files.")
        add(command)
        command.set_defaults(run=run)

    state_command.add(commands)

    xlator = commands.add_parser("xlator", help="build, install and insert the translator")
    actions = xlator.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("build", help="build glupy.so for the installed GlusterFS")
    action.add_argument(
        "--output",
        type=Path,
        default=build.DIRECTORY,
        metavar="DIR",
        help="directory for glupy.so (default: %(default)s)",
    )
    action.set_defaults(run=xlator_build)

    dry_run = argparse.ArgumentParser(add_help=False)
    dry_run.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    action = actions.add_parser(
        "install", parents=[dry_run], help="put glupy.so where this node's GlusterFS looks for it"
    )
    action.add_argument(
        "--from",
        dest="source",
        type=Path,
        default=build.DIRECTORY,
        metavar="DIR",
        help="directory that holds glupy.so; that file has to be root's (default: %(default)s)",
    )
    action.add_argument(
        "--script-only",
        action="store_true",
        help="put only the script there through which glusterd asks this node; that is enough on a "
        "node without bricks",
    )
    action.set_defaults(run=xlator_install)
    action = actions.add_parser(
        "uninstall", parents=[dry_run], help="remove what `xlator install` put on this node"
    )
    action.set_defaults(run=xlator_uninstall)

    changing = argparse.ArgumentParser(add_help=False, parents=[dry_run])
    changing.add_argument("volume", metavar="VOLUME", help="name of the volume")
    changing.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    changing.add_argument(
        "--timeout",
        type=values.argument(values.number(0, math.inf)),
        default=change.SECONDS,
        metavar="SECONDS",
        help="seconds in which a brick has to be reconnected and healed (default: %(default).0f)",
    )
    action = actions.add_parser(
        "enable", parents=[changing], help="insert the translator into a volume's bricks"
    )
    action.set_defaults(run=xlator_enable)
    action = actions.add_parser(
        "restart",
        parents=[changing],
        help="restart the bricks of a volume that run an older translator than is installed",
    )
    action.set_defaults(run=xlator_restart)
    action = actions.add_parser(
        "disable", parents=[changing], help="take the translator out of a volume's bricks"
    )
    action.set_defaults(run=xlator_disable)
    action = actions.add_parser("status", help="show the translator's state in every brick")
    action.add_argument("volume", nargs="?", metavar="VOLUME", help="show only this volume")
    action.add_argument("--json", action="store_true", help="print JSON instead of a table")
    action.set_defaults(run=xlator_status)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code: 0, 1 (it failed) or 2 (the user's mistake)."""
    args = _parser().parse_args(argv)
    return reported(lambda: int(args.run(args)))


if __name__ == "__main__":
    sys.exit(main())
