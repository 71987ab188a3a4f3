"""The settings of probes."""

from __future__ import annotations

from glupy_exporter import values
from glupy_exporter.values import Setting, Settings

SETTINGS: Settings = {
    "probe.directory": Setting(
        values.file,
        "",
        "directory of probes (*.py), which `serve` runs in processes of their own; it and its "
        "files have to be root's and not writable by others",
        "DIR",
    ),
}
