"""What systemd is told, and what it hands over, with systemd's part played by the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import segments
from tests.support.exporters import COMMAND, Exporter, ask, exporter

UNIT = Path(__file__).resolve().parents[2] / "deploy/systemd/glupy-exporter.service"
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which services tell how they are."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield server


def reloaded(port: int) -> tuple[float, float]:
    """Whether the last reload went well, and when one last did, by the metrics."""
    families = {
        f.name: f for f in text_string_to_metric_families(ask(port, "/metrics")[1].decode())
    }
    (good,) = families["glupy_exporter_config_last_reload_successful"].samples
    (when,) = families["glupy_exporter_config_last_reload_success_timestamp_seconds"].samples
    return good.value, when.value


def test_the_course_of_a_service(told: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("segment.expiry: 1h\n")
    words = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    running = Exporter(*words, f"--config.file={file}")
    try:
        assert told.recv(1000) == b"READY=1"
        port = running.port()
        good, started = reloaded(port)
        assert good == 1
        assert time.time() - 60 < started <= time.time()

        file.write_text("collector.fops: false\nweb.telemetry-path: /other\n")
        running.process.send_signal(signal.SIGHUP)
        reloading, since = told.recv(1000).split(b"\n")
        assert reloading == b"RELOADING=1"
        assert since.startswith(b"MONOTONIC_USEC=")
        assert told.recv(1000) == b"READY=1"
        assert "needs_restart=web.telemetry-path" in running.wait_for("configuration loaded")
        body = ask(port, "/metrics")[1]
        assert b'glupy_collector_success{collector="bricks"}' in body
        assert b'collector="fops"' not in body
        good, loaded = reloaded(port)
        assert good == 1
        assert loaded > started

        file.write_text("nonsense: 1\n")
        running.process.send_signal(signal.SIGHUP)
        assert told.recv(1000).startswith(b"RELOADING=1")
        assert told.recv(1000) == b"READY=1"
        assert "unknown key" in running.wait_for("configuration not loaded")
        assert b'collector="fops"' not in ask(port, "/metrics")[1]
        assert reloaded(port) == (0, loaded)

        file.write_text("")
        running.process.send_signal(signal.SIGHUP)
        assert told.recv(1000).startswith(b"RELOADING=1")
        assert told.recv(1000) == b"READY=1"
        good, mended = reloaded(port)
        assert good == 1
        assert mended > loaded
    finally:
        code = running.stop()
    assert told.recv(1000) == b"STOPPING=1"
    assert code == 0


def test_a_reload_forgets_nothing_of_what_stays(tmp_path: Path) -> None:
    """Neither what was counted, nor what has spent a brick's budget of new series."""
    file, bricks = tmp_path / "config.yml", tmp_path / "bricks"
    bricks.mkdir()
    (bricks / "bad.seg").write_bytes(b"no segment")

    def configure(text: str) -> None:
        file.write_text(f"collector.files.lasting: 0s\ncollector.files.limit: 1\n{text}")

    def look(path: bytes) -> tuple[float, set[str]]:
        """The errors so far, and the files that have series, when there is one of this path."""
        row = segments.File(path, uuid.uuid5(uuid.NAMESPACE_URL, str(path)), (1, 0, 0))
        with segments.Segment(files={0: row}).live(bricks):
            body = ask(port, "/metrics")[1].decode()
        samples = [each for f in text_string_to_metric_families(body) for each in f.samples]
        errors = [s.value for s in samples if s.name == "glupy_segment_errors_total"]
        return sum(errors), {s.labels["path"] for s in samples if s.name == "glupy_file_fops_total"}

    def reload() -> None:
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("configuration loaded")

    configure("collector.files.new-per-hour: 0\n")
    words = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={bricks}")
    with exporter(*words, f"--config.file={file}") as running:
        port = running.port()
        assert look(b"/first") == (1, {"/first"})
        assert look(b"/second") == (2, set())
        configure("collector.files.new-per-hour: 0\ncollector.fops: false\n")
        reload()
        assert look(b"/second") == (3, set())
        assert look(b"/first") == (4, {"/first"})
        configure("collector.files.new-per-hour: 1\n")
        reload()
        assert look(b"/second") == (5, {"/second"})


# As systemd does it: the socket is descriptor 3 of a process that is told its own number.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


def handed_over(listener: socket.socket, number: int, *words: str) -> list[str]:
    starter = [sys.executable, "-c", HAND_OVER, str(listener.fileno()), str(number)]
    return [*starter, *COMMAND[1:], "serve", *words]


def refusal(command: Sequence[str], **options: Any) -> str:
    """The line with which a command refuses to serve."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, **options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("flag", ["--web.systemd-socket", "--web.listen-address=192.0.2.1:1"])
def test_a_socket_of_systemd(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = handed_over(listener, 1, flag, f"--segment.dir={tmp_path}")
        with subprocess.Popen(
            command, pass_fds=[listener.fileno()], stderr=subprocess.PIPE
        ) as made:
            try:
                assert ask(listener.getsockname()[1], "/-/healthy")[0].status == 200
            finally:
                made.terminate()
                made.wait(timeout=20)
    assert made.returncode == 0


@pytest.mark.parametrize(
    ("config", "web"),
    [
        ("web: [", None),
        ("web.listen-addresses: ':1'", None),
        ("segment.expiry: tomorrow", None),
        ("web.listen-address: 'a..b:1'", None),
        (None, None),
        ("", ""),
        ("", "basic_auth_users: ["),
        ("", "basic_auth_users: {prometheus: secret}"),
        ("", "tls_server_config: {cert_file: web.yml, key_file: web.yml}"),
        ("", "tls_server_config: {cert_file: web.yml, key_file: missing}"),
        ("", "tls_server_config: {cert_file: web.yml, key_file: .}"),
    ],
)
def test_a_wrong_configuration_ends_the_service_for_good(
    tmp_path: Path, config: str | None, web: str | None
) -> None:
    """By the exit code that the unit names, so that systemd does not start it again."""
    file = tmp_path / "config.yml"
    words = [*COMMAND, "serve", f"--config.file={file}"]
    if config is not None:
        file.write_text(config)
    if web is not None:
        words.append(f"--web.config.file={tmp_path / 'web.yml'}")
        if web:
            (tmp_path / "web.yml").write_text(web)
    assert refusal(words).startswith("glupy-exporter: ")
    assert "\nRestartPreventExitStatus=2\n" in UNIT.read_text()


def test_no_socket_of_systemd(tmp_path: Path) -> None:
    environment = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"}  # another process's
    said = refusal([*COMMAND, "serve", "--web.systemd-socket"], env=environment)
    assert "systemd handed no socket over" in said


def test_a_socket_of_another_kind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "listener"))
        listener.listen()
        said = refusal(handed_over(listener, 1), pass_fds=[listener.fileno()])
    assert "no listening TCP socket" in said


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glupy_exporter import systemd

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nothing"))
    systemd.ready()
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.ready()
