"""The HTTP application: what is served at which path."""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from asyncio import Future
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from http.client import responses
from typing import Any, TypeVar

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from glupy_exporter.collectors.scrape import Scraper
from glupy_exporter.config import HEALTHY_PATH, READY_PATH, SD_PATH, Config
from glupy_exporter.errors import UserError
from glupy_exporter.web import api, landing, negotiation
from glupy_exporter.web.connections import Connections
from glupy_exporter.web.guard import Guard, Refusal
from glupy_exporter.web.targets import Targets

MAX_PENDING = 16
"""Scrapes and pages that may wait or run at a time; more are told to come back later."""

MAX_PENDING_OF_HOST = MAX_PENDING // 2
"""Of those, for one client's address: who scrapes all the time must leave others their turn."""

MAX_UNREAD_BYTES = 32 * 2**20
"""Of answers that clients have not read yet. The slowest reader makes room for the next answer:
many of them must not use up the memory of the node, nor keep out those who read."""

WRITE_TIMEOUT = 30.0
"""Seconds that a client may take to read an answer."""

_GZIP_LEVEL = 1  # a tenth of the size, as much repeats; level 5 takes twice the time for 10 % less
_GZIP_WINDOW = zlib.MAX_WBITS + 16  # with the header and trailer of gzip
_T = TypeVar("_T")

LOG = logging.getLogger(__name__)


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces compressed; the answer is never there as a whole uncompressed."""
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


class App(Application):
    """Routes, and the threads in which answers are made."""

    def __init__(
        self, config: Config, scraper: Scraper, executor: Executor, guard: Guard | None = None
    ) -> None:
        self.config = config
        self.scraper = scraper
        self.guard = guard
        """Who may ask; None lets everybody."""
        self.connections = Connections()
        self.targets = Targets(config)
        self.answers: set[asyncio.Task[Any]] = set()
        """Requests that are being answered."""
        self._unread: dict[asyncio.Task[Any], int] = {}  # bytes; the slowest reader comes first
        self._executor = executor
        self._pending: Counter[str] = Counter()  # by the client's address
        routes: dict[str, tuple[type[Handler], dict[str, Any]]] = {
            "/": (Landing, {}),
            HEALTHY_PATH: (Healthy, {}),
            READY_PATH: (Ready, {}),
            SD_PATH: (Discovery, {}),
            config.telemetry_path: (Metrics, {}),
            api.OPENAPI_PATH: (OpenApi, {}),
            **{resource.path: (Api, {"resource": resource}) for resource in api.RESOURCES},
        }
        super().__init__(
            [(re.escape(path), *handler) for path, handler in routes.items()],
            default_handler_class=NotFound,
            log_function=_log_request,
        )

    def reconfigure(self, config: Config, scraper: Scraper) -> list[str]:
        """Answer by another configuration from now on; returns what of it needs a restart."""
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

    @contextmanager
    def unread(self, size: int) -> Iterator[None]:
        """Count an answer of the current task while its client reads it, and make room for it."""
        while self._unread and sum(self._unread.values()) + size > MAX_UNREAD_BYTES:
            slowest = next(iter(self._unread))
            del self._unread[slowest]
            slowest.cancel()
        task = asyncio.current_task()
        assert task is not None
        self._unread[task] = size
        try:
            yield
        finally:
            self._unread.pop(task, None)

    async def in_thread(self, host: str, work: Callable[..., _T], *args: Any) -> _T:
        """The result of ``work``, called outside the event loop for a client at ``host``.

        Raises:
            HTTPError: 503, when too many wait already.
        """
        of_host = self._pending[host]
        if of_host >= MAX_PENDING_OF_HOST or sum(self._pending.values()) >= MAX_PENDING:
            raise HTTPError(503)
        self._pending[host] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)
        finally:
            self._pending[host] -= 1
            self._pending += Counter()  # forgets who has none left


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
    """Answers GET and HEAD in plain text, unless told otherwise, and says little about itself."""

    SUPPORTED_METHODS = ("GET", "HEAD")
    application: App
    _headers_of_guard: Mapping[str, str] = {}

    def set_default_headers(self) -> None:
        """Headers of every answer, errors included."""
        self.set_header("Server", "glupy-exporter")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def prepare(self) -> None:
        """Turn away who may not ask, whatever it is."""
        guard = self.application.guard
        if guard is None:
            return
        try:
            self._headers_of_guard = await guard.admit(self.request)
        except Refusal as refusal:
            self._headers_of_guard = refusal.headers
            raise HTTPError(refusal.status) from None

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
        """Send the answer, with the headers that it is to have whatever it is."""
        for name, value in self._headers_of_guard.items():
            self.set_header(name, value)
        return super().finish(chunk)

    def compute_etag(self) -> None:
        """No entity tags: hardly any answer comes twice."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The status in words; details, if any, are in the log."""
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.SUPPORTED_METHODS))
        self.finish(self.error_body(f"{status_code} {responses.get(status_code, 'Unknown')}"))

    def error_body(self, message: str) -> str | bytes:
        """The body of an error."""
        return f"{message}\n"

    async def get(self) -> None:
        """Answer, and give up on a client that does not read its answer."""
        task = asyncio.current_task()
        assert task is not None
        assert isinstance(self.request.connection, HTTP1Connection)
        stream = self.request.connection.stream
        self.application.answers.add(task)
        self.application.connections.begin(stream)
        try:
            body = await self.body()
            with self.application.unread(len(body)):
                sent = self.finish(body)
                del body  # Tornado has its own copy
                await asyncio.wait_for(sent, WRITE_TIMEOUT)
        except StreamClosedError:
            pass  # the client did not wait for its answer
        except (asyncio.TimeoutError, asyncio.CancelledError):
            self.request.connection.close()
        finally:
            self.application.connections.end(stream)
            self.application.answers.discard(task)

    async def head(self) -> None:
        """As GET; Tornado leaves the body out."""
        await self.get()

    async def body(self) -> str | bytes:
        """The body of the answer; may set headers."""
        raise NotImplementedError

    async def in_thread(self, work: Callable[..., _T], *args: Any) -> _T:
        """The result of ``work``, called outside the event loop; HTTPError 503 if too many wait."""
        return await self.application.in_thread(self.request.remote_ip or "", work, *args)

    async def compressed(self, work: Callable[..., Iterable[bytes]], *args: Any) -> bytes:
        """The pieces that ``work``, called outside the event loop, gives; with gzip if wanted."""
        compress = negotiation.gzip_accepted(self.request.headers.get("Accept-Encoding", ""))

        def make() -> bytes:
            pieces = work(*args)
            return b"".join(_gzip(pieces) if compress else pieces)

        body = await self.in_thread(make)
        self.set_header("Vary", "Accept-Encoding")
        if compress:
            self.set_header("Content-Encoding", "gzip")
        return body


class Metrics(Handler):
    """One scrape."""

    async def body(self) -> bytes:
        """The metrics in the format and compression that the client prefers."""
        encoder, content_type = negotiation.encoder(self.request.headers.get("Accept", ""))
        body = await self.compressed(encoder, self.application.scraper)
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

    async def body(self) -> bytes:
        """The OpenAPI document."""
        resources = api.served(self.application.config)
        if not resources:
            raise HTTPError(404)
        return api.openapi(resources)


class Api(OpenApi):
    """A table as JSON."""

    def initialize(self, resource: api.Resource) -> None:
        """Which table; Tornado calls this in place of ``__init__``."""
        self._resource = resource

    async def body(self) -> bytes:
        """The rows that were asked for, or what is wrong with the question."""
        config, resolver = self.application.config, self.application.scraper.resolver
        if self._resource not in api.served(config):
            raise HTTPError(404)
        try:
            query = api.query(self._resource, self.request.query_arguments)
        except ValueError as error:
            self.set_status(400)
            return api.error(str(error))
        return await self.compressed(
            lambda: [api.answer(self._resource, query, config, resolver)],
        )


class Discovery(Handler):
    """The nodes of the cluster, for Prometheus's ``http_sd_config``."""

    async def body(self) -> bytes:
        """Groups of targets as JSON; 503, upon which Prometheus keeps what it has, if unknown."""
        try:
            body = await self.in_thread(self.application.targets.render)
        except UserError as error:
            LOG.warning("no targets for /sd", extra={"fields": {"error": error}})
            self.set_status(503)
            return f"{error}\n".encode("utf-8", "backslashreplace")
        self.set_header("Content-Type", "application/json")
        return body


class Landing(Handler):
    """A page for people."""

    async def body(self) -> bytes:
        """The bricks of this node, as HTML."""
        page = await self.in_thread(landing.render, self.application.config)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        return page


class Healthy(Handler):
    """Whether the process answers at all."""

    async def body(self) -> str:
        """A word."""
        return "Healthy\n"


class Ready(Handler):
    """Whether scrapes will be answered: they are from the first moment on."""

    async def body(self) -> str:
        """A word."""
        return "Ready\n"


class NotFound(Handler):
    """Every other path."""

    async def prepare(self) -> None:
        """Refuse whatever the method."""
        await super().prepare()
        raise HTTPError(404)
