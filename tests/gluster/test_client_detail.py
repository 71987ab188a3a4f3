"""Clients by host and by process: two mounts of one host."""

from __future__ import annotations

import contextlib
from pathlib import Path

from glupy_exporter.schema import layout
from tests.support.gluster.volumes import Volume, volume, wait_for

WRITES = (30, 70)


def writers(subject: Volume) -> dict[str, int]:
    """Writes by the process that is said to have done them."""
    found: dict[str, int] = {}
    with subject.segment(subject.bricks[0]) as segment:
        for _, client in segment.client_table().records():
            if client.activity.fops[layout.WRITE]:
                assert client.process not in found
                found[client.process] = client.activity.fops[layout.WRITE]
    return found


def write(mounts: list[Path]) -> None:
    for number, (mount, times) in enumerate(zip(mounts, WRITES)):
        with (mount / f"file{number}").open("ab", buffering=0) as file:
            for _ in range(times):
                file.write(b"x")


def test_processes_of_a_host_are_told_apart_if_wanted(xlator: None) -> None:
    """Together as one host, then by process id with exact counts, then together again."""
    with volume(bricks=1) as subject, contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(subject.mount("direct-io-mode=enable")) for _ in WRITES]
        pids = [str(subject.client(mount)) for mount in mounts]
        assert len(set(pids)) == len(WRITES)
        write(mounts)
        wait_for(lambda: writers(subject) == {"": sum(WRITES)}, "the writes of the host")

        subject.set(user__xlator__glupy__client_detail="process")
        wait_for(lambda: not writers(subject), "a new segment")
        write(mounts)
        wait_for(lambda: writers(subject) == dict(zip(pids, WRITES)), "the writes of each")

        subject.set(user__xlator__glupy__client_detail="nonsense")
        refusal = 'client-detail: "nonsense" is not host or process'
        wait_for(lambda: refusal in subject.log(subject.bricks[0]), "the refusal")
        write(mounts)
        twice = dict(zip(pids, (2 * times for times in WRITES)))
        wait_for(lambda: writers(subject) == twice, "counts that go on")

        subject.set(user__xlator__glupy__client_detail="host")
        wait_for(lambda: not writers(subject), "another new segment")
        write(mounts)
        wait_for(lambda: writers(subject) == {"": sum(WRITES)}, "the writes of the host again")
