"""Reads a YAML file of settings strictly: a duplicate key, which YAML accepts, is an error."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from glupy_exporter.errors import UserError

SIZE_MAX = 1 << 20
"""The most bytes of a file, and characters of its content with every alias written out."""

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
                raise _Error(f"the key {shown}is not a text: put it in quotes", key)
            if key.value in seen:
                raise _Error(f"found {key.value!r:.60} twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _check_size(node: yaml.Node, sizes: dict[yaml.Node, int | None]) -> int:
    """The size of the node's content; an alias counts as much as the node it stands for, since
    whatever prints or walks the content meets that node again.
    """
    if node in sizes:
        size = sizes[node]
        if size is None:
            raise _Error("the value with this anchor contains itself", node)
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
        raise _Error("this value is too large with all its aliases written out", node)
    sizes[node] = size
    return size


def read(path: Path, what: str) -> Any:
    """The content of the file, in which every key is a text and is there once.

    Messages call the file ``what``.

    Raises:
        UserError: the file cannot be read, is not YAML, has a key twice or a key that is not a
            text, or holds more than :data:`SIZE_MAX`.
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
    # PyYAML also lets Python's own errors through, as for a date in month 0 or endless nesting.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{what} {path} is not valid YAML: {problem}") from error
