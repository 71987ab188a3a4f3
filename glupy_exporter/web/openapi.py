"""The OpenAPI document, which says how to ask for the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

from glupy_exporter import __version__
from glupy_exporter.web.resources import PREFIX, Resource, Schema

PATH = f"{PREFIX}openapi.json"


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _operation(resource: Resource) -> Schema:
    row = {"type": "array", "items": {"$ref": f"#/components/schemas/{resource.name}"}}
    problems = {"type": "array", "items": {"$ref": "#/components/schemas/problem"}}
    body = _object(
        {
            "matched": {
                "type": "integer",
                "description": "Rows that match, whatever the limit.",
            },
            resource.name: row,
            "problems": problems,
        }
    )
    failures = {
        "400": "A parameter is wrong.",
        "404": "The table is switched off.",
        "503": "Too many requests are waiting.",
    }
    return {
        "operationId": f"list_{resource.name}",
        "summary": resource.help,
        "parameters": [
            {
                "name": parameter.name,
                "in": "query",
                "description": parameter.help,
                "schema": parameter.schema,
            }
            for parameter in resource.parameters
        ],
        "responses": {
            "200": {"description": "The rows.", **_content(body)},
            **{
                status: {"description": text, **_content({"$ref": "#/components/schemas/error"})}
                for status, text in failures.items()
            },
        },
    }


def render(resources: Sequence[Resource]) -> bytes:
    """The OpenAPI document of these tables, as JSON in ASCII."""
    text = {"type": "string"}
    schemas = {
        resource.name: _object({column.name: column.schema for column in resource.columns})
        for resource in resources
    }
    schemas["problem"] = {
        "description": "A segment that could not be read: its brick lacks some or all rows.",
        **_object({"segment": text, "reason": text, "message": text}),
    }
    schemas["error"] = _object({"error": text})
    document = {
        "openapi": "3.1.0",
        "info": {"title": "glupy-exporter", "version": __version__},
        # Relative to the document's own address, as a proxy may serve it below a path of its own.
        "servers": [{"url": "../.."}],
        "paths": {resource.path: {"get": _operation(resource)} for resource in resources},
        "components": {"schemas": schemas},
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"
