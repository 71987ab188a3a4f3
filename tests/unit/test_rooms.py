"""Imports run one way: what a room of the package may know of the others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import glupy_exporter

PACKAGE = Path(glupy_exporter.__file__).parent
TOOLS = {
    "atomic",
    "commands",
    "errors",
    "interrupts",
    "log",
    "output",
    "systemd",
    "values",
    "yamlfile",
}
"""Modules that know nothing of what the exporter is about."""

MAY_IMPORT = {
    **dict.fromkeys(sorted(TOOLS), TOOLS),
    "schema": set(),
    "segment": {"schema"},
    "core": set(),
    "builder": {*TOOLS, "core", "schema"},
    "node": {*TOOLS, "schema", "segment"},
    "state": {*TOOLS, "node", "schema", "segment"},
    "probes": {*TOOLS, "node", "schema", "segment"},
    "metrics": {*TOOLS, "node", "probes", "schema", "segment"},
    "top.text": set(),
    "top": {*TOOLS, "node", "schema", "segment", "top.text"},
    "trace": {*TOOLS, "node", "probes", "schema", "segment", "top.text"},
    "operate": {*TOOLS, "builder", "node", "schema", "segment"},
    "web.settings": TOOLS,
    "config": {*TOOLS, "metrics", "node", "probes", "schema", "web.settings"},
    "web.toolkit": TOOLS,
    "web": {
        *TOOLS,
        *("config", "metrics", "node", "schema", "segment", "web.settings", "web.toolkit"),
    },
    "reference": {*TOOLS, "config", "schema"},
}
"""By room; ``cli`` may import all."""


def room(module: str) -> str:
    """The room of a module of the package: its folder, or the module itself."""
    first, _, rest = module.partition(".")
    inner = f"{first}.{rest.split('.')[0]}"
    return inner if inner in MAY_IMPORT else first


def imports() -> Iterator[tuple[str, str]]:
    """Each module of the package with each module or name of the package that it imports."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
                where = (node.module or "")[len(PACKAGE.name) + 1 :]
                for alias in node.names:
                    yield module, f"{where}.{alias.name}".lstrip(".")


@pytest.mark.parametrize("name", [*MAY_IMPORT])
def test_a_room_imports_only_what_is_below_it(name: str) -> None:
    found = {
        (module, target)
        for module, target in imports()
        if room(module) == name and room(target) not in {*MAY_IMPORT[name], name, "__version__"}
    }
    assert not found


def test_every_room_is_named() -> None:
    assert {room(module) for module, _ in imports()} <= {*MAY_IMPORT, "cli", "entry"}
