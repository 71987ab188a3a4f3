"""What ``/sd`` says."""

from __future__ import annotations

import time

from glupy_exporter import discovery
from glupy_exporter.config import Config

KEEP = 10.0
"""Seconds for which an answer is given again."""


class Targets:
    """The nodes of the cluster, from the file that ``discover`` writes or from glusterd's."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._body = b""
        self._until = 0.0

    def render(self) -> bytes:
        """The groups of targets as JSON, at most KEEP seconds old.

        Raises:
            UserError: nobody knows the nodes.
        """
        if time.monotonic() >= self._until:
            config = self._config
            if config.discovery_file.exists():
                found = discovery.read(config.discovery_file)
            else:
                found = discovery.groups(
                    discovery.nodes(), config.discovery_cluster, config.discovery_port
                )
            self._body = discovery.render(found)
            self._until = time.monotonic() + KEEP
        return self._body
