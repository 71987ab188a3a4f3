"""Names of errnos, as GlusterFS's log and strace have them."""

from __future__ import annotations

import errno

# errorcode names some errnos by an alias that neither GlusterFS's log nor strace uses.
NAMES = {
    **errno.errorcode,
    errno.EDEADLK: "EDEADLK",
    errno.EOPNOTSUPP: "EOPNOTSUPP",
}
"""Every errno that has a name."""


def number(name: str) -> int:
    """The errno that is called ``name``.

    Raises:
        ValueError: none is.
    """
    found = getattr(errno, name, None) if name in _ALL else None
    if not isinstance(found, int):
        raise ValueError(f"{name!r} is no name of an errno such as ENOENT")
    return found


_ALL = frozenset(name for name in dir(errno) if name.startswith("E"))
