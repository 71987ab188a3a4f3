"""Ansible's roles and the compose file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from roots import Root

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ANSIBLE = DEPLOY / "ansible"
Need = Callable[[object, str], None]


def test_ansible_lint_finds_nothing(need: Need) -> None:
    need(shutil.which("ansible-lint"), "ansible-lint")
    words = ["ansible-lint", "--offline", "--nocolor", "--strict"]
    done = subprocess.run(words, cwd=ANSIBLE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    inventory = ["ansible-playbook", "--syntax-check", "--inventory=inventory.example.yml"]
    subprocess.run([*inventory, "site.yml"], cwd=ANSIBLE, check=True)


@pytest.mark.timeout(900)
def test_the_playbook_runs_and_runs_again(debs: list[Path], root: Root) -> None:
    """In a Debian without systemd: services are not started, all else is done."""
    root.apt("install", "ansible-core", "python3-apt")
    source = root.path / "source"
    for part in ("deploy", "grafana/dashboards", "grafana/provisioning", "prometheus"):
        shutil.copytree(DEPLOY.parent / part, source / part)
    (source / "build" / "deb").mkdir(parents=True)
    for deb in debs:
        shutil.copy(deb, source / "build" / "deb")
    (root.path / "etc/grafana/provisioning").mkdir(parents=True)
    inventory = {
        "all": {"vars": {"ansible_connection": "local"}},
        "gluster": {
            "hosts": {"localhost": None},
            "vars": {"glupy_node_config": {"collector.files.limit": 7}},
        },
        "monitoring": {
            "hosts": {"localhost": None},
            "vars": {"glupy_monitoring_seeds": ["gluster1.example.org"]},
        },
    }
    (source / "inventory.yml").write_text(yaml.safe_dump(inventory))
    play = ("ansible-playbook", "--inventory=/source/inventory.yml")
    first = root.run(*play, "/source/deploy/ansible/site.yml")
    assert re.search(r"changed=[1-9].* failed=0 ", first), first
    config = root.path / "etc/glupy-exporter/config.yml"
    assert yaml.safe_load(config.read_text()) == {"collector.files.limit": 7}
    scraping = yaml.safe_load((root.path / "etc/prometheus/prometheus.yml").read_text())
    (job,) = scraping["scrape_configs"]
    assert job["http_sd_configs"] == [{"url": "http://gluster1.example.org:9714/sd"}]
    root.run("promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    assert (root.path / "var/lib/grafana/dashboards/glupy/cluster.json").exists()
    assert (root.path / "etc/grafana/provisioning/dashboards/glupy.yml").exists()

    again = root.run(*play, "/source/deploy/ansible/site.yml")
    assert re.search(r"changed=0 .* failed=0 ", again), again


def test_compose_fills_the_shipped_configuration_in(tmp_path: Path, need: Need) -> None:
    need(shutil.which("promtool"), "promtool (Debian: prometheus)")
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yml").read_text())
    shell, option, script = compose["services"]["prometheus"]["entrypoint"]
    made = tmp_path / "prometheus"
    script = script.replace("$$", "$").replace("/shipped", str(DEPLOY.parent / "prometheus"))
    script = script.replace("/tmp/prometheus", str(made))
    assert "exec /bin/prometheus --config.file=" in script
    script = re.sub(
        "exec /bin/prometheus --config.file=(\\S+) .*", r"promtool check config \1", script
    )
    environment = {**os.environ, "SEED": "gluster1.example.org"}
    subprocess.run([shell, option, script], env=environment, check=True)
    filled = yaml.safe_load((made / "prometheus.yml").read_text())
    (job,) = filled["scrape_configs"]
    assert job["http_sd_configs"] == [{"url": "http://gluster1.example.org:9714/sd"}]
    (manager,) = filled["alerting"]["alertmanagers"]
    assert manager == {"static_configs": [{"targets": ["alertmanager:9093"]}]}
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / "compose" / source).exists(), source
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
