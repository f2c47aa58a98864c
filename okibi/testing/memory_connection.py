"""A connection in memory between the runtime's lane and the local Runtime API."""

from collections.abc import Callable

import attrs
import trio

# Bytes that one side may write ahead of the reader: the largest response, and the next request.
LIMIT = 8 * 1024 * 1024


@attrs.define(eq=False)
class _Pipe:
    """Bytes in one direction, and the end of the connection."""

    data: bytearray = attrs.field(factory=bytearray)
    closed: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def write(self, data: bytes | memoryview) -> int:
        """Take as much as fits; return the number of bytes."""
        if self.closed:
            raise BrokenPipeError
        taken = data[: max(LIMIT - len(self.data), 0)]
        self.data += taken
        self.notify()
        return len(taken)

    def read(self, limit: int) -> bytes:
        """Take at most `limit` bytes."""
        data = bytes(self.data[:limit])
        del self.data[:limit]
        self.notify()
        return data

    def close(self) -> None:
        self.closed = True
        self.notify()

    def notify(self) -> None:
        """Wake all tasks that wait for a change."""
        self._changed.set()
        self._changed = trio.Event()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not condition():
            await self._changed.wait()


class MemoryConnection:
    """The runtime's end: a `Transport`. `server` is the other end."""

    def __init__(self) -> None:
        self._requests, self._responses = _Pipe(), _Pipe()
        self._interrupts = 0
        self.server = MemoryStream(self._requests, self._responses)

    def receive(self, limit: int) -> bytes:
        if not self.pending():
            raise BlockingIOError
        return self._responses.read(limit)

    def send(self, data: bytes | memoryview) -> int:
        taken = self._requests.write(data)
        if data and not taken:
            raise BlockingIOError
        return taken

    def pending(self) -> bool:
        return bool(self._responses.data) or self._responses.closed

    async def readable(self) -> None:
        await self._wait(self._responses, self.pending)

    async def writable(self) -> None:
        await self._wait(self._requests, lambda: self._requests.closed or not self._requests.data)

    async def _wait(self, pipe: _Pipe, condition: Callable[[], bool]) -> None:
        before = self._interrupts
        await pipe.wait_until(lambda: self._interrupts != before or condition())
        if self._interrupts != before:
            raise trio.ClosedResourceError

    def interrupt(self) -> None:
        self._interrupts += 1
        self._requests.notify()
        self._responses.notify()

    def close(self) -> None:
        self.interrupt()
        self._requests.close()
        self._responses.close()


class MemoryStream(trio.abc.Stream):
    """The Runtime API's end of a MemoryConnection."""

    def __init__(self, requests: _Pipe, responses: _Pipe) -> None:
        self._requests, self._responses = requests, responses

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._requests.wait_until(lambda: bool(self._requests.data) or self._requests.closed)
        return self._requests.read(max_bytes or LIMIT)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            await self.wait_send_all_might_not_block()
            try:
                rest = rest[self._responses.write(rest) :]
            except BrokenPipeError:
                raise trio.BrokenResourceError from None

    async def wait_send_all_might_not_block(self) -> None:
        responses = self._responses
        await responses.wait_until(lambda: responses.closed or len(responses.data) < LIMIT)

    async def aclose(self) -> None:
        self._requests.close()
        self._responses.close()
        await trio.lowlevel.checkpoint()
