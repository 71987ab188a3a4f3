"""grafanalib's classes with the JSON that Grafana 9 to 12 read.

grafanalib 0.7 also writes keys of Grafana 4 to 8, which newer ones migrate or overlook: a gauge's
`fieldOptions`, a heatmap's `cards`, a query's `intervalFactor`. The classes here write only what is
of today, so that what is committed is what Grafana uses.
"""

from __future__ import annotations

from typing import Any

import attr
from grafanalib import core

# That of Grafana 9.0; newer ones migrate it themselves.
SCHEMA_VERSION = 36

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


def _said(json: Json) -> Json:
    """`json` without what is left to Grafana."""
    return {key: value for key, value in json.items() if value is not None}


@attr.s(auto_attribs=True, kw_only=True)
class Query(core.Target):
    """One PromQL expression, for a graph or, `instant`, for the rows of a table."""

    def to_json_data(self) -> Json:
        """Return today's JSON."""
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legendFormat,
            "range": not self.instant,
            "refId": self.refId,
        }


@attr.s(auto_attribs=True, kw_only=True)
class Variable(core.Template):
    """A selector of a dashboard: the data source, or any number of values of a label."""

    def to_json_data(self) -> Json:
        """Return today's JSON."""
        said = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "hide": self.hide,
        }
        if self.type == "datasource":
            return {**said, "query": self.query, "refresh": self.refresh}
        return {
            **said,
            "allValue": self.allValue,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "datasource": DATASOURCE,
            "definition": self.query,
            "includeAll": True,
            "multi": True,
            "query": {"query": self.query, "refId": "StandardVariableQuery"},
            "refresh": self.refresh,
            "sort": self.sort,
        }


@attr.s(auto_attribs=True, kw_only=True)
class Panel(core.Panel):
    """A panel of any type; `defaults` and `overrides` are its field configuration."""

    type: str
    options: Json
    defaults: Json
    overrides: list[Json] = attr.Factory(list)

    def to_json_data(self) -> Json:
        """Return today's JSON."""
        return _said(
            {
                "datasource": DATASOURCE,
                "description": self.description,
                "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
                "gridPos": self.gridPos,
                "id": self.id,
                "options": self.options,
                "targets": self.targets,
                "title": self.title,
                "transformations": self.transformations or None,
                "type": self.type,
            }
        )


@attr.s(auto_attribs=True, kw_only=True)
class Heading(core.RowPanel):
    """The line above a row of panels, which folds them away."""

    def to_json_data(self) -> Json:
        """Return today's JSON."""
        return {
            "collapsed": False,
            "gridPos": self.gridPos,
            "id": self.id,
            "panels": [],
            "title": self.title,
            "type": "row",
        }


@attr.s(auto_attribs=True, kw_only=True)
class Dashboard(core.Dashboard):
    """A whole dashboard."""

    def to_json_data(self) -> Json:
        """Return today's JSON."""
        return {
            "annotations": self.annotations,
            "description": self.description,
            "editable": True,
            "graphTooltip": core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
            "links": self.links,
            "panels": self.panels,
            "refresh": self.refresh,
            "schemaVersion": SCHEMA_VERSION,
            "tags": self.tags,
            "templating": self.templating,
            "time": self.time,
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
        }
