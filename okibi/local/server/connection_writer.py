"""The writing half of a connection: send at once if possible, and always in order.

`ConnectionWriter.send` is synchronous. The reader of this connection calls it, and so does an
invoker that hands out an event; neither waits. Only the flush task is ever inside `send_all`,
because a cancelled `send_all` leaves an unknown part of the bytes on the wire.
"""

from collections import deque

import attrs
import trio

from .socket_stream import FastSocketStream


@attrs.define(eq=False)
class ConnectionWriter:
    """Sends HTTP responses to the peer, in order.

    Args:
        stream: the connection.
        nursery: runs the flush task while the peer reads too slowly.
    """

    stream: trio.abc.Stream
    nursery: trio.Nursery
    _waiting: deque[bytes | memoryview] = attrs.field(
        factory=deque["bytes | memoryview"], init=False
    )
    _flushing: bool = attrs.field(default=False, init=False)
    _broken: bool = attrs.field(default=False, init=False)

    def send(self, pieces: list[bytes]) -> None:
        """Send the pieces after all earlier ones. Queue what the socket does not take now."""
        if self._broken:
            return
        if not self._flushing and isinstance(self.stream, FastSocketStream):
            self._waiting.extend(self._send_now(self.stream, pieces))
        else:
            self._waiting.extend(pieces)
        if self._waiting and not self._flushing:
            self._flushing = True
            self.nursery.start_soon(self._flush)

    def _send_now(self, stream: FastSocketStream, pieces: list[bytes]) -> list[bytes | memoryview]:
        """Send what the socket takes; return the rest."""
        for index, piece in enumerate(pieces):
            try:
                sent = stream.send_now(piece)
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
            # The reading half sees the same error and ends the connection.
            self._broken = True
            self._waiting.clear()
        finally:
            self._flushing = False
