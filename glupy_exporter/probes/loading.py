"""Loads probes from files."""

from __future__ import annotations

import os
import runpy
import stat
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.probes.base import Probe


def load(path: Path) -> Probe:
    """The probe in the file, which is run as Python.

    Raises:
        UserError: the file cannot be run, or does not have one probe.
    """
    try:
        content = runpy.run_path(str(path), run_name=f"glupy_probe_{path.stem}")
        made = [
            each
            for each in content.values()
            if isinstance(each, type)
            and issubclass(each, Probe)
            and each.__module__ == f"glupy_probe_{path.stem}"
        ]
        if len(made) != 1:
            raise UserError(f"{path} has {len(made)} subclasses of Probe instead of one")
        probe = made[0]()
        probe.families()
        return probe
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read the probe {path}: {error.strerror}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"the probe {path} cannot be loaded: {error!r}") from error


def found(directory: Path) -> list[Path]:
    """The files of probes in a directory, by name: those whose names end with ``.py``.

    Raises:
        UserError: the directory cannot be listed, or somebody other than root can change what is
            in it or in one of the files.
    """
    try:
        _check(directory, directory.stat())
        paths = sorted(directory.glob("*.py"))
        for path in paths:
            _check(path, path.lstat())  # a link may lead to where others may write
    except OSError as error:
        raise UserError(f"--probe.directory: {error.filename}: {error.strerror}") from error
    return paths


def _check(path: Path, status: os.stat_result) -> None:
    link = stat.S_ISLNK(status.st_mode)
    if link or status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"--probe.directory: {path} has to belong to root, and may be neither a link nor "
            "writable by others, as the exporter runs it"
        )
