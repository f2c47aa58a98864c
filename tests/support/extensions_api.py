"""The Extensions API as far as an internal extension needs it, before a Runtime API on one port.

What it sees of the order of things it writes down; whatever is no extension's connection goes to
the Runtime API untouched.
"""

import socket

import attrs
import trio

from okibi.local import RuntimeApi

IDENTIFIER = b"4a2f"


@attrs.define(eq=False)
class Extensions:
    """Serves extensions, and the Runtime API beside them.

    Args:
        api: that one.
        status: what a registration is answered with; 0 never to answer.
    """

    api: RuntimeApi
    status: int = 200
    seen: list[str] = attrs.field(factory=list[str])
    pending: trio.Event = attrs.field(factory=trio.Event)
    _streams: list[trio.SocketStream] = attrs.field(factory=list[trio.SocketStream])

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, an extension's or a runtime's."""
        await trio.lowlevel.wait_readable(stream.socket)
        # Looked at, not taken.
        first = await stream.socket.recv(4096, socket.MSG_PEEK)
        if b"/extension/" not in first:
            self.seen.append("runtime")
            await self.api.serve_connection(stream)
            return
        self._streams.append(stream)
        try:
            async for data in stream:
                await self._answer(stream, bytes(data))
        except trio.BrokenResourceError:
            self.seen.append("lost")

    async def _answer(self, stream: trio.SocketStream, request: bytes) -> None:
        head = request.split(b"\r\n\r\n")[0]
        assert request.count(b"HTTP/1.1") == 1, request
        if head.startswith(b"POST /2020-01-01/extension/register HTTP/1.1\r\n"):
            assert b"\r\nLambda-Extension-Name: okibi\r\n" in head
            assert request.endswith(b'{"events":[]}')
            self.seen.append("register")
            if self.status:
                await stream.send_all(
                    b"HTTP/1.1 %d x\r\nLambda-Extension-Identifier: %s\r\n"
                    b"Content-Length: 2\r\n\r\n{}" % (self.status, IDENTIFIER)
                )
        elif head.startswith(b"GET /2020-01-01/extension/event/next HTTP/1.1\r\n"):
            assert b"\r\nLambda-Extension-Identifier: %s" % IDENTIFIER in head
            self.seen.append("event/next")
            self.pending.set()
        else:
            raise AssertionError(request)

    async def drop(self) -> None:
        """Close the extensions' connections."""
        self.pending = trio.Event()
        while self._streams:
            await self._streams.pop().aclose()

    async def say(self, data: bytes) -> None:
        """Send something on the extension's connection."""
        await self._streams[-1].send_all(data)
