"""Writes the dashboards as JSON: ``python -m grafana``.

``dashboards`` has them for classic histograms, which every store has, and ``dashboards-native`` for
a Prometheus with native ones.
"""

from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path

from grafanalib._gen import DashboardEncoder

from grafana.blocks.form import Json
from prometheus import native

HERE = Path(__file__).parent


def for_native(dashboard: Json) -> Json:
    """A dashboard whose queries find both forms of histograms, and heat maps of native ones."""
    made = copy.deepcopy(dashboard)
    for panel in made["panels"]:
        for target in panel.get("targets", []):
            of_fops = panel["type"] == "heatmap" and native.METRIC in target["expr"]
            target["expr"] = (native.heatmap if of_fops else native.rendered)(target["expr"])
    return made


def write(home: Path) -> None:
    """Write all pages in both forms below a directory."""
    for source in sorted(HERE.glob("*.dashboard.py")):
        page = runpy.run_path(str(source))["dashboard"]
        classic = json.loads(json.dumps(page, cls=DashboardEncoder))
        for folder, made in (("dashboards", classic), ("dashboards-native", for_native(classic))):
            file = home / folder / source.name.replace(".dashboard.py", ".json")
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(made, sort_keys=True, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(HERE)
