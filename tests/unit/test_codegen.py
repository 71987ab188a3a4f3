"""What the generator makes of a header, and how it refuses one that it does not understand."""

from __future__ import annotations

import pytest

from glupy_exporter.builder.codegen import Source, parse_enum, parse_fops, render
from glupy_exporter.errors import UserError

ENUM = """\
enum glusterfs_fop_t {
    GF_FOP_NULL = 0,
    GF_FOP_LOOKUP = 0 + 1,
    GF_FOP_READ = 0 + 2,
    GF_FOP_MAXVALUE = 0 + 3,
};
"""

XLATOR = """\
/* a comment; with struct xlator_fops { inside */
typedef int32_t (*fop_lookup_cbk_t)(call_frame_t *frame, void *cookie,
                                    xlator_t *this, int32_t op_ret,
                                    int32_t op_errno, inode_t *inode,
                                    struct iatt *buf, dict_t *xdata);
typedef int32_t (*fop_lookup_t)(call_frame_t *frame, xlator_t *this, loc_t *loc,
                                dict_t *xdata);
typedef int32_t (*fop_readv_cbk_t)(call_frame_t *frame, void *cookie,
                                   xlator_t *this, int32_t op_ret,
                                   int32_t op_errno, dict_t *xdata);
typedef int32_t (*fop_readv_t)(call_frame_t *frame, xlator_t *this, fd_t *fd,
                               size_t size, off_t offset, dict_t *xdata);
struct xlator_fops {
    fop_lookup_t lookup; // the first
    void *forget_placeholder;
    fop_readv_t readv;
    fop_lookup_cbk_t lookup_cbk;
    void *forget_placeholder_cbk;
    fop_readv_cbk_t readv_cbk;
};
"""


def generate(xlator: str = XLATOR, enum: str = ENUM) -> str:
    numbers = parse_enum(Source("fops.h", enum).without_comments())
    return render(parse_fops(Source("xlator.h", xlator).without_comments(), numbers), numbers)


def test_wrappers_wind_and_unwind_every_argument() -> None:
    text = generate()
    assert "child->fops->readv, fd, size, offset, xdata)" in text
    assert (
        "glupy_begin(frame, this, GF_FOP_READ, fd_file(fd), asked_data(offset, size), &counted);"
        in text
    )
    assert "loc_file(loc), asked_entry(loc, asked_data(0, 0)), &counted);" in text
    assert (
        "glupy_end(frame, cookie, this, GF_FOP_READ, GLUPY_READ, false, "
        "op_ret, op_errno, no_file())" in text
    )
    assert "STACK_UNWIND_STRICT(lookup, frame, op_ret, op_errno, inode, buf, xdata)" in text
    assert "GLUPY_METADATA, false, op_ret, op_errno, iatt_file(buf))" in text
    assert ".lookup = glupy_lookup,\n    .readv = glupy_readv,\n" in text
    assert '[GF_FOP_READ] = "read"' in text
    assert "[GF_FOP_READ] = GLUPY_CLASS_READ,\n" in text


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("    fop_readv_t readv;", "    fop_readv_t *readv[2];", 16, "cannot parse member"),
        ("    fop_readv_t readv;", "    fop_new_t brandnew;", 16, "fop 'brandnew' has no type"),
        ("    fop_readv_cbk_t readv_cbk;\n", "", 16, "fop 'readv' has no type 'callback'"),
        ("    fop_readv_t readv;\n", "", 13, "struct xlator_fops lacks READ"),
        ("size_t size,", "size_t (*size)(int),", 11, "cannot parse parameter"),
        ("xlator_t *this, fd_t *fd", "fd_t *fd, xlator_t *this", 11, "does not start with"),
        ("struct xlator_fops {\n    fop", "struct fops {\n    fop", 1, "no 'struct xlator_fops {'"),
    ],
)
def test_a_header_not_understood_is_an_error_naming_the_line(
    old: str, new: str, line: int, what: str
) -> None:
    assert XLATOR.count(old) == 1
    with pytest.raises(UserError) as error:
        generate(XLATOR.replace(old, new))
    assert str(error.value).startswith(f"xlator.h:{line}: ")
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("GF_FOP_READ = 0 + 2", "GF_FOP_READ = 1 << 1", "fops.h:4: cannot parse enumerator"),
        ("GF_FOP_READ = 0 + 2", "GF_FOP_READ = 0 + 7", "the fop enum has gaps"),
        ("    GF_FOP_READ = 0 + 2,\n    GF_FOP_MAXVALUE = 0 + 3", "    GF_FOP_MAXVALUE = 0 + 2",
         "xlator.h:16: fop 'readv' has no GF_FOP_READ"),
    ],
)  # fmt: skip
def test_an_enum_not_understood_is_an_error(old: str, new: str, what: str) -> None:
    assert ENUM.count(old) == 1
    with pytest.raises(UserError, match=what.replace("(", r"\(")):
        generate(enum=ENUM.replace(old, new))


def test_a_missing_header_says_what_to_do() -> None:
    from pathlib import Path

    with pytest.raises(UserError, match="install the headers"):
        Source.read(Path("/nonexistent/xlator.h"))
