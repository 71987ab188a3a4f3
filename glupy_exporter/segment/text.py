"""Turns bytes of a segment into text, and back."""

from __future__ import annotations

import re

_CONTROL = {
    code: "".join(f"\\x{byte:02x}" for byte in chr(code).encode())
    for code in (*range(0x20), *range(0x7F, 0xA0))
}


def escape(raw: bytes) -> str:
    """``raw`` as text that a label can hold; :func:`unescape` gives the same bytes back.

    Invalid UTF-8 and control characters become ``\\xNN``, a backslash becomes two.
    """
    return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace").translate(_CONTROL)


def unescape(text: str) -> bytes:
    """The bytes that :func:`escape` turned into ``text``."""
    return re.sub(
        rb"\\(?:\\|x([0-9a-f]{2}))",
        lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\",
        text.encode("utf-8"),
    )
