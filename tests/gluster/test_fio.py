"""Bytes and I/O counts equal what fio says that it moved."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

from tests.gluster.compare import settled
from tests.support.gluster.volumes import volume

BLOCK = 4096
JOB = [
    "fio",
    "--name=job",
    "--rw=randrw",
    "--rwmixread=70",
    f"--bs={BLOCK}",
    "--size=2m",
    "--numjobs=2",
    "--ioengine=psync",
    "--direct=1",
    "--invalidate=0",
    "--randseed=1",
    "--output-format=json",
]


def test_bytes_equal_fio(xlator: None, need: Callable[[object, str], None]) -> None:
    need(shutil.which("fio"), "fio (Debian: fio)")
    with volume(bricks=1) as subject, subject.mount("direct-io-mode=enable") as mount:
        (brick,) = subject.bricks
        # fio writes its files before it reads them and does not report that: do it apart.
        command = [*JOB, f"--directory={mount}"]
        subprocess.run([*command, "--create_only=1"], check=True, capture_output=True)
        before = settled(subject)[brick][1]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        after = settled(subject)[brick][1]

    jobs = json.loads(done.stdout)["jobs"]
    for direction in ("read", "write"):
        moved = sum(job[direction]["io_bytes"] for job in jobs)
        calls = sum(job[direction]["total_ios"] for job in jobs)
        bucket = BLOCK.bit_length() - 1
        sizes = [b - a for a, b in zip(before.sizes[direction], after.sizes[direction])]
        assert moved > 0
        assert after.bytes[direction] - before.bytes[direction] == moved
        assert sizes == [calls if number == bucket else 0 for number in range(len(sizes))]
