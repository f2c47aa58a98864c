"""A response that the invoker reads while the function writes it (Lambda response streaming)."""

from collections import deque

import attrs
import trio

from .invocation import Invocation, InvokeResult

# Unread bytes from which on the runtime's connection is no longer read.
BACKLOG = 1 << 20


@attrs.define(eq=False)
class ResponseStream:
    """The pieces of a response as they arrive: `async for piece in stream`.

    The iteration ends when the response ends, also after a failure; `result` tells which. A piece
    is one read of the runtime's connection, not one write of the handler. Leaving the block (`async
    with`) early discards the rest; the function goes on.

    Args:
        invocation: the invocation to stream, not started yet.
        backlog: unread bytes from which on the runtime has to wait.
    """

    invocation: Invocation
    backlog: int = BACKLOG
    # The media type of the response; "" until the response begins.
    content_type: str = attrs.field(default="", init=False)
    _pieces: deque[bytes] = attrs.field(factory=deque[bytes], init=False)
    _size: int = attrs.field(default=0, init=False)
    _left: bool = attrs.field(default=False, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)
    _ended: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.invocation.sink = self

    # -- for the platform

    @property
    def full(self) -> bool:
        """Whether the reader is behind."""
        return self._size >= self.backlog

    def begin(self, content_type: str) -> None:
        """Start the response."""
        self.content_type = content_type
        self._change()

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        if not self._left:
            self._pieces.append(piece)
            self._size += len(piece)
            self._change()

    def end(self) -> None:
        """End the response."""
        self._ended.set()
        self._change()

    async def drained(self) -> None:
        """Wait until the reader has caught up, or the response has ended."""
        while self.full and not self._ended.is_set():
            await self._changed.wait()

    # -- for the reader

    async def result(self) -> InvokeResult:
        """Wait for the end of the response and return the result.

        The payload is b"" for a complete response, and the error as JSON for one that failed
        midway.
        """
        await self._ended.wait()
        return self.invocation.result()

    async def __aenter__(self) -> "ResponseStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._left = True
        self._pieces.clear()
        self._size = 0
        self._change()

    def __aiter__(self) -> "ResponseStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._ended.is_set():
                raise StopAsyncIteration
            await self._changed.wait()
        piece = self._pieces.popleft()
        self._size -= len(piece)
        self._change()
        return piece

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
