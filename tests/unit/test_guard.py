"""TLS, users, headers and limits as clients meet them, on a real server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import importlib.util
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from glupy_exporter.web.toolkit import tls
from glupy_exporter.web.toolkit.guard import Guard, Refusal
from tests.support.exporters import COMMAND, Exporter, ask, exporter
from tests.unit import certificates

pytestmark = pytest.mark.timeout(60)
Need = Callable[[object, str], None]

PASSWORD = "correct horse"
START = RequestStartLine("GET", "/", "HTTP/1.1")


@pytest.fixture(scope="module")
def hashed(need: Need) -> str:
    need(importlib.util.find_spec("bcrypt"), "bcrypt")
    bcrypt = importlib.import_module("bcrypt")
    return str(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Path:
    need(shutil.which("openssl"), "openssl")
    path = tmp_path_factory.mktemp("keys")
    certificates.make(path, "server", "DNS:localhost", "IP:127.0.0.1")
    certificates.make(path, "other", "DNS:localhost", "IP:127.0.0.1")
    certificates.make(path, "client", "DNS:one.example")
    certificates.make(path, "stranger", "DNS:one.example")
    return path


@contextlib.contextmanager
def guarded(directory: Path, text: str) -> Iterator[tuple[Exporter, Path, int]]:
    file = directory / "web.yml"
    file.write_text(text)
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}")
    with exporter(*flags, f"--web.config.file={file}") as running:
        yield running, file, running.port()


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def status(port: int, path: str = "/metrics", **headers: str) -> int:
    return ask(port, path, **headers)[0].status


def get(port: int, ca: Path | None, client: Path | None = None, path: str = "/-/healthy") -> int:
    """The status that a TLS client gets; ssl.SSLError or OSError if it gets none."""
    context = ssl.create_default_context(cafile=ca)
    if client:
        context.load_cert_chain(client, client.with_suffix(".key"))
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


PATHS = ("/metrics", "/", "/-/healthy", "/-/ready", "/api/v1/files", "/nothing")


def test_only_users_are_let_in(tmp_path: Path, hashed: str) -> None:
    with guarded(tmp_path, f"basic_auth_users: {{alice: {hashed}}}") as (_, _, port):
        for path in PATHS:
            answer, body = ask(port, path)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Basic")
            assert b"glupy" not in body
        assert status(port, Authorization=login("alice", PASSWORD)) == 200
        assert status(port, "/nothing", Authorization=login("alice", PASSWORD)) == 404
        for wrong in (
            login("alice", "wrong"),
            login("bob", PASSWORD),
            login("", ""),
            login("alice", PASSWORD + "\0"),
            login("alice", "x" * 5000),
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"no colon").decode(),
            "Bearer " + login("alice", PASSWORD)[6:],
        ):
            assert status(port, Authorization=wrong) == 401
        assert status(port, Authorization=login("alice", PASSWORD)) == 200


def test_an_unknown_user_takes_as_long_as_a_known_one(tmp_path: Path, hashed: str) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {hashed}}}")
    guard = Guard(file)
    compared = []

    def compare(password: bytes, against: str) -> bool:
        compared.append(against)
        return True

    guard._compare = compare  # type: ignore[method-assign]
    request = HTTPServerRequest(start_line=START, headers=HTTPHeaders({"Host": "x"}))
    request.headers["Authorization"] = login("mallory", PASSWORD)
    with pytest.raises(Refusal):  # though the password is that of the hash
        asyncio.run(guard.admit(request))
    assert compared == [hashed]


def compared_by(guard: Guard, *users: str) -> list[str]:
    """The hashes that passwords of these users are compared with."""
    against = []

    def compare(_: bytes, hashed: str) -> bool:
        against.append(hashed)
        return False

    guard._compare = compare  # type: ignore[method-assign]
    for user in users:
        request = HTTPServerRequest(start_line=START, headers=HTTPHeaders({"Host": "x"}))
        request.headers["Authorization"] = login(user, "x")
        with pytest.raises(Refusal):
            asyncio.run(guard.admit(request))
    return against


def test_an_unknown_user_takes_as_long_after_a_restart(tmp_path: Path, need: Need) -> None:
    need(importlib.util.find_spec("bcrypt"), "bcrypt")
    file = tmp_path / "web.yml"
    hashes = [f"$2b${cost:02}${'.' * 53}" for cost in range(4, 12)]
    users = {f"user{number}": hashed for number, hashed in enumerate(hashes)}
    file.write_text(f"basic_auth_users: {json.dumps(users)}")
    strangers = [f"stranger{number}" for number in range(50)]
    first, second = (compared_by(Guard(file), *strangers) for _ in range(2))
    assert first == second
    assert len(set(first)) > 1
    # Who is added may be taken for some of them, and nothing else changes.
    users["new"] = "$2b$12$" + "." * 53
    file.write_text(f"basic_auth_users: {json.dumps(users)}")
    third = compared_by(Guard(file), *strangers)
    assert {now for before, now in zip(first, third) if now != before} == {users["new"]}


def test_wrong_passwords_leave_others_their_turn(tmp_path: Path, hashed: str) -> None:
    """Their host has one compared after the other; who comes from elsewhere is next."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {hashed}}}")
    guard, go = Guard(file), threading.Event()
    compared: list[bytes] = []

    def compare(password: bytes, _: str) -> bool:
        assert go.wait(20)
        compared.append(password)
        return password == PASSWORD.encode()

    guard._compare = compare  # type: ignore[method-assign]

    async def admit(password: str, address: str) -> int:
        headers = HTTPHeaders({"Host": "x", "Authorization": login("alice", password)})
        request = HTTPServerRequest(start_line=START, headers=headers)
        request.remote_ip = address
        try:
            await guard.admit(request)
        except Refusal as refusal:
            return refusal.status
        return 200

    async def scenario() -> None:
        wrong = [asyncio.create_task(admit(f"wrong {n}", "192.0.2.1")) for n in range(64)]
        await asyncio.sleep(0)
        right = asyncio.create_task(admit(PASSWORD, "192.0.2.2"))
        await asyncio.sleep(0)
        go.set()
        assert await right == 200
        assert set(await asyncio.gather(*wrong)) == {401, 503}

    asyncio.run(scenario())
    assert compared[:2] == [b"wrong 0", PASSWORD.encode()]


def test_who_was_let_in_stays_so_when_other_things_change(tmp_path: Path, hashed: str) -> None:
    file = tmp_path / "web.yml"
    users = f"basic_auth_users: {{alice: {hashed}}}\n"
    file.write_text(users)
    guard = Guard(file)
    request = HTTPServerRequest(start_line=START, headers=HTTPHeaders({"Host": "x"}))
    request.headers["Authorization"] = login("alice", PASSWORD)
    assert asyncio.run(guard.admit(request)) == {}
    file.write_text(users + "http_server_config: {headers: {X-Frame-Options: deny}}")
    guard._compare = pytest.fail  # type: ignore[method-assign]
    assert asyncio.run(guard.admit(request)) == {"X-Frame-Options": "deny"}


def test_a_long_password_is_remembered_once(tmp_path: Path, need: Need) -> None:
    need(importlib.util.find_spec("bcrypt"), "bcrypt")
    bcrypt = importlib.import_module("bcrypt")
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {hashed}}}")
    guard = Guard(file)
    for end in ("", "a", "b" * 100):
        request = HTTPServerRequest(start_line=START, headers=HTTPHeaders({"Host": "x"}))
        request.headers["Authorization"] = login("alice", "x" * 72 + end)
        assert asyncio.run(guard.admit(request)) == {}
    assert len(guard._good) == 1


def test_users_change_with_the_file(tmp_path: Path, hashed: str) -> None:
    alice = login("alice", PASSWORD)
    with guarded(tmp_path, f"basic_auth_users: {{alice: {hashed}}}") as (running, file, port):
        assert status(port, Authorization=alice) == 200
        file.write_text(f"basic_auth_users: {{someoneelse: {hashed}}}")
        assert status(port, Authorization=alice) == 401
        file.write_text("basic_auth_users: {alice: nonsense}")
        assert status(port, Authorization=alice) == 500
        assert "no bcrypt hash" in running.wait_for("until this is mended")
        file.unlink()
        assert status(port, Authorization=alice) == 500
        file.write_text(f"basic_auth_users: {{alice: {hashed}}}")
        assert status(port, Authorization=alice) == 200
        running.wait_for("in order again")


def test_headers_are_added(tmp_path: Path) -> None:
    text = "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: x-y}}"
    with guarded(tmp_path, text) as (_, _, port):
        for path in PATHS:
            headers = ask(port, path)[0].headers
            assert headers["X-Frame-Options"] == "deny"
            assert headers["X-Content-Type-Options"] == "nosniff"
        assert ask(port, "/metrics")[0].headers["Content-Security-Policy"] == "x-y"


def test_requests_are_limited(tmp_path: Path) -> None:
    with guarded(tmp_path, "rate_limit: {interval: 1h, burst: 3}") as (_, _, port):
        assert [status(port) for _ in range(5)] == [200, 200, 200, 429, 429]


def test_tls(tmp_path: Path, keys: Path) -> None:
    text = f"tls_server_config: {{cert_file: {keys}/server.crt, key_file: {keys}/server.key}}"
    with guarded(tmp_path, text) as (running, _, port):
        assert get(port, keys / "server.crt") == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get(port, keys / "other.crt")
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(port, "/metrics")
        assert get(port, keys / "server.crt", path="/metrics") == 200
        assert running.process.poll() is None


def test_a_client_that_leaves_before_the_handshake_leaves_no_trace(
    tmp_path: Path, keys: Path
) -> None:
    text = f"tls_server_config: {{cert_file: {keys}/server.crt, key_file: {keys}/server.key}}"
    with guarded(tmp_path, text) as (running, _, port):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
                # Closing then resets the connection, before the server has come to accept it.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert get(port, keys / "server.crt") == 200
        assert running.stop() == 0
        while "stopping" not in (line := running.log.get(timeout=20)):
            assert "level=error" not in line and "level=warn" not in line


def test_certificates_are_renewed(tmp_path: Path, keys: Path) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(keys / f"server.{suffix}", tmp_path / f"tls.{suffix}")
    text = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}"
    with guarded(tmp_path, text) as (running, _, port):
        assert get(port, keys / "server.crt") == 200
        shutil.copy(keys / "other.crt", tmp_path / "tls.crt")
        with pytest.raises(OSError, match=r"(?i)ssl|reset|closed|eof"):
            get(port, keys / "other.crt")  # the key is still the old one
        running.wait_for("until this is mended")
        shutil.copy(keys / "other.key", tmp_path / "tls.key")
        assert get(port, keys / "other.crt") == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get(port, keys / "server.crt")


@pytest.mark.parametrize(
    ("more", "client", "expected"),
    [
        ("client_auth_type: RequireAndVerifyClientCert", "client", 200),
        ("client_auth_type: RequireAndVerifyClientCert", "stranger", None),
        ("client_auth_type: RequireAndVerifyClientCert", None, None),
        ("client_auth_type: VerifyClientCertIfGiven", None, 200),
        ("client_auth_type: VerifyClientCertIfGiven", "client", 200),
        ("client_auth_type: VerifyClientCertIfGiven", "stranger", None),
        (
            "client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a, one.example]",
            "client",
            200,
        ),
        (
            "client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a, example]",
            "client",
            403,
        ),
        (
            "client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [one.example]",
            "client",
            200,
        ),
        (
            "client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [one.example]",
            None,
            403,
        ),
    ],
)
def test_clients_certificates(
    tmp_path: Path, keys: Path, more: str, client: str | None, expected: int | None
) -> None:
    text = (
        f"tls_server_config: {{cert_file: {keys}/server.crt, key_file: {keys}/server.key, "
        f"client_ca_file: {keys}/client.crt, {more}}}"
    )
    certificate = keys / f"{client}.crt" if client else None
    with guarded(tmp_path, text) as (_, _, port):
        if expected:
            assert get(port, keys / "server.crt", certificate) == expected
        else:
            with pytest.raises(OSError, match=r"(?i)alert|reset|closed|eof|broken"):
                get(port, keys / "server.crt", certificate)


@contextlib.contextmanager
def kept_open(port: int, ca: Path) -> Iterator[http.client.HTTPSConnection]:
    """A connection on which a request has been answered."""
    context = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/-/healthy")
        assert connection.getresponse().read() == b"Healthy\n"
        yield connection


def still_answered(connection: http.client.HTTPSConnection) -> bool:
    """Whether the connection that is open gets another answer."""
    connection.auto_open = 0
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read() != b""
    except (http.client.HTTPException, OSError):
        return False


def test_open_connections_are_held_to_what_changes(tmp_path: Path, keys: Path) -> None:
    """One without a certificate does not outlive that certificates are demanded."""
    for suffix in ("crt", "key"):
        shutil.copy(keys / f"server.{suffix}", tmp_path / f"tls.{suffix}")
    shutil.copy(keys / "client.crt", tmp_path / "ca.crt")
    server = "cert_file: tls.crt, key_file: tls.key"
    wanted = "client_ca_file: ca.crt, client_auth_type: {}"
    ca = keys / "server.crt"
    with guarded(tmp_path, f"tls_server_config: {{{server}}}") as (_, file, port):
        for change in (
            wanted.format("VerifyClientCertIfGiven"),
            wanted.format("VerifyClientCertIfGiven") + ", client_allowed_sans: [x]",
            "min_version: TLS13",
            wanted.format("RequireAndVerifyClientCert"),
        ):
            file.write_text(f"tls_server_config: {{{server}}}")
            with kept_open(port, ca) as connection:
                file.write_text(f"tls_server_config: {{{server}, {change}}}")
                assert not still_answered(connection), change
        assert get(port, ca, keys / "client.crt") == 200


def test_open_connections_are_held_to_another_ca(tmp_path: Path, keys: Path) -> None:
    ca = tmp_path / "ca.crt"
    shutil.copy(keys / "client.crt", ca)
    text = (
        f"tls_server_config: {{cert_file: {keys}/server.crt, key_file: {keys}/server.key, "
        "client_ca_file: ca.crt, client_auth_type: VerifyClientCertIfGiven}"
    )
    with contextlib.ExitStack() as stack:
        _, _, port = stack.enter_context(guarded(tmp_path, text))
        connection = stack.enter_context(kept_open(port, keys / "server.crt"))
        shutil.copy(keys / "stranger.crt", ca)
        assert not still_answered(connection)


def test_open_connections_outlive_another_certificate_of_the_server(
    tmp_path: Path, keys: Path
) -> None:
    text = "tls_server_config: {{cert_file: {0}/{1}.crt, key_file: {0}/{1}.key}}"
    with contextlib.ExitStack() as stack:
        _, file, port = stack.enter_context(guarded(tmp_path, text.format(keys, "server")))
        connection = stack.enter_context(kept_open(port, keys / "server.crt"))
        file.write_text(text.format(keys, "other"))
        assert get(port, keys / "other.crt") == 200
        assert still_answered(connection)


def test_an_address_that_is_none_is_a_name_like_others() -> None:
    names = (("IP Address", "<invalid>"), ("IP Address", "2001:DB8:0:0:0:0:0:1"), ("DNS", "x"))
    assert tls.names({"subjectAltName": names}) == {"<invalid>", "2001:db8::1", "x"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(tmp_path: Path, keys: Path, version: ssl.TLSVersion) -> None:
    text = (
        f"tls_server_config: {{cert_file: {keys}/server.crt, key_file: {keys}/server.key, "
        "min_version: TLS13}"
    )
    context = ssl.create_default_context(cafile=keys / "server.crt")
    context.maximum_version = version
    with guarded(tmp_path, text) as (_, _, port):
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
        with contextlib.closing(connection):
            if version == ssl.TLSVersion.TLSv1_2:
                with pytest.raises(ssl.SSLError, match=r"(?i)version"):
                    connection.request("GET", "/-/healthy")
            else:
                connection.request("GET", "/-/healthy")
                assert connection.getresponse().status == 200


def test_a_wrong_file_ends_the_start_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: nothing, key_file: nothing}")
    words = ["serve", "--web.listen-address=127.0.0.1:0", f"--web.config.file={file}"]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot read" in done.stderr
