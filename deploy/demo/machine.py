"""Puts the demo on this machine, and takes all of it away again.

Everything lies under :data:`DIRECTORY` or can be recognised: the volume has its bricks there,
processes carry a mark in their environment, and the translator is the one that was built there. So
cleaning up needs no notes of the run that it cleans up after, however that ended.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.operate import gluster, install
from glupy_exporter.segment import reader
from glupy_exporter.segment.check import SegmentError
from tests.support.mounts import abandon, mounts

DIRECTORY = Path("/var/lib/glupy-demo")
MOUNT_POINTS = {
    DIRECTORY / "mnt-1": "127.0.0.1",
    DIRECTORY / "mnt-2": "127.0.0.2",
    DIRECTORY / "mnt-3": "127.0.0.3",
    DIRECTORY / "mnt-4": "127.0.0.4",
}
"""Where the volume is mounted, and the address that the bricks see as that client's."""

LOGS = DIRECTORY / "logs"
VOLUME = "glupy-demo"
USER = "nobody"
COMMAND_SECONDS = 60.0
"""How long a command of the system may take; each should take a few."""

_BRICKS = (DIRECTORY / "bricks" / "1", DIRECTORY / "bricks" / "2")
_SAVED = DIRECTORY / "saved-translator"
_BUILD = DIRECTORY / "build"
_VOLFILES = Path("/var/lib/glusterd/vols") / VOLUME
_MARK = "GLUPY_DEMO"
_GLUSTER_LOGS = Path("/var/log/glusterfs")
_GLUSTER_RUN = Path("/run/gluster")
_SEGMENTS = _GLUSTER_RUN / "glupy"
_BRICK_NAMES = tuple(str(brick).strip("/").replace("/", "-") for brick in _BRICKS)
_SEGMENTS_OF_BRICKS = [_SEGMENTS / f"{VOLUME}.{name}{reader.SUFFIX}" for name in _BRICK_NAMES]
_LOGS_OF_BRICKS = [_GLUSTER_LOGS / "bricks" / f"{name}.log" for name in _BRICK_NAMES]
_LEFTOVERS = (
    _GLUSTER_RUN / "shd" / VOLUME,
    _GLUSTER_RUN / "vols" / VOLUME,
    _GLUSTER_LOGS / "gfproxy" / VOLUME,
    _GLUSTER_LOGS / "snaps" / VOLUME,
)
"""Directories that GlusterFS makes for a volume and keeps when it is deleted."""


def say(text: str) -> None:
    """Tell the user what is going on."""
    print(f"==> {text}", flush=True)


def print_logs() -> None:
    """Show the end of every log, since cleaning up removes them."""
    for path in sorted(LOGS.glob("*")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        print(f"--- {path.name}", *lines, sep="\n", flush=True)


def print_hang() -> None:
    """Show the fops that wait in each brick, and the failed assertions of GlusterFS's clients."""
    for brick, path in zip(_BRICKS, _SEGMENTS_OF_BRICKS):
        try:
            with reader.Segment(path) as segment:
                waiting = [(fop.name, fop.in_flight) for fop in segment.fops() if fop.in_flight]
        except (OSError, SegmentError) as error:
            print(f"brick {brick}: {error}", flush=True)
            continue
        counts = ", ".join(f"{count} {name}" for name, count in waiting)
        print(f"in flight on brick {brick}: {counts or 'nothing'}", flush=True)
    for path in sorted(LOGS.glob("mnt-*.log")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if "Assertion failed" in line:
                print(f"{path.name}: {line}", flush=True)


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    """Return as soon as ``condition`` holds.

    Raises:
        UserError: it does not hold within ``seconds``.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise UserError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.1)


def run(*words: str | Path) -> None:
    """Run a command of the system that has to succeed within COMMAND_SECONDS."""
    subprocess.run(words, check=True, timeout=COMMAND_SECONDS)


def glupy_exporter(*words: str) -> None:
    """Run one command of glupy-exporter, as an operator would."""
    command = f"glupy-exporter {' '.join(words)}"
    print(f"$ {command}", flush=True)
    program = Path(sys.executable).parent / "glupy-exporter"
    # The command has limits of its own for all that it waits for; this one is the last resort.
    if subprocess.run([program, *words], check=False, timeout=900).returncode != 0:
        raise UserError(f"`{command}` failed")


def start_service(
    name: str,
    command: Sequence[str],
    group: str,
    env: Mapping[str, str] | None = None,
    user: str = USER,
) -> None:
    """Start a process, by default as the unprivileged user; its output goes to a log."""
    with (LOGS / f"{name}.log").open("wb") as log:
        subprocess.Popen(
            command,
            env={**os.environ, **(env or {}), _MARK: name},
            user=user,
            group=group,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends the demo, which then ends its processes
        )


def _processes() -> Iterator[tuple[int, list[str], str]]:
    """Process id, command line and mark of every process but those of containers."""
    here = Path("/proc/self/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns" / "pid").readlink() != here:
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        prefix = f"{_MARK}="
        mark = next((word[len(prefix) :] for word in environment if word.startswith(prefix)), "")
        yield int(entry.name), words, mark


def _glusterds() -> list[tuple[int, str]]:
    """Process id and mark of every glusterd; a brick inherits the mark of its glusterd."""
    return [(pid, mark) for pid, words, mark in _processes() if Path(words[0]).name == "glusterd"]


def _is_for(words: list[str], *paths: Path) -> bool:
    """Whether a command line is of a GlusterFS process for one of these bricks or mounts."""
    return "gluster" in words[0] and not {*map(str, paths)}.isdisjoint(words)


def _started_for(path: Path) -> list[list[str]]:
    """The command lines of GlusterFS's processes for a brick or a mount."""
    return [words for _, words, _ in _processes() if _is_for(words, path)]


def _end(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], 20)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], 20)
    finally:
        os.close(process)


def host() -> str:
    """A name or address of this node that glusterd takes for a brick."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        words = ["hostname", "-I"]
        addresses = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS)
        if not addresses.stdout.split():
            raise UserError(f"host name {name} has no address; add it to /etc/hosts") from None
        return addresses.stdout.split()[0]
    return name


def start_glusterd() -> None:
    """Start glusterd unless one runs."""
    if _glusterds():
        say("using the glusterd that runs already")
        return
    say("starting glusterd")
    LOGS.mkdir(exist_ok=True)
    with (LOGS / "glusterd.out").open("wb") as log:
        subprocess.run(
            ["glusterd"],
            env={**os.environ, _MARK: "glusterd"},
            stdout=log,
            stderr=log,
            check=True,
            timeout=COMMAND_SECONDS,
        )

    def answers() -> bool:
        try:
            gluster.volumes()
        except gluster.GlusterError:
            return False
        return True

    wait_for("an answer of glusterd", answers, 60)


def install_translator() -> None:
    """Build and install the translator; one that is installed already is saved first."""
    say("building and installing the translator")
    glupy_exporter("xlator", "build", "--output", str(_BUILD))
    installed = [file for file in (install.library(), install.peer_script()) if file.exists()]
    if installed:
        partial = _SAVED.with_suffix(".partial")
        partial.mkdir()
        for file in installed:
            shutil.copy2(file, partial)
        partial.rename(_SAVED)
    glupy_exporter("xlator", "install", "--from", str(_BUILD))


def create_volume() -> None:
    """Create, instrument and start the volume, and mount it as several clients."""
    say(f"creating volume {VOLUME}: two replicas under {DIRECTORY}/bricks")
    if _VOLFILES.exists():
        raise UserError(f"volume {VOLUME} exists and is not the demo's; rename or delete it")
    node = host()
    for brick in _BRICKS:
        brick.mkdir(parents=True)
    bricks = [f"{node}:{brick}" for brick in _BRICKS]
    gluster.command("volume", "create", VOLUME, "replica", "2", *bricks, "force")
    glupy_exporter("xlator", "enable", VOLUME, "--yes")
    gluster.command("volume", "start", VOLUME)
    for mount_point, address in MOUNT_POINTS.items():
        say(f"mounting it on {mount_point} as client {address}")
        mount_point.mkdir()
        options = [
            # Without the kernel's page cache, so that the reads of the workload reach the bricks.
            "direct-io-mode=enable",
            f"log-file={LOGS / mount_point.name}.log",
            f"xlator-option=*-client-*.transport.socket.source-addr={address}",
        ]
        run("mount", "-t", "glusterfs", "-o", ",".join(options), f"{node}:/{VOLUME}", mount_point)


def _remove_services() -> None:
    for pid, _, mark in _processes():
        if mark and mark != "glusterd":
            _end(pid)


def _remove_mount() -> None:
    def gone() -> bool:  # an interrupted mount may still be on its way
        for point in mounts(f"{DIRECTORY}/"):
            abandon(point)
        return not any(map(_started_for, MOUNT_POINTS))

    try:
        wait_for("the end of the mounts' processes", gone, 10)
    except UserError:  # of one that is stopped, for example
        for pid, words, _ in _processes():
            if _is_for(words, *MOUNT_POINTS):
                _end(pid)
        wait_for("the end of the mounts' processes", gone, 10)


def _remove_volume() -> None:
    sockets = [
        Path(words[words.index("-S") + 1])
        for brick in _BRICKS
        for words in _started_for(brick)
        if "-S" in words
    ]
    if _VOLFILES.exists():
        if not _glusterds():
            start_glusterd()
        volume = gluster.volume(VOLUME)
        if any(Path(brick.path) not in _BRICKS for brick in volume.bricks):
            return  # somebody else's
        if volume.started:
            gluster.command("volume", "stop", VOLUME, "force")
        gluster.command("volume", "delete", VOLUME)
    wait_for("the end of the bricks", lambda: not any(map(_started_for, _BRICKS)), 30)
    # GlusterFS leaves these behind, and the translator does in a brick that was killed.
    for path in (*_SEGMENTS_OF_BRICKS, *_LOGS_OF_BRICKS):
        path.unlink(missing_ok=True)
    for socket_path in sockets:
        socket_path.unlink(missing_ok=True)
    for directory in _LEFTOVERS:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_glusterd() -> None:
    own = [pid for pid, mark in _glusterds() if mark == "glusterd"]
    if not own:
        return
    if gluster.volumes():
        say("glusterd goes on running: it has other volumes by now")
        return
    for pid in own:
        _end(pid)
    with suppress(OSError):  # not empty, or not there
        _SEGMENTS.rmdir()


def _remove_translator() -> None:
    library, built = install.library(), _BUILD / install.library().name
    if not (built.exists() and library.exists()) or built.read_bytes() != library.read_bytes():
        return  # none of the demo's is installed
    if _SAVED.exists():
        for target in (library, install.peer_script()):
            saved = _SAVED / target.name
            if saved.exists():
                temporary = target.with_name(f".{target.name}.saved")
                shutil.copy2(saved, temporary)
                temporary.replace(target)  # in one step, since bricks may be starting
            else:
                target.unlink(missing_ok=True)
        return
    try:
        install.uninstall()
    except UserError as reason:
        say(f"the translator stays installed: {reason}")


def remove() -> bool:
    """Remove everything that a demo has made, but the empty directory, and nothing else.

    It may be called at any time and again. Returns False if something had to stay.
    """
    complete = True
    for step in (
        _remove_services,
        _remove_mount,
        _remove_volume,
        _remove_glusterd,
        _remove_translator,
    ):
        try:
            step()
        except (UserError, OSError, subprocess.SubprocessError) as error:
            print(f"demo: {error}", file=sys.stderr)
            complete = False
    if complete:
        for entry in DIRECTORY.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    return complete
