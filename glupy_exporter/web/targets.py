"""The answer of ``/sd``."""

from __future__ import annotations

import logging
import time

from glupy_exporter.config import Config
from glupy_exporter.errors import UserError
from glupy_exporter.node import discovery

KEEP = 10.0
"""Seconds for which an answer is used again."""

LOG = logging.getLogger(__name__)


class Targets:
    """The nodes of the cluster, from the file that ``state`` writes or from glusterd's."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._body = b""
        self._error = ""
        self._until = 0.0

    def render(self) -> bytes:
        """The groups of targets as JSON, at most KEEP seconds old.

        Raises:
            UserError: the nodes are not known.
        """
        if time.monotonic() >= self._until:
            try:
                self._body = self._read()
            except UserError as error:
                if str(error) != self._error:
                    LOG.warning("no targets for /sd", extra={"fields": {"error": error}})
                self._error = str(error)
                raise
            if self._error:
                LOG.info("there are targets for /sd again")
            self._error = ""
            self._until = time.monotonic() + KEEP
        return self._body

    def _read(self) -> bytes:
        config = self._config
        try:
            there = config.discovery_file.exists()
        except OSError as error:
            raise UserError(f"cannot read {config.discovery_file}: {error.strerror}") from error
        if there:
            return discovery.render(discovery.read(config.discovery_file))
        nodes = discovery.nodes(address=config.discovery_address)
        return discovery.render(
            discovery.groups(nodes, config.discovery_cluster, config.discovery_port)
        )
