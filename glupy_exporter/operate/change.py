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
from collections.abc import Callable, Mapping, Sequence, Set

from glupy_exporter.errors import UserError
from glupy_exporter.operate import gluster, options, peer, plan, unfinished
from glupy_exporter.operate.gluster import Brick, Volume
from glupy_exporter.operate.options import OPTION, POSITION
from glupy_exporter.operate.plan import GRANULAR, Plan
from glupy_exporter.operate.unfinished import Work, wait

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

# glusterd's refusals of options that it does not know, or that need not be set.
_NEEDLESS = re.compile(r"option : \S+ does not exist|is already 'off'")
_ONLY_STOPPED = re.compile("stop the volume first", re.IGNORECASE)

Say = Callable[[str], None]


def carry_out(planned: Plan, say: Say, seconds: float = SECONDS) -> None:
    """Do what was planned, reporting each step to ``say``, which must not block.

    Raises:
        UserError: a step failed or a signal came; the text says what is done, what is not, and how
            to go on.
    """
    name = planned.volume.name
    _check_unchanged(planned.volume, gluster.volume(name))
    try:
        if planned.command == "disable":
            _disable(planned, say)
            return
        if planned.rolling:
            _restart_bricks(planned, say, seconds)
        else:
            _restart_volume(planned, say)
        _verify_loaded(planned)
    except UserError as error:
        error.args = (f"{error}. Now {_state(planned)}; `xlator status {name}` shows its bricks",)
        raise


def _state(planned: Plan) -> str:
    """How the volume is, in words."""
    name = planned.volume.name
    try:
        volume = gluster.volume(name)
        down = []
        if volume.started:
            status = gluster.status(name)
            down = [str(brick) for brick in volume.bricks if not brick.online(status)]
    except UserError as error:
        return f"the state of {name} is not known ({error})"
    is_set = OPTION in volume.options
    words = [f"{name} is {volume.state.lower()}", f"{OPTION} is {'set' if is_set else 'not set'}"]
    if is_set and planned.command == "enable":
        words.append("bricks that have not been restarted since ignore changed options")
    if volume.started:
        words.append(f"bricks that are down: {', '.join(down) or 'none'}")
    return ", ".join(words)


def _command(words: Sequence[str], is_done: Callable[[], bool]) -> None:
    """Run a ``gluster`` command; if that gives up, wait until glusterd has done it all the same.

    Raises:
        GlusterError: it failed.
        UserError: glusterd has not done it after :data:`gluster.PATIENCE`.
    """
    unfinished.show_life()
    try:
        gluster.command(*words)
    except gluster.GaveUpError as error:
        what = f"{error}, which has not done it in {gluster.PATIENCE:.0f} s more"
        wait(what, time.monotonic() + gluster.PATIENCE, is_done)


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
    _command(
        ("volume", "set", volume.name, OPTION, POSITION),
        lambda: OPTION in gluster.volume(volume.name).options,
    )
    # A brick started now would come up without the translator and nobody would know why.
    missing = [
        volfile for volfile in options.volfiles(volume) if not options.names_translator(volfile)
    ]
    if missing:
        raise UserError(f"glusterd did not insert the translator into {missing[0]}; see its log")
    say(f"set {OPTION} {POSITION}")


def _restart_volume(planned: Plan, say: Say) -> None:
    volume = planned.volume
    if not planned.restart:
        _set_option(volume, say)
        return
    say(f"stopping {volume.name}")
    with unfinished.promised(Work(volume.name, planned.command, running=_running(planned))):
        _stop(volume)
        # Not before: a brick ignores all options while its volfile names another graph.
        _set_option(volume, say)
        say(f"starting {volume.name}")


def _stop(volume: Volume) -> None:
    _command(("volume", "stop", volume.name), lambda: not gluster.volume(volume.name).started)


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
    """Restart one brick, and wait until its clients are back and its data is healed.

    ``reset-brick start`` stops exactly this brick, on whichever node and in whichever process it
    is. Without a ``commit``, which would heal all its data anew, ``start force`` brings it back.
    """
    volume = planned.volume
    deadline = time.monotonic() + seconds
    after = f"after {seconds:.0f} s"

    def is_down() -> bool:
        return not peer.holding([brick])

    _wait_healed(volume, volume.name, deadline, after)
    plan.check_ready(volume, gluster.status(volume.name))
    before = gluster.clients(volume.name).get(str(brick), 0)
    say(f"restarting {brick}")
    with unfinished.promised(Work(volume.name, planned.command, brick)):
        _command(("volume", "reset-brick", volume.name, str(brick), "start"), is_down)
        wait(f"{brick} does not go down", time.monotonic() + unfinished.SECONDS, is_down)
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
    _wait_healed(volume, str(brick), deadline, after)


def _wait_healed(volume: Volume, what: str, deadline: float, after: str) -> None:
    left: gluster.Unhealed | None = None

    def healed() -> bool:
        nonlocal left
        left = gluster.unhealed(volume.name)
        return left is not None and not left

    try:
        wait(f"{what} is not healed {after}", deadline, healed)
    except UserError as error:
        entries = "not every brick can be asked" if left is None else f"entries: {left}"
        see = f"see `gluster volume heal {volume.name} info`"
        error.args = (f"{error}; {entries}; {see}",)
        raise


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


def _settable(volume: Volume, untouched: Set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The volume's options but ``untouched``: those to be set now, and those once it is stopped.

    Each is set to the value that it has: this changes nothing and proves that glusterd will set it
    after the reset. Options that glusterd has put there but does not know are left out, like
    nfs.disable in a GlusterFS 11 that is built without NFS, and so is ganesha.enable if it is off.

    Raises:
        UserError: glusterd refuses to set one that it knows.
    """
    found = {name: value for name, value in volume.options.items() if name not in untouched}
    if not found or not _refusal(volume, found):
        return found, {}
    stopped: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, value in list(found.items()):
        why = _refusal(volume, {name: value})
        if not why:
            continue
        del found[name]
        if volume.started and _ONLY_STOPPED.search(why):
            stopped[name] = value
        elif not _NEEDLESS.search(why):
            refused[name] = why
    if refused:
        resets = ", ".join(f"`gluster volume reset {volume.name} {name}`" for name in refused)
        raise UserError(
            "the translator cannot be taken out, since GlusterFS would not set all other options "
            f"back: {'; '.join(refused.values())}; nothing has changed. Run {resets}, then this "
            f"again, and set {', '.join(refused)} afterwards if you want to. To stop counting: "
            f"`gluster volume set {volume.name} {OPTION}.enabled off`"
        )
    if found:
        gluster.command(*options.set_command(volume.name, found))
    return found, stopped


def _refusal(volume: Volume, found: Mapping[str, str]) -> str:
    """Why glusterd refuses to set options to the values that they have; empty if it does not."""
    try:
        gluster.command(*options.set_command(volume.name, found))
    except gluster.RefusedError as error:
        return str(error)
    return ""


def _disable(planned: Plan, say: Say) -> None:
    volume = planned.volume
    ours = options.ours(volume)
    granular = volume.options.get(GRANULAR) if volume.started else None
    scrub = options.of_scrub(volume)
    by_command = {*scrub, *((GRANULAR,) if granular else ())}
    untouched = {*ours, *_KEPT, *gluster.global_options(), *by_command}
    others, stopped = _settable(volume, untouched)
    work = Work(
        volume.name,
        "disable",
        running=_running(planned),
        granular=granular,
        scrub=scrub,
        segments=str(options.segment_directory(volume)),
    )
    if volume.started:
        say(f"stopping {volume.name}")
    with unfinished.promised(work):
        if volume.started:
            _stop(volume)
        now = gluster.volume(volume.name)
        _check_unchanged(dataclasses.replace(volume, state=now.state), now)
        others.update(stopped)
        if stopped:
            gluster.command(*options.set_command(volume.name, others))
        unfinished.write(dataclasses.replace(work, options=others))
        _command(
            ("volume", "reset", volume.name),
            lambda: not options.ours(gluster.volume(volume.name)),
        )
        say(f"unset {', '.join(ours)}")
        say(f"setting the other options back{' and starting it' if volume.started else ''}")
    _verify_disabled(volume, volume.options.keys() - untouched - others.keys())


def _verify_disabled(before: Volume, unknown: Set[str]) -> None:
    now = gluster.volume(before.name)
    not_its_own = {*options.ours(before), *gluster.global_options(), *unknown}
    switch = {"enable": "on", "disable": "off"}

    def plain(volume: Volume) -> dict[str, str]:
        found = volume.options.items()
        return {name: switch.get(v, v) for name, v in found if name not in not_its_own}

    was, is_now = plain(before), plain(now)
    changed = [
        f"{name} was {was.get(name, 'not set')} and is {is_now.get(name, 'not set')}"
        for name in sorted(was.keys() | is_now.keys())
        if was.get(name) != is_now.get(name)
    ]
    if changed:
        raise UserError(
            f"{before.name} does not have the translator any more, but these options differ from "
            f"before: {'; '.join(changed)}. Set them right with `gluster volume set`"
        )
    left = [volfile for volfile in options.volfiles(now) if options.names_translator(volfile)]
    if left:
        raise UserError(f"glusterd left the translator in {left[0]}; see its log")
