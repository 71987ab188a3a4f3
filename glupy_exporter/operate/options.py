"""The translator's options of a volume, and the paths of its volfiles and segments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from glupy_exporter.operate import gluster
from glupy_exporter.operate.gluster import Brick, Volume
from glupy_exporter.schema import layout, option_table
from glupy_exporter.segment import naming

OPTION = option_table.PREFIX

POSITION = "sdfs"
"""GlusterFS inserts the translator right above the one named here, and does so even if that one is
not in the graph. Of the positions it accepts, ``sdfs`` is the one directly under io-stats whatever
else is switched on: ``quota`` would be below sdfs, namespace and cdc."""


_SCRUB = {"features.scrub-freq": "scrub-frequency", "features.scrub-throttle": "scrub-throttle"}
"""The options that only ``volume bitrot`` sets, and its words for them."""


def of_scrub(volume: Volume) -> dict[str, str]:
    """The volume's options that only :func:`set_scrub` sets."""
    if volume.options.get("features.bitrot") not in gluster.ON:
        return {}
    return {name: value for name, value in volume.options.items() if name in _SCRUB}


def set_scrub(volume: str, option: str, value: str) -> None:
    """Set one of :func:`of_scrub`.

    Raises:
        GlusterError: glusterd refuses, as while the volume is not started.
    """
    gluster.set_scrub(volume, _SCRUB[option], value)


def ours(volume: Volume) -> list[str]:
    """The options of the volume that are the translator's, its position first."""
    return sorted(o for o in volume.options if o == OPTION or o.startswith(OPTION + "."))


def set_command(volume: str, options: Mapping[str, str]) -> list[str]:
    """The words of the command that sets ``options``."""
    return ["volume", "set", volume, *(word for item in options.items() for word in item)]


def segment_directory(volume: Volume) -> Path:
    """Where the volume's bricks keep their segments."""
    return Path(volume.options.get(f"{OPTION}.segment-dir", layout.DIRECTORY))


def segment_paths(volume: Volume, brick: Brick) -> list[Path]:
    """The paths that the brick's segment may have; the usual one, the last, may be another brick's.

    The kernel of the brick's node shows these paths, if links there lead where they do here.
    """
    directory = Path(os.path.realpath(segment_directory(volume)))  # resolve() fails at a loop
    return [directory / name for name in reversed(naming.names(volume.name, brick.path))]


def volfile(volume: Volume, brick: Brick) -> Path:
    """The path of the brick's volfile on the node that holds the brick."""
    path = brick.path.lstrip("/").replace("/", "-")
    name = f"{volume.name}.{brick.host}.{path}.vol"
    return Path(gluster.working_directory()) / "vols" / volume.name / name


def volfiles(volume: Volume) -> list[Path]:
    """The volfiles of the bricks that this node holds."""
    return [path for path in (volfile(volume, b) for b in volume.bricks) if path.exists()]


def names_translator(path: Path) -> bool:
    """Whether the volfile at ``path`` has the translator in its graph."""
    return "type user/glupy\n" in path.read_text(encoding="utf-8", errors="replace")
