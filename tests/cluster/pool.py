"""Three nodes and a client, and the volumes on them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.cluster.machine import Machine, end_all, remove_control_groups
from tests.support.gluster.nodes import ip
from tests.support.gluster.volumes import wait_for
from tests.support.roots import Root

HOME = Path("/var/tmp")
PREFIX = "glupy-cluster-"
NODES = ("node1", "node2", "node3")
CLIENT = "client"
PACKAGES = ("systemd", "systemd-sysv", "dbus", "procps", "iproute2", "glusterfs-server")
# What our packages need, so that installing them needs no network. debootstrap does not know that
# python3-cffi-backend provides what python3-bcrypt asks for.
PACKAGES += ("python3", "python3-prometheus-client", "python3-tornado", "python3-yaml")
PACKAGES += ("python3-bcrypt", "python3-cffi-backend")
BRICK_GIGABYTES = 2
GLUSTER = ("gluster", "--mode=script")

_T = TypeVar("_T")
_R = TypeVar("_R")


def side_by_side(work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """The results of ``work`` for each item, all at once; errors are raised once all have ended."""
    with ThreadPoolExecutor() as workers:
        return list(workers.map(work, items))


def make_base(path: Path) -> None:
    """The Debian that all machines are made of."""
    path.mkdir()
    root = Root.make(path, "bookworm", *PACKAGES)
    (root.path / "etc/dpkg/dpkg.cfg.d/throw-away").write_text("force-unsafe-io\n")
    (root.path / "usr/sbin/policy-rc.d").unlink()  # in a machine that runs, things are started
    root.run("systemctl", "enable", "systemd-networkd", "glusterd")
    covers = ("systemd-networkd-wait-online.service", "systemd-network-generator.service")
    root.run("systemctl", "mask", *covers, "console-getty.service", "getty.target")


class Pool:
    """The machines. Nothing runs before :meth:`boot`."""

    def __init__(self, home: Path, base: Path, subnet: str) -> None:
        self.home = home
        self.subnet = subnet
        self.bridge = bridge_of(home)
        machines = [
            Machine(name, f"{subnet}.{last}", f"{self.bridge}m{last}", self.bridge, home / name)
            for last, name in enumerate((*NODES, CLIENT), 1)
        ]
        self.nodes = machines[:-1]
        self.client = machines[-1]
        self.machines = machines
        self._base = base

    @property
    def hosts(self) -> str:
        """/etc/hosts for all that must know the machines."""
        lines = [f"{machine.address} {machine.name}" for machine in self.machines]
        return "\n".join(["127.0.0.1 localhost", *lines, ""])

    def boot(self) -> None:
        """Make the machines, boot all of them, and make the nodes a trusted pool."""
        ip("link", "add", self.bridge, "type", "bridge")
        ip("addr", "add", f"{self.subnet}.254/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        (self.home / "hosts").write_text(self.hosts)
        for machine in self.machines:
            self._make(machine)
        side_by_side(Machine.boot, self.machines)
        first, *others = self.nodes
        for node in self.nodes:
            wait_for(
                lambda node=node: not node.attempt(*GLUSTER, "pool", "list").returncode,
                f"glusterd of {node.name} to answer",
                60,
            )
        for node in others:
            first.gluster("peer", "probe", node.name)
        self.wait_for_peers()

    def _make(self, machine: Machine) -> None:
        home = machine.directory
        for part in ("upper", "work", "root", "bricks"):
            (home / part).mkdir(parents=True)
        layers = f"lowerdir={self._base},upperdir={home}/upper,workdir={home}/work"
        subprocess.run(
            ["mount", "-t", "overlay", "-o", layers, "overlay", machine.path], check=True
        )
        etc = machine.path / "etc"
        (etc / "hostname").write_text(f"{machine.name}\n")
        (etc / "machine-id").write_text("")
        (etc / "hosts").write_text(self.hosts)
        network = f"[Match]\nName=host0\n[Network]\nAddress={machine.address}/24\n"
        (etc / "systemd/network/10-host0.network").write_text(network)
        image = home / "bricks.img"
        with image.open("wb") as file:
            file.truncate(BRICK_GIGABYTES << 30)
        subprocess.run(["mkfs.xfs", "-q", "-i", "size=512", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, machine.bricks], check=True)

    def node(self, name: str) -> Machine:
        return next(node for node in self.nodes if node.name == name)

    @contextlib.contextmanager
    def without(self, node: Machine, *, warned: bool = False) -> Iterator[None]:
        """The node is off in the block; afterwards it is back and all are connected.

        Without being ``warned`` it loses its power.
        """
        (node.shut_down if warned else node.power_off)()
        try:
            yield
        finally:
            node.boot()
        self.wait_for_peers()

    def wait_for_peers(self) -> None:
        """Wait until every node is on and connected to all others."""

        def complete() -> bool:
            return all(
                node.is_on and node.peers() == set(NODES) - {node.name} for node in self.nodes
            )

        wait_for(_tolerant(complete), "the nodes to be a pool", 60)

    def wait_for_self_heal(self) -> None:
        """Wait until the self-heal daemon of each node heals each volume that has one.

        A busy glusterd may fail to attach a volume to it, and does not try again by itself:
        docs/runbooks/GlupyDaemonDown.md says how to have it try.
        """
        node = next(node for node in self.nodes if node.is_on)

        def ask(*words: str) -> ElementTree.Element:
            return ElementTree.fromstring(node.run(*GLUSTER, "volume", *words, "--xml"))

        def healed(name: str) -> bool:
            return all(
                daemon.findtext("status") == "1"
                for daemon in ask("status", name).iter("node")
                if daemon.findtext("hostname") == "Self-heal Daemon"
            )

        def everywhere() -> bool:
            started = [
                volume.findtext("name", "")
                for volume in ask("info").iter("volume")
                if volume.findtext("statusStr") == "Started"
            ]
            lacking = [name for name in started if not healed(name)]
            for name in lacking:
                node.run(*GLUSTER, "volume", "start", name, "force")
            return not lacking

        wait_for(_tolerant(everywhere), "all volumes to have self-heal on all nodes", 90)


def _tolerant(condition: Callable[[], _T]) -> Callable[[], _T | None]:
    """The condition, which is also untrue while a command in it fails."""

    def check() -> _T | None:
        with contextlib.suppress(AssertionError):
            return condition()
        return None

    return check


def bridge_of(home: Path) -> str:
    return f"glc{home.name.removeprefix(PREFIX)}"


def remove(home: Path) -> None:
    """End the machines made of what ``home`` holds, unmount and delete it, and their bridge."""
    end_all(home)
    bridge = bridge_of(home)
    remove_control_groups(f"{bridge}m")
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([point for point in mounts if point.startswith(f"{home}/")]):
        subprocess.run(["umount", "--lazy", point], check=True)
    if Path(f"/sys/class/net/{bridge}").exists():
        ip("link", "delete", bridge)
    # Not rmtree, which could meet what the kernel is still putting away.
    subprocess.run(["rm", "-rf", "--one-file-system", home], check=True)


def clean_up_after_others() -> None:
    """Remove what runs that were killed have left; those that run hold a lock."""
    for home in HOME.glob(f"{PREFIX}*"):
        with (home / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            remove(home)


@contextlib.contextmanager
def pool() -> Iterator[Pool]:
    """A pool that has booted.

    GLUPY_CLUSTER_BASE names a directory in which the base is kept from run to run.
    """
    clean_up_after_others()
    number = os.getpid() % 10**6
    home = HOME / f"{PREFIX}{number}"
    home.mkdir(mode=0o755)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = os.environ.get("GLUPY_CLUSTER_BASE")
        base = Path(kept) if kept else home / "base"
        made = Pool(home, base, _free_subnet(number))
        # As Ctrl-C does: what was made goes.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            if not base.exists():
                make_base(base)
            made.boot()
            yield made
        finally:
            remove(home)
            signal.signal(signal.SIGTERM, before)


def _free_subnet(number: int) -> str:
    taken = subprocess.run(
        ["ip", "-4", "-oneline", "addr"], capture_output=True, text=True, check=True
    ).stdout
    subnets = [f"10.99.{(number + offset) % 256}" for offset in range(256)]
    return next(subnet for subnet in subnets if f" {subnet}." not in taken)


class Volume:
    """A volume of a pool, made by :func:`volume`."""

    def __init__(self, pool: Pool, name: str, kind: Sequence[str], bricks: list[str]) -> None:
        """``bricks`` as gluster names them, node1:/bricks/a."""
        self.pool = pool
        self.name = name
        self.kind = kind
        self.bricks = bricks

    def gluster(self, command: str, *words: str) -> str:
        """``gluster volume COMMAND NAME WORDS`` on the first node that is on."""
        node = next(node for node in self.pool.nodes if node.is_on)
        return node.run(*GLUSTER, "volume", command, self.name, *words)

    def _xml(self, command: str, *words: str) -> ElementTree.Element:
        return ElementTree.fromstring(self.gluster(command, *words, "--xml"))

    def offline(self) -> set[str]:
        """The bricks that glusterd does not say are online."""
        found = {
            f"{entry.findtext('hostname')}:{entry.findtext('path')}"
            for entry in self._xml("status").iter("node")
            if entry.findtext("status") == "1"
        }
        return set(self.bricks) - found

    def unhealed(self) -> int | None:
        """Entries that wait for heal on all bricks, None while a brick cannot tell."""
        counts = [e.text for e in self._xml("heal", "info", "summary").iter("totalNumberOfEntries")]
        known = len(counts) == len(self.bricks) and all(c and c.isdigit() for c in counts)
        return sum(int(count or 0) for count in counts) if known else None

    def options(self) -> dict[str, str]:
        """The options by name; glusterd itself says "enable" for "on" now and then."""
        found = {
            option.findtext("name", ""): option.findtext("value", "")
            for option in self._xml("info").iter("option")
        }
        return {name: "on" if value == "enable" else value for name, value in found.items()}

    def wait_for_bricks(self, timeout: float = 60) -> None:
        wait_for(_tolerant(lambda: not self.offline()), f"all bricks of {self.name}", timeout)

    def wait_for_heal(self, timeout: float = 90) -> None:
        """Wait until nothing has to be healed."""

        def healed() -> bool:
            if self.unhealed() == 0:
                return True
            self.gluster("heal")
            return False

        wait_for(_tolerant(healed), f"{self.name} to be healed", timeout)

    def path(self, brick: str) -> Path:
        """Where a brick's files are on this side."""
        name, _, path = brick.partition(":")
        return self.pool.node(name).bricks / Path(path).relative_to("/bricks")

    def pid(self, brick: str) -> int:
        """The process id of a brick, as this side knows it."""
        name, _, path = brick.partition(":")
        (pid,) = self.pool.node(name).pids(f"glusterfsd .*--brick-name {path} ")
        return pid

    def process(self, brick: str) -> int:
        """The process id of a brick that may share it with others, as this side knows it."""
        name, _, path = brick.partition(":")
        for pid in self.pool.node(name).pids("glusterfsd "):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if str(descriptor.readlink()) == path:
                        return pid
        raise AssertionError(f"no process has {brick} open")

    def kill(self, brick: str) -> None:
        """SIGKILL a brick's process."""
        pid = self.pid(brick)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), f"{brick} to die")

    def assert_equal_replicas(self) -> None:
        """Every replica has the same files with the same content, names and modes."""
        size = int(self.kind[1])
        for start in range(0, len(self.bricks), size):
            one, *others = [content(self.path(b)) for b in self.bricks[start : start + size]]
            for brick, other in zip(self.bricks[start + 1 :], others):
                different = {
                    path for path in one.keys() | other if one.get(path) != other.get(path)
                }
                assert not different, f"{brick} differs in {sorted(different)[:10]}"
            assert one, "nothing was written at all"


def content(brick: Path) -> dict[str, str]:
    """What identifies the content of each file and directory of a brick, by path."""
    found = {}
    for directory, names, files in os.walk(brick):
        if Path(directory) == brick:
            names[:] = [name for name in names if not name.startswith(".glusterfs")]
        for name in (*names, *files):
            path = Path(directory, name)
            state = path.lstat()
            text = f"{state.st_mode:o} {state.st_uid} {os.getxattr(path, 'trusted.gfid').hex()}"
            if path.is_file():
                text += f" {state.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            found[str(path.relative_to(brick))] = text
    return found


@contextlib.contextmanager
def volume(pool: Pool, name: str, *kind: str, bricks: int = 3, **options: str) -> Iterator[Volume]:
    """A started volume, its bricks one after the other on the nodes; it is deleted afterwards.

    ``options`` with ``__`` for ``.`` and ``_`` for ``-``.
    """
    places = [f"{NODES[i % len(NODES)]}:/bricks/{name}{i // len(NODES)}" for i in range(bricks)]
    made = Volume(pool, name, kind, places)
    made.gluster("create", *kind, *places)
    passed = False
    try:
        for option, value in options.items():
            made.gluster("set", option.replace("__", ".").replace("_", "-"), value)
        made.gluster("start")
        made.wait_for_bricks()
        yield made
        passed = True
    finally:
        # After a failure a node may be down, and this one would hide the first.
        with contextlib.suppress(*(() if passed else (AssertionError,))):
            made.gluster("stop", "force")
            made.gluster("delete")
            pool.wait_for_self_heal()
        for place in made.bricks:
            shutil.rmtree(made.path(place), ignore_errors=True)
