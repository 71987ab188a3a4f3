"""The state file: what glusterd has on record of this node's bricks.

`discover --state` runs as root and writes the file once a minute for the exporter. If the file is
missing, old or malformed, the exporter judges bricks by their segments alone.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from glupy_exporter import values
from glupy_exporter.values import Setting, Settings

SETTINGS: Settings = {
    "state.file": Setting(
        values.absolute,
        "/run/glupy-exporter/state.json",
        "file with this node's bricks, as `discover --state` writes it; it tells a brick that was "
        "removed from a brick that is down",
        "FILE",
    ),
}

MAX_AGE = 600.0
"""Seconds after which a state is too old to be used."""
MAX_SIZE = 4 * 2**20
"""The most bytes of the file."""

_NAME = re.compile(r"[\w.-]{1,255}", re.ASCII)


class Volume(NamedTuple):
    """A volume of the pool, as this node's glusterd knows it."""

    bricks: frozenset[str]
    """Paths of its bricks on this node, escaped as labels are."""
    started: bool
    translator: bool
    """Whether it has the option that puts the translator into its bricks."""


class NodeState(NamedTuple):
    """What glusterd had on record at one time."""

    time: float
    """Seconds since the epoch, taken before the record was read."""
    volumes: Mapping[str, Volume | None]
    """Volumes by name; None for a volume that glusterd was changing."""

    def obsolete(self, volume: str, brick: str, ended: float) -> bool:
        """Whether the segment of a brick that ended at ``ended`` is of no use any more.

        That is so if the brick was removed from this node, or the translator from its volume.
        ``ended`` is in seconds since the epoch.
        """
        known = self.volumes.get(volume, Volume(frozenset(), False, False))
        if known is None or self.time <= ended:
            return False
        return brick not in known.bricks or not known.translator

    @property
    def counted(self) -> list[str]:
        """The names of the volumes of which bricks here should run the translator."""
        return [
            name
            for name, volume in self.volumes.items()
            if volume and volume.bricks and volume.started and volume.translator
        ]

    @property
    def here(self) -> dict[str, Volume]:
        """The volumes that have bricks on this node, by name."""
        volumes = self.volumes.items()
        return {name: volume for name, volume in volumes if volume and volume.bricks}


def render(state: NodeState) -> bytes:
    """The state as JSON. A reader ignores keys that it does not know."""
    volumes = {
        name: volume and {**volume._asdict(), "bricks": sorted(volume.bricks)}
        for name, volume in state.volumes.items()
    }
    return json.dumps({"time": state.time, "volumes": volumes}, indent=2).encode() + b"\n"


def read(path: Path) -> NodeState | None:
    """The state in a file; None if it is missing, too old, from the future, or not a state."""
    try:
        # float: an int of a million digits would take long to parse.
        state = _checked(json.loads(_content(path), parse_int=float))
    except (OSError, ValueError, RecursionError):
        return None
    return state if 0 <= time.time() - state.time <= MAX_AGE else None


def _content(path: Path) -> bytes:
    # O_NONBLOCK: a FIFO must not hold up the scrape.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        content = file.read(MAX_SIZE + 1)
    if len(content) > MAX_SIZE:
        raise ValueError("too long")
    return content


def _checked(value: Any) -> NodeState:
    found = _of(dict, value)
    return NodeState(
        _of(float, found.get("time")),
        {_name(name): _volume(volume) for name, volume in _of(dict, found.get("volumes")).items()},
    )


def _volume(value: Any) -> Volume | None:
    if value is None:
        return None
    found = _of(dict, value)
    return Volume(
        frozenset(_of(str, brick) for brick in _of(list, found.get("bricks"))),
        _of(bool, found.get("started")),
        _of(bool, found.get("translator")),
    )


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no volume's name")
    return value


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r:.60} where a {kind.__name__} has to be")
    return value
