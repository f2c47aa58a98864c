"""A socket stream with fewer system calls than trio's."""

import socket
import struct
import time

import trio

# Seconds to keep reading after the last response, as in Go. Otherwise a reset may overtake the
# response.
LINGER = 0.5

_SMALL_READ = 1 << 16
_LARGE_READ = 1 << 20


class FastSocketStream(trio.abc.HalfCloseableStream):
    """A stream over a connected socket.

    `receive_some` waits before it reads, because between two invocations there is nothing to read.
    `send_now` sends without waiting.

    Args:
        connected: the socket; this stream owns it from now on.
        busy_poll: seconds to poll for bytes before sleeping.
    """

    __slots__ = ("_busy_poll", "_read_size", "_socket")

    def __init__(self, connected: socket.socket, busy_poll: float = 0.0) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._busy_poll = busy_poll
        self._read_size = _SMALL_READ

    def send_now(self, data: bytes | memoryview) -> int:
        """Send what the socket takes now; return how many bytes.

        Raises:
            trio.BrokenResourceError: the peer is gone.
        """
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with memoryview(data) as rest:
            sent = 0
            while sent < len(rest):
                await self.wait_send_all_might_not_block()
                sent += self.send_now(rest[sent:])

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.wait_writable(self._checked())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        give_up = time.perf_counter() + self._busy_poll if self._busy_poll else 0.0
        while True:
            if give_up and time.perf_counter() < give_up:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._checked())
            try:
                data = self._checked().recv(max_bytes or self._read_size)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
            # A small buffer is cheaper; a large one is for bodies of megabytes.
            self._read_size = _LARGE_READ if len(data) >= _SMALL_READ else _SMALL_READ
            return data

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self._checked().shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    def reset_on_close(self) -> None:
        """Close with a reset (RST): unsent bytes are lost."""
        self._checked().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def aclose(self) -> None:
        if self._socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()

    def _checked(self) -> socket.socket:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError("this connection is closed")
        return self._socket


def fast_stream(stream: trio.abc.Stream, busy_poll: float = 0.0) -> trio.abc.Stream:
    """Convert a trio.SocketStream; return any other stream as it is. The given stream must not be
    used again.
    """
    if isinstance(stream, trio.SocketStream):
        return FastSocketStream(socket.socket(fileno=stream.socket.detach()), busy_poll)
    return stream


async def linger(stream: trio.abc.Stream) -> None:
    """Read and discard what the peer still sends, so that it gets the last response and not a
    reset.
    """
    with trio.move_on_after(LINGER):
        try:
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            return
