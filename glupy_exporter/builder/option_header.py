"""Renders ``option_table.h``, which ``options.c`` works by, from ``option_table``."""

from __future__ import annotations

from glupy_exporter.builder.codegen import quoted
from glupy_exporter.schema.option_table import OPTIONS, Option

_C_TYPES = {
    "switch": "bool ",
    "choice": "uint32_t ",
    "number": "uint32_t ",
    "slots": "uint32_t ",
    "directory": "char *",
}


def _member(option: Option) -> str:
    return option.key.replace("-", "_")


def _row(option: Option) -> str:
    choices = " ".join(f'"{choice}\\0"' for choice in option.choices) or '""'
    texts = map(quoted, (option.key, option.default))
    more = map(quoted, (option.expected, option.description))
    values = [_member(option), option.kind.upper(), *texts]
    return ", ".join([*values, f"{option.least}", f"{option.most}", choices, *more])


def render() -> str:
    """The text of ``option_table.h``."""
    lines = [
        "/* Rendered from glupy_exporter/schema/option_table.py: change that, not this. */",
        "#ifndef GLUPY_OPTION_TABLE_H",
        "#define GLUPY_OPTION_TABLE_H",
        "",
        "#include <stdbool.h>",
        "#include <stdint.h>",
        "",
        "struct glupy_options {",
        *(f"    {_C_TYPES[option.kind]}{_member(option)};" for option in OPTIONS),
        "};",
        "",
    ]
    for option in OPTIONS:
        for index, choice in enumerate(option.choices):
            name = f"GLUPY_{_member(option)}_{choice}".upper()
            lines.append(f"#define {name} {index}U")
    lines += [
        "",
        "/* OPTION(member, kind, key, default, least, most, choices, expected, description) */",
        "#define GLUPY_OPTIONS(OPTION) \\",
        *(f"    OPTION({_row(option)}) \\" for option in OPTIONS),
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)
