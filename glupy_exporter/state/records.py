"""Reads glusterd's records once for all parts of the state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from glupy_exporter.node import discovery, glusterd
from glupy_exporter.node.nodestate import VOLUME_NAME


class Records(NamedTuple):
    """glusterd's directories, and the files that more than one part looks at."""

    directory: Path
    """The working directory."""
    run: Path
    """The directory of pid files."""
    here: str
    """This node's UUID."""
    volumes: Mapping[str, Mapping[str, str] | None]
    """The file ``info`` of each volume by its name; None if it cannot be used now."""
    options: Mapping[str, str]
    """Options of the whole pool."""

    def volume(self, name: str) -> Path:
        """The directory of a volume."""
        return self.directory / "vols" / name


def load(directory: Path | None = None, run: Path | None = None) -> Records:
    """glusterd's records.

    Raises:
        UserError: they cannot be read, or glusterd has never run here.
    """
    directory = directory or glusterd.working_directory()
    with discovery.readable():
        here = discovery.own_uuid(directory)
        # Somebody's copy of a volume's directory has a name that no volume can have.
        infos = {
            path.parent.name: _info(path)
            for path in sorted(directory.glob("vols/*/info"))
            if VOLUME_NAME.fullmatch(path.parent.name)
        }
        try:
            options = glusterd.record(directory / "options")
        except FileNotFoundError:
            options = {}
    return Records(directory, run or glusterd.run_directory(), here, infos, options)


def _info(path: Path) -> Mapping[str, str] | None:
    try:
        return glusterd.record(path)
    except PermissionError:
        raise
    except OSError:
        return None
