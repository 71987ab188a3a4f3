"""A thin ctypes binding of libgfapi, for the fops that a kernel does not pass on through FUSE.

Use it in a process of its own: libgfapi leaves threads and connections behind until its process
ends, and only that end makes the brick see the client off.
"""

from __future__ import annotations

import ctypes
import os
from typing import Union

_Argument = Union[int, str, bytes, ctypes.Array, None]

_POINTERS = {"new", "open", "creat", "opendir", "readdir", "readdirplus"}
_SIZES = {
    "copy_file_range",
    "fgetxattr",
    "flistxattr",
    "lgetxattr",
    "llistxattr",
    "lseek",
    "pread",
    "pwrite",
}


class Gfapi:
    """One connection to a volume. ``api("mkdir", api.fs, "/a", 0o755)`` calls ``glfs_mkdir``.

    Raises:
        OSError: from every call that libgfapi says has failed.
    """

    def __init__(self, host: str, volume: str) -> None:
        self._library = ctypes.CDLL("libgfapi.so.0", use_errno=True)
        self.fs = self("new", volume)
        self("set_volfile_server", self.fs, "tcp", host, 24007)
        self("set_logging", self.fs, "/dev/null", 4)
        self("init", self.fs)

    def __call__(self, name: str, *arguments: _Argument) -> int:
        function = getattr(self._library, f"glfs_{name}")
        if name in _POINTERS:
            function.restype = ctypes.c_void_p
        else:
            function.restype = ctypes.c_ssize_t if name in _SIZES else ctypes.c_int
        ctypes.set_errno(0)
        result = function(*map(_converted, arguments))
        number = ctypes.get_errno()
        if name in _POINTERS:
            failed = result is None and not (name.startswith("readdir") and number == 0)
        else:
            failed = result < 0
        if failed:
            raise OSError(number, f"glfs_{name}: {os.strerror(number)}")
        return result or 0


def _converted(argument: _Argument) -> object:
    # A full register suits an int, a size_t, an off_t and a pointer alike.
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    return argument.encode() if isinstance(argument, str) else argument
