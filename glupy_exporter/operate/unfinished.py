"""A brick that was taken down comes back, whatever happens to the command that took it down.

A command that takes a brick down, or stops a volume, does so under :func:`promised`:

- A note in ``STATE/VOLUME.json`` says what has to be brought back. It is removed once that is done.
- Ctrl-C, SIGTERM and SIGHUP wait until it is done.
- A second process, the standby, waits for the end of the command and of what it runs. If the
  command was killed before it was done, the standby does it. If the command stands still, as one
  that SIGSTOP has stopped, the standby kills it first: two must never work on a volume.
- If the machine went down too, the next command finds the note.

All of them call :func:`bring_back`, which does only what is left to do and may be called at any
time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import select
import signal
import syslog
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glupy_exporter import atomic, interrupts
from glupy_exporter.errors import UserError
from glupy_exporter.operate import gluster, options, peer
from glupy_exporter.operate.gluster import Brick, Volume

SECONDS = 120.0
"""How long a brick or a volume may take to be back."""

STANDBY_SECONDS = 600.0
"""How long the standby waits for a sign of life of the command, then for the end of the command
that it has killed, and then how long it tries to bring all back."""

_GONE_SECONDS = 60.0
_STEP_SECONDS = 10.0

_to_standby: int | None = None
"""The pipe to the standby, while there is one."""
_LIFE, _LONG, _DONE = b"+", b"~", b"."


@dataclass(frozen=True)
class Work:
    """The bricks or the volume that a command has to bring back."""

    volume: str
    command: str
    """``enable``, ``restart`` or ``disable``."""
    brick: Brick | None = None
    """The brick that it takes down; None if it stops the volume."""
    running: tuple[str, ...] = ()
    """The bricks, ``HOST:PATH``, that ran before it stopped the volume."""
    options: Mapping[str, str] | None = None
    """Options to set again, as they may have been reset; None once they are set."""
    granular: str | None = None
    """The value of ``cluster.granular-entry-heal``, which only a started volume takes."""
    segments: str | None = None
    """The directory with segments that nobody needs once the volume is without the translator."""
    scrub: Mapping[str, str] = field(default_factory=dict)
    """Options that :func:`options.set_scrub` has to set again on the started volume."""

    @property
    def what(self) -> str:
        """The thing to bring back, in words."""
        return str(self.brick) if self.brick else f"volume {self.volume}"


def note_of(volume: str) -> Path:
    """The path of the note about a volume."""
    return peer.STATE / f"{volume}.json"


def read(volume: str) -> Work | None:
    """The work that an earlier command has left; None if there is none.

    Raises:
        UserError: the note cannot be read.
    """
    path = note_of(volume)
    try:
        values = json.loads(path.read_bytes())
        brick = values.pop("brick")
        running = tuple(map(str, values.pop("running")))
        return Work(brick=Brick(**brick) if brick else None, running=running, **values)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; run this as root") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, in which an earlier command noted its unfinished work, makes no sense; look "
            f"at `gluster volume info {volume}`, whose options may be reset, and at `gluster "
            f"volume status {volume}`; remove the file once all is well"
        ) from error


def write(work: Work) -> None:
    """Replace the note about the volume.

    Raises:
        UserError: it cannot be written.
    """
    path = note_of(work.volume)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        atomic.replace(path, json.dumps(dataclasses.asdict(work)).encode("ascii"), 0o600)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; without it nothing is taken down"
        ) from error


def wait(what: str, deadline: float, ready: Callable[[], bool]) -> None:
    """Poll ``ready`` once a second until it holds.

    While glusterd is busy or does not answer, the deadline is put off, up to
    :data:`gluster.PATIENCE` from the call.

    Raises:
        UserError: the deadline is over; the text begins with ``what``.
    """
    trouble = ""
    latest = max(deadline, time.monotonic() + gluster.PATIENCE)
    while True:
        show_life()
        try:
            if ready():
                return
            trouble = ""
        except gluster.GlusterError as error:
            trouble = f" ({error})"
            if isinstance(error, gluster.UndecidedError):
                deadline = latest
        if time.monotonic() > deadline:
            raise UserError(f"{what}{trouble}")
        time.sleep(1)


def bring_back(volume: str, seconds: float = SECONDS) -> None:
    """Do what the note about the volume says is left to do, and remove it.

    What fails is tried again. What somebody else has done meanwhile is not done again.

    Raises:
        UserError: something is not back within ``seconds``; the note stays.
    """
    work = read(volume)
    if not work:
        return
    gone_by = time.monotonic() + _GONE_SECONDS
    try:
        wait(
            f"{work.what} is not back",
            time.monotonic() + seconds,
            lambda: _is_back(volume, gone_by),
        )
    except UserError as error:
        # The note as it is now: the options may have been set back meanwhile.
        error.args = (f"{error}; {_way_on(read(volume) or work)}",)
        raise
    note_of(volume).unlink(missing_ok=True)


def _way_on(work: Work) -> str:
    """What to do about work that does not get done."""
    again = f"run `glupy-exporter xlator {work.command} {work.volume}` again on this node"
    if work.options is not None:
        return (
            f"do not start {work.volume} by hand: its options may be reset, and it would serve "
            f"everybody whom auth.allow keeps out; {again}, which sets them back first"
        )
    if work.brick:
        see = f"its log on {work.brick.host}"
    else:
        see = f"`gluster volume status {work.volume}`"
    if work.command == "disable":
        # By hand, the options that only a started volume takes would stay unset.
        return f"see {see}, then {again}"
    return f"see {see}, then run `gluster volume start {work.volume} force`, or {again}"


def _is_back(name: str, gone_by: float) -> bool:
    """Whether all is back; if not, do what can be done about it now."""
    work = read(name)
    found = [volume for volume in gluster.volumes() if volume.name == name]
    if not work or not found:
        return True
    (volume,) = found
    if work.brick:
        # If somebody stopped the volume or replaced the brick meanwhile, it is not to come back.
        if not volume.started or work.brick not in volume.bricks:
            return True
        return _are_online(volume, [work.brick], gone_by)
    if work.options:
        gluster.command(*options.set_command(name, work.options))
    if work.options is not None:
        # Only once: somebody may change them from now on.
        work = dataclasses.replace(work, options=None)
        write(work)
    wanted = [brick for brick in volume.bricks if str(brick) in work.running]
    if wanted and not _are_online(volume, wanted, gone_by):
        return False
    if work.granular:
        show_life(long=True)
        gluster.set_granular_entry_heal(name, work.granular in gluster.ON)
        show_life()
    for option, value in work.scrub.items():
        options.set_scrub(name, option, value)
    if work.segments and not options.ours(gluster.volume(name)):
        # Segments that stay look like dead bricks. Where a node does not help, they stay until they
        # expire.
        with contextlib.suppress(gluster.GlusterError, peer.NoScriptError):
            peer.forget(name, Path(work.segments))
    return True


def _are_online(volume: Volume, bricks: Sequence[Brick], gone_by: float) -> bool:
    """Whether all bricks run; if not, start them once they are gone, or at ``gone_by``.

    In a process shared with other bricks, a brick that is started before it is gone never serves a
    client again. Only ``force`` starts a brick of a started volume, and a volume that some of the
    nodes take for started.
    """
    if volume.started:
        status = gluster.status(volume.name)
        if all(brick.online(status) for brick in bricks):
            return True
        bricks = [brick for brick in bricks if not brick.online(status)]
    if time.monotonic() > gone_by or not _holding(bricks):
        gluster.command("volume", "start", volume.name, "force")
    return False


def _holding(bricks: Sequence[Brick]) -> bool:
    try:
        return peer.holding(bricks)
    except peer.NoScriptError:
        return False


@contextlib.contextmanager
def promised(work: Work) -> Iterator[None]:
    """Take something down in the block; bring it back at the end, however the block ends.

    Raises:
        Interrupted: a signal came meanwhile; all is back.
        UserError: it did not come back, or it cannot be promised; then the block is not entered.
    """
    with interrupts.deferred(f"{work.what} is back"), _with_standby(work):
        write(work)  # later than the standby is there: else nobody might ever remove it
        try:
            yield
        finally:
            bring_back(work.volume)


def show_life(*, long: bool = False) -> None:
    """Tell the standby that the command goes on; to be called before all that may take minutes.

    Before what may take hours, and takes nothing down, ``long`` has it wait for the next sign.
    """
    if _to_standby is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(_to_standby, _LONG if long else _LIFE)


@contextlib.contextmanager
def _with_standby(work: Work) -> Iterator[None]:
    """While the block runs, a process waits to do ``work`` if this process does not."""
    global _to_standby
    command = _Command.this()
    try:
        reading, writing = os.pipe()
        standby = os.fork()
    except OSError as error:
        raise UserError(f"cannot start a process: {error.strerror}; try again later") from error
    if standby == 0:
        os.close(writing)
        _stand_by(work, command, reading)
    os.close(reading)
    command.close()
    # A `gluster` that runs outlives this process if it is killed. The standby waits for that too.
    os.set_inheritable(writing, True)
    _to_standby = writing
    try:
        yield
    finally:
        _to_standby = None
        with contextlib.suppress(BrokenPipeError):
            os.write(writing, _DONE)
        os.close(writing)
        os.waitpid(standby, 0)


@dataclass(frozen=True)
class _Command:
    """The command's process, for its child, the standby, to kill."""

    pid: int
    handle: int | None
    """Descriptor of the process itself, since its pid may be another's by then; None where the
    kernel (before 5.3) or Python has no such descriptors."""

    @classmethod
    def this(cls) -> _Command:
        handle = None
        with contextlib.suppress(AttributeError, OSError):
            handle = os.pidfd_open(os.getpid())
        return cls(os.getpid(), handle)

    def close(self) -> None:
        if self.handle is not None:
            os.close(self.handle)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.handle is not None:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            elif os.getppid() == self.pid:  # else it has ended
                os.kill(self.pid, signal.SIGKILL)


def _listen(reading: int, seconds: float) -> bytes | None:
    """What the command wrote last: nothing if it and all that it runs have ended.

    None if it was silent for ``seconds``. These are counted in steps: what froze the command for an
    hour, like a frozen cgroup, froze this process too, and both go on at the same time.
    """
    silent, patience = 0.0, seconds
    while silent < patience:
        ready, _, _ = select.select([reading], [], [], _STEP_SECONDS)
        if not ready:
            silent += _STEP_SECONDS
            continue
        silent = 0.0
        said = os.read(reading, 4096)
        if not said.endswith((_LIFE, _LONG)):
            return said
        patience = math.inf if said.endswith(_LONG) else seconds
    return None


def _stand_by(work: Work, command: _Command, reading: int) -> None:
    """Be the standby; never return."""
    try:
        os.setsid()
        for number in interrupts.SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        syslog.openlog("glupy-exporter")
        name = f"`xlator {work.command} {work.volume}`"
        said = _listen(reading, STANDBY_SECONDS)
        if said is None:
            # It leaves its brick down, and would go on if somebody woke it.
            syslog.syslog(syslog.LOG_WARNING, f"{name} (process {command.pid}) stands; killing it")
            command.kill()
            said = _listen(reading, STANDBY_SECONDS)
        if said is None:
            syslog.syslog(
                syslog.LOG_ERR,
                f"{name} (process {command.pid}), or a `gluster` that it runs, does not end though "
                f"it was killed; {work.what} is left as it is until it has ended",
            )
            said = _listen(reading, math.inf)
        if not (said and said.endswith(_DONE)):
            _take_over(work, f"{name} was killed")
    finally:
        os._exit(0)


def _take_over(work: Work, why: str) -> None:
    syslog.syslog(syslog.LOG_WARNING, f"{why}; bringing {work.what} back")
    try:
        bring_back(work.volume, STANDBY_SECONDS)
        syslog.syslog(syslog.LOG_WARNING, f"{work.what} is back")
    except Exception as error:
        syslog.syslog(syslog.LOG_ERR, f"{why}: {error}")
