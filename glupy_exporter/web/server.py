"""Listens, serves, and stops when told to."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from glupy_exporter import __version__
from glupy_exporter.collectors.scrape import Scraper
from glupy_exporter.config import Address, Config
from glupy_exporter.errors import UserError
from glupy_exporter.web.app import App

MAX_CONNECTIONS = 128
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024  # nothing here takes a body
IDLE_TIMEOUT = 120.0  # longer than the usual scrape interval, so that Prometheus can keep its own
BODY_TIMEOUT = 10.0
SHUTDOWN_TIMEOUT = 10.0
THREADS = 2  # one scrapes while the other compresses

LOG = logging.getLogger(__name__)


class Server(HTTPServer):
    """An HTTPServer that refuses connections beyond MAX_CONNECTIONS."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """As Tornado's, which calls this in place of ``__init__``."""
        super().initialize(*args, **kwargs)
        self._open = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a new connection, or close it at once."""
        if self._open >= MAX_CONNECTIONS:
            stream.close()
            return
        self._open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        """A connection that was taken is gone."""
        self._open -= 1
        super().on_close(server_conn)


def bind(addresses: Iterable[Address]) -> list[socket.socket]:
    """Sockets that listen on every address.

    Raises:
        UserError: one of them cannot be listened on.
    """
    sockets: list[socket.socket] = []
    for address in addresses:
        try:
            sockets += bind_sockets(address.port, address.host)
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
            for bound in sockets:
                bound.close()
            why = getattr(error, "strerror", None) or str(error)
            message = f"cannot listen on {address}: {why}; choose another --web.listen-address"
            raise UserError(message) from error
    return sockets


def serve(config: Config, scraper: Scraper) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UserError: an address cannot be listened on.
    """
    sockets = bind(config.listen_addresses)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="scrape") as executor:
        asyncio.run(_serve(App(config, scraper, executor), sockets))


async def _serve(app: App, sockets: list[socket.socket]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(
        app,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=MAX_BODY_BYTES,
        idle_connection_timeout=IDLE_TIMEOUT,
        body_timeout=BODY_TIMEOUT,
    )
    server.add_sockets(sockets)
    for listener in sockets:
        address = Address(*listener.getsockname()[:2])
        fields = {"address": address, "version": __version__}
        LOG.info("listening", extra={"fields": fields})
    await stop.wait()
    LOG.info("stopping")
    server.stop()
    if app.answers:
        await asyncio.wait(app.answers, timeout=SHUTDOWN_TIMEOUT)
    await server.close_all_connections()
