"""What fits into a label.

Mimir drops series with a value of more than 2048 bytes, and Prometheus drops the whole scrape for
one beyond its ``label_value_length_limit``. A path of 600 bytes that are no UTF-8 has 2400 once
they are escaped.
"""

from __future__ import annotations

import hashlib
import re

MAX = 1024
"""Bytes of a value at most. Of what a segment has, only the names of files and bricks may have
more."""

_HASH_SIZE = 8
# Whole characters and, as segment.reader.escape writes them, whole escapes.
_WHOLE = re.compile(r"(?:[^\\]|\\\\|\\x[0-9a-f]{2})*")


def fitting(text: str, most: int = MAX) -> str:
    """The text; if it has more than ``most`` bytes, its beginning, ``...`` and a hash of all of it.

    Two texts stay two, and no escape is cut.
    """
    if len(text) <= most // 4:
        return text
    raw = text.encode("utf-8")
    if len(raw) <= most:
        return text
    mark = "..." + hashlib.blake2b(raw, digest_size=_HASH_SIZE).hexdigest()
    match = _WHOLE.match(raw[: most - len(mark)].decode("utf-8", "ignore"))
    assert match  # it matches nothing at all as well
    return match[0] + mark
