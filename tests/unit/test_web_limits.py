"""Clients that mean no good, on the loopback: Prometheus goes on being answered."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from glupy_exporter.web.server import BACKLOG
from glupy_exporter.web.toolkit.connections import MAX_CONNECTIONS, MAX_CONNECTIONS_OF_HOST
from tests.support import segments
from tests.support.exporters import Exporter, ask, exporter

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("many_files")]
REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
HEADERS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exporter, int]]:
    directory = tmp_path_factory.mktemp("segments")
    segments.Segment(volume="gone").write(directory)
    with exporter("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}") as made:
        yield made, made.port()


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


def resident(exporter: Exporter) -> int:
    """Bytes of memory that the process has."""
    status = Path(f"/proc/{exporter.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def closed(client: socket.socket) -> bool:
    """Whether the other side ends the connection without a word."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True


def test_the_longest_idle_makes_room(running: tuple[Exporter, int]) -> None:
    _, port = running
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(MAX_CONNECTIONS_OF_HOST + 1):
            clients.append(stack.enter_context(connect(port)))
            clients[-1].sendall(REQUEST)
            assert clients[-1].recv(4096).startswith(b"HTTP/1.1 200")
            if (
                len(clients) == MAX_CONNECTIONS_OF_HOST
            ):  # the first one is not the longest idle any more
                clients[0].sendall(REQUEST)
                assert clients[0].recv(4096).startswith(b"HTTP/1.1 200")
        assert closed(clients[1])
        for client in (clients[0], *clients[2:]):
            client.sendall(REQUEST)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_who_reads_nothing_keeps_nobody_out(running: tuple[Exporter, int]) -> None:
    """A host has more connections than there are places, on each of which an answer is stuck."""
    _, port = running
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            clients = []
            for _ in range(MAX_CONNECTIONS + 8):
                client = stack.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                client.bind(("127.0.0.2", 0))
                client.settimeout(20)
                client.connect(("127.0.0.1", port))
                with contextlib.suppress(ConnectionError):
                    client.sendall(LONG * 100)
                clients.append(client)
            for host in ("127.0.0.1", "127.0.0.3"):
                with connect(port, host) as other:
                    other.sendall(REQUEST)
                    assert other.recv(4096).startswith(b"HTTP/1.1 200")
            for client in clients:
                client.close()


@pytest.mark.parametrize(
    ("connections", "sent"),
    [(10_000, HEADERS), (1000, b""), (1000, b"G"), (1000, HEADERS + b"X: " + b"x" * 8000)],
)
def test_many_connections(running: tuple[Exporter, int], connections: int, sent: bytes) -> None:
    """Which say nothing, or begin to: a scrape in between is answered each time."""
    made, port = running
    ask(port, "/metrics")
    before = resident(made)
    with contextlib.ExitStack() as stack:
        clients: list[socket.socket] = []
        for number in range(connections):
            client = stack.enter_context(connect(port))
            with contextlib.suppress(ConnectionError):
                client.sendall(sent)
            clients.append(client)
            if len(clients) > 2 * MAX_CONNECTIONS:
                clients.pop(0).close()
            if number % 500 == 499:
                assert ask(port, "/metrics")[0].status == 200
    assert resident(made) - before < 32 << 20
    assert made.process.poll() is None


def test_a_trickle_keeps_nobody_out(running: tuple[Exporter, int]) -> None:
    """More clients than there are places send a header each, byte by byte, all the time."""
    _, port = running
    stop = threading.Event()
    trickled = threading.Event()

    def trickle() -> None:
        clients: list[socket.socket] = []
        while not stop.is_set():
            while len(clients) < 2 * MAX_CONNECTIONS:
                clients.append(connect(port))
                clients[-1].sendall(HEADERS)
            for client in list(clients):
                try:
                    client.sendall(b"X")
                except OSError:
                    client.close()
                    clients.remove(client)
            trickled.set()
        for client in clients:
            client.close()

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert trickled.wait(20)
        for _ in range(20):
            with connect(port, "127.0.0.2") as other:
                other.sendall(HEADERS + b"\r\n")
                assert other.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        stop.set()
        thread.join()


def test_a_burst_of_connections_finds_room(running: tuple[Exporter, int]) -> None:
    """Before any is accepted: what the kernel has no room for is tried again after a second."""
    made, port = running
    room = min(BACKLOG, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    with contextlib.ExitStack() as stack:
        made.process.send_signal(signal.SIGSTOP)
        stack.callback(made.process.send_signal, signal.SIGCONT)
        for _ in range(room * 3 // 4):  # what the tests before have left is in the queue as well
            stack.enter_context(connect(port))
    assert ask(port, "/-/healthy")[0].status == 200


def answers(port: int, sent: bytes) -> bytes:
    """All that is answered until the server ends the connection, or waits for more."""
    with connect(port) as client:
        client.settimeout(3)
        with contextlib.suppress(ConnectionError):
            client.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionError, socket.timeout):
            while chunk := client.recv(65536):
                received += chunk
        return received


SECOND = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKS = b"0\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(CHUNKS + SECOND),
        b"Transfer-Encoding: chunked\r\nContent-Length: %d" % len(CHUNKS + SECOND),
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: -1",
        b"Content-Length: 1_0",
        b"Content-Length: 99999999999999999999",
    ],
)
def test_no_request_hides_in_another(running: tuple[Exporter, int], headers: bytes) -> None:
    """What a proxy may read otherwise is refused, and nothing behind it is answered."""
    _, port = running
    sent = b"POST /metrics HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n" + CHUNKS + SECOND
    answer = answers(port, sent)
    assert b"Ready" not in answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer.startswith(b"HTTP/1.1 2")


def test_requests_in_a_row_are_answered_in_a_row(running: tuple[Exporter, int]) -> None:
    _, port = running
    last = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = answers(port, REQUEST + SECOND + last)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.index(b"Healthy\n") < answer.index(b"Ready\n") < answer.rindex(b"Healthy\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEADERS + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
        HEADERS + b"X: x\r\n" * 10_000 + b"\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        b"GET /metrics HTTP/1.1\r\n\0: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["long path", "long header", "many headers", "body", "short", "TLS", "NUL", "HTTP/2"],
)
def test_what_is_too_much_or_no_request_is_refused(
    running: tuple[Exporter, int], sent: bytes
) -> None:
    made, port = running
    answer = answers(port, sent)
    assert not answer.startswith(b"HTTP/1.1 2")
    assert len(answer) < 1000
    assert b"Traceback" not in answer
    assert ask(port, "/-/healthy")[0].status == 200
    assert made.process.poll() is None


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/metrics/../../etc/passwd",
        "/metrics/",
        "//etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/metrics%00.html",
        "/api/v1/files/../../../etc/passwd",
        "/static/x",
        "http://example.org/etc/passwd",
        "/*",
    ],
)
def test_no_path_leads_to_a_file(running: tuple[Exporter, int], path: str) -> None:
    _, port = running
    sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answer = answers(port, sent)
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"root:" not in answer
