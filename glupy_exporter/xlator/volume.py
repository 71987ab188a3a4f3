"""Inserts the translator into the bricks of a volume and takes it out again.

GlusterFS puts ``user/glupy`` into a brick's volfile when the volume option ``user.xlator.glupy``
names a position, and running bricks keep the graph that they started with, so bricks have to be
restarted. Where a replica or disperse set carries on with one brick less, they are restarted one at
a time; elsewhere the volume is stopped and started.

The way back is not symmetric. No GlusterFS up to 11 can unset one option of the ``user.``
namespace; only ``gluster volume reset VOLUME``, which resets all options, removes it. That must not
happen to a volume in use, whose clients and bricks would run with default options (access control
included) for a moment. So :func:`disable` stops the volume, resets it and sets all other options
back, after it has proved that GlusterFS takes them.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.segment import layout
from glupy_exporter.xlator import gluster, install, peer
from glupy_exporter.xlator.gluster import Brick, Volume

OLDEST_GLUSTERFS = 10
"""The first release that knows the options user.xlator.*."""

OPTION = "user.xlator.glupy"

POSITION = "sdfs"
"""GlusterFS inserts the translator right above the one named here, and does so even if that one is
not in the graph. Of the positions it accepts, ``sdfs`` is the one directly under io-stats whatever
else is switched on: ``quota`` would be below sdfs, namespace and cdc."""

RESTART_TIMEOUT = 600.0
"""Seconds that one brick may take to be back, healed and reconnected."""

_GRANULAR = "cluster.granular-entry-heal"
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

_ON = ("on", "enable", "yes", "true", "1")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What :func:`enable` or :func:`disable` will do to one volume."""

    volume: Volume
    enable: bool
    rolling: bool = False
    restart: tuple[Brick, ...] = ()
    """The bricks to restart, in this order."""
    pids: Mapping[str, int] = field(default_factory=dict)
    """Of the bricks that run now, by ``HOST:PATH``."""

    def describe(self) -> list[str]:
        """The plan in words, a line each."""
        volume = self.volume
        lines = [f"volume {volume.name} ({volume.kind}, {len(volume.bricks)} bricks):"]
        if self.enable:
            if OPTION not in volume.options:
                lines.append(f"  set {OPTION} {POSITION}")
        else:
            lines += [f"  unset {option} (is {volume.options[option]})" for option in _ours(volume)]
            lines.append(
                "  for that, reset all options and set the others back: "
                "GlusterFS cannot unset one user option"
            )
        if not self.restart:
            lines.append("  restart nothing: the volume is not started")
            return lines
        if self.rolling:
            lines.append(
                "  restart bricks one at a time; each is back, healed and reconnected to its "
                "clients before the next:"
            )
        else:
            lines.append(
                "  stop and start the volume: I/O ON IT FAILS OR HANGS until its bricks are back, "
                "usually a few seconds; restarted are:"
            )
        for number, brick in enumerate(self.restart, 1):
            lines.append(
                f"    {number}. {brick} (pid {self.pids.get(str(brick)) or 'not running'})"
            )
        if not self.enable:
            lines.append(
                "  (to stop counting without a restart: "
                f"gluster volume set {volume.name} {OPTION}.enabled off)"
            )
        return lines


def _ours(volume: Volume) -> list[str]:
    """The options of the volume that are the translator's, its position first."""
    return sorted(o for o in volume.options if o == OPTION or o.startswith(OPTION + "."))


def segment_directory(volume: Volume) -> Path:
    """Where the volume's bricks keep their segments."""
    return Path(volume.options.get(f"{OPTION}.segment-dir", layout.DIRECTORY))


def _check_nodes(volume: Volume, nodes: Mapping[str, peer.Node]) -> None:
    """Raise UserError unless every node that holds a brick has a matching translator."""
    for brick in volume.bricks:
        node = nodes.get(brick.node)
        where = f"node {brick.host} ({brick.node})"
        remedy = "run `glupy-exporter xlator install` there"
        if node is None:
            raise UserError(f"{where} did not answer; bring it back (`gluster peer status`)")
        if int(node.glusterfs_version.partition(".")[0]) < OLDEST_GLUSTERFS:
            raise UserError(
                f"{where} runs GlusterFS {node.glusterfs_version}, whose glusterd cannot insert a "
                f"translator into bricks; update it to {OLDEST_GLUSTERFS} or later"
            )
        if node.stamp is None:
            raise UserError(f"{where} has no translator; {remedy}")
        problem = install.check(node.stamp, node.glusterfs_version)
        if problem:
            raise UserError(f"{where} has no matching translator: {problem}; {remedy}")


def _loaded(volume: Volume, brick: Brick, nodes: Mapping[str, peer.Node]) -> bool:
    node = nodes.get(brick.node)
    return node is not None and peer.segment_name(volume.name, brick.path) in node.segments


def survives_restart(volume: Volume) -> bool:
    """Whether clients may go on writing while one brick of a set is down."""
    if not volume.redundant:
        return False
    if volume.disperse:
        return True
    quorum = volume.options.get("cluster.quorum-type", "")
    if quorum == "fixed":
        count = volume.options.get("cluster.quorum-count", "")
        return count.isdigit() and int(count) < volume.replica
    return not (quorum == "auto" and volume.replica == 2)


def _check_ready(volume: Volume, status: gluster.Status) -> None:
    """Raise UserError unless bricks of the volume may be taken down one at a time now."""
    down = [str(b) for b in volume.bricks if not _online(status, b)]
    if down:
        raise UserError(
            f"bricks are offline: {', '.join(down)}; "
            f"bring them back (`gluster volume status {volume.name}`) and try again"
        )
    for brick in volume.bricks:
        healer = status.healers.get(brick.node)
        if healer is None or not healer.online:
            raise UserError(
                f"no self-heal daemon runs for {volume.name} on {brick.host}, so a restarted brick "
                "would not be healed; switch cluster.self-heal-daemon on"
            )
    if status.tasks:
        raise UserError(f"{volume.name} is busy ({', '.join(status.tasks)}); try again afterwards")
    unhealed = gluster.unhealed(volume.name)
    if unhealed != 0:
        found = "cannot be read" if unhealed is None else f"lists {unhealed} entries"
        raise UserError(
            f"`gluster volume heal {volume.name} info summary` {found}; wait until nothing has to "
            "be healed and try again"
        )


def _check_processes(volume: Volume) -> None:
    """Raise UserError if stopping a brick of the volume would stop bricks that share its process.

    glusterd detaches a brick from a shared process only while multiplexing is on. Once it has been
    switched off, glusterd ends the process instead.
    """
    if gluster.global_options().get("cluster.brick-multiplex") in _ON:
        return
    processes = gluster.all_bricks()
    for brick in volume.bricks:
        mine = processes.get(str(brick))
        for other, process in processes.items():
            same_host = other.startswith(f"{brick.host}:")
            if mine and mine.pid and process.pid == mine.pid and same_host and other != str(brick):
                raise UserError(
                    f"{brick} and {other} share process {mine.pid} although "
                    "cluster.brick-multiplex is off, so stopping one would stop both; "
                    "switch it on, or restart their volumes first"
                )


def _online(status: gluster.Status, brick: Brick) -> bool:
    process = status.bricks.get(str(brick))
    return process is not None and process.online


def _pids(status: gluster.Status) -> dict[str, int]:
    return {name: process.pid for name, process in status.bricks.items() if process.pid}


def plan_enable(name: str) -> Plan:
    """What enabling the volume ``name`` takes.

    An enabling that did not come to its end leaves the option set and some bricks without the
    translator; then the plan is to restart only those.

    Raises:
        UserError: no such volume, it is enabled already, a node that holds one of its bricks has no
            matching translator, or its bricks cannot be restarted one at a time now.
    """
    volume = gluster.volume(name)
    nodes = peer.nodes()
    enabled = OPTION in volume.options
    restart = tuple(
        b for b in volume.bricks if volume.started and not (enabled and _loaded(volume, b, nodes))
    )
    if enabled and not restart:
        raise UserError(f"volume {name} has the translator already; see `xlator status {name}`")
    _check_nodes(volume, nodes)
    if not volume.started:
        return Plan(volume, enable=True)
    _check_processes(volume)
    status = gluster.status(name)
    rolling = survives_restart(volume)
    if rolling:
        _check_ready(volume, status)
    return Plan(volume, True, rolling, restart, _pids(status))


def plan_disable(name: str) -> Plan:
    """What disabling the volume ``name`` takes.

    Raises:
        UserError: no such volume, or it is not enabled.
    """
    volume = gluster.volume(name)
    if not _ours(volume):
        raise UserError(f"volume {name} does not have the translator; nothing to disable")
    if _GRANULAR in volume.options and volume.state == "Stopped":
        raise UserError(
            f"GlusterFS sets {_GRANULAR} back only on a started volume; "
            f"`gluster volume start {name}` first"
        )
    if not volume.started:
        return Plan(volume, enable=False)
    _check_processes(volume)
    return Plan(volume, False, False, volume.bricks, _pids(gluster.status(name)))


def _wait(what: str, deadline: float, ready: Callable[[], bool]) -> None:
    """Poll ``ready`` once a second. Raises UserError with ``what`` when the deadline is over."""
    trouble = ""
    while True:
        try:
            if ready():
                return
            trouble = ""
        except gluster.GlusterError as error:
            trouble = f" ({error})"
        if time.monotonic() > deadline:
            raise UserError(f"{what}{trouble}")
        time.sleep(1)


def _set_option(volume: Volume) -> None:
    gluster.command("volume", "set", volume.name, OPTION, POSITION)
    # A brick started now would come up without the translator and nobody would know why.
    missing = [volfile for volfile in _volfiles(volume) if not names_translator(volfile)]
    if missing:
        raise UserError(f"glusterd did not insert the translator into {missing[0]}; see its log")


def volfile(volume: Volume, brick: Brick) -> Path:
    """The brick's volfile, as glusterd calls it on the node that holds the brick."""
    path = brick.path.lstrip("/").replace("/", "-")
    name = f"{volume.name}.{brick.host}.{path}.vol"
    return Path(gluster.working_directory()) / "vols" / volume.name / name


def _volfiles(volume: Volume) -> list[Path]:
    """The volfiles of the bricks that this node holds."""
    return [path for path in (volfile(volume, b) for b in volume.bricks) if path.exists()]


def names_translator(path: Path) -> bool:
    """Whether the volfile at ``path`` has the translator in its graph."""
    return "type user/glupy\n" in path.read_text(encoding="utf-8", errors="replace")


def _restart_brick(
    volume: Volume, brick: Brick, timeout: float, while_down: Callable[[], None]
) -> None:
    """Restart one brick and wait until clients and data do not miss it any more.

    ``reset-brick start`` stops exactly this brick, on whichever node and in whichever process it
    is. Without a ``commit``, which would heal all its data anew, ``start force`` brings it back.
    """
    before = gluster.clients(volume.name).get(str(brick), 0)
    deadline = time.monotonic() + timeout
    after = f"after {timeout:.0f} s"
    gluster.command("volume", "reset-brick", volume.name, str(brick), "start")
    try:
        # glusterd does not wait for a brick to be gone. In a process shared with other bricks, one
        # that comes back before it is gone never serves a client again.
        _wait(f"{brick} does not go down {after}", deadline, lambda: not peer.holding(brick))
        while_down()
    finally:
        gluster.command("volume", "start", volume.name, "force")

    def connected() -> bool:
        # A client that left meanwhile is gone from the other bricks of the set as well.
        now = gluster.clients(volume.name)
        expected = [before, *(now.get(str(other), 0) for other in volume.siblings(brick))]
        return now.get(str(brick), 0) >= min(expected)

    _wait(
        f"{brick} is not online {after}; see its log on {brick.host}",
        deadline,
        lambda: _online(gluster.status(volume.name), brick),
    )
    _wait(f"clients have not come back to {brick} {after}", deadline, connected)
    _wait(
        f"{brick} is not healed {after}; see `gluster volume heal {volume.name} info`",
        deadline,
        lambda: gluster.unhealed(volume.name) == 0,
    )


def enable(plan: Plan, say: Say, timeout: float = RESTART_TIMEOUT) -> None:
    """Carry out what :func:`plan_enable` planned, reporting each step to ``say``.

    Raises:
        UserError: a step failed; the text says what is done, what is not, and how to go on.
    """
    volume = plan.volume

    def set_option() -> None:
        if OPTION not in volume.options:
            _set_option(volume)
            say(f"set {OPTION} {POSITION}")

    if not plan.rolling:
        set_option()
        if plan.restart:
            _restart_volume(volume, say, timeout)
    done: list[Brick] = []
    for brick in plan.restart if plan.rolling else ():
        say(f"restarting {brick}")
        try:
            # The option is set while the first brick is down: if that brick could not be stopped,
            # nothing has changed.
            _restart_brick(volume, brick, timeout, (lambda: None) if done else set_option)
        except UserError as error:
            left = [str(b) for b in plan.restart if b not in done]
            raise UserError(
                f"{error}. Restarted and well: {', '.join(map(str, done)) or 'none'}; not: "
                f"{', '.join(left)}. Mend that, then run `xlator enable {volume.name}` again; "
                "it goes on with what is left"
            ) from error
        done.append(brick)
    _verify_enabled(plan, timeout)
    say(f"volume {volume.name} has the translator")


def _verify_enabled(plan: Plan, timeout: float) -> None:
    volume = plan.volume
    if not volume.started:
        return

    def missing() -> list[str]:
        nodes = peer.nodes()
        return [str(b) for b in volume.bricks if not _loaded(volume, b, nodes)]

    with contextlib.suppress(UserError):
        _wait("", time.monotonic() + min(timeout, 15), lambda: not missing())
    without = missing()
    if without:
        raise UserError(
            f"these bricks run but write no segment: {', '.join(without)}; "
            "their logs say why, see `xlator status`"
        )


def _restart_volume(volume: Volume, say: Say, timeout: float) -> None:
    say(f"stopping {volume.name}")
    gluster.command("volume", "stop", volume.name)
    _start_volume(volume, say, timeout)


def _start_volume(volume: Volume, say: Say, timeout: float) -> None:
    say(f"starting {volume.name}")
    gluster.command("volume", "start", volume.name)

    def all_online() -> bool:
        status = gluster.status(volume.name)
        return all(_online(status, brick) for brick in volume.bricks)

    _wait(
        f"not all bricks of {volume.name} are online after {timeout:.0f} s; see "
        f"`gluster volume status {volume.name}`",
        time.monotonic() + timeout,
        all_online,
    )


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block has ended."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_command(volume: Volume, options: Mapping[str, str]) -> list[str]:
    return ["volume", "set", volume.name, *(word for item in options.items() for word in item)]


def _settable(volume: Volume, untouched: Set[str]) -> dict[str, str]:
    """The volume's options but those ``untouched``, all of which glusterd takes in one command.

    For that each is set to the value that it has: this changes nothing and proves that the same
    command will be taken after the reset. Left out is what glusterd has put there but does not
    know, like nfs.disable in a GlusterFS 11 that is built without NFS.

    Raises:
        UserError: glusterd refuses to set one that it knows.
    """
    options = {name: value for name, value in volume.options.items() if name not in untouched}
    while options:
        try:
            gluster.command(*_set_command(volume, options))
            break
        except gluster.GlusterError as error:
            unknown = _UNKNOWN.search(str(error))
            if not unknown or options.pop(unknown[1], None) is None:
                raise UserError(
                    f"the translator cannot be taken out, since GlusterFS would not set all other "
                    f"options back: {error}; nothing has changed. To stop counting: "
                    f"`gluster volume set {volume.name} {OPTION}.enabled off`"
                ) from error
    return options


def disable(plan: Plan, say: Say, timeout: float = RESTART_TIMEOUT) -> None:
    """Carry out what :func:`plan_disable` planned, reporting each step to ``say``.

    Raises:
        UserError: a step failed; the text says what is done, what is not, and how to go on.
    """
    volume = plan.volume
    ours = _ours(volume)
    granular = volume.options.get(_GRANULAR) if volume.started else None
    untouched = {*ours, *_KEPT, *gluster.global_options(), *((_GRANULAR,) if granular else ())}
    others = _settable(volume, untouched)
    restore = _set_command(volume, others)
    with _uninterrupted():
        if volume.started:
            say(f"stopping {volume.name}")
            gluster.command("volume", "stop", volume.name)
        try:
            gluster.command("volume", "reset", volume.name)
            if others:
                gluster.command(*restore)
        except gluster.GlusterError as error:
            raise UserError(
                f"{error}. {volume.name} stays stopped so that it does not run with other options "
                f"than before; run `{shlex.join(['gluster', *restore])}` and "
                f"`gluster volume start {volume.name}`"
            ) from error
        say(f"unset {', '.join(ours)}")
    if volume.started:
        _start_volume(volume, say, timeout)
    if granular:
        _set_granular(volume, granular, timeout)
    _verify_disabled(volume, volume.options.keys() - untouched - others.keys())
    # Or the exporters would report dead bricks. Without a node's help they do until it expires.
    with contextlib.suppress(gluster.GlusterError):
        peer.forget(volume.name, segment_directory(volume))
    say(f"volume {volume.name} does not have the translator any more")


def _set_granular(volume: Volume, value: str, timeout: float) -> None:
    """Set granular-entry-heal back, which GlusterFS does only while all bricks are healthy."""
    on = value in _ON

    def accepted() -> bool:
        gluster.set_granular_entry_heal(volume.name, on)
        return True

    _wait(
        f"`gluster volume heal {volume.name} granular-entry-heal {'enable' if on else 'disable'}` "
        f"did not work for {timeout:.0f} s; run it yet",
        time.monotonic() + timeout,
        accepted,
    )


def _verify_disabled(before: Volume, unknown: Set[str]) -> None:
    now = gluster.volume(before.name)
    not_its_own = {*_ours(before), *gluster.global_options(), *unknown}
    switch = {"enable": "on", "disable": "off"}

    def plain(volume: Volume) -> set[tuple[str, str]]:
        options = volume.options.items()
        return {(name, switch.get(v, v)) for name, v in options if name not in not_its_own}

    changed = sorted(name for name, _ in plain(before) ^ plain(now))
    if changed:
        raise UserError(
            f"{before.name} does not have the translator any more, but these options differ from "
            f"before: {', '.join(changed)}; set them right with `gluster volume set`"
        )
    left = [volfile for volfile in _volfiles(now) if names_translator(volfile)]
    if left:
        raise UserError(f"glusterd left the translator in {left[0]}; see its log")
