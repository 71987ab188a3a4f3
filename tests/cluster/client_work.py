"""The checked work on a volume that goes on while things happen to it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.pool import Volume
from tests.cluster.running import Running
from tests.support.gluster.volumes import wait_for

APPLICATION = Path(__file__).with_name("application.py")
ANSWER_SECONDS = 150
"""A little more than the application's own patience."""


@dataclass
class Report:
    """What the application did since the report before."""

    done: dict[str, int] = field(default_factory=dict)
    """How many operations of each name, and under ``writes`` how many calls of write()."""
    errors: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)
    """Content read that is not the content written."""
    longest: float = 0.0
    """Seconds from one success of a worker to its next, at worst."""
    longest_did: str = ""
    hangs: list[str] = field(default_factory=list)
    """Operations under way, when the application should have paused."""


class Work:
    """The application on the client, at work on one volume."""

    def __init__(self, volume: Volume, mounted: str, running: Running) -> None:
        self.volume = volume
        self.reports: list[Report] = []
        self._mounted = mounted
        self._running = running

    def _ask(self, command: str) -> Report:
        before = len(self._running.output)
        self._running.say(command)
        made = Report(**json.loads(self._running.wait_for_line("{", ANSWER_SECONDS, before)))
        self.reports.append(made)
        return made

    def report(self) -> Report:
        """What was done since the last report; the work goes on."""
        return self._ask("report")

    def pause(self) -> Report:
        """The same, and no operation is under way any more until :meth:`resume`."""
        made = self._ask("pause")
        assert not made.hangs, f"the client's operations hang: {made.hangs}"
        return made

    def resume(self) -> None:
        self._ask("resume")

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """The client renames and removes no file in the block, and none is being removed."""
        self.pause()
        self._ask("keep")
        self.resume()
        try:
            yield
        finally:
            self._ask("change")

    def wait_for_connections(self) -> None:
        """Wait until the client itself reaches every brick.

        The nodes may have found each other long before: a client whose packets went unanswered
        asks again after ever longer times. And while it opens files again on a brick, it is
        connected to it, but its replication does not use the brick yet.
        """
        graph = f"{self._mounted}/.meta/graphs/active/{self.volume.name}"
        replicated = self.volume.kind[0] == "replica"
        files = f"{graph}-client-*/private" + f" {graph}-replicate-*/private" * replicated

        def connected() -> bool:
            told = self.volume.pool.client.run("sh", "-c", f"cat {files}")
            used = re.findall(r"^(connected|child_up\[\d+\]) = 1$", told, re.MULTILINE)
            return len(used) == (1 + replicated) * len(self.volume.bricks)

        wait_for(connected, f"the client to reach all bricks of {self.volume.name}", 60)

    @contextlib.contextmanager
    def unharmed(self, gap: float, *, failing: bool = False) -> Iterator[Report]:
        """The client, which reaches all bricks, sees nothing wrong of what happens within.

        That is: no error and no wrong content; no worker without a success for ``gap`` seconds;
        then all bricks online, nothing to heal, the same on all replicas. With ``failing``
        operations may fail, for that long. Yields what is known once the block has ended.
        """
        self.wait_for_connections()
        before = self.report()
        assert not before.mismatches, before.mismatches
        report = Report()
        yield report
        try:
            ended = self.pause()
            vars(report).update(vars(ended))
            self.volume.wait_for_bricks()
            self.volume.wait_for_heal()
            assert report.done, "the client did nothing meanwhile"
            assert not report.mismatches, report.mismatches
            assert failing or not report.errors, report.errors
            assert report.longest < gap, f"{report.longest:.1f} s: {report.longest_did}"
            if self.volume.kind[0] == "replica":
                self.volume.assert_equal_replicas()
        finally:
            self.resume()


@contextlib.contextmanager
def work(volume: Volume, directory: str = "work") -> Iterator[Work]:
    """Mount a volume on the client and work on it while the context lasts."""
    client = volume.pool.client
    shutil.copy(APPLICATION, client.path / "root")
    mounted = f"/mnt/{volume.name}"
    client.run("mkdir", "-p", mounted)
    options = "direct-io-mode=enable,backup-volfile-servers=node2:node3"
    client.run("mount", "-t", "glusterfs", "-o", options, f"node1:/{volume.name}", mounted)
    try:
        running = client.start("python3", f"/root/{APPLICATION.name}", f"{mounted}/{directory}")
        try:
            yield Work(volume, mounted, running)
        finally:
            running.kill()
    finally:
        client.attempt("umount", "--lazy", mounted)
