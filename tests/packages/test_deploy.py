"""Ansible's roles and the compose file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.roots import NAMES, Root

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ANSIBLE = DEPLOY / "ansible"
TLS = {"tls_server_config": {"cert_file": "server.crt", "key_file": "server.key"}}
SECRET = "correct-horse-battery"
Need = Callable[[object, str], None]


SYSTEMCTL = """#!/bin/sh
# Notes what systemd is to do, and whether the exporter has the configuration of the play by then.
for word; do
    case $word in
    start | restart | reload | show | is-enabled) action=$word ;;
    *.*) units="$units $(echo "$word" | tr -d "'")" ;;
    esac
done
case $action in
start | restart | reload)
    grep -qs Ansible /etc/glupy-exporter/config.yml && how=configured || how=bare
    for unit in $units; do echo "$action $unit $how" >>/asked; done
    ;;
show)
    grep -qsE "^(re)?start$units" /asked && state=active || state=inactive
    printf 'LoadState=loaded\\nUnitFileState=enabled\\nActiveState=%s\\n' "$state"
    ;;
is-enabled) echo enabled ;;
esac
"""
SERVICE = "glupy-exporter.service"


def stand_in_for_systemd(root: Root) -> Path:
    """Put one there, and return the file with what it is asked for."""
    (root.path / "run/systemd/system").mkdir(parents=True)
    (root.path / "usr/sbin/policy-rc.d").unlink()
    diversion = ("--local", "--no-rename", "--divert", "/bin/systemctl.real")
    root.run("dpkg-divert", *diversion, "--add", "/bin/systemctl")
    program = root.path / "usr/bin/systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    return root.path / "asked"


def asked_of(noted: Path) -> list[str]:
    """What systemd had to do with the exporter, and the state of its configuration then."""
    lines = noted.read_text().splitlines()
    return [line.replace(f" {SERVICE}", "") for line in lines if f" {SERVICE} " in line]


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
    root.run("dpkg", "--purge", *NAMES)  # another test may have left them
    root.apt("install", "ansible-core", "python3-apt")
    noted = stand_in_for_systemd(root)
    source = root.path / "source"
    for part in ("deploy", "grafana/dashboards", "grafana/provisioning", "prometheus"):
        shutil.copytree(DEPLOY.parent / part, source / part)
    (source / "build" / "deb").mkdir(parents=True)
    for deb in debs:
        shutil.copy(deb, source / "build" / "deb")
    (root.path / "etc/grafana/provisioning").mkdir(parents=True)
    inventory: dict[str, Any] = {
        "all": {"vars": {"ansible_connection": "local"}},
        "gluster": {
            "hosts": {"localhost": None},
            "vars": {
                "glupy_node_config": {"collector.files.limit": 7, "privacy.hash-key": SECRET},
                "glupy_node_web_config": TLS,
                "glupy_node_web_files": {
                    "server.crt": "/source/x.crt",
                    "server.key": "/source/x.key",
                },
            },
        },
        "monitoring": {
            "hosts": {"localhost": None},
            "vars": {
                "glupy_monitoring_seeds": ["gluster1.example.org"],
                "glupy_monitoring_scheme": "https",
                "glupy_monitoring_http": {
                    "tls_config": {"ca_file": "/source/x.crt"},
                    "basic_auth": {"username": "prometheus", "password": SECRET},
                },
                "glupy_monitoring_alertmanagers": ["alerts.example.org:443"],
                "glupy_monitoring_alertmanager_scheme": "https",
                "glupy_monitoring_alertmanager_http": {
                    "tls_config": {"ca_file": "/source/x.crt"},
                },
                "glupy_monitoring_alertmanager_config": "/source/alertmanager.yml",
            },
        },
    }
    (source / "inventory.yml").write_text(yaml.safe_dump(inventory))
    play = ("ansible-playbook", "--diff", "--inventory=/source/inventory.yml")
    receiver = {"name": "team", "webhook_configs": [{"url": f"https://example.org/{SECRET}"}]}
    alerting = {"route": {"receiver": "team"}, "receivers": [receiver]}
    (source / "alertmanager.yml").write_text(yaml.safe_dump(alerting))
    for name in ("x.crt", "x.key"):
        (source / name).write_text(f"what is in it is the operator's matter: {SECRET}\n")
    first = root.run(*play, "/source/deploy/ansible/site.yml")
    assert re.search(r"changed=[1-9].* failed=0 ", first), first
    assert SECRET not in first
    # It never serves by its defaults.
    assert asked_of(noted) == ["start configured", "restart configured"]
    config = root.path / "etc/glupy-exporter/config.yml"
    web_config = "/etc/glupy-exporter/web.yml"
    assert yaml.safe_load(config.read_text()) == {
        "collector.files.limit": 7,
        "privacy.hash-key": SECRET,
        "web.config.file": web_config,
    }
    root.run("runuser", "-u", "glupy", "--", "test", "-r", "/etc/glupy-exporter/server.key")
    assert root.run("stat", "--format=%U:%G %a", f"{web_config}") == "root:glupy 640\n"
    assert yaml.safe_load((root.path / web_config[1:]).read_text()) == TLS
    scraping = yaml.safe_load((root.path / "etc/prometheus/prometheus.yml").read_text())
    (job,) = scraping["scrape_configs"]
    tls = {"ca_file": "/source/x.crt"}
    url = "https://gluster1.example.org:9714/sd"
    login = {"username": "prometheus", "password": SECRET}
    assert job["http_sd_configs"] == [{"url": url, "tls_config": tls, "basic_auth": login}]
    assert (job["scheme"], job["tls_config"]) == ("https", tls)
    (asked,) = scraping["alerting"]["alertmanagers"]
    targets = [{"targets": ["alerts.example.org:443"]}]
    assert asked == {"scheme": "https", "tls_config": tls, "static_configs": targets}
    root.run("promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    for name in ("prometheus.yml", "alertmanager.yml"):
        path = f"/etc/prometheus/{name}"
        assert SECRET in (root.path / path[1:]).read_text()
        assert root.run("stat", "--format=%U:%G %a", path) == "root:prometheus 640\n"
        root.run("runuser", "-u", "prometheus", "--", "test", "-r", path)
    assert (root.path / "var/lib/grafana/dashboards/glupy/cluster.json").exists()
    assert (root.path / "etc/grafana/provisioning/dashboards/glupy.yml").exists()

    again = root.run(*play, "/source/deploy/ansible/site.yml")
    assert re.search(r"changed=0 .* failed=0 ", again), again
    assert len(asked_of(noted)) == 2

    settings = inventory["gluster"]["vars"]["glupy_node_config"]
    settings["web.listen-address"] = "127.0.0.1:9714"  # which a reload does not change
    (source / "inventory.yml").write_text(yaml.safe_dump(inventory))
    root.run(*play, "/source/deploy/ansible/site.yml")
    assert asked_of(noted)[2:] == ["restart configured"]

    info = root.path / "var/lib/glusterd/vols/gv0/info"
    info.parent.mkdir(parents=True, exist_ok=True)
    info.write_text("user.xlator.glupy=sdfs\n")
    with pytest.raises(AssertionError, match="glupy-exporter xlator disable gv0"):
        root.run(*play, "/source/deploy/ansible/remove.yml")
    assert root.has("usr/bin/glupy-exporter")
    info.unlink()
    root.run(*play, "/source/deploy/ansible/remove.yml")
    assert not root.has("usr/bin/glupy-exporter")


def test_the_example_for_tls_is_what_prometheus_takes(tmp_path: Path, need: Need) -> None:
    need(shutil.which("promtool"), "promtool (Debian: prometheus)")
    text = (DEPLOY.parent / "docs" / "security.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    example = re.sub("# (cert_file|key_file)", r"\1", example)
    (tmp_path / "prometheus.yml").write_text(example)
    words = ["promtool", "check", "config", "--syntax-only", tmp_path / "prometheus.yml"]
    subprocess.run(words, check=True)
    shipped = yaml.safe_load((DEPLOY.parent / "prometheus/prometheus.yml").read_text())
    (job,) = yaml.safe_load(example)["scrape_configs"]
    assert job["job_name"] == shipped["scrape_configs"][0]["job_name"]
    for key in ("tls_config", "basic_auth"):
        assert job["http_sd_configs"][0][key].items() <= job[key].items()


def test_compose_fills_the_shipped_configuration_in(tmp_path: Path, need: Need) -> None:
    need(shutil.which("promtool"), "promtool (Debian: prometheus)")
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yml").read_text())
    shell, option, script = compose["services"]["prometheus"]["entrypoint"]
    made = tmp_path / "prometheus"
    script = script.replace("$$", "$").replace("/shipped", str(DEPLOY.parent / "prometheus"))
    script = script.replace("/tmp/prometheus", str(made))
    assert "exec /bin/prometheus --config.file=" in script
    script = re.sub(
        r"exec /bin/prometheus --config.file=(\S+) .*",
        r"promtool check config \1",
        script,
        flags=re.DOTALL,
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
