"""Read a runtime's requests from one prepared buffer.

As cheap as Python allows: the kernel writes into the buffer, and searches run in place. A usual
request (with `Content-Length`) costs one receive, four searches, and no copy.
"""

import socket
import time

from .events import CONTINUE

HEAD_END, LENGTH, LINE_END = b"\r\n\r\n", b"Content-Length: ", b"\r\n"
NEXT = b"GET /2018-06-01/runtime/invocation/next "
# Bytes per read of a large body, so that some can be handled while the rest is in transit.
PIECE = 1 << 20
# Bytes for heads and pipelined requests, in addition to a body.
SPARE = 1 << 16


class ConnectionClosed(Exception):
    """The runtime has closed its connection."""


class Requests:
    """Reads requests from one connection, one at a time.

    Args:
        room: bytes of the largest body.

    Attributes:
        begun: the arrival of the last streamed body's first byte, in seconds of `clock`.
    """

    __slots__ = ("_after", "_body", "_buffer", "_connection", "_end", "_start", "_streamed",
                 "_view", "begun")  # fmt: skip

    clock = staticmethod(time.perf_counter)

    # Offsets: start and body of the last request, start of the next one, end of the received bytes.
    _start: int
    _body: int
    _after: int
    _end: int

    def __init__(self, room: int) -> None:
        self._buffer = bytearray(room + SPARE)
        self._view = memoryview(self._buffer)
        self.begun = 0.0
        self._streamed: bytes | None = None

    def attach(self, connection: socket.socket) -> None:
        """Read from this connection; discard bytes left from another."""
        self._connection = connection
        self._start = self._body = self._after = self._end = 0

    def answers(self) -> bool:
        """Wait for the next request. Return whether it is a (complete) POST; otherwise it is a GET.

        Raises:
            ConnectionClosed: the connection was closed.
            ValueError: the request has no known end, or is too large.
        """
        buffer, start = self._buffer, self._after
        end = self._end
        if start == end:
            self._end = end = self._connection.recv_into(buffer)
            if not end:
                raise ConnectionClosed
            start = 0
        self._start = start
        head = buffer.find(HEAD_END, start, end)
        if head < 0:
            head = self._until(HEAD_END, start)
        self._body = body = head + 4
        if buffer.startswith(b"GET ", start):
            self._after = body
            return False
        at = buffer.find(LENGTH, start, head)
        if at < 0:
            self._read_odd(buffer[start:head].lower())
            return True
        self._streamed = None
        self._after = body + int(buffer[at + 16 : buffer.find(LINE_END, at, body)])
        if self._after > self._end:
            self._read_rest()
        return True

    def until_next(self) -> None:
        """Read requests until the runtime asks for its next event.

        Raises:
            ConnectionClosed: the connection was closed.
        """
        while self.answers() or not self.begins(NEXT):
            pass

    def begins(self, with_bytes: bytes) -> bool:
        """Whether the last request begins with these bytes."""
        return self._buffer.startswith(with_bytes, self._start)

    def line(self) -> str:
        """Return the first line of the last request."""
        end = self._buffer.find(LINE_END, self._start)
        return self._buffer[self._start : end].decode("latin-1")

    @property
    def size(self) -> int:
        """Bytes of the last request's body."""
        return self._after - self._body if self._streamed is None else len(self._streamed)

    def has(self, body: bytes) -> bool:
        """Whether the last request has this body."""
        if self._streamed is not None:
            return self._streamed == body
        return self.size == len(body) and self._buffer.startswith(body, self._body)

    def body(self) -> bytes:
        """Return the body of the last request."""
        if self._streamed is not None:
            return self._streamed
        return bytes(self._view[self._body : self._after])

    # -- unusual requests

    def _more(self) -> None:
        end = self._end
        if end == len(self._buffer):
            raise ValueError(f"request exceeds {end} bytes: {self.line()}")
        came = self._connection.recv_into(self._view[end : end + PIECE])
        if not came:
            raise ConnectionClosed
        self._end = end + came

    def _until(self, mark: bytes, start: int) -> int:
        while (at := self._buffer.find(mark, start, self._end)) < 0:
            self._more()
        return at

    def _read_rest(self) -> None:
        """Read the rest of a body. curl first asks with `Expect` whether to send it."""
        head = self._buffer[self._start : self._body].lower()
        if b"\r\nexpect: 100-continue\r\n" in head and self._end == self._body:
            self._connection.sendall(CONTINUE)
        while self._end < self._after:
            self._more()

    def _read_odd(self, head: bytearray) -> None:
        """Read a request without `Content-Length` in its usual spelling."""
        self._streamed = None
        at = head.find(LENGTH.lower())
        if at >= 0:
            self._after = self._body + int(head[at + 16 :].partition(LINE_END)[0])
            self._read_rest()
        elif b"\r\ntransfer-encoding: chunked" in head:
            self._read_chunks()
        else:
            raise ValueError(f"request without a length: {self.line()}")

    def _read_chunks(self) -> None:
        while self._end == self._body:
            self._more()
        self.begun = self.clock()
        parts = list[bytes]()
        at = self._body
        while True:
            line = self._until(LINE_END, at)
            size = int(self._buffer[at:line].partition(b";")[0], 16)
            at = line + 2
            if not size:
                break
            while self._end < at + size + 2:
                self._more()
            parts.append(bytes(self._view[at : at + size]))
            at += size + 2
        while (line := self._until(LINE_END, at)) != at:
            trailer = self._buffer[at:line]
            if trailer.lower().startswith(b"lambda-runtime-function-error"):
                raise ValueError(f"the stream ended with an error: {trailer.decode('latin-1')}")
            at = line + 2
        self._streamed = b"".join(parts)
        self._after = at + 2
