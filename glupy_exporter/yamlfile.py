"""A file of settings in YAML, read strictly: what YAML would pass over is a mistake here."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from glupy_exporter.errors import UserError

SIZE_MAX = 1 << 20
"""Bytes of a file, and characters of what it holds once every alias is written out."""

_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


class _Error(yaml.MarkedYAMLError):
    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem=problem)
        self.line = node.start_mark.line + 1


class _Loader(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _check_size(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if key.tag != _TEXT:
                shown = f"{key.value!r:.60} " if isinstance(key, yaml.ScalarNode) else ""
                raise _Error(f"the key {shown}is no text, or needs quotes", key)
            if key.value in seen:
                raise _Error(f"found {key.value!r:.60} twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _check_size(node: yaml.Node, sizes: dict[yaml.Node, int | None]) -> int:
    """How much the node holds; an alias counts as what it stands for, since all that shows or walks
    it takes it for that."""
    if node in sizes:
        size = sizes[node]
        if size is None:
            raise _Error("what is named here holds itself", node)
        return size
    sizes[node] = None
    size = 1
    if isinstance(node, yaml.ScalarNode):
        size += len(node.value)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_size(item, sizes) for item in node.value)
    else:
        size += sum(_check_size(item, sizes) for pair in node.value for item in pair)
    if size > SIZE_MAX:
        raise _Error("what stands here is too large with all its aliases written out", node)
    sizes[node] = size
    return size


def read(path: Path, what: str) -> Any:
    """What the file holds, which messages call ``what``; all keys are texts, each is there once.

    Raises:
        UserError: it cannot be read, is not YAML, has a key twice or one that is no text, or holds
            more than :data:`SIZE_MAX`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_MAX + 1)
        if len(content) > SIZE_MAX:
            raise UserError(f"{what} {path} has more than {SIZE_MAX} bytes")
        return yaml.load(content, _Loader)
    except OSError as error:
        raise UserError(f"cannot read {what} {path}: {error.strerror}") from error
    except _Error as error:
        raise UserError(f"{what} {path}, line {error.line}: {error.problem}") from error
    # Besides its own errors PyYAML passes on what Python says to a date in month 0 or to nesting
    # without end.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{what} {path} is not valid YAML: {problem}") from error
