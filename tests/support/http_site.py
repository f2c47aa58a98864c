"""An HTTP server on a real socket, for clients that handlers keep."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@attrs.define(eq=False)
class Site:
    """Answers each request as configured, and keeps the requests.

    Args:
        url: the address of the server.
        answer: the JSON to answer; None answers with the number of requests on the connection.
    """

    url: str = ""
    answer: dict[str, object] | None = None
    connections: int = 0
    requests: list[bytes] = attrs.field(factory=list[bytes])

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        count, read = 0, b""
        while data := await stream.receive_some():
            read += data
            head, _, rest = read.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if b"\r\n\r\n" not in read or len(rest) < (int(length[1]) if length else 0):
                continue
            count, read = count + 1, b""
            self.requests.append(head)
            body = json.dumps(self.answer or {"requests": count}).encode()
            said = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            )
            await stream.send_all(said % len(body) + body)


@asynccontextmanager
async def site(answer: dict[str, object] | None = None) -> AsyncIterator[Site]:
    """Serve until the block ends."""
    made = Site(answer=answer)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    made.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, made.serve, listeners)
        yield made
        nursery.cancel_scope.cancel()
