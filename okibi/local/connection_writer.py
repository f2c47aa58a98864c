"""The writing half of a connection: answers leave at once where they can, and always in order.

Whoever has an answer to give (the task that reads this connection, or an invoker that hands out an
event) gives it without waiting: `Outbox.send` is synchronous. So an event takes no hop through the
connection's own task, and nobody but the flusher is ever inside `send_all`, whose cancellation
would leave an unknown part of an answer on the wire.
"""

import socket
import struct
import time
from collections import deque

import attrs
import trio

__all__ = ["Outbox", "SocketLink", "as_link", "linger"]

LINGER = 0.5
"""Seconds that a closing connection still reads, so that the peer sees the last answer and not a
reset (Go's too).
"""

_SMALL_READ = 1 << 16
_LARGE_READ = 1 << 20


class SocketLink(trio.abc.HalfCloseableStream):
    """A connected socket as a stream that asks the kernel less often than trio's own.

    It waits until there is something to read before it reads, since between two invocations there
    never is, and it can try to write without waiting.

    Args:
        connected: the socket, which is this stream's from now on.
        busy_poll: seconds to look for bytes again and again before waiting for them.
    """

    __slots__ = ("_busy_poll", "_read_size", "_socket")

    def __init__(self, connected: socket.socket, busy_poll: float = 0.0) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._busy_poll = busy_poll
        self._read_size = _SMALL_READ

    def send_now(self, data: bytes | memoryview) -> int:
        """Write what goes without waiting; how many bytes that was.

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
            # A small buffer is the cheaper one, until a body of megabytes comes.
            self._read_size = _LARGE_READ if len(data) >= _SMALL_READ else _SMALL_READ
            return data

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        try:
            self._checked().shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    def reset_on_close(self) -> None:
        """Let the close be a reset (RST): what the kernel still holds for the peer is lost."""
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


def as_link(stream: trio.abc.Stream, busy_poll: float = 0.0) -> trio.abc.Stream:
    """The faster stream where there is one; the given one is then used up."""
    if isinstance(stream, trio.SocketStream):
        return SocketLink(socket.socket(fileno=stream.socket.detach()), busy_poll)
    return stream


@attrs.define(eq=False)
class Outbox:
    """Answers on their way to the peer, in order.

    Args:
        stream: where they go.
        nursery: where the flusher runs while the peer does not take them at once.
    """

    stream: trio.abc.Stream
    nursery: trio.Nursery
    _waiting: deque[bytes | memoryview] = attrs.field(
        factory=deque["bytes | memoryview"], init=False
    )
    _flushing: bool = attrs.field(default=False, init=False)
    _broken: bool = attrs.field(default=False, init=False)

    def send(self, pieces: list[bytes]) -> None:
        """Write the pieces, after all before them; what the peer does not take now goes later."""
        if self._broken:
            return
        if not self._flushing and isinstance(self.stream, SocketLink):
            self._waiting.extend(self._send_now(self.stream, pieces))
        else:
            self._waiting.extend(pieces)
        if self._waiting and not self._flushing:
            self._flushing = True
            self.nursery.start_soon(self._flush)

    def _send_now(self, link: SocketLink, pieces: list[bytes]) -> list[bytes | memoryview]:
        """Try; the pieces that are left."""
        for index, piece in enumerate(pieces):
            try:
                sent = link.send_now(piece)
            except trio.BrokenResourceError:
                self._broken = True
                return []
            if sent < len(piece):
                return [memoryview(piece)[sent:], *pieces[index + 1 :]]
        return []

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await self.stream.send_all(self._waiting.popleft())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The reading half sees the same and ends the connection.
            self._broken = True
            self._waiting.clear()
        finally:
            self._flushing = False


async def linger(link: trio.abc.Stream) -> None:
    """Let the peer read the last answer: bytes that it sent and nobody read would turn the close
    into a reset.
    """
    with trio.move_on_after(LINGER):
        try:
            if isinstance(link, trio.abc.HalfCloseableStream):
                await link.send_eof()
            while await link.receive_some():
                pass
        except trio.BrokenResourceError:
            return
