"""What counting and recording cost a real brick, told by switching them while the brick runs.

Two processes of one brick each differ by some percent, whatever is in their graphs. So here one
process does everything: the translator is off, counts, or counts and records as shipped, in turn
and in a changing order. Switched off, it still winds and unwinds each fop. The work is that of
:mod:`benchmarks.brick_cost`, without its noise from process to process. Printed are the ratios of
the brick's processor time to that with the translator off: the geometric mean over several
volumes, with 95 % confidence intervals by Student's t.

Exits with 1 if the interval of a ratio lies above what it may be at most.

Needs root and GlusterFS.
"""

from __future__ import annotations

import contextlib
import fcntl
import random
import sys
from collections import defaultdict

from benchmarks.brick_cost import MOST, OPTIONS, WORK, Spent, Subject, prepare, run, tmpfs
from benchmarks.samples import interval
from glupy_exporter.schema.option_table import PREFIX
from tests.support.gluster import volumes

STATES = {
    "off": {"enabled": "off"},
    "counting": {"enabled": "on", "recorder": "off"},
    "as shipped": {"enabled": "on", "recorder": "on"},
}
ROUNDS = 4


def state_of(subject: Subject) -> str:
    """The state that the translator is in: a lock that it records is in its list."""
    (brick,) = subject.volume.bricks
    with subject.volume.segment(brick) as segment, (subject.mount / "large").open("r+") as file:
        if not segment.brick().numbers["enabled"]:
            return "off"
        fcntl.flock(file, fcntl.LOCK_EX)
        return "as shipped" if segment.held_locks() else "counting"


def switch(subject: Subject, state: str) -> None:
    """Bring the translator into a state, and wait until it is in it."""
    options = {f"{PREFIX}.{key}": value for key, value in STATES[state].items()}
    subject.volume.set_options(options)
    volumes.wait_for(lambda: state_of(subject) == state, f"the state {state}")


def generation() -> Spent:
    """Seconds by state and work, of a volume that is made for it."""
    spent: Spent = defaultdict(float)
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(tmpfs())
        volume = stack.enter_context(
            volumes.volume(bricks=1, options=OPTIONS, parents=[disk], counted=True)
        )
        mount = stack.enter_context(volume.mount("direct-io-mode=enable"))
        subject = Subject(volume, mount)
        prepare(mount)
        for work, _ in WORK.values():
            subject.cost(work)  # to warm up
        for _ in range(ROUNDS):
            for state in random.sample(list(STATES), len(STATES)):
                switch(subject, state)
                for kind, (work, _) in WORK.items():
                    spent[state, kind] += subject.cost(work)
    return spent


def report(found: list[Spent]) -> list[str]:
    """Print the table; what misses its target."""
    missed = []
    print("| work | state | ratio to off | 95 % interval |")
    print("| --- | --- | --- | --- |")
    for kind in WORK:
        for state in list(STATES)[1:]:
            ratio, low, high = interval([one[state, kind] / one["off", kind] for one in found])
            print(f"| {kind} | {state} | {ratio:.3f} | {low:.3f} to {high:.3f} |", flush=True)
            if low > MOST:
                missed.append(f"{kind}, {state}: {ratio:.3f}")
    return missed


if __name__ == "__main__":
    sys.exit(run(__doc__, generation, report))
