"""Talks to systemd as a service; see sd_notify(3), sd_listen_fds(3), sd-daemon(3).

It takes a few lines, whereas Python packages for it are built against libsystemd.
"""

from __future__ import annotations

import os
import socket
import time

_FIRST_DESCRIPTOR = 3


def listeners() -> list[socket.socket]:
    """The listening TCP sockets that systemd has handed over; empty if it handed over none.

    Raises:
        OSError: a descriptor is not a socket.
        ValueError: a socket is of another kind.
    """
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    number = int(os.environ.pop("LISTEN_FDS", "0"))
    os.environ.pop("LISTEN_FDNAMES", None)
    found = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + number):
        os.set_inheritable(descriptor, False)
        made = socket.socket(fileno=descriptor)
        if made.family not in (socket.AF_INET, socket.AF_INET6) or not made.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            raise ValueError(f"descriptor {descriptor} is no listening TCP socket")
        made.setblocking(False)
        found.append(made)
    return found


def notify(*lines: str) -> None:
    """Send ``lines`` to systemd if it asked for them. Errors are ignored: the service goes on."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    address = "\0" + name[1:] if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
        try:
            client.connect(address)
            client.sendall("\n".join(lines).encode())
        except OSError:
            pass


def ready() -> None:
    """Tell systemd that the service does its work."""
    notify("READY=1")


def reloading() -> None:
    """Tell systemd that the service reads its configuration; ``ready`` has to follow."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Tell systemd that the service ends."""
    notify("STOPPING=1")


def has_journal() -> bool:
    """Whether systemd sends this program's standard error to the journal; see systemd.exec(5)."""
    try:
        stream = os.fstat(2)
    except OSError:  # standard error is closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
