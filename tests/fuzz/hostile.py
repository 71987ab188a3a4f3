"""Loads an exporter from one address as somebody would who means harm, until it is killed.

Usage: ``python tests/fuzz/hostile.py ATTACK PORT ADDRESS``
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

EXPORTER = "127.0.0.1"
CONNECTIONS = 300  # more than a host may have
LARGE = b"/api/v1/files?limit=100000&sort=path"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: no connection is left waiting at this end
CHEAP = (b"/-/healthy", b"/none", b"/sd", b"/", b"/api/v1/openapi.json", b"/api/v1/files?limit=x")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Attack = Callable[[int, str], Awaitable[None]]


def request(path: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"


async def connect(port: int, address: str, buffer: int = 0) -> Streams:
    """A connection; ``buffer`` bounds what the kernel takes from the exporter unread."""
    made = socket.socket()
    made.setblocking(False)
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.bind((address, 0))
    await asyncio.get_running_loop().sock_connect(made, (EXPORTER, port))
    return await asyncio.open_connection(sock=made, limit=2**16)


def asks(*sent: bytes, reads: bool = True) -> Attack:
    """Sends one of these again and again, and reads all or nothing of the answers."""

    async def attack(port: int, address: str) -> None:
        reader, writer = await connect(port, address, 0 if reads else 1024)
        sending = asyncio.create_task(send(writer))
        try:
            if not reads:
                await sending
            while await reader.read(2**16):
                pass
        finally:
            writer.close()
            sending.cancel()

    async def send(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(random.choice(sent))
                await writer.drain()

    return attack


async def come_and_go(port: int, address: str) -> None:
    """Connects and leaves, with or without a word."""
    _, writer = await connect(port, address)
    writer.write(random.choice((b"", b"G", b"nonsense\r\n\r\n", request(b"/metrics"))))
    writer.close()


async def flood(port: int, address: str) -> None:
    """Connects a hundred times at once, waits for nothing and leaves."""
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            made = stack.enter_context(socket.socket())
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            made.bind((address, 0))
            made.connect_ex((EXPORTER, port))


def hello() -> bytes:
    """What a client of TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def shake_hands(port: int, address: str) -> None:
    """Has the exporter sign for a handshake, which costs this side nothing, and leaves."""
    reader, writer = await connect(port, address)
    writer.write(_hello)
    await reader.read(1)
    writer.close()


async def trickle(port: int, address: str) -> None:
    """Sends a header that has no end."""
    _, writer = await connect(port, address)
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        while True:
            writer.write(b"X: x\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)
    finally:
        writer.close()


async def sip(port: int, address: str) -> None:
    """Reads a large answer slowly, lest it be taken for a reader of nothing."""
    reader, writer = await connect(port, address, 2**14)
    try:
        writer.write(request(LARGE))
        while await reader.read(2**12):
            await asyncio.sleep(0.05)
    finally:
        writer.close()


_hello = hello()
_cheap = b"".join(map(request, CHEAP)) * 20
_errors = request(b"/none", b"POST") * 100

ATTACKS: dict[str, Attack] = {
    "scrapes": asks(request(b"/metrics")),
    "unread scrapes": asks(request(b"/metrics"), reads=False),
    "large answers": asks(request(LARGE)),
    "unread large answers": asks(request(LARGE), reads=False),
    "sips": sip,
    "cheap requests": asks(_cheap, _errors),
    "unread cheap requests": asks(_cheap, _errors, reads=False),
    "connections": come_and_go,
    "floods": flood,
    "handshakes": shake_hands,
    "trickles": trickle,
}


async def again(attack: Callable[[], Awaitable[None]]) -> None:
    """One connection of an attack after the other."""
    while True:
        with contextlib.suppress(OSError):
            await attack()
        await asyncio.sleep(0)


async def main(name: str, port: int, address: str) -> None:
    """One attack, or ``all`` but the flood, which would close the connections of the others."""

    def run(attack: Attack) -> Coroutine[Any, Any, None]:
        return again(lambda: attack(port, address))

    attacks = [ATTACKS[name]] if name in ATTACKS else [a for a in ATTACKS.values() if a != flood]
    await asyncio.gather(*(run(attacks[n % len(attacks)]) for n in range(CONNECTIONS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
