"""Cuts texts to a length that label values may have.

Mimir drops series with a label value of more than 2048 bytes, and Prometheus drops the whole scrape
for one value beyond its ``label_value_length_limit``. A path of 600 bytes that are not UTF-8 has
2400 bytes once it is escaped.
"""

from __future__ import annotations

import hashlib
import re

MAX = 1024
"""The most bytes of a value. In a segment only paths of files and bricks may be longer."""

_HASH_SIZE = 8  # bytes
# Whole characters, and whole escapes as segment.text.escape writes them.
_WHOLE = re.compile(r"(?:[^\\]|\\\\|\\x[0-9a-f]{2})*")


def fitting(text: str, most: int = MAX) -> str:
    """``text``; if it has more than ``most`` bytes, its beginning, ``...`` and a hash of all of it.

    Different texts stay different, and no escape is cut.
    """
    if len(text) <= most // 4:
        return text
    raw = text.encode("utf-8")
    if len(raw) <= most:
        return text
    mark = "..." + hashlib.blake2b(raw, digest_size=_HASH_SIZE).hexdigest()
    match = _WHOLE.match(raw[: most - len(mark)].decode("utf-8", "ignore"))
    assert match  # the pattern also matches the empty text
    return match[0] + mark
