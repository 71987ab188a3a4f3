"""Nodes of a pool on one machine, each with namespaces, an address and a glusterd of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from tests.support.gluster.monitored import ready
from tests.support.gluster.volumes import wait_for
from tests.support.mounts import WITHOUT_CLIENTS

NETWORK = "198.18.200"
BRIDGE = f"glb{os.getpid() % 10**6}"
PORT = 9714

# Everything that glusterd, bricks and clients write lies on the node's own directories. The shell
# is the init of the node: it collects the processes that are left to it.
INIT = f"""{WITHOUT_CLIENTS}
mount --bind "$1/glusterd" /var/lib/glusterd
mount --bind "$1/log" /var/log/glusterfs
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/glupy-exporter
mount -t tmpfs tmpfs /var/lib/glupy-exporter
hostname "$2"
glusterd
while :; do sleep 3600 & wait $!; done
"""


def children(pid: int) -> list[int]:
    """The pids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Node:
    """One node that :func:`node` has made."""

    def __init__(self, address: str, link: str, init: int, directory: Path) -> None:
        self.address = address
        self.directory = directory
        self.init = init
        self._link = link

    def command(self, *words: str | Path) -> list[str]:
        """A command line that runs ``words`` on the node."""
        inside = ["nsenter", f"--target={self.init}", "--mount", "--net", "--uts", "--pid"]
        return [*inside, *map(str, words)]

    def run(self, *words: str | Path, timeout: float = 300) -> str:
        """What a command prints there; it has to succeed, within ``timeout`` seconds."""
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{words} on {self.address}: {done.stdout}{done.stderr}"
        return done.stdout

    def gluster(self, *words: str) -> str:
        """What ``gluster`` answers."""
        return self.run("gluster", "--mode=script", *words)

    def glupy(self, *words: str | Path) -> str:
        """What ``glupy-exporter`` prints."""
        return self.run(sys.executable, "-m", "glupy_exporter.cli", *words)

    def peers(self) -> set[str]:
        """The addresses of all nodes of the pool that are connected, but this one."""
        answer = ElementTree.fromstring(self.gluster("pool", "list", "--xml"))
        return {
            peer.findtext("hostname", "")
            for peer in answer.iterfind("peerStatus/peer")
            if peer.findtext("connected") == "1"
        } - {"localhost"}

    def connect(self, connected: bool) -> None:
        """Plug the node's cable in, or pull it out."""
        ip("link", "set", self._link, "up" if connected else "down")

    @contextlib.contextmanager
    def exporter(self) -> Iterator[None]:
        """An exporter on the node."""
        listen = f"{self.address}:{PORT}"
        words = ("serve", f"--web.listen-address={listen}", "--log.level=warn")
        command = self.command(sys.executable, "-m", "glupy_exporter.cli", *words)
        with subprocess.Popen(command) as process:
            try:
                wait_for(lambda: ready(f"http://{listen}"), f"the exporter of {self.address}")
                yield
            finally:
                # nsenter itself stays outside, with the one inside as its child.
                for child in children(process.pid):
                    os.kill(child, signal.SIGTERM)
                code = process.wait(timeout=30)
        assert code == 0

    @contextlib.contextmanager
    def mount(self, volume: str) -> Iterator[Path]:
        """Mount a volume on the node; the path is one there."""
        target = Path("/run/mounted")
        self.run("mkdir", target)
        self.run("mount", "-t", "glusterfs", f"{self.address}:/{volume}", target)
        try:
            yield target
        finally:
            self.run("umount", target)


@contextlib.contextmanager
def network() -> Iterator[None]:
    """The network to which all nodes are plugged in, this machine included."""
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", f"{NETWORK}.254/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        yield
    finally:
        ip("link", "delete", BRIDGE)


@contextlib.contextmanager
def node(number: int) -> Iterator[Node]:
    """A node with the address NETWORK.number, whose glusterd answers."""
    name, address = f"{BRIDGE}n{number}", f"{NETWORK}.{number}"
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-", dir="/var/tmp"))
        )
        directory.chmod(0o755)
        for part in ("glusterd", "log", "bricks"):
            (directory / part).mkdir()
        ip("netns", "add", name)
        stack.callback(ip, "netns", "delete", name)
        ip("link", "add", f"{name}o", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"{name}o", "master", BRIDGE, "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        unshare = ("unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
        command = ["ip", "netns", "exec", name, *unshare]
        process = stack.enter_context(
            subprocess.Popen([*command, "sh", "-ec", INIT, "sh", directory, name])
        )
        stack.callback(process.kill)  # and all that is on the node with it
        (init,) = wait_for(lambda: children(process.pid), f"{name} to begin")
        made = Node(address, f"{name}o", init, directory)
        wait_for(lambda: answers(made), f"glusterd of {name} to answer")
        yield made


def answers(made: Node) -> bool:
    words = made.command("gluster", "volume", "list")
    return subprocess.run(words, capture_output=True).returncode == 0
