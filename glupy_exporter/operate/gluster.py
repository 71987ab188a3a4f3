"""Runs ``gluster`` and reads its answers, for the commands on volumes.

Every command runs with ``--mode=script --xml``. glusterd runs one transaction on a volume at a time
and refuses the next. Such a refusal is retried; every other one is an error.
"""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from glupy_exporter import commands
from glupy_exporter.errors import UserError

ON = ("on", "enable", "yes", "true", "1")
"""The values that GlusterFS shows for an option that is switched on."""

_PROGRAM = ("gluster", "--mode=script")
_BUSY = ("Another transaction", "Locking failed", "Unable to acquire lock")
_BUSY_SECONDS = 120.0
# `gluster` itself gives up after two minutes.
_COMMAND_SECONDS = 300.0
# It waits for glfsheal, which looks at every entry that may need heal.
_HEAL_SECONDS = 6 * 3600.0

PATIENCE = 660.0
"""Seconds in which glusterd does what it was asked or gives it up: for a node that does not answer
it waits ten minutes."""


class GlusterError(UserError):
    """``gluster`` could not be run or refused; the text holds the command and its answer."""


class RefusedError(GlusterError):
    """glusterd answered that it does not do it."""


class UndecidedError(GlusterError):
    """glusterd took too long or was busy with something else for too long."""


class GaveUpError(UndecidedError):
    """``gluster`` ended without an answer. glusterd may do what it was asked all the same."""


@dataclass(frozen=True)
class Brick:
    """One brick of a volume."""

    host: str
    path: str
    node: str
    """UUID of the node that holds it."""

    def __str__(self) -> str:
        return f"{self.host}:{self.path}"

    def online(self, status: Status) -> bool:
        """Whether its process runs."""
        process = status.bricks.get(str(self))
        return process is not None and process.online


@dataclass(frozen=True)
class Volume:
    """A volume as ``gluster volume info`` shows it."""

    name: str
    kind: str
    state: str
    """Created, Started or Stopped."""
    replica: int
    disperse: int
    bricks: tuple[Brick, ...]
    """In GlusterFS's order: each replica or disperse set is a run of neighbours."""
    options: Mapping[str, str]

    @property
    def started(self) -> bool:
        """Whether its bricks should run."""
        return self.state == "Started"

    @property
    def redundant(self) -> bool:
        """Whether the volume serves on while one brick is down."""
        return self.replica > 1 or self.disperse > 0

    def siblings(self, brick: Brick) -> tuple[Brick, ...]:
        """The other bricks of the replica or disperse set that ``brick`` belongs to."""
        size = max(self.replica, self.disperse, 1)
        first = self.bricks.index(brick) // size * size
        return tuple(other for other in self.bricks[first : first + size] if other != brick)


@dataclass(frozen=True)
class Process:
    """One line of ``gluster volume status``."""

    online: bool
    pid: int
    """0 while it is not online."""


@dataclass(frozen=True)
class Status:
    """A started volume as ``gluster volume status`` shows it."""

    bricks: Mapping[str, Process]
    """By ``HOST:PATH``; a brick of a node that does not answer is missing."""
    healers: Mapping[str, Process]
    """Self-heal daemons by the UUID of their node."""
    tasks: tuple[str, ...]
    """Rebalance and the like that are in progress."""


@dataclass(frozen=True)
class Peer:
    """One node of the pool, as the node that was asked sees it."""

    host: str
    connected: bool


def _run(words: Sequence[str], seconds: float = _COMMAND_SECONDS) -> str:
    """Standard output of ``gluster`` for ``words``, retried while glusterd is busy."""
    command = [*_PROGRAM, *words]
    shown = "gluster " + " ".join(word for word in words if word != "--xml")
    give_up = time.monotonic() + _BUSY_SECONDS
    pause = 0.1
    while True:
        try:
            # Ctrl-C must not end a transaction half-way, and the standby of `unfinished` waits for
            # `gluster` by a descriptor that it inherits.
            done = commands.run(command, seconds, inheriting=True, undisturbed=True)
        except FileNotFoundError as error:
            raise GlusterError(
                "gluster is not installed; run this on a GlusterFS server"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise GaveUpError(f"`{shown}` did not end in {seconds:.0f} s") from error
        except OSError as error:
            raise GlusterError(f"`{shown}` cannot be run: {error.strerror}") from error
        output = done.stdout
        answer = " ".join((output + done.stderr).split())
        if not any(text in answer for text in _BUSY):
            break
        if time.monotonic() > give_up:
            raise UndecidedError(
                f"`{shown}`: glusterd was busy for {_BUSY_SECONDS:.0f} s; try again later"
            )
        time.sleep(pause)
        pause = min(2.0, pause * 2)
    if "Request timed out" in answer:
        raise GaveUpError(f"`{shown}` gave up waiting for glusterd")
    if done.returncode < 0:
        raise GaveUpError(f"`{shown}` was ended by signal {-done.returncode}")
    if "Connection failed" in answer:
        raise GlusterError("glusterd does not answer; start it and try again")
    if done.returncode != 0:
        raise RefusedError(f"`{shown}` failed: {answer}")
    return output


def command(*words: str, seconds: float = _COMMAND_SECONDS) -> ElementTree.Element:
    """Run one ``gluster`` command and return its ``cliOutput`` element.

    Raises:
        GaveUpError: it did not end in ``seconds``, gave up waiting for glusterd, or was killed.
        GlusterError: it cannot be run, or it failed.
    """
    output = _run(("--xml", *words), seconds)
    try:
        root = ElementTree.fromstring(output)
    except ElementTree.ParseError as error:
        raise GlusterError(f"`gluster {' '.join(words)}` answered no XML: {output!r}") from error
    if root.findtext("opRet", "0") != "0":
        reason = root.findtext("opErrstr") or root.findtext("output") or "no reason given"
        raise RefusedError(f"`gluster {' '.join(words)}` failed: {' '.join(reason.split())}")
    return root


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _number(element: ElementTree.Element, name: str) -> int:
    text = _text(element, name)
    return int(text) if text.isdigit() else 0


def parse_volumes(root: ElementTree.Element) -> list[Volume]:
    """The volumes in the answer of ``gluster volume info``."""
    volumes = []
    for element in root.iter("volume"):
        bricks = []
        for brick in element.iter("brick"):
            # An IPv6 address holds colons too; the path starts at the first one before a slash.
            host, _, path = _text(brick, "name").partition(":/")
            bricks.append(Brick(host, "/" + path, _text(brick, "hostUuid")))
        volumes.append(
            Volume(
                name=_text(element, "name"),
                kind=_text(element, "typeStr"),
                state=_text(element, "statusStr"),
                replica=_number(element, "replicaCount"),
                disperse=_number(element, "disperseCount"),
                bricks=tuple(bricks),
                options={_text(o, "name"): _text(o, "value") for o in element.iter("option")},
            )
        )
    return volumes


def volumes() -> list[Volume]:
    """Every volume of the pool."""
    return parse_volumes(command("volume", "info"))


def volume(name: str) -> Volume:
    """The volume called ``name``.

    Raises:
        UserError: there is none.
    """
    for found in volumes():
        if found.name == name:
            return found
    raise UserError(f"volume {name} does not exist; `gluster volume list` shows those that do")


def parse_status(root: ElementTree.Element) -> Status:
    """The answer of ``gluster volume status VOLUME``."""
    bricks, healers = {}, {}
    for node in root.iter("node"):
        process = Process(_text(node, "status") == "1", _number(node, "pid"))
        if _text(node, "hostname") == "Self-heal Daemon":
            healers[_text(node, "peerid")] = process
        elif _text(node, "path").startswith("/"):
            bricks[f"{_text(node, 'hostname')}:{_text(node, 'path')}"] = process
    tasks = [
        _text(task, "type")
        for task in root.iter("task")
        if _text(task, "statusStr") == "in progress"
    ]
    return Status(bricks, healers, tuple(tasks))


def status(name: str) -> Status:
    """The processes of the started volume ``name``."""
    return parse_status(command("volume", "status", name))


def parse_clients(root: ElementTree.Element) -> dict[str, int]:
    """Connections by ``HOST:PATH`` of the brick, from ``gluster volume status VOLUME clients``."""
    return {
        f"{_text(node, 'hostname')}:{_text(node, 'path')}": _number(
            node, "clientsStatus/clientCount"
        )
        for node in root.iter("node")
        if _text(node, "path").startswith("/")
    }


def clients(name: str) -> dict[str, int]:
    """How many clients are connected to each online brick, keyed by ``HOST:PATH``."""
    return parse_clients(command("volume", "status", name, "clients"))


@dataclass(frozen=True)
class Unhealed:
    """How many entries of a volume are not the same on all bricks, by what ``heal info`` says.

    Entries "possibly undergoing heal" differ between bricks like the others: GlusterFS calls an
    entry so if a brick is blamed for it while a process holds self-heal's lock on it. Entries that
    are only being written are not among them.
    """

    pending: int = 0
    healing: int = 0
    split_brain: int = 0

    def __bool__(self) -> bool:
        return bool(self.pending or self.healing or self.split_brain)

    def __str__(self) -> str:
        counts = (
            (self.pending, "waiting for heal"),
            (self.healing, "possibly undergoing heal"),
            (self.split_brain, "in split-brain"),
        )
        return ", ".join(f"{count} {what}" for count, what in counts if count) or "none"


def parse_unhealed(root: ElementTree.Element) -> Unhealed | None:
    """The answer of ``gluster volume heal VOLUME info summary``.

    None while not every brick could be asked.
    """
    bricks = list(root.iter("brick"))
    if any(_text(brick, "status") != "Connected" for brick in bricks):
        return None

    def total(name: str) -> int:
        return sum(_number(brick, name) for brick in bricks)

    return Unhealed(
        total("numberOfEntriesInHealPending"),
        total("numberOfEntriesPossiblyHealing"),
        total("numberOfEntriesInSplitBrain"),
    )


def unhealed(name: str) -> Unhealed | None:
    """Entries of the volume that are not healed; None while not every brick could be asked."""
    return parse_unhealed(command("volume", "heal", name, "info", "summary", seconds=_HEAL_SECONDS))


def processes() -> dict[Brick, tuple[str, int]]:
    """The UUID of the node and the pid of the process, by brick, of all bricks that run.

    A node's name may differ from volume to volume; its UUID does not.
    """
    running = parse_status(command("volume", "status", "all")).bricks
    found = {}
    for brick in (brick for volume in volumes() for brick in volume.bricks):
        process = running.get(str(brick))
        if process and process.pid:
            found[brick] = (brick.node, process.pid)
    return found


def parse_geo_replication(root: ElementTree.Element) -> list[str]:
    """The remote sides of sessions that glusterd takes for active.

    From ``gluster volume geo-replication VOLUME status``.
    """
    return sorted(
        {
            # Since release 10 secondary, before slave.
            _text(pair, "secondary") or _text(pair, "slave")
            for pair in root.iter("pair")
            if _text(pair, "status") not in ("Stopped", "Created")
        }
    )


def geo_replication(name: str) -> list[str]:
    """Where the volume is replicated to by sessions that are not stopped."""
    try:
        return parse_geo_replication(command("volume", "geo-replication", name, "status"))
    except RefusedError:
        # This is also the answer if there is no session; the XML has no reason to tell them apart.
        return []


def parse_options(root: ElementTree.Element) -> dict[str, str]:
    """The answer of ``gluster volume get VOLUME all``, without the mark of default values."""
    return {
        _text(option, "Option"): _text(option, "Value").replace(" (DEFAULT)", "")
        for option in root.iter("Opt")
    }


def global_options() -> dict[str, str]:
    """Options of the whole pool; ``volume info`` shows those that are set with every volume."""
    return parse_options(command("volume", "get", "all", "all"))


def set_granular_entry_heal(name: str, on: bool) -> None:
    """Switch granular entry heal, which ``volume set`` refuses to do for a started volume.

    Raises:
        GlusterError: a brick is offline or has something to heal.
    """
    # This command answers no XML, whatever it was asked for.
    switch = "enable" if on else "disable"
    _run(("volume", "heal", name, "granular-entry-heal", switch), _HEAL_SECONDS)


def set_scrub(name: str, option: str, value: str) -> None:
    """Set an option that only ``volume bitrot`` sets, like ``scrub-frequency``.

    Raises:
        GlusterError: the volume is not started, or has no bitrot detection.
    """
    # It answers no XML either.
    _run(("volume", "bitrot", name, option, value))


def parse_pool(root: ElementTree.Element) -> dict[str, Peer]:
    """The answer of ``gluster pool list``, by the UUID of the node."""
    return {
        _text(peer, "uuid"): Peer(_text(peer, "hostname"), _text(peer, "connected") == "1")
        for peer in root.iterfind("peerStatus/peer")
    }


def pool() -> dict[str, Peer]:
    """Every node of the pool by its UUID; this one is called ``localhost``."""
    return parse_pool(command("pool", "list"))


def this_node() -> str:
    """The UUID of this node.

    Raises:
        GlusterError: glusterd does not answer, or its files cannot be read.
    """
    path = Path(working_directory()) / "glusterd.info"
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise GlusterError(f"cannot read {path}: {error.strerror}") from error
    return next((line[5:] for line in lines if line.startswith("UUID=")), "")


def execute(script: str, *arguments: str) -> list[str]:
    """Run ``peer_SCRIPT`` on every connected node of the pool and return what all of them printed.

    Raises:
        GlusterError: a node does not have the script; its answer names the node.
    """
    return lines(_run(("system::", "execute", script, *arguments)))


def lines(output: str) -> list[str]:
    """The lines of a script's output. Only a newline ends one: paths may have all else."""
    return output.split("\n")


@functools.cache
def working_directory() -> str:
    """glusterd's directory, which holds ``vols/VOLUME/*.vol``."""
    return _run(("system::", "getwd")).strip()
