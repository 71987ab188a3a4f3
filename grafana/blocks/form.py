"""Panels and queries with only the keys that Grafana 9 to 12 read.

grafanalib 0.7 has no panel with field options, and writes keys of Grafana 4 to 8.
"""

from __future__ import annotations

from typing import Any

import attr
from grafanalib import core

Json = dict[str, Any]

# The version of Grafana 9.0; newer ones migrate dashboards themselves.
SCHEMA_VERSION = 36
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OBSOLETE = {
    *("__inputs", "gnetId", "hideControls", "id", "rows", "sharedCrosshair", "style"),
    *("timepicker", "version"),
}


@attr.s(auto_attribs=True, kw_only=True)
class Query(core.Target):
    """One PromQL expression, for a graph or, `instant`, for the rows of a table.

    With `exemplar`, single fops stand in the graph as points.
    """

    exemplar: bool = False

    def to_json_data(self) -> Json:
        """The JSON that Grafana 9 to 12 read."""
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            **({"exemplar": True} if self.exemplar else {}),
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legendFormat,
            "range": not self.instant,
            "refId": self.refId,
        }


@attr.s(auto_attribs=True, kw_only=True)
class Panel(core.Panel):
    """A panel of any type, also the heading of a row.

    `defaults` and `overrides` are its field configuration. `more` has keys of some types only.
    """

    type: str
    options: Json = attr.Factory(dict)
    defaults: Json = attr.Factory(dict)
    overrides: list[Json] = attr.Factory(list)
    more: Json = attr.Factory(dict)

    def to_json_data(self) -> Json:
        """The JSON that Grafana 9 to 12 read."""
        names = ("description", "gridPos", "id", "targets", "title", "transformations", "type")
        said = {name: getattr(self, name) for name in names}
        if self.type != "row":
            said["options"] = self.options
        if self.targets:
            field = {"defaults": self.defaults, "overrides": self.overrides}
            said |= {"datasource": DATASOURCE, "fieldConfig": field}
        return {**{key: value for key, value in said.items() if value}, **self.more}


class Dashboard(core.Dashboard):
    """A whole dashboard."""

    def to_json_data(self) -> Json:
        """The JSON that Grafana 9 to 12 read."""
        said = super().to_json_data()
        return {key: value for key, value in said.items() if key not in _OBSOLETE}
