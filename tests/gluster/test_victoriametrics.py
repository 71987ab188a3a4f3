"""What VictoriaMetrics answers of what Prometheus writes to it, next to Prometheus's own."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from deploy.demo import panels
from tests.gluster.test_alerts import DIRECT, fio, meanwhile
from tests.support.gluster.monitored import (
    SHIPPED,
    Prometheus,
    free_port,
    hurried,
    monitored,
    service,
)
from tests.support.gluster.volumes import volume, wait_for

Need = Callable[[object, str], None]
Answer = dict[frozenset[tuple[str, str]], float]

# Both look at the same samples, but work out differently what a counter did at the window's edges.
ESTIMATED = re.compile(r"\b(?:rate|increase|\w+_over_time)\(")


def expressions() -> set[str]:
    """All that dashboards and recording rules ask."""
    asked = {q.expression for q in panels.questions({})}
    groups = yaml.safe_load((SHIPPED / "rules" / "recording.yml").read_text())["groups"]
    asked |= {rule["expr"] for group in groups for rule in group["rules"]}
    # A window that is longer than there are data ends where each store thinks best, and where two
    # are equal either may be the last of the busiest.
    return {re.sub(r"topk\(\d+,", "topk(1000,", hurried(expression)) for expression in asked}


def answer(store: Prometheus, expression: str, at: float) -> Answer:
    found = store.query(expression, time=f"{at:.3f}")
    # Prometheus shows that a number is none, VictoriaMetrics leaves it out.
    return {frozenset(labels.items()): value for labels, value in found if not math.isnan(value)}


def differs(expression: str, prometheus: Answer, victoria: Answer) -> bool:
    if "> 0 or on ()" in expression:
        # VictoriaMetrics puts what is right of `or` in place of the numbers that a comparison took
        # out, and so shows a line at 0 for them.
        victoria = {k: v for k, v in victoria.items() if v or k in prometheus}
        prometheus = {k: v for k, v in prometheus.items() if v or k in victoria}
    if prometheus.keys() != victoria.keys():
        return True
    relative, absolute = (0.3, 0.5) if ESTIMATED.search(expression) else (1e-6, 1e-9)
    if "time()" in expression:  # of which a double has no more than microseconds
        absolute = max(absolute, 1e-3)
    return not all(
        math.isclose(prometheus[key], victoria[key], rel_tol=relative, abs_tol=absolute)
        for key in prometheus
    )


def test_the_same_answers(xlator: None, tmp_path: Path, need: Need) -> None:
    need(shutil.which("prometheus"), "prometheus")
    need(shutil.which("victoria-metrics"), "victoria-metrics (Debian: victoria-metrics)")
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}"
    command = [
        "victoria-metrics",
        f"-storageDataPath={tmp_path / 'victoria'}",
        f"-httpListenAddr={address}",
        "-search.latencyOffset=0s",
        "-loggerLevel=ERROR",
    ]
    write = [{"url": f"{url}/api/v1/write", "queue_config": {"batch_send_deadline": "1s"}}]
    victoria = Prometheus(url)
    home = tmp_path / "prometheus"
    home.mkdir()
    with (
        service([shutil.which(command[0]) or "", *command[1:]], url, "/health"),
        monitored(home, remote_write=write) as (prometheus, _),
        volume("replica", "2", bricks=4) as subject,
        subject.mount(DIRECT) as mount,
    ):
        (mount / "work").mkdir()
        options = (f"--directory={mount}/work", "--nrfiles=20", "--filesize=256k", "--rw=randrw")
        with meanwhile(lambda: fio(*options, "--bs=16k", "--runtime=5", "--time_based")):
            of_volume = f'{{volume="{subject.name}"}}'
            wait_for(
                lambda: prometheus.query(
                    f"count_over_time(cluster_volume_kind:glupy_fops:rate5m{of_volume}[20s]) > 15"
                ),
                "the load to be steady",
                60,
            )
            at = time.time()
            wait_for(
                lambda: victoria.query(f"min(timestamp(glupy_brick_up{of_volume})) > {at}"),
                "VictoriaMetrics to have it all",
            )
        at -= 2
        asked = expressions()
        answered = [e for e in asked if answer(prometheus, e, at)]
        assert len(answered) > 0.8 * len(asked)
        # A load is never so steady that all estimates agree at one moment.
        wrong = {}
        for expression in asked:
            for moment in (at, at - 3, at - 6):
                mine, other = (answer(each, expression, moment) for each in (prometheus, victoria))
                if not differs(expression, mine, other):
                    break
            else:
                wrong[expression] = mine, other
    for expression, (mine, other) in wrong.items():
        print(f"{expression}\n  Prometheus      {mine}\n  VictoriaMetrics {other}")
    assert not wrong, f"{len(wrong)} of {len(asked)} queries have another answer"
