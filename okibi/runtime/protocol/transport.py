"""A lane's connection: a non-blocking socket with synchronous reads and writes.

Only the waits are async. `trio.SocketStream.send_all` is not used: after a cancellation, how much
of the data was sent is unknown. `send` here returns the number of bytes sent.

`trio.open_tcp_stream` is not used: it takes `socket.socket` when it connects, and the user's code
may have replaced that class (`socket.socket = socks.socksocket`).
"""

import errno
import os
import select
from collections.abc import Awaitable
from socket import (
    AF_INET,
    IPPROTO_TCP,
    SO_ERROR,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    inet_pton,
    socket,
)
from typing import TYPE_CHECKING, Protocol

import trio
from trio.lowlevel import notify_closing, wait_readable, wait_writable

# Seconds. The kernel gives up after two minutes; after a lost packet it tries again at 1 s.
CONNECT_LIMIT = 3.0


class Transport(Protocol):
    """A non-blocking connection: `receive` and `send` act at once or raise BlockingIOError."""

    def receive(self, limit: int, /) -> bytes:
        """Read at most `limit` bytes; empty if the other side has closed."""
        ...

    def send(self, data: bytes | memoryview, /) -> int:
        """Write what the kernel takes now, and return the number of bytes."""
        ...

    def pending(self) -> bool:
        """Return whether `receive` would return now: there is data, or the connection has ended."""
        ...

    # An implementation may make these two `async def`.

    def readable(self) -> Awaitable[None]:
        """Wait until `receive` would return."""
        ...

    def writable(self) -> Awaitable[None]:
        """Wait until `send` would return."""
        ...

    def interrupt(self) -> None:
        """End all waits with `trio.ClosedResourceError`, and leave the connection open."""
        ...

    def close(self) -> None:
        """Close the connection; all waits end with `trio.ClosedResourceError`."""
        ...


if TYPE_CHECKING:

    class Connect(Protocol):
        """Opens a connection to the Runtime API; raises OSError if the API cannot be reached."""

        async def __call__(self) -> Transport: ...


class SocketTransport:
    """A TCP connection to the Runtime API."""

    __slots__ = ("_poll", "connected")

    def __init__(self, connected: socket) -> None:
        self.connected = connected
        # Takes half a microsecond. `recv` with MSG_PEEK takes twice that, for its exception.
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        self._poll = poll.poll

    def receive(self, limit: int) -> bytes:
        return self.connected.recv(limit)

    def send(self, data: bytes | memoryview) -> int:
        return self.connected.send(data)

    def pending(self) -> bool:
        return bool(self._poll(0))

    # Not `async def`: that would add a frame to every event.

    def readable(self) -> Awaitable[None]:
        return wait_readable(self.connected)  # noqa: ASYNC105, the caller awaits it

    def writable(self) -> Awaitable[None]:
        return wait_writable(self.connected)  # noqa: ASYNC105

    def interrupt(self) -> None:
        notify_closing(self.connected)

    def close(self) -> None:
        self.interrupt()
        self.connected.close()


async def connect(host: str, port: int) -> Transport:
    """Connect to the Runtime API.

    Raises:
        OSError: the connection was refused, or took longer than CONNECT_LIMIT.
    """
    opening = socket(AF_INET, SOCK_STREAM)
    try:
        opening.setblocking(False)
        with trio.move_on_after(CONNECT_LIMIT) as limit:
            await _open(opening, await _resolved(host, port))
        if limit.cancelled_caught:
            raise TimeoutError(f"{host}:{port} did not accept a connection in {CONNECT_LIMIT:g} s")
        opening.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return SocketTransport(opening)
    except BaseException:
        opening.close()
        raise


async def _open(opening: socket, address: tuple[str, int]) -> None:
    failed = opening.connect_ex(address)
    if failed == errno.EINPROGRESS:
        await wait_writable(opening)
        failed = opening.getsockopt(SOL_SOCKET, SO_ERROR)
    if failed:
        raise OSError(failed, f"Error connecting to {address}: {os.strerror(failed)}")


async def _resolved(host: str, port: int) -> tuple[str, int]:
    """Resolve a name in a thread. On Lambda the address is numeric already."""
    try:
        inet_pton(AF_INET, host)
    except OSError:
        found = await trio.socket.getaddrinfo(host, port, AF_INET, SOCK_STREAM)
        return str(found[0][4][0]), port
    return host, port
