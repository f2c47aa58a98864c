"""The outbox of a lane: requests that wait to be written, and the responses that they will bring.

    put last         then expected        may be put next
    nothing          NOTHING              GET /next
    GET /next        NEXT                 nothing, until the event is settled
    response + GET   STATUS_NEXT          nothing
    response         STATUS               nothing; after the status and the follow-ups, GET /next

The outbox keeps how much of the response is unwritten, because a broken connection costs what the
kernel has taken of it (`in_flight.broken_connection`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from ..protocol.runtime_api import next_request
from ..system.allocator import retain_freed_memory
from .broken_connection import NEXT, NOTHING, STATUS, STATUS_NEXT, Expected

# Pieces of a stream up to this size are joined into one write. Above, a copy costs more than a
# system call, and the allocator asks the kernel for the memory.
JOIN_LIMIT = 64 * 1024
# The same for head, body and next GET: separate writes would wake the server up for each.
RESPONSE_JOIN_LIMIT = 256 * 1024


class Outbox:
    """Bytes to write, in order, and the responses that are expected for them.

    Args:
        host: the Runtime API's address, for the Host header.
        pipelined: whether the next GET leaves with the response.

    Attributes:
        pieces: the bytes; the responder writes from the front.
        expected: the responses that the Runtime API still has to send.
        pipelined: whether the next GET leaves with the response; False as soon as a server does not
            support pipelining.
        closing: whether the process is to end: an event requested after that would be lost.
        response_size: bytes of the response, as far as it has been put.
        unwritten: the number of these bytes that have not been written.
    """

    __slots__ = (
        "_may_ask", "_next_request", "closing", "expected", "pieces", "pipelined", "response_size",
        "unwritten",
    )  # fmt: skip

    def __init__(self, host: bytes, pipelined: bool) -> None:
        self._next_request = next_request(host)
        self.pieces = deque[bytes | memoryview]()
        self.expected: Expected = NOTHING
        self.pipelined = pipelined
        self.closing = False
        # Whether the next GET may leave with a response: pipelined, not closing, no follow-ups.
        self._may_ask = pipelined
        self.response_size = 0
        self.unwritten = 0

    # -- putting

    def put_next(self) -> None:
        """Put `GET /next`, unless the process is to end or a response is expected."""
        if self.expected is NOTHING and not self.closing:
            self.pieces.append(self._next_request)
            self.expected = NEXT

    def put_response(self, head: bytes, body: bytes) -> None:
        """Put a whole response, with the next GET if that may leave now."""
        size = len(head) + len(body)
        if self._may_ask:
            following = self._next_request
            self._put((head, body, following), size + len(following), RESPONSE_JOIN_LIMIT)
            self.expected = STATUS_NEXT
        else:
            self._put((head, body), size, RESPONSE_JOIN_LIMIT)
            self.expected = STATUS
        # Last: after an error in here, the next responder puts the response again.
        self.response_size = self.unwritten = size

    def begin_stream(self, parts: Sequence[bytes]) -> None:
        """Put the head of a streamed response, with its first pieces."""
        self.expected = STATUS
        self.response_size = self.unwritten = 0
        self.add(parts)

    def add(self, parts: Sequence[bytes]) -> None:
        """Put more of the streamed response."""
        size = sum(map(len, parts))
        self._put(parts, size)
        self.response_size += size
        self.unwritten += size

    def end_stream(self, end: bytes) -> None:
        """Put the end of the streamed response, with the next GET as in `put_response`."""
        size, asks = len(end), self._may_ask
        following = self._next_request if asks else b""
        self._put((end, following), size + len(following))
        self.response_size += size
        self.unwritten += size
        if asks:
            self.expected = STATUS_NEXT

    def end_request(self, end: bytes) -> None:
        """Put the end of a request whose status has come already."""
        self.pieces.append(end)

    def _put(self, parts: Sequence[bytes], size: int, limit: int = JOIN_LIMIT) -> None:
        if size > JOIN_LIMIT:
            retain_freed_memory()
        if size > limit:
            self.pieces.extend([part for part in parts if part])
        elif size:
            try:
                self.pieces.append(b"".join(parts))
            except MemoryError:
                # Separate pieces need no further memory.
                self._put(parts, size, 0)

    # -- writing

    def write(self, send: Callable[[bytes | memoryview], int]) -> None:
        """Write everything.

        Args:
            send: writes what the connection takes now, and returns the number of bytes.

        Raises:
            BlockingIOError: the connection takes no more now.
            OSError: the connection is broken.
        """
        pieces = self.pieces
        while pieces:
            piece = pieces[0]
            size = send(piece)
            left = self.unwritten - size
            self.unwritten = left if left > 0 else 0
            if size < len(piece):
                pieces[0] = memoryview(piece)[size:]
                continue
            pieces.popleft()
            if len(pieces) > 1:
                self._join_small_pieces()

    def _join_small_pieces(self) -> None:
        """Join the pieces at the front, up to JOIN_LIMIT.

        A stream on a blocked connection may have thousands of pieces waiting. They are joined when
        the piece before them is out, and no byte is copied twice.
        """
        size = count = 0
        for piece in self.pieces:
            size += len(piece)
            if size > JOIN_LIMIT:
                break
            count += 1
        if count > 1:
            try:
                joined = b"".join(islice(self.pieces, count))
            except MemoryError:
                return
            for _ in range(count):
                self.pieces.popleft()
            self.pieces.appendleft(joined)

    # -- what comes back, and the end of a connection

    def take_status(self) -> None:
        """Expect one status less."""
        asked = self.expected is STATUS_NEXT
        self.expected = NEXT if asked else NOTHING

    def take_next(self) -> None:
        """Expect no event any more: the response to `GET /next` has come."""
        self.expected = NOTHING

    def clear(self) -> None:
        """Drop what waits: its connection is gone."""
        self.pieces.clear()
        self.expected = NOTHING

    # -- rules for the requests to come

    def end_pipelining(self) -> None:
        """Let each GET wait for the status before it, from now on."""
        self.pipelined = self._may_ask = False

    def hold_next(self) -> None:
        """Let the next response leave without the next GET: follow-ups come first."""
        self._may_ask = False

    def release_next(self) -> None:
        """Let the next GET leave with a response again: the follow-ups have ended."""
        self._may_ask = self.pipelined and not self.closing

    def close(self) -> None:
        """Ask for no more events, from now on. A signal handler may call this."""
        self._may_ask = False
        self.closing = True
