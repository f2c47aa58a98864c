"""A runtime's requests, read out of one buffer that is there before the clock runs.

As lean as Python allows: the kernel writes into the buffer, and what is looked for is looked for in
place. A usual request (its length told by `Content-Length`) costs one receive, four searches, and
no copy.
"""

import socket
import time

from .events import CONTINUE

HEAD_END, LENGTH, LINE_END = b"\r\n\r\n", b"Content-Length: ", b"\r\n"
NEXT = b"GET /2018-06-01/runtime/invocation/next "
# At most so much of a large body at once, so that it can be taken while the rest is on its way.
PIECE = 1 << 20
# Beside a body: heads, and what is pipelined behind them.
SPARE = 1 << 16


class Closed(Exception):
    """The runtime has closed its connection."""


class Requests:
    """Reads one request after the other from one connection.

    Args:
        room: for the largest body, in bytes.

    Attributes:
        begun: when the first byte of the last streamed body was there, in seconds of `clock`.
    """

    __slots__ = ("_after", "_body", "_buffer", "_connection", "_end", "_start", "_streamed",
                 "_view", "begun")  # fmt: skip

    clock = staticmethod(time.perf_counter)

    # Where in the buffer the last request starts, and its body; where the next does; what is there.
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
        """Read from that one; what was left over of another is gone with it."""
        self._connection = connection
        self._start = self._body = self._after = self._end = 0

    def answers(self) -> bool:
        """Wait for the next request: whether it is a POST, that is read whole, or a GET.

        Raises:
            Closed: no other comes.
            ValueError: it has no end that could be told, or is too large.
        """
        buffer, start = self._buffer, self._after
        end = self._end
        if start == end:
            self._end = end = self._connection.recv_into(buffer)
            if not end:
                raise Closed
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
        """Wait until it asks for its next event; what it says before that is passed over.

        Raises:
            Closed: it does not.
        """
        while self.answers() or not self.begins(NEXT):
            pass

    def begins(self, with_bytes: bytes) -> bool:
        """Whether the last request does."""
        return self._buffer.startswith(with_bytes, self._start)

    def line(self) -> str:
        """The last request's first line."""
        end = self._buffer.find(LINE_END, self._start)
        return self._buffer[self._start : end].decode("latin-1")

    @property
    def size(self) -> int:
        """Of the last request's body, in bytes."""
        return self._after - self._body if self._streamed is None else len(self._streamed)

    def has(self, body: bytes) -> bool:
        """Whether that is the last request's body."""
        if self._streamed is not None:
            return self._streamed == body
        return self.size == len(body) and self._buffer.startswith(body, self._body)

    def body(self) -> bytes:
        """The last request's body."""
        if self._streamed is not None:
            return self._streamed
        return bytes(self._view[self._body : self._after])

    # -- what is not usual

    def _more(self) -> None:
        end = self._end
        if end == len(self._buffer):
            raise ValueError(f"a request of more than {end} bytes: {self.line()}")
        came = self._connection.recv_into(self._view[end : end + PIECE])
        if not came:
            raise Closed
        self._end = end + came

    def _until(self, mark: bytes, start: int) -> int:
        while (at := self._buffer.find(mark, start, self._end)) < 0:
            self._more()
        return at

    def _read_rest(self) -> None:
        """A body that has not come with its head: curl asks first whether it is wanted."""
        head = self._buffer[self._start : self._body].lower()
        if b"\r\nexpect: 100-continue\r\n" in head and self._end == self._body:
            self._connection.sendall(CONTINUE)
        while self._end < self._after:
            self._more()

    def _read_odd(self, head: bytearray) -> None:
        """Without a `Content-Length` in its usual spelling."""
        self._streamed = None
        at = head.find(LENGTH.lower())
        if at >= 0:
            self._after = self._body + int(head[at + 16 :].partition(LINE_END)[0])
            self._read_rest()
        elif b"\r\ntransfer-encoding: chunked" in head:
            self._read_chunks()
        else:
            raise ValueError(f"a request without a length: {self.line()}")

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
                raise ValueError(f"the stream ends with an error: {trailer.decode('latin-1')}")
            at = line + 2
        self._streamed = b"".join(parts)
        self._after = at + 2
