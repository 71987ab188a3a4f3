"""One booted Debian: systemd in a container of systemd-nspawn, on a network with others."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
from pathlib import Path

from tests.cluster.running import Running
from tests.support.gluster.nodes import Node, children
from tests.support.gluster.volumes import wait_for
from tests.support.roots import Root

ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONUNBUFFERED": "1",
}
BOOT_SECONDS = 90
# Enters the groups that are named before "--", then becomes the command after it.
IN_GROUPS = """
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done
shift
exec "$@"
"""


def control_groups() -> list[Path]:
    """The roots of the hierarchies of control groups in which systemd works."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        kind, options = words[words.index("-") + 1], words[-1]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(words[4]))
    return found


def remove_control_groups(tag: str) -> None:
    """Remove what machines whose tags begin with ``tag`` have left; they have ended."""
    for root in control_groups():
        for top in root.glob(f"{tag}*"):
            for directory, _, _ in os.walk(top, topdown=False):
                wait_for(lambda group=Path(directory): _removed(group), f"{directory} to be empty")


def _removed(group: Path) -> bool:
    """Remove a control group, unless processes that were killed are still ending in it."""
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


class Machine(Node, Root):
    """A machine of a :class:`~pool.Pool`; it is off until :meth:`boot`."""

    def __init__(self, name: str, address: str, tag: str, bridge: str, home: Path) -> None:
        """``tag`` is short and no other machine's; ``home`` holds what the machine is made of."""
        Root.__init__(self, home / "root")
        Node.__init__(self, address, f"vb-{tag}", 0, home)
        self.name = name
        self.bricks = home / "bricks"
        self._tag = tag
        self._bridge = bridge
        self._nspawn: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> Path:
        return self.directory / "console"

    def boot(self) -> None:
        """Boot it and wait until systemd has started all there is to start."""
        # Machines that shared a control group would stand in the way of each other's systemd.
        groups = [root / self._tag for root in control_groups()]
        for group in groups:
            group.mkdir(exist_ok=True)
        command = ["sh", "-ec", IN_GROUPS, "sh", *map(str, groups), "--"]
        command += ["systemd-nspawn", "--quiet", f"--directory={self.path}", "--register=no"]
        command += ["--keep-unit", f"--machine={self._tag}", f"--hostname={self.name}"]
        command += [f"--network-bridge={self._bridge}", "--bind=/dev/fuse"]
        command += [f"--bind={self.bricks}:/bricks", "--boot"]
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.init = wait_for(self._find_init, f"{self.name} to begin", BOOT_SECONDS)
        wait_for(self._has_booted, f"{self.name} to boot", BOOT_SECONDS)

    def _find_init(self) -> int | None:
        assert self._nspawn
        assert self._nspawn.poll() is None, f"{self.name}: {self.console.read_text()[-2000:]}"
        # Before there is an init, there are others for a moment.
        found = [pid for pid in children(self._nspawn.pid) if is_init(pid, self.path.parent)]
        return found[0] if found else None

    def _has_booted(self) -> bool:
        state = self.attempt("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def command(self, *words: str | Path) -> list[str]:
        environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        inside = ["nsenter", f"--target={self.init}", "--all", "env", "-i", *environment]
        return [*inside, *map(str, words)]

    def attempt(self, *words: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )

    def start(self, *words: str | Path) -> Running:
        """Start a command, in a session of its own."""
        return Running(self.command("setsid", *words))

    def glupy(self, *words: str | Path) -> str:
        return self.run("glupy-exporter", *words)

    def failed_units(self, pattern: str) -> list[str]:
        """Units that systemd says have failed, of those whose names match."""
        words = ("list-units", "--failed", "--plain", "--no-legend", pattern)
        listed = self.run("systemctl", *words)
        return [line.split()[0] for line in listed.splitlines() if line]

    def journal(self, *words: str) -> list[str]:
        """The lines that the journal has of this boot, of what ``words`` select."""
        command = ("journalctl", "--boot", "--quiet", "--no-pager", "--output=cat")
        return self.run(*command, *words).splitlines()

    def last_words(self, since: float) -> str:
        """What its console says last, and its logs from a time on."""
        told = [self.console.read_text(errors="replace")[-1500:] if self.console.exists() else ""]
        if self.is_on:
            with contextlib.suppress(subprocess.TimeoutExpired):
                stamp = f"--since=@{since:.0f}"
                told.append(self.attempt("journalctl", "--no-pager", "-n", "60", stamp).stdout)
                told.append(self.attempt("systemctl", "list-units", "--failed").stdout)
        for log in sorted((self.path / "var/log/glusterfs").glob("**/*.log")):
            if log.stat().st_mtime > since:
                lines = log.read_text(errors="replace").splitlines()
                worst = [line for line in lines if line[28:].startswith(("] E", "] C"))]
                told.append(f"--- {log.name}\n" + "\n".join(worst[-10:]))
        return "\n".join(told)

    def pids(self, pattern: str) -> list[int]:
        """Process ids, as this side knows them, of the machine's processes that match."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            namespace = Path(f"/proc/{self.init}/ns/pid").readlink()
            return [pid for pid in _processes(pattern) if _namespace(pid) == namespace]
        return []

    def power_off(self) -> None:
        """Pull the plug: nothing on it is told."""
        assert self._nspawn
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        self._nspawn.wait(30)
        self._nspawn = None

    def shut_down(self) -> None:
        """Have systemd shut it down."""
        assert self._nspawn
        self.attempt("systemctl", "--no-block", "poweroff")
        self._nspawn.wait(60)
        self._nspawn = None

    def reboot(self) -> None:
        # systemd-nspawn boots once: with --register=no a reboot ends it.
        self.shut_down()
        self.boot()

    @property
    def is_on(self) -> bool:
        return self._nspawn is not None and self._nspawn.poll() is None


def is_init(pid: int, home: Path) -> bool:
    """Whether a process is the init of a machine that is made of what ``home`` holds."""
    try:
        command = Path(f"/proc/{pid}/comm").read_text()
        mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:  # it has ended
        return False
    if command != "systemd\n":
        return False
    return any(line.split()[4] == "/" and f",upperdir={home}/" in line for line in mounts)


def end_all(home: Path) -> None:
    """Pull the plug of all machines that are made of what ``home`` holds, by whomever."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_init(int(entry.name), home):
            os.kill(int(entry.name), signal.SIGKILL)
            wait_for(lambda entry=entry: not entry.exists(), f"{entry.name} to end")


def _processes(pattern: str) -> list[int]:
    wanted = re.compile(pattern)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                if wanted.search(line):
                    found.append(int(entry.name))
    return found


def _namespace(pid: int) -> Path | None:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").readlink()
    return None
