"""The Extensions API for one internal extension, in front of a Runtime API on the same port.

It records the order of calls. Connections of the runtime go to the Runtime API unchanged.
"""

import socket

import attrs
import trio

from okibi.local import RuntimeApi

IDENTIFIER = b"4a2f"


@attrs.define(eq=False)
class Extensions:
    """Serves extensions and a Runtime API.

    Args:
        api: the Runtime API.
        status: the HTTP status of a registration; 0 never answers.
    """

    api: RuntimeApi
    status: int = 200
    seen: list[str] = attrs.field(factory=list[str])
    pending: trio.Event = attrs.field(factory=trio.Event)
    _streams: list[trio.SocketStream] = attrs.field(factory=list[trio.SocketStream])

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection, of an extension or of a runtime."""
        await trio.lowlevel.wait_readable(stream.socket)
        # Peek only.
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
        """Send data on the extension's connection."""
        await self._streams[-1].send_all(data)
