"""Listens, serves, and stops when told to."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Optional

from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from glupy_exporter import __version__, systemd
from glupy_exporter.config import Config
from glupy_exporter.errors import Unavailable, UserError
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.values import Address
from glupy_exporter.web.app import App
from glupy_exporter.web.toolkit import memory
from glupy_exporter.web.toolkit.connections import Connections
from glupy_exporter.web.toolkit.guard import Guard
from glupy_exporter.web.toolkit.turns import host

MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024  # nothing here takes a body
BACKLOG = 4096
"""Connections that may wait to be accepted. A client that finds no room tries again after a second,
whichever host fills it."""

READ_BYTES = 4096  # at a time; the rest waits in the kernel
IDLE_TIMEOUT = 120.0  # longer than the usual scrape interval, so that Prometheus can keep its own
BODY_TIMEOUT = 10.0
SHUTDOWN_TIMEOUT = 10.0
FIRST_REQUEST_TIMEOUT = 1.0  # of connections that are new when the server stops
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter, a tenth of Python's default: while a scrape or a page
is made, the event loop waits that long after each system call."""

GARBAGE_THRESHOLD = 200_000  # objects: more than a scrape makes, so that its rows are not walked

Load = Callable[[Optional[Scraper]], tuple[Config, Scraper]]
"""Loads the configuration. It gets the scraper of the one before, None at the start."""

LOG = logging.getLogger(__name__)


class _Request(HTTPMessageDelegate):
    """A request that waits for its host's turn before anything is done for it."""

    def __init__(
        self, inner: HTTPMessageDelegate, connection: HTTP1Connection, connections: Connections
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._connections = connections

    async def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        """Go on when it is the host's turn, unless the connection is closed by then."""
        if not await self._connections.heard(self._connection.stream):
            self._connection.detach()
            return
        going_on = self._inner.headers_received(start_line, headers)
        if going_on is not None:
            await going_on

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass it on."""
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        """Pass it on."""
        self._inner.finish()

    def on_connection_close(self) -> None:
        """Pass it on."""
        self._inner.on_connection_close()


class Server(HTTPServer):
    """An HTTPServer that bounds its connections and follows the guard's certificates."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """As Tornado's, which calls this in place of ``__init__``; the first argument is an App."""
        app: App = args[0]
        self._connections_of_app = app.connections
        self._guard = app.guard if app.guard and app.guard.tls else None
        super().initialize(*args, **kwargs)

    @property
    def ssl_options(self) -> dict[str, Any] | ssl.SSLContext | None:
        """The TLS context for the next connection, None without TLS; Tornado asks for each."""
        return self._guard.context() if self._guard else None

    @ssl_options.setter
    def ssl_options(self, value: object) -> None:
        """Ignore what Tornado's constructor sets."""

    def _handle_connection(self, connection: socket.socket, address: Any) -> None:
        """As Tornado's, but in turn: all are accepted, since all hosts share the kernel's queue."""
        self._connections_of_app.admit(connection, host(str(address[0])))
        self._connections_of_app.in_turn(connection, partial(self._open, connection, address))

    def _open(self, connection: socket.socket, address: Any) -> None:
        if connection.fileno() < 0:  # closed, to make room for another
            return
        self._connections_of_app.forget(connection)
        try:
            super()._handle_connection(connection, address)
        except OSError:  # the client left before its handshake; ssl.SSLError is one
            connection.close()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Give a connection that is open its place."""
        self._connections_of_app.admit(stream, host(str(address[0])))
        super().handle_stream(stream, address)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """The delegate that Tornado tells of a request as it reads it."""
        assert isinstance(request_conn, HTTP1Connection)
        inner = super().start_request(server_conn, request_conn)
        return _Request(inner, request_conn, self._connections_of_app)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection that has ended."""
        assert isinstance(server_conn, HTTP1ServerConnection)
        self._connections_of_app.forget(server_conn.stream)
        super().on_close(server_conn)


def bind(addresses: Iterable[Address]) -> list[socket.socket]:
    """Sockets that listen on every address.

    Raises:
        UserError: one of them cannot be listened on.
        Unavailable: one of them cannot be listened on now, but perhaps later.
    """
    sockets: list[socket.socket] = []
    for address in addresses:
        try:
            sockets += bind_sockets(address.port, address.host)
        except (OSError, UnicodeError) as error:
            for bound in sockets:
                bound.close()
            why = getattr(error, "strerror", None) or str(error)
            message = f"cannot listen on {address}: {why}; choose another --web.listen-address"
            # No host can have this name, or this user may not have the port. Any other address may
            # come with the network, or be freed by another program.
            forever = isinstance(error, (UnicodeError, PermissionError))
            raise (UserError if forever else Unavailable)(message) from error
    return sockets


def _sockets(config: Config) -> list[socket.socket]:
    try:
        sockets = systemd.listeners()
    except (OSError, ValueError) as error:
        raise UserError(f"the sockets that systemd handed over cannot be used: {error}") from error
    if not sockets and config.systemd_socket:
        raise UserError(
            "--web.systemd-socket: systemd handed no socket over; enable glupy-exporter.socket"
        )
    return sockets or bind(config.listen_addresses)


def serve(load: Load) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the configuration again.

    Raises:
        UserError: an address cannot be listened on, or a configuration file is wrong.
    """
    config, scraper = load(None)
    if config.log_level != "debug":
        # A line for each handshake that fails would let clients fill the log.
        logging.getLogger("tornado.general").setLevel(logging.ERROR)
    guard = Guard(config.web_config_file) if config.web_config_file else None
    sockets = _sockets(config)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    sys.setswitchinterval(SWITCH_SECONDS)
    memory.share()
    asyncio.run(_serve(App(config, scraper, guard), sockets, load))


def _reload(app: App, load: Load) -> None:
    """Take over a changed configuration, or keep the old one if the new one is wrong."""
    systemd.reloading()
    try:
        config, scraper = load(app.scraper)
    except UserError as error:
        app.scraper.reload_failed = True
        LOG.error("configuration not loaded", extra={"fields": {"error": error}})
    else:
        kept = app.reconfigure(config, scraper)
        fields = {"needs_restart": ",".join(kept)} if kept else {}
        LOG.info("configuration loaded", extra={"fields": fields})
    systemd.ready()


async def _serve(app: App, sockets: list[socket.socket], load: Load) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, app, load)
    server = Server(
        app,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=MAX_BODY_BYTES,
        chunk_size=READ_BYTES,
        idle_connection_timeout=IDLE_TIMEOUT,
        body_timeout=BODY_TIMEOUT,
    )
    for listener in sockets:
        listener.listen(BACKLOG)
    server.add_sockets(sockets)
    watch = asyncio.create_task(app.connections.watch())
    for listener in sockets:
        address = Address(*listener.getsockname()[:2])
        tls = bool(app.guard and app.guard.tls)
        fields = {"address": address, "tls": tls, "version": __version__}
        LOG.info("listening", extra={"fields": fields})
    systemd.ready()
    await stop.wait()
    LOG.info("stopping")
    systemd.stopping()
    server.stop()
    # A request may be on its way on a connection that was accepted just now.
    give_up = loop.time() + FIRST_REQUEST_TIMEOUT
    while app.connections.new and loop.time() < give_up:
        await asyncio.sleep(0.01)
    if app.requests:
        await asyncio.wait(app.requests, timeout=SHUTDOWN_TIMEOUT)
    watch.cancel()
    await server.close_all_connections()
