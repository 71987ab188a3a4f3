"""The packages on nodes under load: what is installed, and what serves."""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.cluster.machine import Machine
from tests.cluster.monitor import watching
from tests.cluster.pool import NODES, Pool
from tests.support.gluster.monitored import get, ready
from tests.support.gluster.volumes import wait_for

SERVICE = "glupy-exporter.service"
SOCKET = "glupy-exporter.socket"
CONFIG = "etc/glupy-exporter"
SECURITY = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def url(node: Machine) -> str:
    return f"http://{node.address}:9714"


def state(node: Machine, unit: str) -> str:
    return node.attempt("systemctl", "is-active", unit).stdout.strip()


def use_socket(node: Machine) -> None:
    """As docs/install.md says."""
    node.run("systemctl", "stop", SERVICE)
    node.run("systemctl", "enable", "--now", SOCKET)
    node.run("systemctl", "start", SERVICE)


def use_address(node: Machine) -> None:
    """The way back."""
    node.run("systemctl", "disable", "--now", SOCKET)
    node.run("systemctl", "restart", SERVICE)


def test_the_units_run(installed: Pool) -> None:
    for node in installed.nodes:
        for unit in ("glusterd.service", SERVICE, "glupy-state.timer"):
            assert state(node, unit) == "active"
        assert node.failed_units("gl*") == []
        assert node.journal("--unit=glupy-*", "--priority=warning") == []
        groups = json.loads(get(f"{url(node)}/sd"))
        listed = [target for group in groups for target in group["targets"]]
        assert sorted(listed) == [f"{name}:9714" for name in NODES]
        assert "glupy_exporter_build_info" in get(f"{url(node)}/metrics")


def test_by_socket(installed: Pool) -> None:
    node = installed.nodes[1]
    use_socket(node)
    try:
        stop = threading.Event()
        failed: list[OSError] = []

        def scrape() -> None:
            while not stop.is_set():
                try:
                    get(f"{url(node)}/metrics")
                except OSError as error:
                    failed.append(error)

        scraping = threading.Thread(target=scrape)
        scraping.start()
        node.run("systemctl", "restart", SERVICE)
        stop.set()
        scraping.join(30)
        assert not failed, "nobody is turned away while the service restarts"
        node.run("systemctl", "stop", SERVICE)
        assert "glupy_exporter_build_info" in get(f"{url(node)}/metrics")
        assert state(node, SERVICE) == "active", "the first scrape has started it"
    finally:
        use_address(node)
    wait_for(lambda: ready(url(node)), "the exporter to listen itself")
    assert state(node, SOCKET) == "inactive"


def ask(node: Machine, path: str, trusted: Path, password: str | None) -> tuple[int, str]:
    """Status and body of an answer over TLS."""
    request = urllib.request.Request(f"https://{node.address}:9714{path}")
    if password:
        words = base64.b64encode(f"prometheus:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {words}")
    context = ssl.create_default_context(cafile=str(trusted))
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def certify(node: Machine) -> tuple[Path, Path]:
    """A new certificate of the node, beside its configuration, and the key, which root may read."""
    etc = node.path / CONFIG
    certificate, key = etc / "server.crt", etc / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = f"subjectAltName=DNS:{node.name},IP:{node.address}"
    command += ["-subj", f"/CN={node.name}", "-addext", names]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def guarded(installed: Pool, tmp_path: Path) -> Iterator[tuple[Machine, Path]]:
    """A node whose exporter speaks TLS and wants a password, and its certificate."""
    node = installed.nodes[2]
    etc = node.path / CONFIG
    before = (etc / "config.yml").read_text()
    certificate, key = certify(node)
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(5)).decode()
    (etc / "web.yml").write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: '{hashed}'}}\n"
    )
    node.run("chown", "root:glupy", f"/{CONFIG}/web.yml", f"/{CONFIG}/server.key")
    node.run("chmod", "640", f"/{CONFIG}/web.yml", f"/{CONFIG}/server.key")
    (etc / "config.yml").write_text(before + f"web.config.file: /{CONFIG}/web.yml\n")
    node.run("systemctl", "restart", SERVICE)
    yield node, certificate
    (etc / "config.yml").write_text(before)
    for file in (etc / "web.yml", certificate, key):
        file.unlink()
    node.attempt("systemctl", "reset-failed", SERVICE)
    node.run("systemctl", "restart", SERVICE)


def test_tls_and_users(guarded: tuple[Machine, Path]) -> None:
    node, certificate = guarded
    for path, content in (("/metrics", "glupy_exporter_build_info"), ("/sd", f"{NODES[0]}:9714")):
        assert ask(node, path, certificate, None) == (401, "")
        assert ask(node, path, certificate, "wrong") == (401, "")
        status, body = ask(node, path, certificate, "secret")
        assert status == 200
        assert content in body
    with pytest.raises(OSError):
        get(f"{url(node)}/metrics")


def test_prometheus_with_tls_and_a_user(
    installed: Pool, guarded: tuple[Machine, Path], tmp_path: Path
) -> None:
    """What docs/security.md gives Prometheus is what it needs."""
    node, certificate = guarded
    (example,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", SECURITY.read_text(), re.DOTALL)
    (tmp_path / "password").write_text("secret")
    for there, here in (
        ("/etc/prometheus/glupy-ca.crt", str(certificate)),
        ("/etc/prometheus/glupy-password", f"{tmp_path}/password"),
        ("gluster1.example.org", node.name),
    ):
        assert there in example
        example = example.replace(there, here)
    configuration = f"global: {{scrape_interval: 1s}}\n{example}"
    (tmp_path / "prometheus.yml").write_text(configuration)
    with watching(installed, tmp_path) as prometheus:
        wait_for(
            lambda: prometheus.query(f'up{{instance="{node.name}:9714"}} == 1'), "a scrape over TLS"
        )


def test_a_key_that_cannot_be_read(guarded: tuple[Machine, Path]) -> None:
    node, _ = guarded
    node.run("chown", "root:root", f"/{CONFIG}/server.key")
    assert node.attempt("systemctl", "restart", SERVICE).returncode
    shown = node.run("systemctl", "show", SERVICE, "--property=ActiveState,NRestarts")
    assert set(shown.split()) == {"ActiveState=failed", "NRestarts=0"}, "once is enough"
    assert any("server.key" in line for line in node.journal(f"--unit={SERVICE}", "--priority=err"))
