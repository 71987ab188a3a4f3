"""Where glusterd keeps its files; glusterd itself is not asked."""

from __future__ import annotations

import re
from pathlib import Path

VOLFILE = Path("/etc/glusterfs/glusterd.vol")
WORKING_DIRECTORY = Path("/var/lib/glusterd")
"""The default, unless the volfile names another directory."""

# Quoted or not, as GlusterFS's parser takes it; core/identity.c and the peer script do the same.
_OPTION = re.compile(rb'^\s*option\s+working-directory\s+"?([^"\s]+)', re.MULTILINE)


def working_directory() -> Path:
    """The directory that holds ``glusterd.info``, ``peers``, ``vols`` and ``snaps``."""
    try:
        found = _OPTION.findall(VOLFILE.read_bytes())
    except OSError:
        return WORKING_DIRECTORY
    return Path(found[-1].decode("utf-8", "surrogateescape")) if found else WORKING_DIRECTORY
