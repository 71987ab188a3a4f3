"""The units as docs/install.md and docs/security.md say, on a machine that is no node."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from glupy_exporter.probes import examples
from tests.cluster.machine import Machine
from tests.cluster.pool import Pool
from tests.cluster.test_cluster_install import (
    CONFIG,
    SERVICE,
    SOCKET,
    ask,
    certify,
    state,
    url,
    use_address,
    use_socket,
)
from tests.support.gluster.monitored import get, ready
from tests.support.gluster.volumes import wait_for
from tests.support.roots import NAMES, newer

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
DISCOVER = "glupy-state.service"
PROBE = Path(*examples.__path__) / "lookup_misses.py"
LISTEN = (
    "import socket; s = socket.create_server(('', 9714)); print('listens', flush=True); input()"
)


@pytest.fixture(scope="module")
def machine(installed: Pool, debs: list[Path]) -> Iterator[Machine]:
    """The client, with our packages."""
    client = installed.client
    client.install(*debs)
    yield client
    client.apt("purge", *NAMES)


@pytest.fixture
def by_socket(machine: Machine) -> Iterator[Machine]:
    use_socket(machine)
    yield machine
    use_address(machine)


def lines_of(machine: Machine, unit: str) -> list[str]:
    """What the journal says of starting a unit once."""
    machine.run("journalctl", "--sync")
    shown = machine.run("journalctl", "--quiet", "--lines=1", "--show-cursor", "--output=cat")
    cursor = shown.rsplit("-- cursor: ", 1)[1].strip()
    machine.run("systemctl", "start", unit)
    machine.run("journalctl", "--sync")
    return machine.journal(f"--unit={unit}", f"--after-cursor={cursor}")


def test_the_timer_writes_no_journal(installed: Pool, machine: Machine) -> None:
    for each in (installed.nodes[0], machine):
        assert lines_of(each, DISCOVER) == []
    (machine.path / "var/lib/glusterd/glusterd.info").unlink(missing_ok=True)
    assert lines_of(machine, DISCOVER) == [], "nor before glusterd has a pool"
    shown = machine.run("systemctl", "show", DISCOVER, "--property=ConditionResult,Result")
    assert set(shown.split()) == {"ConditionResult=no", "Result=success"}


def test_a_service_that_runs_takes_no_socket(machine: Machine) -> None:
    assert machine.attempt("systemctl", "start", SOCKET).returncode
    assert get(f"{url(machine)}/metrics"), "it goes on"
    use_socket(machine)
    assert (state(machine, SOCKET), state(machine, SERVICE)) == ("active", "active")
    assert get(f"{url(machine)}/metrics")
    use_address(machine)
    wait_for(lambda: ready(url(machine)), "the exporter to listen itself")


def test_an_idle_socket_outlives_an_upgrade(
    by_socket: Machine, debs: list[Path], tmp_path: Path
) -> None:
    by_socket.run("systemctl", "stop", SERVICE)
    by_socket.install(*(newer(deb, tmp_path) for deb in debs))
    assert state(by_socket, SOCKET) == "active"
    assert "glupy_exporter_build_info" in get(f"{url(by_socket)}/metrics")


def test_a_wrong_file_with_a_socket(by_socket: Machine) -> None:
    config = by_socket.path / CONFIG / "config.yml"
    before = config.read_text()
    config.write_text(before + "collector.files.limit: many\n")
    by_socket.attempt("systemctl", "restart", SERVICE)

    def closed() -> bool:
        with contextlib.suppress(OSError):
            get(f"{url(by_socket)}/metrics")
        return state(by_socket, SOCKET) == "failed"

    try:
        wait_for(closed, "systemd to close the socket", 60)
    finally:
        config.write_text(before)
        by_socket.run("systemctl", "reset-failed", SOCKET, SERVICE)
        by_socket.run("systemctl", "start", SOCKET, SERVICE)
    assert (state(by_socket, SOCKET), state(by_socket, SERVICE)) == ("active", "active")


def test_an_address_that_is_taken(machine: Machine) -> None:
    machine.run("systemctl", "stop", SERVICE)
    other = machine.start("python3", "-c", LISTEN)
    try:
        other.wait_for_line("listens", 20)
        machine.attempt("systemctl", "start", SERVICE)
        shows = ("systemctl", "show", SERVICE, "--property=NRestarts", "--value")
        wait_for(lambda: int(machine.run(*shows)) > 0, "systemd to try again")
    finally:
        other.kill()
    wait_for(lambda: ready(url(machine)), "the exporter to listen")


def test_a_key_that_systemd_hands_over_and_a_probe(machine: Machine) -> None:
    """The unit of the repository, whose user owns no file and whose processes get no rights."""
    units = machine.path / "etc/systemd/system"
    etc = machine.path / CONFIG
    program = machine.path / "opt/glupy-exporter/bin/glupy-exporter"
    program.parent.mkdir(parents=True)
    program.symlink_to("/usr/bin/glupy-exporter")
    shutil.copy(UNITS / SERVICE, units)
    certificate, key = certify(machine)
    key.chmod(0o600)
    (etc / "web.yml").write_text(
        "tls_server_config:\n"
        "  cert_file: server.crt\n"
        f"  key_file: /run/credentials/{SERVICE}/server.key\n"
    )
    (etc / "web.yml").chmod(0o644)
    drop_in = units / f"{SERVICE}.d" / "override.conf"
    drop_in.parent.mkdir()
    probes = etc / "probes"
    probes.mkdir()
    (probes / PROBE.name).write_bytes(PROBE.read_bytes())
    command = f"/opt/glupy-exporter/bin/glupy-exporter serve --probe.directory=/{CONFIG}/probes"
    drop_in.write_text(
        f"[Service]\nExecStart=\nExecStart={command} --web.config.file=/{CONFIG}/web.yml\n"
        f"LoadCredential=server.key:/{CONFIG}/server.key\n"
    )
    try:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", SERVICE)
        shown = machine.run("systemctl", "show", SERVICE, "--property=DynamicUser,ActiveState")
        assert set(shown.split()) == {"DynamicUser=yes", "ActiveState=active"}
        status, body = ask(machine, "/metrics", certificate, None)
        assert (status, "glupy_exporter_build_info" in body) == (200, True)
        up = f'glupy_probes_up{{probe="{PROBE.stem}"}} 1\n'
        wait_for(lambda: up in ask(machine, "/metrics", certificate, None)[1], "the probe to run")
    finally:
        shutil.rmtree(drop_in.parent)
        shutil.rmtree(probes)
        shutil.rmtree(program.parents[1])
        for file in (units / SERVICE, etc / "web.yml", certificate, key):
            file.unlink()
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", SERVICE)
