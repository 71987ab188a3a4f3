"""LVM's thin pools that the bricks of this node are on, as `lvs` reports them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from glupy_exporter import commands
from glupy_exporter.node.nodestate import ThinPool, Volume
from glupy_exporter.segment.text import unescape

MOUNTS = Path("/proc/self/mountinfo")
DEVICES = Path("/proc/devices")

_FIELDS = (
    *("vg_name", "lv_name", "pool_lv", "lv_size", "data_percent"),
    *("lv_metadata_size", "metadata_percent", "lv_kernel_major", "lv_kernel_minor"),
)
# The filter leaves out all but thin pools and what is on them.
_COMMAND = (
    *("lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "--all"),
    *("--select", "lv_layout=~thin", "--options", ",".join(_FIELDS)),
)
_SECONDS = 4.0
_OCTAL = re.compile(rb"\\([0-7]{3})")

Place = tuple[str, str]
"""A volume and the path of one of its bricks here."""


def places(volumes: Mapping[str, Volume | None]) -> dict[str, list[Place]]:
    """The bricks of this node on devices of the device mapper, by `major:minor`.

    Nothing here touches the file systems. Empty if LVM is not installed.
    """
    if not shutil.which("lvs", path=commands.PATH):
        return {}
    mounts = dict(_mounts())
    mappers = _mappers()
    found: dict[str, list[Place]] = {}
    for name, volume in volumes.items():
        for brick in volume.here if volume else ():
            device = _device(unescape(brick.path), mounts)
            if device.partition(":")[0] in mappers:
                found.setdefault(device, []).append((name, brick.path))
    return found


def _mounts() -> Iterator[tuple[bytes, str]]:
    """Mount points with their devices; of several on one point the last is seen."""
    for line in MOUNTS.read_bytes().splitlines():
        fields = line.split(b" ")
        point = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), fields[4])
        yield point, fields[2].decode()


def _mappers() -> set[str]:
    """Major numbers of the device mapper."""
    lines = (line.split() for line in DEVICES.read_text().splitlines())
    return {words[0] for words in lines if words[1:] == ["device-mapper"]}


def _device(path: bytes, mounts: Mapping[bytes, str]) -> str:
    while path not in mounts:
        if path in (b"/", b""):
            return ""
        path = os.path.dirname(path)  # noqa: PTH120 (bytes)
    return mounts[path]


def ask() -> Any:
    """The thin pools and their volumes by `lvs`, which takes no lock of glusterd.

    Raises:
        OSError: it cannot be started.
        ValueError: it failed, takes too long, or says something else.
    """
    try:
        # It inherits the lock of its question, which it holds on to where no signal ends it.
        done = commands.run(_COMMAND, _SECONDS, inheriting=True)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"lvs did not answer in {_SECONDS:g} s") from error
    if done.returncode:
        raise ValueError(f"lvs failed: {done.stderr.strip()[:100]}")
    return [row for report in json.loads(done.stdout)["report"] for row in report["lv"]]


def pools(rows: Iterable[Any], bricks: Mapping[str, list[Place]]) -> tuple[ThinPool, ...]:
    """The thin pools of ``rows`` that bricks are on, each with them."""
    of_pool: dict[tuple[str, str], list[Place]] = {}
    every = [row for row in rows if isinstance(row, dict)]
    for row in every:
        device = f"{row.get('lv_kernel_major')}:{row.get('lv_kernel_minor')}"
        if row.get("pool_lv") and device in bricks:
            of_pool.setdefault((row["vg_name"], row["pool_lv"]), []).extend(bricks[device])
    found = []
    for row in every:
        name = str(row.get("lv_name", "")).strip("[]")
        key = row.get("vg_name"), name
        if key in of_pool:
            size, metadata = _number(row, "lv_size"), _number(row, "lv_metadata_size")
            found.append(
                ThinPool(
                    *key,
                    int(size),
                    int(size * _number(row, "data_percent") / 100),
                    int(metadata),
                    int(metadata * _number(row, "metadata_percent") / 100),
                    tuple(sorted(of_pool[key])),
                )
            )
    return tuple(found)


def _number(row: Mapping[str, Any], field: str) -> float:
    try:
        return float(row.get(field) or 0)
    except (TypeError, ValueError):
        return 0.0
