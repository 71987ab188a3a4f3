"""The settings of the web server, and the paths at which it answers whatever they are."""

from __future__ import annotations

import re
from typing import Any

from glupy_exporter import values
from glupy_exporter.values import Setting, Settings

API_PATH = "/api/"
HEALTHY_PATH = "/-/healthy"
READY_PATH = "/-/ready"
SD_PATH = "/sd"


def _free_path(value: Any) -> str:
    path = values.text(value)
    taken = path in (HEALTHY_PATH, READY_PATH, SD_PATH) or path.startswith(API_PATH)
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path) or taken:
        raise values.expected("a path like /metrics", value)
    return path


SETTINGS: Settings = {
    "web.listen-address": Setting(
        values.addresses,
        [":9714"],
        "address to listen on; without a host, every IPv4 and IPv6 address. May be repeated (a "
        "list in the file)",
        "HOST:PORT",
    ),
    "web.systemd-socket": Setting(
        values.switch,
        False,
        "serve only on sockets that systemd hands over; even without this setting, such "
        "sockets replace the addresses",
    ),
    "web.telemetry-path": Setting(_free_path, "/metrics", "path of the metrics", "PATH"),
    "web.api": Setting(
        values.switch,
        True,
        "serve the whole tables of files, clients and single fops at /api/v1, except a table "
        "whose collector is off",
    ),
    "web.host-name": Setting(
        values.several(values.host_name),
        [],
        "answer only requests to this host: a name or address, as in the client's URL; without "
        "this setting, requests to any host. May be repeated (a list in the file)",
        "NAME",
    ),
    "web.config.file": Setting(
        values.file,
        "",
        "YAML file with TLS, users, headers and a rate limit, in the format of Prometheus's "
        "web configuration",
        "FILE",
    ),
}
