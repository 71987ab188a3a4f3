"""What every node of the pool says about its translator.

``gluster system:: execute glupy`` makes glusterd run ``peer_glupy`` from GlusterFS's libexec
directory on each connected node and hands back what all of them printed. That script is the only
part of this project that a node needs besides the translator, so it is plain shell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.xlator import gluster

NAME = "glupy"

# glusterd takes any exit code but 0 as the failure of the whole command, on all nodes.
SCRIPT = r"""#!/bin/sh
# Written by `glupy-exporter xlator install`. glusterd runs this on every node of the pool for
# `gluster system:: execute glupy`; it prints two kinds of lines:
#   node UUID GLUSTERFS_VERSION STAMP    who this is and which translator is installed
#   segment UUID PID PATH                a segment that a brick process here is counting into
# With the arguments `forget VOLUME DIRECTORY` it first removes what the volume's bricks left there;
# with `holding PATH` it also prints
#   holding UUID PID PATH                a brick process that still works on the brick PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
if [ "$1" = forget ]; then
    case $2 in
    "" | *[!A-Za-z0-9_-]*) ;;
    *) rm -f -- "$3/$2".*.seg ;;
    esac
fi
uuid=$(sed -n 's/^UUID=//p' "${GLUSTERD_WORKDIR:-/var/lib/glusterd}/glusterd.info")
version=$(glusterfsd --version | sed -n '1s/^glusterfs \([^ ]*\).*/\1/p')
library=$(glusterfsd --print-xlatordir)/user/glupy.so
stamp=$(grep -a -o 'glupy-stamp:{[^}]*}' "$library" 2>/dev/null | head -n 1)
echo "node $uuid $version ${stamp:--}"
for pid in $(pidof glusterfsd); do
    ls -l "/proc/$pid/fd" 2>/dev/null |
        sed -n "s|^.* -> \(/.*\.seg\)\$|segment $uuid $pid \1|p"
    if [ "$1" = holding ] && ls -l "/proc/$pid/fd" 2>/dev/null |
        sed 's|^.* -> ||' | grep -qxF -- "$(readlink -f -- "$2")"; then
        echo "holding $uuid $pid $2"
    fi
done
exit 0
"""

_STAMP = "glupy-stamp:"
_STAMP_SIZE_MAX = 256


@dataclass(frozen=True)
class Stamp:
    """What a built translator says of itself."""

    xlator_version: str
    glusterfs_version: str
    layout: int


@dataclass(frozen=True)
class Node:
    """One node's answer."""

    glusterfs_version: str
    stamp: Stamp | None
    """Of the installed translator; None if there is none."""
    segments: Mapping[str, int]
    """Pid of the brick process by the file name of the segment it holds open."""


def find_stamp(data: bytes) -> Stamp | None:
    """The first stamp in ``data``, or None if there is none that can be read."""
    marker = _STAMP.encode("ascii")
    start = data.find(marker)
    while start >= 0:
        body = data[start + len(marker) : start + _STAMP_SIZE_MAX]
        stamp = _stamp(body.partition(b"}")[0].decode("ascii", "replace") + "}")
        if stamp:
            return stamp
        start = data.find(marker, start + 1)
    return None


def _stamp(text: str) -> Stamp | None:
    try:
        values = json.loads(text)
        return Stamp(
            str(values["xlator_version"]),
            str(values["glusterfs_version"]),
            int(values["layout"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def parse(lines: Iterable[str]) -> dict[str, Node]:
    """The nodes that printed ``lines``, by UUID. Lines that make no sense are left out."""
    found: dict[str, tuple[str, Stamp | None]] = {}
    segments: dict[str, dict[str, int]] = {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        fields = rest.split(" ", 2)
        if len(fields) != 3:
            continue
        uuid, second, third = fields
        if kind == "node":
            found[uuid] = (second, find_stamp(third.encode("utf-8", "replace")))
        elif kind == "segment" and second.isdigit():
            segments.setdefault(uuid, {})[Path(third).name] = int(second)
    return {
        uuid: Node(version, stamp, segments.get(uuid, {}))
        for uuid, (version, stamp) in found.items()
    }


def forget(volume: str, directory: Path) -> None:
    """Remove the segments that the volume's bricks left in ``directory``, on every node.

    Raises:
        GlusterError: not every node could be asked.
    """
    gluster.execute(NAME, "forget", volume, str(directory))


def holding(brick: gluster.Brick) -> bool:
    """Whether a process on the brick's node still has the brick's directory open.

    Raises:
        GlusterError: not every node could be asked.
    """
    lines = gluster.execute(NAME, "holding", brick.path)
    return any(line.startswith(f"holding {brick.node} ") for line in lines)


def nodes() -> dict[str, Node]:
    """What every connected node of the pool answers, by UUID.

    Raises:
        UserError: a node has no peer script.
    """
    try:
        return parse(gluster.execute(NAME))
    except gluster.GlusterError as error:
        if f"peer_{NAME} command not found" not in str(error):
            raise
        raise UserError(
            "not every node has the translator; run `glupy-exporter xlator install` on each "
            f"({error})"
        ) from error


def segment_name(volume: str, brick: str) -> str:
    """The file name of the segment of the brick with the path ``brick``."""
    return f"{volume}.{brick.lstrip('/')}".replace("/", "-") + ".seg"
