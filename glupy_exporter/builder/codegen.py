"""Generates ``fops.inc``, one wrapper a fop, from the installed GlusterFS headers.

``xlator.h`` says which fops there are (``struct xlator_fops``) and their signatures (the
``fop_*_t`` and ``fop_*_cbk_t`` types); ``glusterfs-fops.h`` has the enum that numbers them. What
this module does not understand is an error that names the line: no fop may go missing in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glupy_exporter.errors import UserError
from glupy_exporter.schema.quantities import FOPS_OF_CLASS, FOPS_OF_KIND

NOT_WRAPPED = {
    "getspec": "glusterd answers it before any brick's graph is asked",
    "compound": "left over in the header, no GlusterFS since 4.0 sends it",
}
"""Members of ``struct xlator_fops`` without a wrapper; libglusterfs passes them on by itself."""

_FILE_ARGUMENT = {"copy_file_range": "fd_out"}
"""The argument that names the file, where it is not the first ``loc_t`` or ``fd_t``."""

_NOTES = {
    "put": "note_bytes(frame, iov_length(vector, count))",
    "rename": "note_replaced(frame, segment, newloc)",
    "flush": "glupy_note_flush(segment, frame, fd)",
    "getxattr": "note_clearing(frame, segment, loc, name)",
}
"""The C call by which a fop keeps what is needed of its arguments until its reply."""

_REPLIES = {
    "getxattr": "note_cleared(frame, cookie, this, op_ret, dict)",
}
"""The C call that looks at a reply, before the fop is counted as ended."""

_LOCKS = {
    "lk": "glupy_asked_lk(fd, cmd, flock)",
    "inodelk": "glupy_asked_inodelk(volume, cmd, flock)",
    "finodelk": "glupy_asked_inodelk(volume, cmd, flock)",
    "entrylk": "glupy_asked_entrylk(volume, basename, cmd, type)",
    "fentrylk": "glupy_asked_entrylk(volume, basename, cmd, type)",
    "lease": "glupy_asked_lease(lease)",
}
"""The C expression for what a fop about a lock asks for."""

_OFFSETS = ("offset", "off_out")
_SIZES = ("size", "len")
"""Parameters that say where and how much a fop reads, writes or changes."""

_ENUM_NAME = {"readv": "READ", "writev": "WRITE"}
_WIND = ["call_frame_t *frame", "xlator_t *this"]
_UNWIND = [
    "call_frame_t *frame",
    "void *cookie",
    "xlator_t *this",
    "int32_t op_ret",
    "int32_t op_errno",
]
_TYPEDEF = re.compile(r"typedef\s+int32_t\s*\(\s*\*\s*(fop_\w+_t)\s*\)\s*\(([^;]*)\)\s*;")
_MEMBER = re.compile(r"(fop_\w+_t)\s+(\w+)")
_PLACEHOLDER = re.compile(r"void \*\w+_placeholder(_cbk)?")
_PARAMETER = re.compile(r"(?:const )?(?:struct |enum )?\w+(?: \*| )(\w+)")
_ENUMERATOR = re.compile(r"GF_FOP_(\w+)\s*=\s*(?:0 \+ )?(\d+)")


@dataclass(frozen=True)
class Source:
    """A header, in which comments are blanked out so that line numbers stay."""

    path: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read the header at ``path``. Raises UserError if that fails."""
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; install the headers") from error
        return cls(str(path), text).without_comments()

    def without_comments(self) -> Source:
        """The same source with every comment blanked out."""
        blank = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
        return Source(self.path, blank.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), self.text))

    def error(self, offset: int, what: str) -> UserError:
        """An error about the line that ``offset`` is in."""
        line = self.text.count("\n", 0, offset) + 1
        return UserError(f"{self.path}:{line}: {what}; this GlusterFS is not supported yet")

    def body(self, opening: str) -> tuple[int, str]:
        """Offset and text between the braces that follow ``opening``."""
        start = self.text.find(opening)
        end = self.text.find("}", start)
        if start < 0 or end < 0:
            raise self.error(0, f"no '{opening}' found")
        start += len(opening)
        return start, self.text[start:end]


@dataclass(frozen=True)
class Signature:
    """The parameters of one function type, as ``(declaration, name)``."""

    parameters: list[tuple[str, str]]

    def names(self, skip: int) -> str:
        """The parameters' names after the first ``skip``, as call arguments."""
        return "".join(f", {name}" for _, name in self.parameters[skip:])

    def declarations(self) -> str:
        """The parameters as a function declares them."""
        return ", ".join(declaration for declaration, _ in self.parameters)


@dataclass(frozen=True)
class Fop:
    """One fop to wrap: its member in ``struct xlator_fops`` and its enum name without prefix."""

    member: str
    enum: str
    wind: Signature
    unwind: Signature

    @property
    def kind(self) -> str:
        """The C name of the kind under which files and clients count it."""
        name = self.enum.lower()
        kinds = (kind for kind, fops in FOPS_OF_KIND.items() if name in fops)
        return f"GLUPY_{next(kinds, 'metadata').upper()}"

    @property
    def file(self) -> str:
        """C expression for the gfid that the arguments name."""
        chosen = _FILE_ARGUMENT.get(self.member)
        for declaration, name in self.wind.parameters:
            if chosen in (None, name) and declaration.startswith(("loc_t *", "fd_t *")):
                return f"{declaration.split('_t')[0]}_file({name})"
        return "no_file()"

    @property
    def asked(self) -> str:
        """C expression for the arguments that the recorder keeps."""
        if self.member in _LOCKS:
            return _LOCKS[self.member]
        names = [name for _, name in self.wind.parameters]
        offset = next((name for name in names if name in _OFFSETS), "0")
        size = next((name for name in names if name in _SIZES), "0")
        if "vector" in names:
            size = "iov_length(vector, count)"
        data = f"asked_data({offset}, {size})"
        for declaration, name in self.wind.parameters:
            if declaration.startswith("loc_t *"):
                return f"asked_entry({name}, {data})"
        return data

    @property
    def note(self) -> str:
        """C statement with the call in :data:`_NOTES`, empty if there is none."""
        return f"\n        {_NOTES[self.member]};" if self.member in _NOTES else ""

    @property
    def reply_note(self) -> str:
        """C statement with the call in :data:`_REPLIES`, empty if there is none."""
        return f"\n    {_REPLIES[self.member]};" if self.member in _REPLIES else ""

    @property
    def reply_file(self) -> str:
        """C expression for the file that the reply describes, ``no_file()`` if it is not needed.

        It is needed where a fop makes or finds an inode, and for the type of a renamed one.
        """
        declarations = [declaration for declaration, _ in self.unwind.parameters]
        found = "inode_t *inode" in declarations or self.member == "rename"
        return "iatt_file(buf)" if found and "struct iatt *buf" in declarations else "no_file()"


def _statements(start: int, body: str, separator: str) -> Iterator[tuple[int, str]]:
    """Offset and text of every statement of a struct's or enum's body, blanks folded."""
    offset = start
    for statement in body.split(separator):
        text = " ".join(statement.split())
        if text:
            yield offset + len(statement) - len(statement.lstrip()), text
        offset += len(statement) + 1


def _signature(source: Source, match: re.Match[str], prefix: list[str]) -> Signature:
    parameters = []
    for parameter in " ".join(match[2].split()).split(", "):
        parsed = _PARAMETER.fullmatch(parameter)
        if not parsed:
            raise source.error(match.start(), f"cannot parse parameter '{parameter}' of {match[1]}")
        parameters.append((parameter, parsed[1]))
    if [declaration for declaration, _ in parameters[: len(prefix)]] != prefix:
        raise source.error(match.start(), f"{match[1]} does not start with {', '.join(prefix)}")
    return Signature(parameters)


def parse_enum(source: Source) -> dict[str, int]:
    """The fop enum of ``glusterfs-fops.h``: ``{"READ": 12, ...}`` without NULL and MAXVALUE."""
    start, body = source.body("enum glusterfs_fop_t {")
    numbers = {}
    for offset, text in _statements(start, body, ","):
        match = _ENUMERATOR.fullmatch(text)
        if not match:
            raise source.error(offset, f"cannot parse enumerator '{text}'")
        numbers[match[1]] = int(match[2])
    maximum = numbers.pop("MAXVALUE", 0)
    if sorted(numbers.values()) != list(range(maximum)) or numbers.pop("NULL", None) != 0:
        raise source.error(start, "the fop enum has gaps")
    return numbers


def parse_fops(source: Source, enum: dict[str, int]) -> list[Fop]:
    """Every fop of ``xlator.h`` that needs a wrapper.

    Raises:
        UserError: the header has something that is not understood; names file and line.
    """
    types = {match[1]: match for match in _TYPEDEF.finditer(source.text)}
    start, body = source.body("struct xlator_fops {")
    members: dict[str, tuple[int, str]] = {}
    for offset, text in _statements(start, body, ";"):
        match = _MEMBER.fullmatch(text)
        if not match and not _PLACEHOLDER.fullmatch(text):
            raise source.error(offset, f"cannot parse member '{text}' of struct xlator_fops")
        if match:
            members[match[2]] = (offset, match[1])
    fops = []
    for member, (offset, kind) in members.items():
        if member.endswith("_cbk") or member in NOT_WRAPPED:
            continue
        callback = members.get(f"{member}_cbk", (0, ""))[1]
        name = _ENUM_NAME.get(member, member.upper())
        for wanted in (kind, callback):
            if wanted not in types:
                raise source.error(offset, f"fop '{member}' has no type '{wanted or 'callback'}'")
        if name not in enum:
            raise source.error(offset, f"fop '{member}' has no GF_FOP_{name}")
        fops.append(
            Fop(
                member,
                name,
                _signature(source, types[kind], _WIND),
                _signature(source, types[callback], _UNWIND),
            )
        )
    unwrapped = set(enum) - {fop.enum for fop in fops}
    expected = {name.upper() for name in NOT_WRAPPED} | {"FORGET", "RELEASE", "RELEASEDIR"}
    if unwrapped - expected:
        missing = ", ".join(sorted(unwrapped - expected))
        raise source.error(start, f"struct xlator_fops lacks {missing}")
    return fops


_WRAPPER = """\
static int32_t
glupy_{member}_cbk({unwind_declarations})
{{{reply_note}
    glupy_end(frame, cookie, this, GF_FOP_{enum}, {kind}, {locks}, op_ret, op_errno, {reply_file});
    keep(frame, (struct kept){{0}});
    STACK_UNWIND_STRICT({member}, frame, op_ret, op_errno{unwind_names});
    return 0;
}}

static int32_t
glupy_{member}({wind_declarations})
{{
    xlator_t *child = FIRST_CHILD(this);
    void *counted;
    struct glupy_segment *segment =
        glupy_begin(frame, this, GF_FOP_{enum}, {file}, {asked}, &counted);

    if (segment) {{{note}
        STACK_WIND_COOKIE(frame, glupy_{member}_cbk, counted, child,
                          child->fops->{member}{wind_names});
    }} else {{
        STACK_WIND_TAIL(frame, child, child->fops->{member}{wind_names});
    }}
    return 0;
}}

"""


def render(fops: list[Fop], enum: dict[str, int]) -> str:
    """The text of ``fops.inc``."""
    parts = ["/* Generated by builder/codegen.py from the installed xlator.h. */\n\n"]
    for fop in fops:
        parts.append(
            _WRAPPER.format(
                member=fop.member,
                enum=fop.enum,
                kind=fop.kind,
                file=fop.file,
                asked=fop.asked,
                locks="true" if fop.member in _LOCKS else "false",
                note=fop.note,
                reply_note=fop.reply_note,
                reply_file=fop.reply_file,
                wind_declarations=fop.wind.declarations(),
                wind_names=fop.wind.names(len(_WIND)),
                unwind_declarations=fop.unwind.declarations(),
                unwind_names=fop.unwind.names(len(_UNWIND)),
            )
        )
    parts.append("struct xlator_fops glupy_fops = {\n")
    parts += [f"    .{fop.member} = glupy_{fop.member},\n" for fop in fops]
    parts.append("};\n\nconst char *const glupy_fop_names[GF_FOP_MAXVALUE] = {\n")
    parts += [f'    [GF_FOP_{name}] = "{name.lower()}",\n' for name in enum]
    parts.append("};\n\nconst uint8_t glupy_fop_classes[GF_FOP_MAXVALUE] = {\n")
    for kind, names in FOPS_OF_CLASS.items():
        for name in names:
            if name.upper() in enum:
                parts.append(f"    [GF_FOP_{name.upper()}] = GLUPY_CLASS_{kind.upper()},\n")
    parts.append("};\n")
    return "".join(parts)


def quoted(text: str) -> str:
    """``text`` as a C string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def generate(include: Path) -> str:
    """``fops.inc`` for the headers in ``include`` (the directory that holds ``xlator.h``).

    Raises:
        UserError: a header is missing or has something that is not understood.
    """
    enum = parse_enum(Source.read(include / "glusterfs-fops.h"))
    return render(parse_fops(Source.read(include / "xlator.h"), enum), enum)
