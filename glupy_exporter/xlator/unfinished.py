"""A brick that was taken down comes back, whatever befalls the command that took it down.

A command that takes a brick down, or stops a volume, does so under :func:`promised`:

- A note in ``STATE/VOLUME.json`` says what has to be brought back. It goes once that is done.
- Ctrl-C, SIGTERM and SIGHUP wait until it is done.
- A second process, the guard, waits for the end of the command and of what it runs. If the command
  was killed before it was done, the guard does it.
- If the machine ended too, the note is there for the next command.

All of them call :func:`bring_back`, which does what is left to do, so it may be called at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import syslog
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.xlator import gluster, interrupts, options, peer
from glupy_exporter.xlator.gluster import Brick, Volume

SECONDS = 120.0
"""How long a brick or a volume may take to be back."""

GUARD_SECONDS = 600.0
"""How long the guard tries."""

_GONE_SECONDS = 60.0


@dataclass(frozen=True)
class Work:
    """What a command has to bring back."""

    volume: str
    command: str
    """``enable``, ``restart`` or ``disable``."""
    brick: Brick | None = None
    """The brick that it takes down; None if it stops the volume."""
    options: Mapping[str, str] | None = None
    """What has to be set again once the translator's options are reset."""
    granular: str | None = None
    """The value of ``cluster.granular-entry-heal``, which only a started volume takes."""
    started: bool = True
    """Whether the volume ran before."""
    segments: str | None = None
    """The directory with segments that nobody needs once the volume is without the translator."""

    @property
    def what(self) -> str:
        """What is brought back, in words."""
        return str(self.brick) if self.brick else f"volume {self.volume}"


def note_of(volume: str) -> Path:
    """Where the note about a volume is."""
    return peer.STATE / f"{volume}.json"


def read(volume: str) -> Work | None:
    """What an earlier command has left to bring back; None if there is nothing.

    Raises:
        UserError: the note cannot be read.
    """
    path = note_of(volume)
    try:
        values = json.loads(path.read_bytes())
        brick = values.pop("brick")
        return Work(brick=Brick(**brick) if brick else None, **values)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; run this as root") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, which says what an earlier command left to bring back, makes no sense; look "
            f"at `gluster volume status {volume}`, and remove the file once all is well"
        ) from error


def _write(work: Work) -> None:
    path = note_of(work.volume)
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(dataclasses.asdict(work), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; nothing has changed") from error


def wait(what: str, deadline: float, ready: Callable[[], bool]) -> None:
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


def bring_back(work: Work, seconds: float = SECONDS) -> None:
    """Do what is left to do of ``work`` and forget it.

    Raises:
        UserError: something did not come back within ``seconds``; the note stays.
    """
    deadline = time.monotonic() + seconds
    volume = gluster.volume(work.volume)
    if not work.brick:
        _end_disabling(volume, work)
        if work.started:
            _start_volume(volume, deadline)
        if work.granular:
            _set_granular(volume.name, work.granular, deadline)
        _forget(work)
    # Somebody who stopped the volume meanwhile does not want to have it started.
    elif volume.started:
        _start_brick(volume.name, work.brick, deadline)
    note_of(work.volume).unlink(missing_ok=True)


def _start_brick(volume: str, brick: Brick, deadline: float) -> None:
    # In a process shared with other bricks, one that comes back before it is gone never serves a
    # client again.
    with contextlib.suppress(UserError):
        wait("", time.monotonic() + _GONE_SECONDS, lambda: not peer.holding(brick))

    def online() -> bool:
        # glusterd does not start a brick whose end it has not noticed yet: so, each time.
        gluster.command("volume", "start", volume, "force")
        return brick.online(gluster.status(volume))

    wait(
        f"{brick} is down and does not come back; see its log on {brick.host}, then run "
        f"`gluster volume start {volume} force`",
        deadline,
        online,
    )


def _end_disabling(volume: Volume, work: Work) -> None:
    """Set the options back if they were reset; if not, the volume keeps the translator."""
    if not work.options or options.ours(volume):
        return
    command = options.set_command(volume.name, work.options)
    try:
        gluster.command(*command)
    except gluster.GlusterError as error:
        raise UserError(
            f"{error}. {volume.name} stays stopped so that it does not run with other options than "
            f"before; run `{shlex.join(['gluster', *command])}` and "
            f"`gluster volume start {volume.name}`"
        ) from error


def _forget(work: Work) -> None:
    """Remove the segments of a volume without the translator, which would look like dead bricks."""
    if work.segments and not options.ours(gluster.volume(work.volume)):
        # Without a node's help its exporter shows them until they expire.
        with contextlib.suppress(gluster.GlusterError, peer.NoScriptError):
            peer.forget(work.volume, Path(work.segments))


def _start_volume(volume: Volume, deadline: float) -> None:
    if not volume.started:
        gluster.command("volume", "start", volume.name)

    def online() -> bool:
        status = gluster.status(volume.name)
        return all(brick.online(status) for brick in volume.bricks)

    wait(
        f"not all bricks of {volume.name} are online; `gluster volume status {volume.name}` shows "
        f"which, their logs say why; then run `gluster volume start {volume.name} force`",
        deadline,
        online,
    )


def _set_granular(volume: str, value: str, deadline: float) -> None:
    """Set granular-entry-heal back, which GlusterFS does only while all bricks are healthy."""
    on = value in gluster.ON

    def accepted() -> bool:
        gluster.set_granular_entry_heal(volume, on)
        return True

    wait(
        f"`gluster volume heal {volume} granular-entry-heal {'enable' if on else 'disable'}` does "
        "not work; run it yet",
        deadline,
        accepted,
    )


@contextlib.contextmanager
def promised(work: Work) -> Iterator[None]:
    """Take something down in the block; at its end, however it ends, it comes back.

    Raises:
        Interrupted: a signal came meanwhile; all is back.
        UserError: it did not come back, or it cannot be promised; then the block is not entered.
    """
    with interrupts.deferred(f"{work.what} is back"):
        _write(work)
        with _guarded(work):
            try:
                yield
            finally:
                bring_back(work)


@contextlib.contextmanager
def _guarded(work: Work) -> Iterator[None]:
    """While the block runs, a process waits to do ``work`` if this process does not."""
    reading, writing = os.pipe()
    guard = os.fork()
    if guard == 0:
        os.close(writing)
        _guard(work, reading)
    os.close(reading)
    # What gluster is told goes on if this process is killed. The guard has to wait for that too.
    os.set_inheritable(writing, True)
    try:
        yield
    finally:
        os.write(writing, b".")
        os.close(writing)
        os.waitpid(guard, 0)


def _guard(work: Work, reading: int) -> None:
    """What the guard does; it does not return."""
    try:
        os.setsid()
        for number in interrupts.SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        if not os.read(reading, 1):
            syslog.openlog("glupy-exporter")
            ended = f"`xlator {work.command} {work.volume}` was killed"
            syslog.syslog(syslog.LOG_WARNING, f"{ended}; bringing {work.what} back")
            try:
                bring_back(work, GUARD_SECONDS)
                syslog.syslog(syslog.LOG_WARNING, f"{work.what} is back")
            except UserError as error:
                syslog.syslog(syslog.LOG_ERR, f"{ended}: {error}")
    finally:
        os._exit(0)
