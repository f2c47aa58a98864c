"""What carries a lane's bytes: a non-blocking socket, and the waits for it.

`trio.SocketStream.send_all` is never used on a lane: cancelled, it leaves an unknown part of the
bytes on the wire. Here a send is synchronous and says how much went out; only waiting awaits.

Nor does trio make the connection: it looks for the class when it does, and the user's module may
have put a proxy's in its place (`socket.socket = socks.socksocket`).
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
from typing import Protocol

import trio
from trio.lowlevel import notify_closing, wait_readable, wait_writable

# The kernel's own limit is two minutes. Its second attempt, after a lost packet, comes at 1 s.
CONNECT_LIMIT = 3.0


class Transport(Protocol):
    """A connection of which each step is either done at once or refused with BlockingIOError."""

    def receive(self, limit: int, /) -> bytes:
        """What has come, at most `limit` bytes; empty when the other side has closed."""
        ...

    def send(self, data: memoryview, /) -> int:
        """Write what the kernel takes now, and say how many bytes that were."""
        ...

    def pending(self) -> bool:
        """Whether `receive` would not be refused now: something has come, or the end."""
        ...

    # Or `async def`.

    def readable(self) -> Awaitable[None]:
        """Wait until `receive` will not be refused."""
        ...

    def writable(self) -> Awaitable[None]:
        """Wait until `send` will not be refused."""
        ...

    def interrupt(self) -> None:
        """End all waits for it with `trio.ClosedResourceError`, and leave it open."""
        ...

    def close(self) -> None:
        """Close it; whoever waits for it is told."""
        ...


class Connect(Protocol):
    """Makes a new connection to the Runtime API; OSError when nobody listens."""

    async def __call__(self) -> Transport: ...


class SocketTransport:
    """A TCP connection to the Runtime API."""

    __slots__ = ("_come", "connected")

    def __init__(self, connected: socket) -> None:
        self.connected = connected
        # Half a microsecond; to peek, which is refused by an exception, takes more than twice that.
        come = select.poll()
        come.register(connected, select.POLLIN)
        self._come = come.poll

    def receive(self, limit: int) -> bytes:
        return self.connected.recv(limit)

    def send(self, data: memoryview) -> int:
        return self.connected.send(data)

    def pending(self) -> bool:
        return bool(self._come(0))

    # To be awaited; no `async def`, which would put one more frame on every event's way.

    def readable(self) -> Awaitable[None]:
        return wait_readable(self.connected)  # noqa: ASYNC105, whoever calls this awaits it

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
        OSError: nobody listens there, or nobody takes the connection in CONNECT_LIMIT seconds.
    """
    opening = socket(AF_INET, SOCK_STREAM)
    try:
        opening.setblocking(False)
        with trio.move_on_after(CONNECT_LIMIT) as limit:
            await _open(opening, await _resolved(host, port))
        if limit.cancelled_caught:
            raise TimeoutError(f"{host}:{port} did not take a connection in {CONNECT_LIMIT:g} s")
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
    """The address in numbers, as it is on Lambda; a name is looked up in a thread."""
    try:
        inet_pton(AF_INET, host)
    except OSError:
        found = await trio.socket.getaddrinfo(host, port, AF_INET, SOCK_STREAM)
        return str(found[0][4][0]), port
    return host, port
