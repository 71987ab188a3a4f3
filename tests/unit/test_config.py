"""Settings from flags and file, and what is said when they are wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar

import pytest

from glupy_exporter import config, values
from glupy_exporter.config import Config
from glupy_exporter.errors import UserError
from glupy_exporter.metrics.base import Collector, Options
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.values import Address, Setting, Settings


def load(*flags: str) -> Config:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    config.add_flags(parser)
    return config.load(parser.parse_args(flags))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "glupy-exporter.yml"


def load_file(file: Path, text: str, *flags: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load("--config.file", str(file), *flags)


def test_defaults() -> None:
    assert load() == Config(
        listen_addresses=(Address("", 9714),),
        systemd_socket=False,
        telemetry_path="/metrics",
        api=True,
        host_names=frozenset(),
        web_config_file=None,
        segment_dir=Path("/run/gluster/glupy"),
        segment_expiry=86400.0,
        state_file=Path("/run/glupy-exporter/state.json"),
        discovery_file=Path("/run/glupy-exporter/targets.json"),
        discovery_cluster="main",
        discovery_port=9714,
        discovery_address="*",
        collectors={
            **{
                "bricks": {},
                "fops": {"buckets": "few", "exemplars": True},
                "internal": {},
                "exporter": {},
            },
            **{"recorder": {"limit": 5, "age": 60.0, "new-per-hour": 10}},
            **{"facts": {}, "volumes": {}, "services": {}, "disks": {}},
            "pool": {"reachability": False},
            "files": {"limit": 24, "lasting": 30, "new-per-hour": 12},
            "clients": {"limit": 10, "lasting": 30, "new-per-hour": 5},
        },
        privacy=Privacy(),
        probe_directory=None,
        openmetrics_created=False,
        log_level="info",
        log_format="logfmt",
    )


def test_file(file: Path) -> None:
    text = """
        web.listen-address: ["[::1]:1", "localhost:2"]
        web.systemd-socket: true
        web.telemetry-path: /m
        web.api: false
        web.host-name: [Node1, "[::1]"]
        web.config.file: web.yml
        segment.dir: /dev/shm/x
        segment.expiry: 1d12h
        state.file: /x/state.json
        discovery.file: /x/targets.json
        discovery.cluster: east
        discovery.port: 1234
        discovery.address: '*.example.org'
        collector.clients: false
        collector.files.limit: 7
        privacy.paths: hash
        privacy.path-depth: 2
        privacy.hash-key: secret
        privacy.users: none
        probe.directory: /x/probes
        files.include: /vm/*
        files.exclude: ["*.tmp", /scratch/*]
        log.level: debug
        log.format: json
    """
    assert load_file(file, text) == Config(
        listen_addresses=(Address("::1", 1), Address("localhost", 2)),
        systemd_socket=True,
        telemetry_path="/m",
        api=False,
        host_names=frozenset({"node1", "[::1]"}),
        web_config_file=Path("web.yml"),
        segment_dir=Path("/dev/shm/x"),
        segment_expiry=129600.0,
        state_file=Path("/x/state.json"),
        discovery_file=Path("/x/targets.json"),
        discovery_cluster="east",
        discovery_port=1234,
        discovery_address="*.example.org",
        collectors={
            **{
                "bricks": {},
                "fops": {"buckets": "few", "exemplars": True},
                "internal": {},
                "exporter": {},
            },
            **{"recorder": {"limit": 5, "age": 60.0, "new-per-hour": 10}},
            **{"facts": {}, "volumes": {}, "services": {}, "disks": {}},
            "pool": {"reachability": False},
            "files": {"limit": 7, "lasting": 30, "new-per-hour": 12},
        },
        privacy=Privacy("hash", 2, "secret", ("/vm/*",), ("*.tmp", "/scratch/*"), "none"),
        probe_directory=Path("/x/probes"),
        openmetrics_created=False,
        log_level="debug",
        log_format="json",
    )


def test_empty_file_changes_nothing(file: Path) -> None:
    assert load_file(file, "# nothing\n") == load()


def test_flags_win_over_the_file(file: Path) -> None:
    text = "collector.files: false\ncollector.files.limit: 7\nweb.listen-address: ':1'\n"
    flags = ("--collector.files", "--collector.files.limit=8", "--web.listen-address=:2")
    settings = load_file(file, text, *flags)
    assert "files" in settings.collectors
    assert settings.collectors["files"]["limit"] == 8
    assert settings.listen_addresses == (Address("", 2),)


def test_patterns_may_be_repeated() -> None:
    settings = load("--files.include=/a/*", "--files.include=/b", "--files.exclude=*.tmp")
    assert settings.privacy == Privacy(include=("/a/*", "/b"), exclude=("*.tmp",))


def test_listen_address_may_be_repeated() -> None:
    settings = load("--web.listen-address", "127.0.0.1:1", "--web.listen-address", "[::1]:1")
    assert [str(address) for address in settings.listen_addresses] == ["127.0.0.1:1", "[::1]:1"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("web.listen-address", "9714"),
        ("web.host-name", "node1:9714"),
        ("web.host-name", "2001:db8::1"),
        ("web.listen-address", "host:65536"),
        ("web.listen-address", "::1:9714"),
        ("web.listen-address", "host:"),
        ("web.telemetry-path", "metrics"),
        ("web.telemetry-path", "/-/healthy"),
        ("web.telemetry-path", "/api/v1/files"),
        ("privacy.paths", "some"),
        ("privacy.path-depth", "-1"),
        ("privacy.path-depth", "1001"),
        ("privacy.hash-key", "k" * 65),
        ("files.include", ""),
        ("files.exclude", ""),
        ("web.telemetry-path", "/<b>"),
        ("segment.dir", "relative"),
        ("segment.expiry", "24"),
        ("segment.expiry", "-1h"),
        ("collector.files.limit", "0"),
        ("collector.files.limit", "1e3"),
        ("log.level", "trace"),
        ("log.format", "xml"),
    ],
)
def test_wrong_value_names_flag_or_file_and_key(file: Path, key: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^--{key}: {value!r} is not ".replace("[", "\\[")):
        load(f"--{key}={value}")
    with pytest.raises(UserError) as caught:
        load_file(file, f"{key}: '{value}'\n")
    assert str(caught.value).startswith(f"config file {file}: {key}: {value!r} is not ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("web.listen-address", "9714"),
        ("web.listen-address", "[]"),
        ("web.listen-address", "{a: b}"),
        ("web.telemetry-path", "true"),
        ("segment.dir", "[/run]"),
        ("segment.dir", '"/run\\0"'),
        ("segment.expiry", "24"),
        ("segment.expiry", "false"),
        ("collector.fops", "1"),
        ("collector.fops", "'no'"),
        ("collector.files.limit", "true"),
        ("collector.files.limit", "1.5"),
        ("privacy.path-depth", "true"),
        ("privacy.hash-key", "5"),
        ("files.include", "{a: b}"),
        ("files.exclude", "['']"),
        ("log.level", "[]"),
        ("log.level", "null"),
    ],
)
def test_wrong_type_in_file(file: Path, key: str, value: str) -> None:
    with pytest.raises(UserError) as caught:
        load_file(file, f"{key}: {value}\n")
    assert str(caught.value).startswith(f"config file {file}: {key}: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("web.listen-adress: ':1'", "unknown key 'web.listen-adress'; the keys are web.listen-"),
        ("1: 2", "line 1: the key '1' is not a text"),
        ("- a\n- b", "expected KEY: VALUE lines"),
        ("a: [", "is not valid YAML"),
        ("a: \x01", "is not valid YAML"),
    ],
)
def test_wrong_file(file: Path, text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        load_file(file, text)
    assert str(file) in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read config file .*/none.yml: No such file"):
        load("--config.file", str(tmp_path / "none.yml"))
    with pytest.raises(UserError, match=r"cannot read config file .*: Is a directory"):
        load("--config.file", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("2w", 1209600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert load(f"--segment.expiry={text}").segment_expiry == seconds


def test_a_collector_brings_its_settings_along(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row in the table of collectors is all that it takes."""

    class Quiet(Collector):
        name = "quiet"
        help = "nothing"
        families = ()
        settings: ClassVar[Settings] = {"pause": Setting(values.duration, "1m", "how long", "TIME")}

    monkeypatch.setattr(config, "COLLECTORS", (Quiet,))
    monkeypatch.setattr(config, "SETTINGS", config.settings())
    assert load().collectors == {"quiet": {"pause": 60}}
    settings = load_file(file, "collector.quiet.pause: 2m\n").collectors["quiet"]
    assert Quiet(Options(settings)).setting("pause") == 120
    assert load("--collector.quiet.pause=3m").collectors == {"quiet": {"pause": 180}}
    assert load("--no-collector.quiet").collectors == {}
    with pytest.raises(UserError, match=r"^--collector\.quiet\.pause: 'x' is not a duration"):
        load("--collector.quiet.pause=x")
