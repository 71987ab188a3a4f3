"""Carries out what :mod:`plan` planned.

The way back is not symmetric. No GlusterFS up to 11 can unset one option of the ``user.``
namespace; only ``gluster volume reset VOLUME``, which resets all options, removes it. That must not
happen to a volume in use, whose clients and bricks would run with default options (access control
included) for a moment. So :func:`disable` stops the volume, resets it and sets all other options
back, after it has proved that GlusterFS takes them.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Set

from glupy_exporter.errors import UserError
from glupy_exporter.xlator import gluster, options, peer, plan, unfinished
from glupy_exporter.xlator.gluster import Brick, Volume
from glupy_exporter.xlator.interrupts import Interrupted
from glupy_exporter.xlator.options import OPTION, POSITION
from glupy_exporter.xlator.plan import GRANULAR, Plan
from glupy_exporter.xlator.unfinished import Work, wait

SECONDS = 600.0
"""How long a brick may take to be reconnected and healed."""

_SHOW_SECONDS = 15.0

# `volume reset` without `force` leaves these alone and `volume set` refuses them.
_KEPT = (
    "features.quota",
    "features.inode-quota",
    "features.bitrot",
    "features.scrub",
    "geo-replication.indexing",
    "geo-replication.ignore-pid-check",
)

_UNKNOWN = re.compile(r"option : (\S+) does not exist")

Say = Callable[[str], None]


def carry_out(planned: Plan, say: Say, seconds: float = SECONDS) -> None:
    """Do what was planned, reporting each step to ``say``.

    Raises:
        UserError: a step failed or a signal came; the text says what is done, what is not, and how
            to go on.
    """
    _check_unchanged(planned.volume, gluster.volume(planned.volume.name))
    if planned.rolling:
        _restart_bricks(planned, say, seconds)
        _verify_loaded(planned)
        return
    try:
        if planned.command == "disable":
            _disable(planned, say)
        else:
            _restart_volume(planned, say)
            _verify_loaded(planned)
    except Interrupted as error:
        error.args = (f"{error}; `xlator status {planned.volume.name}` shows what is done",)
        raise


def end_earlier(work: Work, say: Say) -> None:
    """Bring back what an earlier command has left.

    Raises:
        UserError: it does not come back.
    """
    say(f"bringing {work.what} back")
    unfinished.bring_back(work.volume)
    say(f"{work.what} is back")


def _check_unchanged(before: Volume, now: Volume) -> None:
    """Raise UserError if somebody else has changed the volume."""
    if now != before:
        raise UserError(f"somebody has changed {before.name} meanwhile; run this again")


def _running(planned: Plan) -> tuple[str, ...]:
    """The bricks that have to run again once the volume was stopped, if it is started."""
    if not planned.volume.started:
        return ()
    return tuple(planned.pids) or tuple(map(str, planned.volume.bricks))


def _set_option(volume: Volume, say: Say) -> None:
    if OPTION in volume.options:
        return
    gluster.command("volume", "set", volume.name, OPTION, POSITION)
    # A brick started now would come up without the translator and nobody would know why.
    missing = [
        volfile for volfile in options.volfiles(volume) if not options.names_translator(volfile)
    ]
    if missing:
        raise UserError(f"glusterd did not insert the translator into {missing[0]}; see its log")
    say(f"set {OPTION} {POSITION}")


def _restart_volume(planned: Plan, say: Say) -> None:
    volume = planned.volume
    _set_option(volume, say)
    if planned.restart:
        say(f"stopping {volume.name}")
        with unfinished.promised(Work(volume.name, planned.command, running=_running(planned))):
            gluster.command("volume", "stop", volume.name)
            say(f"starting {volume.name}")


def _restart_bricks(planned: Plan, say: Say, seconds: float) -> None:
    volume = planned.volume
    done: list[Brick] = []
    for brick in planned.restart:
        try:
            _restart_brick(planned, brick, say, seconds)
        except UserError as error:
            left = [str(b) for b in planned.restart if b not in done]
            error.args = (
                f"{error}. Restarted and well: {', '.join(map(str, done)) or 'none'}; not: "
                f"{', '.join(left)}. Run `xlator {planned.command} {volume.name}` again; it goes "
                "on with what is left",
            )
            raise
        done.append(brick)


def _restart_brick(planned: Plan, brick: Brick, say: Say, seconds: float) -> None:
    """Restart one brick and wait until clients and data do not miss it any more.

    ``reset-brick start`` stops exactly this brick, on whichever node and in whichever process it
    is. Without a ``commit``, which would heal all its data anew, ``start force`` brings it back.
    """
    volume = planned.volume
    deadline = time.monotonic() + seconds
    after = f"after {seconds:.0f} s"

    def healed() -> bool:
        return gluster.unhealed(volume.name) == 0

    see = f"see `gluster volume heal {volume.name} info`"
    wait(f"{volume.name} is not healed {after}; {see}", deadline, healed)
    plan.check_ready(volume, gluster.status(volume.name))
    before = gluster.clients(volume.name).get(str(brick), 0)
    say(f"restarting {brick}")
    with unfinished.promised(Work(volume.name, planned.command, brick)):
        gluster.command("volume", "reset-brick", volume.name, str(brick), "start")
        wait(
            f"{brick} does not go down",
            time.monotonic() + unfinished.SECONDS,
            lambda: not peer.holding([brick]),
        )
        say(f"{brick} is down")
        # While the first brick is down: if it could not be stopped, nothing has changed.
        if brick == planned.restart[0]:
            _set_option(volume, say)
    say(f"{brick} is back; waiting for its clients and for self-heal")

    def connected() -> bool:
        # A client that left meanwhile is gone from the other bricks of the set as well.
        now = gluster.clients(volume.name)
        expected = [before, *(now.get(str(other), 0) for other in volume.siblings(brick))]
        return now.get(str(brick), 0) >= min(expected)

    wait(f"clients have not come back to {brick} {after}", deadline, connected)
    wait(f"{brick} is not healed {after}; {see}", deadline, healed)


def _verify_loaded(planned: Plan) -> None:
    volume = planned.volume
    if not volume.started:
        return
    wanted = plan.current if planned.command == "restart" else plan.counts
    deadline = time.monotonic() + _SHOW_SECONDS
    while True:
        nodes = peer.nodes()
        without = [str(b) for b in volume.bricks if not wanted(volume, b, nodes)]
        if not without:
            return
        if time.monotonic() > deadline:
            raise UserError(
                f"these bricks run without the installed translator: {', '.join(without)}; "
                "their logs say why, see `xlator status`"
            )
        time.sleep(1)


def _settable(volume: Volume, untouched: Set[str]) -> dict[str, str]:
    """The volume's options but those ``untouched``, all of which glusterd takes in one command.

    For that each is set to the value that it has: this changes nothing and proves that the same
    command will be taken after the reset. Left out is what glusterd has put there but does not
    know, like nfs.disable in a GlusterFS 11 that is built without NFS.

    Raises:
        UserError: glusterd refuses to set one that it knows.
    """
    found = {name: value for name, value in volume.options.items() if name not in untouched}
    while found:
        try:
            gluster.command(*options.set_command(volume.name, found))
            break
        except gluster.GlusterError as error:
            unknown = _UNKNOWN.search(str(error))
            if not unknown or found.pop(unknown[1], None) is None:
                raise UserError(
                    f"the translator cannot be taken out, since GlusterFS would not set all other "
                    f"options back: {error}; nothing has changed. To stop counting: "
                    f"`gluster volume set {volume.name} {OPTION}.enabled off`"
                ) from error
    return found


def _disable(planned: Plan, say: Say) -> None:
    volume = planned.volume
    ours = options.ours(volume)
    granular = volume.options.get(GRANULAR) if volume.started else None
    untouched = {*ours, *_KEPT, *gluster.global_options(), *((GRANULAR,) if granular else ())}
    others = _settable(volume, untouched)
    work = Work(
        volume.name,
        "disable",
        running=_running(planned),
        granular=granular,
        segments=str(options.segment_directory(volume)),
    )
    if volume.started:
        say(f"stopping {volume.name}")
    with unfinished.promised(work):
        if volume.started:
            gluster.command("volume", "stop", volume.name)
        now = gluster.volume(volume.name)
        _check_unchanged(dataclasses.replace(volume, state=now.state), now)
        unfinished.write(dataclasses.replace(work, options=others))
        gluster.command("volume", "reset", volume.name)
        say(f"unset {', '.join(ours)}")
        say(f"setting the other options back{' and starting it' if volume.started else ''}")
    _verify_disabled(volume, volume.options.keys() - untouched - others.keys())


def _verify_disabled(before: Volume, unknown: Set[str]) -> None:
    now = gluster.volume(before.name)
    not_its_own = {*options.ours(before), *gluster.global_options(), *unknown}
    switch = {"enable": "on", "disable": "off"}

    def plain(volume: Volume) -> set[tuple[str, str]]:
        found = volume.options.items()
        return {(name, switch.get(v, v)) for name, v in found if name not in not_its_own}

    changed = sorted(name for name, _ in plain(before) ^ plain(now))
    if changed:
        raise UserError(
            f"{before.name} does not have the translator any more, but these options differ from "
            f"before: {', '.join(changed)}; set them right with `gluster volume set`"
        )
    left = [volfile for volfile in options.volfiles(now) if options.names_translator(volfile)]
    if left:
        raise UserError(f"glusterd left the translator in {left[0]}; see its log")
