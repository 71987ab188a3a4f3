"""Decides which requests are answered, by the web config file as it is at the moment."""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest

from glupy_exporter.errors import UserError
from glupy_exporter.web.toolkit import tls, webconfig
from glupy_exporter.web.toolkit.turns import Busy, Turns, host
from glupy_exporter.web.toolkit.webconfig import WebConfig

_BCRYPT_BYTES = 72  # bcrypt looks at no more of a password
LOG = logging.getLogger(__name__)


class Refusal(Exception):
    """A request is to be refused, with this status and these headers."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


class OutdatedConnection(Exception):
    """A request came on a connection that was made before TLS changed its terms: the client might
    not get a connection now."""


class Guard:
    """Reads the file again when it, or a file that it names, has changed.

    While a changed file is wrong, nobody is let in: the change may have been to keep somebody out.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            UserError: it cannot be read, or is wrong.
        """
        self._path = path
        self._bcrypt: Any = None
        self._comparisons = Turns("password")
        self._good: set[bytes] = set()
        self._terms: WeakKeyDictionary[ssl.SSLContext, object] = WeakKeyDictionary()
        self.config = WebConfig()
        self._tokens, self._filled = 0.0, time.monotonic()
        self._error = ""
        self._stamp: object = None
        self._read()
        self.tls = self.config.tls is not None
        """Whether connections are TLS, which no later change of the file changes."""
        self._tokens = float(self.config.burst)

    def _read(self) -> None:
        # Taken before reading: a change meanwhile is read the next time.
        before = webconfig.stamp(self._path)
        config = webconfig.read(self._path)
        named = config.tls.files() if config.tls else ()
        stamp = before + webconfig.stamp(*named)
        if config.users:
            self._load_bcrypt()
        try:
            context = tls.context(config.tls) if config.tls else None
        except ValueError as error:
            raise UserError(f"web config file {self._path}: {error}") from error
        if config.users != self.config.users:
            self._good.clear()
        self.config = config
        self._context = context
        self._wanted_terms = _terms(config.tls, context) if config.tls and context else None
        if context:
            self._terms[context] = self._wanted_terms
        self._watched = (self._path, *named)
        self._stamp = stamp

    def _load_bcrypt(self) -> None:
        try:
            self._bcrypt = importlib.import_module("bcrypt")
        except ImportError as error:
            raise UserError(
                f"web config file {self._path}: basic_auth_users needs the Python package bcrypt "
                "(Debian: python3-bcrypt)"
            ) from error

    def _follow(self) -> bool:
        """Whether the files are in order; they are in force then."""
        if webconfig.stamp(*self._watched) == self._stamp and not self._error:
            return True
        try:
            self._read()
        except UserError as error:
            if str(error) != self._error:
                LOG.error(
                    "nobody is let in until this is mended", extra={"fields": {"error": error}}
                )
            self._error = str(error)
            return False
        if self._error:
            LOG.info("the web config file is in order again")
        self._error = ""
        return True

    def context(self) -> ssl.SSLContext:
        """The context of the next connection; while the file is wrong, one that refuses it."""
        if self._follow() and self._context:
            return self._context
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # has no certificate

    async def admit(self, request: HTTPServerRequest) -> dict[str, str]:
        """Let a request in; return headers for its answer.

        Raises:
            Refusal: the request is not to be answered.
            OutdatedConnection: its connection is to be closed.
        """
        if not self._follow():
            raise Refusal(500, {})
        if self.tls and self._terms_of(request) != self._wanted_terms:
            raise OutdatedConnection
        headers = dict(self.config.headers or {})
        if not self._token():
            raise Refusal(429, headers)
        if not self._allowed_name(request):
            raise Refusal(403, headers)
        if self.config.users and not await self._is_user(request, self.config.users):
            raise Refusal(401, {**headers, "WWW-Authenticate": "Basic"})
        return headers

    def _terms_of(self, request: HTTPServerRequest) -> object:
        connection = request.connection
        assert isinstance(connection, HTTP1Connection)
        socket = connection.stream.socket  # None if the client has left meanwhile
        return self._terms[socket.context] if isinstance(socket, ssl.SSLSocket) else None

    def _token(self) -> bool:
        """Take a token from the bucket, which gets one each ``interval``; False if it is empty."""
        if not self.config.interval:
            return True
        now = time.monotonic()
        self._tokens += (now - self._filled) / self.config.interval
        self._tokens = min(self._tokens, float(self.config.burst))
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _allowed_name(self, request: HTTPServerRequest) -> bool:
        allowed = self.config.tls.client_allowed_sans if self.config.tls else ()
        if not allowed:
            return True
        certificate = request.get_ssl_certificate()
        return isinstance(certificate, dict) and bool(tls.names(certificate) & {*allowed})

    async def _is_user(self, request: HTTPServerRequest, users: Mapping[str, str]) -> bool:
        user, password = _credentials(request.headers.get("Authorization", ""))
        if not user:
            return False
        password = password[:_BCRYPT_BYTES]
        hashed = users.get(user.decode("utf-8", "surrogateescape"), "")
        known = bool(hashed)
        if not known:
            # An unknown name takes as long as a user's, since it is compared with a hash that is
            # always the same for that name.
            hashed = max(users.values(), key=lambda each: _digest(each.encode(), user))
        # A good password is known again by this digest, so no password is kept.
        seen = _digest(user, hashed.encode(), password)
        if seen in self._good:
            return True
        try:
            place = host(request.remote_ip or "")
            good = await self._comparisons.run(place, self._compare, password, hashed)
        except Busy:
            raise Refusal(503, {}) from None
        # The file may have changed while the hash was worked out.
        good = good and known and users == self.config.users
        if good:
            self._good.add(seen)
        return good

    def _compare(self, password: bytes, hashed: str) -> bool:
        try:
            return bool(self._bcrypt.checkpw(password, hashed.encode()))
        except ValueError:  # the password has a NUL in it, or the salt is not valid
            return False


def _terms(settings: tls.Settings, context: ssl.SSLContext) -> object:
    """All that TLS asks of a client, so without the server's own certificate."""
    asked = replace(settings, cert="", key="", cert_file=None, key_file=None)
    return asked, context.get_ca_certs(binary_form=True)


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b":".join(part.hex().encode() for part in parts)).digest()


def _credentials(header: str) -> tuple[bytes, bytes]:
    """User and password of an Authorization header; both empty if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return (user, password) if colon else (b"", b"")
