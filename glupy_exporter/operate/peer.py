"""Asks every node of the pool about its translator.

``gluster system:: execute glupy`` makes glusterd run ``peer_glupy`` from GlusterFS's libexec
directory on each connected node and hands back what all of them printed. That script is the only
part of this project that a node needs besides the translator, so it is plain shell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glupy_exporter import commands
from glupy_exporter.errors import UserError
from glupy_exporter.node import glusterd
from glupy_exporter.operate import gluster

NAME = "glupy"

FUSE = "/dev/fuse"
"""The device that glusterd opens on every node before it stops a single brick."""

STATE = Path("/var/lib/glupy-exporter")
"""Where a command notes, on the node on which it runs, that it works on a volume. It locks
``VOLUME.lock``, and writes into ``VOLUME.json`` what it has not brought back yet."""

# glusterd takes any exit code but 0 as the failure of the whole command, on all nodes.
SCRIPT = (
    r"""#!/bin/sh
# Written by `glupy-exporter xlator install`. glusterd runs this on every node of the pool for
# `gluster system:: execute glupy`; it prints a line for each of these:
#   node UUID GLUSTERFS_VERSION STAMP    who this is and which translator is installed
#   running UUID PID SAME STAMP          the translator that a brick process has loaded; SAME is
#                                        "same" if it is the installed one, else "other"
#   segment UUID PID PATH                a segment that a brick process here is counting into
#   busy UUID - VOLUME                   a command on this node works on the volume
#   unfinished UUID COMMAND VOLUME       a command on this node did not bring the volume back
#   lacks UUID - FILE                    a file that glusterd cannot open for `reset-brick`
# With the arguments `forget VOLUME DIRECTORY` it first removes what the volume's bricks left there;
# with `holding PATH...` it also prints
#   holding UUID PID PATH                a brick process that still works on the brick PATH
PATH=@PATH@
# Names are bytes: in another locale a pattern does not match what is no character there.
LC_ALL=C
export LC_ALL
if [ "$1" = forget ]; then
    case $2 in
    "" | *[!A-Za-z0-9_-]*) ;;
    *) [ -L "$3" ] || rm -f -- "$3/$2".*.seg ;;
    esac
fi
blank='[[:space:]]'
option="^$blank*option$blank$blank*working-directory$blank$blank*"
workdir=$(sed -n "s/$option\"*\([^\"[:space:]]*\).*/\1/p" @VOLFILE@ 2>/dev/null | sed '$!d')
uuid=$(sed -n 's/^UUID=//p' "${workdir:-@WORKDIR@}/glusterd.info")
# Opening the device would make a file where it does not exist.
[ -c @FUSE@ ] && (: <>@FUSE@) 2>/dev/null || echo "lacks $uuid - @FUSE@"
version=$(glusterfsd --version | sed -n '1s/^glusterfs \([^ ]*\).*/\1/p')
library=$(glusterfsd --print-xlatordir)/user/glupy.so
stamp_of() {
    grep -a -o 'glupy-stamp:{[^}]*}' "$1" 2>/dev/null | head -n 1
}
stamp=$(stamp_of "$library")
echo "node $uuid $version ${stamp:--}"
me=$(id -u)
namespace=$(readlink /proc/self/ns/pid)
for directory in /proc/[0-9]*; do
    # pidof is not everywhere.
    { read -r program <"$directory/comm"; } 2>/dev/null && [ "$program" = glusterfsd ] || continue
    pid=${directory#/proc/}
    # Any user may call a program so, and name a file like a segment in a /run of their own.
    user=$(sed -n 's/^Uid:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null)
    [ "$user" = "$me" ] || continue
    # The bricks of a container belong to the glusterd in there.
    [ "$(readlink "/proc/$pid/ns/pid" 2>/dev/null)" = "$namespace" ] || continue
    # Through map_files the file can be read even if another has taken its name.
    range=$(sed -n 's|^\([0-9a-f]*-[0-9a-f]*\) .*/user/glupy\.so.*|\1|p' "/proc/$pid/maps" \
        2>/dev/null | head -n 1)
    if [ "$range" ]; then
        loaded=/proc/$pid/map_files/$range
        same=other
        cmp -s "$loaded" "$library" && same=same
        stamp=$(stamp_of "$loaded")
        echo "running $uuid $pid $same ${stamp:--}"
    fi
    # Clients name files, so a name may hold anything: a newline, or what echo takes for one. No
    # brick's and no segment's name has a control character.
    open=$(find "/proc/$pid/fd" -type l ! -lname '*[[:cntrl:]]*' -printf '%l\n' 2>/dev/null)
    printf '%s\n' "$open" | sed -n "s|^/.*\.seg\$|segment $uuid $pid &|p"
    if [ "$1" = holding ]; then
        for path; do
            real=$(readlink -f -- "$path") && printf '%s\n' "$open" | grep -qxF -- "$real" &&
                printf '%s\n' "holding $uuid $pid $path"
        done
    fi
done
for file in @STATE@/*.lock @STATE@/*.json; do
    name=${file##*/}
    case $file in
    *'*'*) ;;
    *.lock) flock --nonblock --shared "$file" true || echo "busy $uuid - ${name%.lock}" ;;
    *.json)
        command=$(sed -n 's/.*"command": "\([a-z]*\)".*/\1/p' "$file")
        echo "unfinished $uuid ${command:--} ${name%.json}"
        ;;
    esac
done
exit 0
""".replace("@STATE@", str(STATE))
    .replace("@VOLFILE@", str(glusterd.VOLFILE))
    .replace("@WORKDIR@", str(glusterd.WORKING_DIRECTORY))
    .replace("@FUSE@", FUSE)
    .replace("@PATH@", commands.PATH)
)

_STAMP = "glupy-stamp:"
_STAMP_SIZE_MAX = 256


@dataclass(frozen=True)
class Stamp:
    """The identity that is compiled into a translator."""

    xlator_version: str
    glusterfs_version: str
    layout: int


@dataclass(frozen=True)
class Loaded:
    """The translator that a brick process has loaded."""

    stamp: Stamp | None
    installed: bool
    """Whether it is, byte for byte, the one that is installed on the node."""


@dataclass(frozen=True)
class Node:
    """One node's answer."""

    glusterfs_version: str
    stamp: Stamp | None
    """Of the installed translator; None if there is none."""
    segments: Mapping[str, int] = field(default_factory=dict)
    """Pid of the brick process, by the kernel's path of each segment that it holds open. Files of
    the volume's users, which it also holds open, are among them if they are named like segments."""
    loaded: Mapping[int, Loaded] = field(default_factory=dict)
    """By the pid of the brick process; empty if the node has the script of the first release."""
    busy: frozenset[str] = frozenset()
    """Volumes that a command on the node works on."""
    unfinished: Mapping[str, str] = field(default_factory=dict)
    """The command that has not brought a volume back yet, by volume; it may have ended."""
    lacks: frozenset[str] = frozenset()
    """Files that glusterd needs there and cannot open: :data:`FUSE`, or none."""


class NoScriptError(UserError):
    """A node has no peer script, so no node can be asked."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = tuple(hosts)
        """glusterd's names of the nodes without a script; ``localhost`` is this node."""
        super().__init__(
            f"no translator is installed on {', '.join(self.hosts)}; run `glupy-exporter xlator "
            "install` there, with `--script-only` on a node without bricks: glusterd asks all "
            "nodes or none"
        )


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
    loaded: dict[str, dict[int, Loaded]] = {}
    busy: dict[str, set[str]] = {}
    unfinished: dict[str, dict[str, str]] = {}
    lacks: dict[str, set[str]] = {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        fields = rest.split(" ", 2)
        if len(fields) != 3:
            continue
        uuid, second, third = fields
        if kind == "node":
            found[uuid] = (second, _stamp_in(third))
        elif kind == "segment" and second.isdigit():
            segments.setdefault(uuid, {})[third] = int(second)
        elif kind == "running" and second.isdigit():
            same, _, stamp = third.partition(" ")
            loaded.setdefault(uuid, {})[int(second)] = Loaded(_stamp_in(stamp), same == "same")
        elif kind == "busy":
            busy.setdefault(uuid, set()).add(third)
        elif kind == "unfinished":
            unfinished.setdefault(uuid, {})[third] = second
        elif kind == "lacks":
            lacks.setdefault(uuid, set()).add(third)
    return {
        uuid: Node(
            version,
            stamp,
            segments.get(uuid, {}),
            loaded.get(uuid, {}),
            frozenset(busy.get(uuid, ())),
            unfinished.get(uuid, {}),
            frozenset(lacks.get(uuid, ())),
        )
        for uuid, (version, stamp) in found.items()
    }


def _stamp_in(text: str) -> Stamp | None:
    return find_stamp(text.encode("utf-8", "replace"))


def _ask(*arguments: str) -> list[str]:
    try:
        return gluster.execute(NAME, *arguments)
    except gluster.GlusterError as error:
        missing = f"peer_{NAME} command not found"
        if missing not in str(error):
            raise
        elsewhere = re.findall(rf"failed on (\S+?)\. Error: \w+ {missing}", str(error))
        raise NoScriptError(elsewhere or ["localhost"]) from error


def forget(volume: str, directory: Path) -> None:
    """Remove the segments that the volume's bricks left in ``directory``, on every node.

    Raises:
        NoScriptError, GlusterError: as :func:`nodes`.
    """
    _ask("forget", volume, str(directory))


def holding(bricks: Sequence[gluster.Brick]) -> bool:
    """Whether any of the bricks' directories is still held open by a process on the brick's node.

    Raises:
        NoScriptError, GlusterError: as :func:`nodes`.
    """
    lines = set()
    for line in _ask("holding", *(brick.path for brick in bricks)):
        kind, _, rest = line.partition(" ")
        uuid, _, process = rest.partition(" ")
        if kind == "holding":
            lines.add((uuid, process.partition(" ")[2]))
    return any((brick.node, brick.path) in lines for brick in bricks)


def nodes() -> dict[str, Node]:
    """The answers of all connected nodes of the pool, by UUID.

    Raises:
        NoScriptError: a node has no peer script.
        GlusterError: glusterd does not answer, or refuses.
    """
    return parse(_ask())


def this_node() -> dict[str, Node]:
    """The answer of this node, asked without glusterd; empty where GlusterFS is not installed."""
    done = commands.run(["/bin/sh", "-s"], 60, given=SCRIPT)
    return parse(gluster.lines(done.stdout))
