"""The HTTP application: what is served at which path."""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from asyncio import Future
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from http.client import responses
from typing import Any, TypeVar

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application, Finish, HTTPError, RequestHandler

from glupy_exporter.config import Config
from glupy_exporter.errors import UserError
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.web import api, landing, negotiation, openapi, resources
from glupy_exporter.web.settings import HEALTHY_PATH, READY_PATH, SD_PATH
from glupy_exporter.web.targets import Targets
from glupy_exporter.web.toolkit import memory
from glupy_exporter.web.toolkit.answers import Answers, emptied, pieces
from glupy_exporter.web.toolkit.connections import Connections
from glupy_exporter.web.toolkit.guard import Guard, OutdatedConnection, Refusal
from glupy_exporter.web.toolkit.turns import Busy, Turns, host

_GZIP_LEVEL = 1  # a tenth of the size, as much repeats; level 5 takes twice the time for 10 % less
_GZIP_WINDOW = zlib.MAX_WBITS + 16  # with the header and trailer of gzip
_GIVE_WAY_SECONDS = 0.05  # for which an answer waits for scrapes, every few rows
_PORT = re.compile(r":[0-9]*\Z")
_T = TypeVar("_T")

LOG = logging.getLogger(__name__)


def _gzip(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts, compressed piece by piece: the whole answer is never in memory uncompressed."""
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)
    for piece in pieces(parts):
        yield compressor.compress(piece)
    yield compressor.flush()


class App(Application):
    """Routes, and the threads in which answers are made."""

    def __init__(self, config: Config, scraper: Scraper, guard: Guard | None = None) -> None:
        self.config = config
        self.scraper = scraper
        self.guard = guard
        """Decides which requests are answered; None for all."""
        self.connections = Connections()
        self.targets = Targets(config)
        self.requests: set[asyncio.Task[Any]] = set()
        """The tasks of requests that are being answered."""
        self.answers = Answers()
        self.scrapes = Turns("scrape", first=True)
        """Makes what Prometheus asks for, which waits for nothing else."""
        self.pages = Turns("page")
        """Makes what people ask for, one at a time: an answer can take much of the memory."""
        routes: dict[str, tuple[type[Handler], dict[str, Any]]] = {
            "/": (Landing, {}),
            HEALTHY_PATH: (Healthy, {}),
            READY_PATH: (Ready, {}),
            SD_PATH: (Discovery, {}),
            config.telemetry_path: (Metrics, {}),
            openapi.PATH: (OpenApi, {}),
            **{resource.path: (Api, {"resource": resource}) for resource in resources.RESOURCES},
        }
        super().__init__(
            [(re.escape(path), *handler) for path, handler in routes.items()],
            default_handler_class=NotFound,
            log_function=_log_request,
        )

    def reconfigure(self, config: Config, scraper: Scraper) -> list[str]:
        """Answer by another configuration from now on; return the keys that need a restart."""
        fixed = {
            "web.listen-address": "listen_addresses",
            "web.systemd-socket": "systemd_socket",
            "web.telemetry-path": "telemetry_path",
            "web.config.file": "web_config_file",
        }
        old = self.config
        kept = [key for key, name in fixed.items() if getattr(config, name) != getattr(old, name)]
        self.config = replace(config, **{name: getattr(old, name) for name in fixed.values()})
        self.scraper = scraper
        self.targets = Targets(config)
        return kept


def _log_request(handler: RequestHandler) -> None:
    request = handler.request
    fields = {
        "remote": request.remote_ip,
        "method": request.method,
        "path": request.path,
        "status": handler.get_status(),
        "seconds": round(request.request_time(), 6),
    }
    LOG.debug("request", extra={"fields": fields})


class Handler(RequestHandler):
    """Answers GET and HEAD, in plain text if its subclass does not say otherwise."""

    SUPPORTED_METHODS = ("GET", "HEAD")
    application: App
    _headers_of_guard: Mapping[str, str] = {}
    _answering: asyncio.Task[Any] | None = None

    @property
    def _stream(self) -> IOStream:
        assert isinstance(self.request.connection, HTTP1Connection)
        return self.request.connection.stream

    def set_default_headers(self) -> None:
        """Headers of every answer, errors included."""
        self.set_header("Server", "glupy-exporter")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def prepare(self) -> None:
        """Refuse a request that may not be answered, whatever its path."""
        guard = self.application.guard
        if guard is not None:
            try:
                self._headers_of_guard = await guard.admit(self.request)
            except Refusal as refusal:
                self._headers_of_guard = refusal.headers
                raise HTTPError(refusal.status) from None
            except OutdatedConnection:
                self._stream.close()
                raise Finish from None
        if not self._names_us(self.request.headers.get("Host", "")):
            raise HTTPError(421)

    def _names_us(self, name: str) -> bool:
        allowed = self.application.config.host_names
        return not allowed or _PORT.sub("", name).lower() in allowed

    def flush(self, include_footers: bool = False) -> Future[None]:
        """Send what was written, with the guard's headers, which every answer has."""
        for name, value in self._headers_of_guard.items():
            self.set_header(name, value)
        return super().flush(include_footers)

    def compute_etag(self) -> None:
        """No entity tags: hardly any answer is the same twice."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the status in words; details, if any, are in the log."""
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.SUPPORTED_METHODS))
        self.finish(self.error_body(f"{status_code} {responses.get(status_code, 'Unknown')}"))

    def error_body(self, message: str) -> str | bytes:
        """The body of an error."""
        return f"{message}\n"

    async def get(self) -> None:
        """Answer, and give up on a client that has left or does not read its answer."""
        if self._stream.closed():  # since the request was read
            return
        task = self._answering = asyncio.current_task()
        assert task is not None
        app = self.application
        app.requests.add(task)
        app.connections.begin(self._stream)
        try:
            await self._send(await self.body())
        except StreamClosedError:
            pass  # the client left while it was read to it
        except asyncio.CancelledError:
            self._stream.close()
        finally:
            app.connections.end(self._stream)
            app.requests.discard(task)
            self._answering = None

    def on_connection_close(self) -> None:
        """Give up on the answer, as the client has left; Tornado calls this."""
        if self._answering:
            self._answering.cancel()

    async def _send(self, body: list[bytes]) -> None:
        size = sum(map(len, body))
        self.set_header("Content-Length", str(size))
        if self.request.method == "HEAD":
            await self.finish()
            return
        with self.application.answers.reading(self._host, size) as read:
            for piece in pieces(emptied(body)):
                self.write(piece)
                if body:
                    await self.flush()
                    read(len(piece))
            await self.finish()

    async def head(self) -> None:
        """As GET; Tornado leaves the body out."""
        await self.get()

    async def body(self) -> list[bytes]:
        """The parts of the answer's body; may set headers."""
        raise NotImplementedError

    @property
    def _host(self) -> str:
        return host(self.request.remote_ip or "")

    async def in_thread(self, turns: Turns, work: Callable[..., _T], *args: Any) -> _T:
        """The result of ``work``, called outside the event loop.

        Raises:
            HTTPError: 503, too many wait already.
        """
        try:
            return await turns.run(self._host, work, *args)
        except Busy:
            raise HTTPError(503) from None

    async def compressed(
        self, turns: Turns, work: Callable[..., Iterable[bytes]], *args: Any
    ) -> list[bytes]:
        """The parts that ``work`` makes outside the event loop, with gzip if that is accepted."""
        compress = negotiation.gzip_accepted(self.request.headers.get("Accept-Encoding", ""))

        def make() -> list[bytes]:
            parts = work(*args)
            return list(filter(None, _gzip(parts) if compress else parts))

        body = await self.in_thread(turns, make)
        self.set_header("Vary", "Accept-Encoding")
        if compress:
            self.set_header("Content-Encoding", "gzip")
        return body


class Metrics(Handler):
    """One scrape."""

    async def body(self) -> list[bytes]:
        """The metrics in the format and compression that the client prefers."""
        app = self.application
        accept, created = self.request.headers.get("Accept", ""), app.config.openmetrics_created
        encoder, content_type = negotiation.encoder(accept, created)
        body = await self.compressed(app.scrapes, encoder, app.scraper)
        self.set_header("Content-Type", content_type)
        self.set_header("Vary", "Accept, Accept-Encoding")
        return body


class OpenApi(Handler):
    """The document of the API."""

    def set_default_headers(self) -> None:
        """Headers of every answer, errors included."""
        super().set_default_headers()
        self.set_header("Content-Type", "application/json")

    def error_body(self, message: str) -> bytes:
        """The body of an error, as JSON."""
        return api.error(message)

    async def body(self) -> list[bytes]:
        """The OpenAPI document."""
        served = resources.served(self.application.config)
        if not served:
            raise HTTPError(404)
        return [openapi.render(served)]


class Api(OpenApi):
    """A table as JSON."""

    def initialize(self, resource: resources.Resource) -> None:
        """Take the table; Tornado calls this in place of ``__init__``."""
        self._resource = resource

    async def body(self) -> list[bytes]:
        """The rows that were asked for, or an error that says what is wrong with the request."""
        config = self.application.config
        if self._resource not in resources.served(config):
            raise HTTPError(404)
        try:
            query = api.query(self._resource, self.request.query_arguments)
        except ValueError as error:
            self.set_status(400)
            return [api.error(str(error))]

        def answer() -> Iterator[bytes]:
            memory.trim()  # earlier answers have left it in pieces
            give_way = partial(self.application.scrapes.give_way, _GIVE_WAY_SECONDS)
            return api.answer(self._resource, query, config, give_way)

        return await self.compressed(self.application.pages, answer)


class Discovery(Handler):
    """The nodes of the cluster, for Prometheus's ``http_sd_config``."""

    async def body(self) -> list[bytes]:
        """Groups of targets as JSON; if unknown, 503, upon which Prometheus keeps those it has."""
        app = self.application
        try:
            body = await self.in_thread(app.scrapes, app.targets.render)
        except UserError as error:
            self.set_status(503)
            return [f"{error}\n".encode("utf-8", "backslashreplace")]
        self.set_header("Content-Type", "application/json")
        return [body]


class Landing(Handler):
    """A page for people."""

    async def body(self) -> list[bytes]:
        """The bricks of this node, as HTML."""
        app = self.application
        page = await self.in_thread(app.pages, landing.render, app.config)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        return [page]


class Healthy(Handler):
    """Whether the process answers at all."""

    async def body(self) -> list[bytes]:
        """A word."""
        return [b"Healthy\n"]


class Ready(Handler):
    """Whether scrapes are answered: always, as soon as the server listens."""

    async def body(self) -> list[bytes]:
        """A word."""
        return [b"Ready\n"]


class NotFound(Handler):
    """Every other path."""

    async def prepare(self) -> None:
        """Refuse whatever the method."""
        await super().prepare()
        raise HTTPError(404)
