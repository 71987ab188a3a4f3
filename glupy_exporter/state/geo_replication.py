"""Geo-replication sessions, from the files that gsyncd keeps (gsyncdstatus.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from glupy_exporter.node import glusterd
from glupy_exporter.node.nodestate import GeoReplication, Volume, Worker
from glupy_exporter.segment.text import escape, unescape
from glupy_exporter.state import processes
from glupy_exporter.state.processes import Process
from glupy_exporter.state.records import Records

RUNNING = {"Started", "Paused"}
"""The states of a session in which its monitor runs."""

_MAX_SIZE = 2**16
# Of a volume's file: UUID:ssh://[USER@]HOST::VOLUME:UUID. Before GlusterFS 10 the key is slaveN.
_KEY = re.compile(r"(?:secondary|slave)\d+")
_SECONDARY = re.compile(r"[^:]*:ssh://(?:([^@/]+)@)?([^/]+?)::([\w.-]+)(?::[\w-]*)?", re.ASCII)
_STATUSES = {"N/A", "Initializing...", "Active", "Passive", "Faulty"}
_CRAWLS = {"Hybrid Crawl", "History Crawl", "Changelog Crawl"}


def sessions(records: Records, volumes: Mapping[str, Volume | None]) -> tuple[GeoReplication, ...]:
    """The sessions of the volumes with bricks here, each with the workers of these bricks.

    Raises:
        OSError: a file cannot be read.
    """
    found = []
    for name, info in records.volumes.items():
        volume = volumes.get(name)
        if volume and volume.bricks and info:
            for host, secondary in _secondaries(info):
                directory = _directory(records, name, host, secondary)
                session = GeoReplication(name, f"{host}::{secondary}", _monitor_status(directory))
                runs = session.status == "Started" and bool(monitor(records, session))
                workers = (_worker(directory, brick, session, runs) for brick in volume.bricks)
                found.append(session._replace(workers=tuple(sorted(filter(None, workers)))))
    return tuple(found)


def _secondaries(info: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The host and the volume of each session of a volume."""
    for key, value in info.items():
        parts = _SECONDARY.fullmatch(value) if _KEY.fullmatch(key) else None
        if parts:
            yield parts[2], parts[3]


def _directory(records: Records, volume: str, host: str, secondary: str) -> Path:
    return records.directory / "geo-replication" / f"{volume}_{host}_{secondary}"


def _monitor_status(directory: Path) -> str:
    try:
        text = escape(glusterd.content(directory / "monitor.status", _MAX_SIZE).strip())
    except FileNotFoundError:
        return "Created"
    return text[:32] or "Stopped"


def monitor(records: Records, session: GeoReplication) -> Process | None:
    """The process that keeps the workers of a session; None if it does not run."""
    host, _, secondary = session.secondary.partition("::")
    process = processes.of_pid_file(records.run / f"gsyncd-{session.volume}-{host}-{secondary}.pid")
    return process if process and any(b"gsyncd" in word for word in process.command) else None


def _worker(directory: Path, brick: str, session: GeoReplication, runs: bool) -> Worker | None:
    """The worker of a brick; None if it has no file.

    As `gluster volume geo-replication status` does, it takes the session's state for that of the
    worker unless the session is started, and figures of an active worker only.
    """
    name = f"brick_{quote_plus(unescape(brick))}.status"
    try:
        content = glusterd.content(directory / name, _MAX_SIZE)
    except FileNotFoundError:
        return None
    try:
        known = json.loads(content or b"{}", parse_int=float)
    except (ValueError, RecursionError):
        known = {}
    known = known if isinstance(known, dict) else {}
    status = known.get("worker_status", "N/A")
    if session.status != "Started":
        status = session.status
    elif not runs:
        status = "Stopped"
    elif not isinstance(status, str) or status not in _STATUSES:
        status = "unknown"
    if status != "Active":
        return Worker(brick, status)
    crawl = known.get("crawl_status")
    return Worker(
        brick,
        status,
        crawl if isinstance(crawl, str) and crawl in _CRAWLS else "",
        _number(known.get("last_synced")),
        int(_number(known.get("entry"))),
        int(_number(known.get("data"))),
        int(_number(known.get("meta"))),
        int(_number(known.get("failures"))),
    )


def _number(value: Any) -> float:
    return value if isinstance(value, float) and 0 <= value < 2**63 else 0.0
