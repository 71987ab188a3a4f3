"""The file in which glusterd lists the directories with a quota (quota-common-utils.c)."""

from __future__ import annotations

import re
import uuid

MAX = 1000
"""The most directories of a volume that are looked at."""

_HEADER = re.compile(rb"GlusterFS Quota conf \| version: v(\d+\.\d+)\n")
_TYPED = 1.2  # the version since which a gfid has a byte that tells bytes from objects


def gfids(content: bytes) -> tuple[str, ...]:
    """The gfids of a quota.conf, each once.

    Raises:
        ValueError: it is none, or is not complete.
    """
    if not content:
        return ()
    header = _HEADER.match(content)
    if not header:
        raise ValueError("not a quota.conf")
    size = 17 if float(header[1]) >= _TYPED else 16
    body = content[header.end() :]
    if len(body) % size:
        raise ValueError("quota.conf is not complete")
    found = (body[at : at + 16] for at in range(0, len(body), size))
    return tuple(dict.fromkeys(str(uuid.UUID(bytes=each)) for each in found))
