"""An answer that its invoker reads while it is still being written (Lambda response streaming)."""

from collections import deque

import attrs
import trio

from .invocation import Invocation, InvokeResult

__all__ = ["ResponseStream"]

BACKLOG = 1 << 20
"""Bytes that wait for a slow reader; past them the runtime's connection is not read on."""


@attrs.define(eq=False)
class ResponseStream:
    """The pieces of an answer, as they come: `async for piece in stream`.

    The end of the pieces is the end of the answer, good or not; `result` tells which. A piece is
    what one read of the runtime's connection brought, so it need not be what the handler wrote.
    Leaving the block (`async with`) early lets the rest go unread; the function goes on.

    Args:
        invocation: whose answer it is; it is not carried out yet.
        backlog: bytes that wait for a slow reader before the runtime is made to wait.
    """

    invocation: Invocation
    backlog: int = BACKLOG
    content_type: str = attrs.field(default="", init=False)
    """Of the answer; "" until it has begun."""
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
        """The answer has begun."""
        self.content_type = content_type
        self._change()

    def write(self, piece: bytes) -> None:
        """A piece has come."""
        if not self._left:
            self._pieces.append(piece)
            self._size += len(piece)
            self._change()

    def end(self) -> None:
        """The invocation has its outcome."""
        self._ended.set()
        self._change()

    async def drained(self) -> None:
        """Wait until the reader has caught up, or nothing more comes."""
        while self.full and not self._ended.is_set():
            await self._changed.wait()

    # -- for the reader

    async def result(self) -> InvokeResult:
        """Wait for the end; what came of it. Its payload is b"" for a good answer that has been
        streamed, and the error as JSON for one that failed in the middle.
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
