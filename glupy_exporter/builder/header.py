"""Renders ``layout.h`` from the schema, with a static assertion on every size and offset."""

from __future__ import annotations

import ctypes
import re
from typing import Any

from glupy_exporter.schema import layout

_C_TYPES: dict[Any, str] = {
    ctypes.c_char: "char",
    ctypes.c_uint8: "uint8_t",
    ctypes.c_uint16: "uint16_t",
    ctypes.c_uint32: "uint32_t",
    ctypes.c_int32: "int32_t",
    ctypes.c_uint64: "uint64_t",
}


def _tag(structure: type[ctypes.Structure]) -> str:
    """``FopCell`` -> ``glupy_fop_cell``."""
    return "glupy" + re.sub(r"([A-Z])", r"_\1", structure.__name__).lower()


def _declaration(name: str, kind: Any) -> str:
    if issubclass(kind, ctypes.Array):
        return f"{_C_TYPES[kind._type_]} {name}[{kind._length_}];"
    return f"{_C_TYPES[kind]} {name};"


def _structure(structure: type[ctypes.Structure]) -> list[str]:
    tag = _tag(structure)
    lines = [f"struct {tag} {{"]
    lines += [f"    {_declaration(field[0], field[1])}" for field in structure._fields_]
    lines += ["};", f'_Static_assert(sizeof(struct {tag}) == {ctypes.sizeof(structure)}, "size");']
    for field in structure._fields_:
        offset = getattr(structure, field[0]).offset
        lines.append(f'_Static_assert(offsetof(struct {tag}, {field[0]}) == {offset}, "offset");')
    return [*lines, ""]


def _type(element: Any) -> str:
    return _C_TYPES[element] if element in _C_TYPES else f"struct {_tag(element)}"


def _tables() -> list[str]:
    """The tables as a macro that calls its argument, a macro too, for each table.

    The number of elements is an expression of ``shape``, a ``const struct glupy_shape *``.
    """
    lines = ["struct glupy_shape {"]
    lines += [f"    uint64_t {name};" for name in layout.DIMENSIONS]
    lines += ["};", "", "/* TABLE(name, type of an element, number of elements) */"]
    rows = ["#define GLUPY_TABLES(TABLE)"]
    for table in layout.TABLES:
        count = " * ".join(
            f"shape->{each}" if isinstance(each, str) else str(each) for each in table.shape
        )
        rows.append(f"    TABLE({table.name}, {_type(table.element)}, {count or 1})")
    return [*lines, " \\\n".join(rows), ""]


def _constants() -> dict[str, int]:
    """Every integer constant of ``layout``, and the lengths of its name tuples."""
    constants = {
        name: value
        for name, value in vars(layout).items()
        if name.isupper() and isinstance(value, int)
    }
    constants["KINDS"] = len(layout.KINDS)
    constants["CAUSES"] = len(layout.CAUSES)
    constants["DIRECTIONS"] = len(layout.DIRECTIONS)
    constants["ORIGINS"] = len(layout.ORIGINS)
    constants["TABLE_COUNT"] = len(layout.TABLES)
    return constants


def render() -> str:
    """The text of ``layout.h``."""
    lines = [
        "/* Rendered from glupy_exporter/schema/: change that, not this. */",
        "#ifndef GLUPY_LAYOUT_H",
        "#define GLUPY_LAYOUT_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
    ]
    lines += [f"#define GLUPY_{name} {value:#x}UL" for name, value in _constants().items()]
    lines.append("")
    for structure in layout.STRUCTURES:
        lines += _structure(structure)
    lines += _tables()
    lines += ["#endif", ""]
    return "\n".join(lines)
