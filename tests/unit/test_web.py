"""The HTTP side: a real server on the loopback, asked by real clients."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from glupy_exporter import config
from glupy_exporter.errors import UserError
from glupy_exporter.values import Address
from glupy_exporter.web import app as web
from glupy_exporter.web import server
from glupy_exporter.web.toolkit import answers, connections
from glupy_exporter.web.toolkit.turns import MAX_WAITING, MAX_WAITING_OF_HOST
from tests.support import segments
from tests.support.exporters import COMMAND, ask, exporter

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("segments")
    fops = {"read": segments.Fop({3: 7}, nanoseconds=10**6)}
    files = {0: segments.File(b"/f&", uuid.UUID(int=1), (1, 0, 0))}
    live = segments.Segment(volume="<b>v0</b>", fops=fops, files=files)
    with live.live(path):
        segments.Segment(volume="gone").write(path)
        (path / os.fsdecode(b"<bad\xff>.seg")).write_bytes(b"?" * 5000)
        yield path


@pytest.fixture(scope="module")
def port(directory: Path) -> Iterator[int]:
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}")
    with exporter(*flags) as running:
        yield running.port()


def test_nothing_leads_out_of_a_proxys_path(port: int) -> None:
    """A browser or a client asks where a link leads to from where it was found."""
    proxy = "https://monitoring.example.org/node1"
    page = ask(port, "/")[1].decode()
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert links
    for link in links:
        url = urljoin(f"{proxy}/", link)
        assert url.startswith(f"{proxy}/")
        assert ask(port, url[len(proxy) :])[0].status == 200
    document = json.loads(ask(port, "/api/v1/openapi.json")[1])
    (server,) = document["servers"]
    assert urljoin(f"{proxy}/api/v1/openapi.json", server["url"]).rstrip("/") == proxy


def test_text(port: int) -> None:
    answer, body = ask(port, "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in parse_text(body.decode())}
    assert {"glupy_fop_duration_seconds", "glupy_brick_up", "process_cpu_seconds"} <= names


def test_openmetrics(port: int) -> None:
    answer, body = ask(port, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; ")
    names = {family.name for family in parse_openmetrics(body.decode())}
    assert {"glupy_fop_duration_seconds", "glupy_brick_up", "process_cpu_seconds"} <= names


PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)


@pytest.mark.parametrize(
    "accept", ['\t;="', f"{PROTOBUF};q=1e9", ";" * 9000, f"{PROTOBUF};q=0," * 99, "\xff\xfe/\xfd"]
)
def test_hostile_accept_headers(port: int, accept: str) -> None:
    answer, body = ask(port, "/metrics", Accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"glupy_brick_up" in body


def test_start_times_in_openmetrics(directory: Path) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}")
    with exporter(*flags, "--openmetrics.created") as running:
        accept, port = "application/openmetrics-text;version=1.0.0", running.port()
        _, body = ask(port, "/metrics", Accept=accept)
        assert b"\nglupy_fop_duration_seconds_created{" in body
        assert list(parse_openmetrics(body.decode()))
        assert b"_created{" not in ask(port, "/metrics")[1]


def test_gzip(port: int) -> None:
    answer, body = ask(port, "/metrics", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"glupy_brick_up" in gzip.decompress(body)
    assert "Accept-Encoding" in answer.headers["Vary"]
    answer, body = ask(port, "/metrics", Accept_Encoding="gzip;q=0")
    assert answer.headers["Content-Encoding"] is None
    assert b"glupy_brick_up" in body


API = [f"/api/v1/{table}" for table in ("files", "clients", "slow", "inflight", "openapi.json")]


@pytest.mark.parametrize("path", API)
def test_api(port: int, path: str) -> None:
    answer, body = ask(port, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(body)


def test_api_answers_what_was_asked_for(port: int) -> None:
    answer, body = ask(port, "/api/v1/files?volume=%3Cb%3Ev0%3C/b%3E&limit=1&sort=read_bytes")
    assert answer.status == 200
    (file,) = json.loads(body)["files"]
    assert (file["volume"], file["path"]) == ("<b>v0</b>", "/f&")
    assert json.loads(ask(port, "/api/v1/files?volume=v0")[1])["files"] == []
    assert json.loads(ask(port, "/api/v1/files?path=/%66%26")[1])["matched"] == 1


def test_api_gzip(port: int) -> None:
    answer, body = ask(port, "/api/v1/files", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert json.loads(gzip.decompress(body))["matched"] == 1


@pytest.mark.parametrize(
    "question", ["limit=x", "limit=1&limit=2", "colour=red", "path=", "path=%ff", "path=%C3%28"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_api_says_what_is_wrong_with_a_question(port: int, question: str, method: str) -> None:
    answer, body = ask(port, f"/api/v1/files?{question}", method)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    if method == "GET":
        assert json.loads(body)["error"]


@pytest.mark.parametrize("path", API)
def test_api_is_read_only(port: int, path: str) -> None:
    answer, body = ask(port, path, "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert json.loads(body) == {"error": "405 Method Not Allowed"}


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", *API])
def test_head(port: int, path: str) -> None:
    answer, body = ask(port, path, "HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"])
def test_other_methods(port: int, path: str, method: str) -> None:
    answer, body = ask(port, path, method)
    assert (answer.status, body) == (405, b"405 Method Not Allowed\n")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/metrics/", "/metric", "/-/", "/favicon.ico", "/%2e%2e/etc", "/<script>", "//"]
)
def test_other_paths(port: int, path: str) -> None:
    answer, body = ask(port, path)
    assert (answer.status, body) == (404, b"404 Not Found\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("flags", "open_paths"),
    [
        (["--no-collector.files"], [*API[1:]]),
        (["--no-collector.clients"], [API[0], *API[2:]]),
        (["--no-collector.recorder"], [*API[:2], API[-1]]),
        ([f"--no-collector.{name}" for name in ("files", "clients", "recorder")], []),
        (["--no-web.api"], []),
    ],
)
def test_what_is_switched_off_is_not_told_by_the_api(
    directory: Path, flags: list[str], open_paths: list[str]
) -> None:
    flags = ["--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}", *flags]
    with exporter(*flags) as running:
        port = running.port()
        answers = {path: ask(port, path) for path in API}
        page = ask(port, "/")[1].decode()
        assert ask(port, "/metrics")[0].status == 200
    for path, (answer, body) in answers.items():
        assert answer.status == (200 if path in open_paths else 404)
        assert (f'".{path}"' in page) is (path in open_paths)
        if path not in open_paths:
            assert json.loads(body) == {"error": "404 Not Found"}
    if open_paths:
        document = json.loads(answers["/api/v1/openapi.json"][1])
        assert [*document["paths"], "/api/v1/openapi.json"] == open_paths


def test_health(port: int) -> None:
    assert ask(port, "/-/healthy")[0].status == 200
    assert ask(port, "/-/ready")[0].status == 200


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/none"])
def test_server_header_says_little(port: int, path: str) -> None:
    assert ask(port, path)[0].headers.get_all("Server") == ["glupy-exporter"]


def test_landing_page(port: int) -> None:
    answer, body = ask(port, "/")
    page = body.decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<td class="up">up</td><td>&lt;b&gt;v0&lt;/b&gt;</td><td>/bricks/b0</td>' in page
    assert '<td class="dead">dead</td><td>gone</td>' in page
    assert "not a glupy segment (bad_magic)" in page
    assert "&lt;bad\\udcff&gt;.seg" in page
    assert '<a href="./metrics">' in page
    assert "<b>v0" not in page
    assert "<bad" not in page


def test_landing_page_without_segments(tmp_path: Path) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    with exporter(*flags, "--web.telemetry-path=/m") as running:
        port = running.port()
        page = ask(port, "/")[1].decode()
        assert f"No segment in {tmp_path}" in page
        assert '<a href="./m">' in page
        assert ask(port, "/m")[0].status == 200
        assert ask(port, "/metrics")[0].status == 404
        (tmp_path / "new.seg").write_bytes(b"")
        assert "(truncated)" in ask(port, "/")[1].decode()


def test_missing_directory_is_served_and_said(tmp_path: Path) -> None:
    state = segments.write_state(tmp_path / "state.json", {"gv0": (["/b"], True, True)})
    flags = (f"--segment.dir={tmp_path}/none", f"--state.file={state}")
    with exporter("--web.listen-address=127.0.0.1:0", *flags) as running:
        port = running.port()
        answer, body = ask(port, "/metrics")
        assert answer.status == 200
        assert b'glupy_segment_errors_total{reason="no_directory"} 1\n' in body
        assert "reason=no_directory" in running.wait_for("cannot be used")
        assert b"should count here (no_directory)" in ask(port, "/")[1]
        segments.write_state(state, {"gv0": (["/b"], True, False)})
        assert f"No segment in {tmp_path}/none" in ask(port, "/")[1].decode()


def test_telemetry_at_the_root(directory: Path) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}")
    with exporter(*flags, "--web.telemetry-path=/") as running:
        assert b"glupy_brick_up" in ask(running.port(), "/")[1]


def test_concurrent_scrapes_agree(port: int) -> None:
    def scrape(_: int) -> set[str]:
        answer, body = ask(port, "/metrics", Accept_Encoding="gzip")
        assert answer.status == 200
        lines = gzip.decompress(body).decode().splitlines()
        return {line for line in lines if line.startswith("glupy_fop")}

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(scrape, range(40)))
    assert len(answers[0]) == 15
    assert all(answer == answers[0] for answer in answers)


def test_oversized_requests_are_refused_without_a_trace(port: int) -> None:
    for request in (
        b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
        b"\x16\x03\x01 nonsense\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := client.recv(65536):
                    answer += chunk
        assert b"Traceback" not in answer
        assert not answer or b" 4" in answer.split(b"\r\n")[0]
    assert ask(port, "/-/healthy")[0].status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(tmp_path: Path, number: int) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    # The idle connection must not hold up the exit.
    with exporter(*flags) as running, socket.create_connection(("127.0.0.1", running.port())):
        assert running.stop(number) == 0


def test_a_connection_that_is_new_at_the_end_gets_its_answer(tmp_path: Path) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    with exporter(*flags) as running:
        client = socket.create_connection(("127.0.0.1", running.port()))
        with client, client.makefile("rb") as answer:
            # A request of another connection shows that this one has been accepted before it.
            assert ask(client.getpeername()[1], "/-/healthy")[0].status == 200
            running.process.send_signal(signal.SIGTERM)
            running.wait_for("msg=stopping")
            client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in answer.readline()
        assert running.stop() == 0


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_default_host_means_both_families(tmp_path: Path) -> None:
    with exporter("--web.listen-address=:0", f"--segment.dir={tmp_path}") as running:
        port = running.port()
        assert ask(port, "/-/healthy")[0].status == 200
        if ipv6():
            assert ask(port, "/-/healthy", host="::1")[0].status == 200


def test_several_addresses(tmp_path: Path) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.2:0")
    with exporter(*flags, f"--segment.dir={tmp_path}") as running:
        first, second = running.port(), running.port()
        assert ask(first, "/-/healthy")[0].status == 200
        assert ask(second, "/-/healthy", host="127.0.0.2")[0].status == 200


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False
    )


def test_address_in_use(port: int) -> None:
    done = run("serve", f"--web.listen-address=127.0.0.1:{port}")
    assert done.returncode == 1  # which systemd tries again
    assert done.stderr == (
        f"glupy-exporter: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "choose another --web.listen-address\n"
    )


@pytest.mark.parametrize(
    ("host", "code"),
    [("192.0.2.1", 1), ("no.such.host.invalid", 1), ("a" * 70, 2), ("a..b", 2)],
)
def test_address_that_is_not_ours(host: str, code: int) -> None:
    """What the network may bring at any moment after boot is tried again, and nothing else."""
    message = f"^cannot listen on {re.escape(host)}:0: .*; choose"
    with pytest.raises(UserError, match=message) as raised:
        server.bind([Address(host, 0)])
    assert raised.value.exit_code == code


def test_json_log(tmp_path: Path) -> None:
    flags = ("--web.listen-address=127.0.0.1:0", "--log.format=json", "--log.level=debug")
    with exporter(*flags, f"--segment.dir={tmp_path}") as running:
        line = running.wait_for('"msg": "listening"')
        port = int(re.findall(r"127\.0\.0\.1:([0-9]+)", line)[0])
        ask(port, "/-/healthy")
        assert '"path": "/-/healthy"' in running.wait_for('"msg": "request"')


# What cannot be made with real segments: scrapes that take as long as a test wants.


REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class Slow:
    """A source of metrics that gives its answer when it is told to."""

    def __init__(self, size: int = 1) -> None:
        self.go = threading.Event()
        self.scrapes = 0
        self._size = size

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.scrapes += 1
        assert self.go.wait(20)
        yield GaugeMetricFamily("slow", "x" * self._size, 1)


CONFIG = dataclasses.replace(
    config.load(argparse.Namespace()),
    segment_dir=Path("/nonexistent"),
    state_file=Path("/nonexistent"),
    discovery_file=Path("/nonexistent"),
)


@contextlib.asynccontextmanager
async def serving(source: Slow) -> AsyncIterator[tuple[web.App, asyncio.Task[None], int]]:
    sockets = server.bind([Address("127.0.0.1", 0)])
    app = web.App(CONFIG, source)  # type: ignore[arg-type]
    task = asyncio.create_task(server._serve(app, sockets, pytest.fail))
    try:
        yield app, task, sockets[0].getsockname()[1]
    finally:
        source.go.set()
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await task


async def fetch(port: int, path: str = "/metrics", source: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def busy(app: web.App, requests: int) -> None:
    """Return when the server works on so many requests."""
    while len(app.requests) != requests:
        await asyncio.sleep(0)


def test_too_many_scrapes_at_once_are_told_so() -> None:
    async def scenario() -> None:
        source = Slow()
        async with serving(source) as (app, _, port):
            # One of them runs, the others wait.
            accepted = [asyncio.create_task(fetch(port)) for _ in range(MAX_WAITING_OF_HOST + 1)]
            await busy(app, MAX_WAITING_OF_HOST + 1)
            assert (await fetch(port)).startswith(b"HTTP/1.1 503 ")
            assert (await fetch(port, "/sd")).startswith(b"HTTP/1.1 503 ")
            # Others have their turn, and who asks for more neither keeps them out nor the pages.
            for number in range(MAX_WAITING - MAX_WAITING_OF_HOST):
                source_address = f"127.0.0.{2 + number % 2}"
                accepted.append(asyncio.create_task(fetch(port, source=source_address)))
            await busy(app, MAX_WAITING + 1)
            late = asyncio.create_task(fetch(port, source="127.0.0.4"))
            crowded_out = await asyncio.wait(accepted, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result()[:12] for task in crowded_out[0]] == [b"HTTP/1.1 503"]
            assert (await fetch(port, "/")).startswith(b"HTTP/1.1 200 ")
            assert (await fetch(port, "/api/v1/files")).startswith(b"HTTP/1.1 200 ")
            assert (await fetch(port, "/-/healthy")).startswith(b"HTTP/1.1 200 ")
            source.go.set()
            for answer in await asyncio.gather(late, *crowded_out[1]):
                assert answer.startswith(b"HTTP/1.1 200 ")
            assert (await fetch(port)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(scenario())


def test_a_page_that_cannot_wait_says_so_as_its_kind_does() -> None:
    async def scenario() -> None:
        source, go = Slow(), threading.Event()
        source.go.set()
        async with serving(source) as (app, _, port):
            waiting = [
                asyncio.create_task(app.pages.run("127.0.0.1", go.wait))
                for _ in range(MAX_WAITING_OF_HOST + 1)
            ]
            await asyncio.sleep(0)
            assert (await fetch(port, "/api/v1/files")).endswith(
                b'\r\n\r\n{"error":"503 Service Unavailable"}\n'
            )
            assert (await fetch(port)).startswith(b"HTTP/1.1 200 ")
            go.set()
            await asyncio.gather(*waiting)

    asyncio.run(scenario())


def test_a_scrape_that_runs_is_answered_before_the_exit() -> None:
    async def scenario() -> None:
        source = Slow()
        async with serving(source) as (app, task, port):
            answer = asyncio.create_task(fetch(port))
            await busy(app, 1)
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(ConnectionRefusedError):
                while True:
                    await fetch(port, "/-/healthy")
            source.go.set()
            assert (await answer).startswith(b"HTTP/1.1 200 ")
            await task

    asyncio.run(scenario())


def test_a_client_that_leaves_early_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        source = Slow()
        async with serving(source) as (app, _, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await busy(app, 1)
            writer.close()
            await writer.wait_closed()
            source.go.set()
            await busy(app, 0)

    asyncio.run(scenario())
    assert caplog.text == ""


def test_nothing_is_done_for_a_client_that_has_left() -> None:
    async def scenario() -> None:
        source = Slow()
        async with serving(source) as (app, _, port):
            answers = [asyncio.create_task(fetch(port))]
            await busy(app, 1)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await busy(app, 2)
            writer.close()
            while len(app.connections._hosts) > 1:  # until the server knows
                await asyncio.sleep(0)
            answers.append(asyncio.create_task(fetch(port)))
            source.go.set()
            for answer in await asyncio.gather(*answers):
                assert answer.startswith(b"HTTP/1.1 200 ")
            assert source.scrapes == 2

    asyncio.run(scenario())


ERRORS = b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" * 200_000
NONSENSE = REQUEST.replace(b"/metrics", b"/-/healthy") * 200_000 + b"nonsense\r\n\r\n"


@pytest.mark.parametrize("sent", [REQUEST, ERRORS, NONSENSE], ids=["answer", "errors", "nonsense"])
def test_a_client_that_does_not_read_is_dropped(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 0.2)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.1)
    size = 32 * 2**20  # more than all the buffers on the way

    async def scenario() -> None:
        source = Slow(size)
        source.go.set()
        async with serving(source) as (app, _, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writer.write(sent)
            assert (await reader.readline()).startswith(b"HTTP/1.1 ")
            while app.connections._hosts:  # until the server has given up
                await asyncio.sleep(0)
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while chunk := await reader.read(2**16):
                    received += len(chunk)
            assert received < size
            writer.close()

    asyncio.run(scenario())


def test_slow_readers_make_room_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 8 * 2**20  # more than the buffers of the kernel hold
    monkeypatch.setattr(answers, "MAX_UNREAD_BYTES", 4 * size)

    async def scenario() -> None:
        source = Slow(size)
        source.go.set()
        async with serving(source) as (app, _, port), contextlib.AsyncExitStack() as stack:
            readers = []
            for _ in range(6):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
                stack.callback(writer.close)
                writer.write(REQUEST)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
                readers.append(reader)
            unread = app.answers._unread.values()
            assert sum(answer.unread for answer in unread) <= answers.MAX_UNREAD_BYTES
            answer = await fetch(port)
            assert answer.startswith(b"HTTP/1.1 200 ") and len(answer) > size
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while chunk := await readers[0].read(2**16):
                    received += len(chunk)
            assert received < size  # the slowest was dropped

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["x", "X:80", "node1.example:9714", "[2001:db8::1]:9714"])
@pytest.mark.parametrize("path", ["/metrics", "/none", "/-/healthy"])
def test_host_names(named_port: int, name: str, path: str) -> None:
    answer, _ = ask(named_port, path, Host=name)
    assert answer.status == (404 if path == "/none" else 200)


@pytest.mark.parametrize("name", ["", "y", "x.example", "xx", "x:y", "127.0.0.1", "x, y", "x@y:80"])
@pytest.mark.parametrize("path", ["/metrics", "/none", "/-/healthy", "/api/v1/files"])
def test_other_host_names(named_port: int, name: str, path: str) -> None:
    answer, body = ask(named_port, path, Host=name)
    assert answer.status in (400, 421)  # Tornado refuses by itself what is no name
    assert b"glupy" not in body


@pytest.fixture(scope="module")
def named_port(directory: Path) -> Iterator[int]:
    names = ("x", "Node1.example", "[2001:db8::1]")
    flags = [f"--web.host-name={name}" for name in names]
    with exporter(*flags, "--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}") as made:
        yield made.port()


def test_no_targets_are_said_once(tmp_path: Path) -> None:
    targets = tmp_path / "targets.json"
    targets.write_text("[")
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    with exporter(*flags, f"--discovery.file={targets}") as running:
        port = running.port()
        for _ in range(20):
            assert ask(port, "/sd")[0].status == 503
        targets.write_text("[]")
        assert ask(port, "/sd")[0].status == 200
        running.wait_for("no targets for /sd")
        assert "targets for /sd again" in running.log.get(timeout=20)


def test_what_needs_a_restart_stays_as_it_is() -> None:
    app = web.App(CONFIG, Slow())  # type: ignore[arg-type]
    other = dataclasses.replace(CONFIG, telemetry_path="/m", segment_expiry=2.0)
    for _ in range(2):
        assert app.reconfigure(other, Slow()) == ["web.telemetry-path"]  # type: ignore[arg-type]
    assert (app.config.telemetry_path, app.config.segment_expiry) == ("/metrics", 2.0)
