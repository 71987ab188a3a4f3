"""The packages on nodes that work: what is installed, and what serves."""

from __future__ import annotations

from pool import Pool


def test_the_units_run(installed: Pool) -> None:
    for node in installed.nodes:
        for unit in ("glusterd.service", "glupy-exporter.service", "glupy-discover.timer"):
            assert node.run("systemctl", "is-active", unit) == "active\n"
        assert node.failed_units("gl*") == []
        assert node.complaints("glupy-*") == []
