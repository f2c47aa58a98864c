"""What carries a lane's bytes: a non-blocking socket, and the waits for it.

`trio.SocketStream.send_all` is never used on a lane: cancelled, it leaves an unknown part of the
bytes on the wire. Here a send is synchronous and says how much went out; only waiting awaits.
"""

import socket
from typing import Protocol

import trio
from trio.lowlevel import notify_closing, wait_readable, wait_writable


class Transport(Protocol):
    """A connection of which each step is either done at once or refused with BlockingIOError."""

    def receive(self, limit: int, /) -> bytes:
        """What has come, at most `limit` bytes; empty when the other side has closed."""
        ...

    def send(self, data: memoryview, /) -> int:
        """Write what the kernel takes now, and say how many bytes that were."""
        ...

    async def readable(self) -> None:
        """Wait until `receive` will not be refused."""
        ...

    async def writable(self) -> None:
        """Wait until `send` will not be refused."""
        ...

    def close(self) -> None:
        """Close it; whoever waits for it is told."""
        ...


class SocketTransport:
    """A TCP connection to the Runtime API."""

    __slots__ = ("_socket",)

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def receive(self, limit: int) -> bytes:
        return self._socket.recv(limit)

    def send(self, data: memoryview) -> int:
        return self._socket.send(data)

    async def readable(self) -> None:
        await wait_readable(self._socket)

    async def writable(self) -> None:
        await wait_writable(self._socket)

    def close(self) -> None:
        notify_closing(self._socket)
        self._socket.close()


async def connect(host: str, port: int) -> Transport:
    """Connect to the Runtime API.

    Raises:
        OSError: nobody listens there.
    """
    with trio.socket.socket() as opening:
        await opening.connect((host, port))
        opening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected = socket.socket(fileno=opening.detach())
    connected.setblocking(False)
    return SocketTransport(connected)
