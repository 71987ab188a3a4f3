"""Writes the C that the translator harness needs for every fop of the installed headers.

Usage: ``python -m tests.native.generate INCLUDE_DIRECTORY OUTPUT_FILE``
"""

from __future__ import annotations

import sys
from pathlib import Path

from glupy_exporter.builder import codegen

_REPLIES = {"struct iatt *buf": "&reply_iatt", "inode_t *inode": "&test_inode"}
_ARGUMENTS = {
    "loc_t *": "&test_loc",
    "fd_t *": "&test_fd",
    "struct iovec *vector": "&test_vector",
    "int32_t count": "1",
    "dict_t *xdata": "test_xdata",
}

_FOP = """\
static int32_t
null_{member}({wind})
{{
    {unused_wind}
    seen_by_child(frame, xdata);
    STACK_UNWIND_STRICT({member}, frame, reply_ret, reply_errno{reply});
    return 0;
}}

static int32_t
driver_{member}_cbk({unwind})
{{
    {unused_unwind}
    seen_by_caller(frame, op_ret, op_errno, xdata, "{member}");
    return 0;
}}

static void
drive_{member}(call_frame_t *frame, xlator_t *xl)
{{
    STACK_WIND(frame, driver_{member}_cbk, xl, xl->fops->{member}{arguments});
}}

"""


def _value(declaration: str, table: dict[str, str]) -> str:
    return next((value for start, value in table.items() if declaration.startswith(start)), "0")


def _unused(parameters: list[tuple[str, str]], used: set[str]) -> str:
    return " ".join(f"(void){name};" for _, name in parameters if name not in used)


def render(fops: list[codegen.Fop]) -> str:
    """A child and a caller for each of ``fops``, and a table of them."""
    parts = []
    for fop in fops:
        wind, unwind = fop.wind.parameters, fop.unwind.parameters
        xdata = {"dict_t *xdata": "test_xdata"}
        parts.append(
            _FOP.format(
                member=fop.member,
                wind=fop.wind.declarations(),
                unwind=fop.unwind.declarations(),
                unused_wind=_unused(wind, {"frame", "xdata"}),
                unused_unwind=_unused(unwind, {"frame", "op_ret", "op_errno", "xdata"}),
                reply="".join(", " + _value(d, _REPLIES | xdata) for d, _ in unwind[5:]),
                arguments="".join(", " + _value(d, _ARGUMENTS) for d, _ in wind[2:]),
            )
        )
    parts.append("static struct xlator_fops null_fops = {\n")
    parts += [f"    .{fop.member} = null_{fop.member},\n" for fop in fops]
    parts.append("};\n\nstatic const struct {\n    const char *name;\n")
    parts.append("    void (*drive)(call_frame_t *, xlator_t *);\n} drivers[] = {\n")
    parts += [f'    {{"{fop.enum.lower()}", drive_{fop.member}}},\n' for fop in fops]
    parts.append("};\n")
    return "".join(parts)


def main() -> None:
    include, output = Path(sys.argv[1]), Path(sys.argv[2])
    enum = codegen.parse_enum(codegen.Source.read(include / "glusterfs-fops.h"))
    fops = codegen.parse_fops(codegen.Source.read(include / "xlator.h"), enum)
    output.write_text(render(fops), encoding="utf-8")


if __name__ == "__main__":
    main()
