"""Break connections on demand, without I/O: at a chosen byte of a chosen message.

With these faults a test can try every place where a connection can break. A message is an HTTP
request of the runtime or a response to the runtime. Requests and responses are counted separately,
from 0, over all connections, in the order in which they begin.
"""

from collections.abc import Callable, Sequence
from enum import Enum

import attrs

from . import http_responses
from .connection import Connection
from .http_requests import HeadersTooLarge, MalformedRequest, RequestReader


class Direction(Enum):
    """The direction of a message."""

    # Requests of the runtime.
    FROM_RUNTIME = "request"
    # Responses to the runtime, without 100 Continue.
    TO_RUNTIME = "answer"


@attrs.frozen
class Fault:
    """Drops a connection at one place, once.

    Args:
        direction: the direction of the messages that are counted.
        message: the number of the message, from 0.
        byte: the number of bytes of the message that pass. With the length of the message or more,
            the connection is dropped after the message; a request is handled then.
        reset: close the connection with a reset (RST) instead of an orderly end (FIN).
    """

    direction: Direction
    message: int
    byte: int
    reset: bool = False


@attrs.define(eq=False)
class Faults:
    """Planned faults, and those that have triggered.

    Args:
        plan: the faults. A test may add faults while the server runs.
    """

    plan: Sequence[Fault] = ()
    # The faults that have triggered, in order.
    triggered: list[Fault] = attrs.field(factory=list[Fault], init=False)
    _counts: dict[Direction, int] = attrs.field(factory=dict[Direction, int], init=False)

    def begin(self, direction: Direction) -> Fault | None:
        """Count a new message; return the fault planned for it."""
        number = self._counts.get(direction, 0)
        self._counts[direction] = number + 1
        return next(
            (f for f in self.plan if f.direction is direction and f.message == number), None
        )


@attrs.define(eq=False)
class FaultyConnection:
    """Wraps a `Connection` and drops it as planned.

    Args:
        faults: the planned faults.
        send_on: writes the pieces of a response to the runtime.
        dropped: called with the fault; must close the connection.
    """

    faults: Faults
    send_on: Callable[[list[bytes]], None]
    dropped: Callable[[Fault], None]
    # The fault that has triggered here.
    fault: Fault | None = attrs.field(default=None, init=False)
    _connection: Connection | None = attrs.field(default=None, init=False)
    _parser: RequestReader | None = attrs.field(default=None, init=False)
    _planned: Fault | None = attrs.field(default=None, init=False)
    # Received bytes of the current request.
    _request_bytes: int = attrs.field(default=0, init=False)

    def wrap(self, connection: Connection) -> None:
        """Set the connection to drop. Call this once, before any byte."""
        self._connection = connection
        self._parser = RequestReader(0)

    def send(self, pieces: list[bytes]) -> None:
        """Send a response, or the part before the fault."""
        if self.fault is not None:
            return
        counts = pieces != [http_responses.CONTINUE]
        fault = self.faults.begin(Direction.TO_RUNTIME) if counts else None
        if fault is None:
            self.send_on(pieces)
            return
        if part := b"".join(pieces)[: fault.byte]:
            self.send_on([part])
        self._drop(fault)

    def receive(self, data: bytes) -> None:
        """Receive bytes of the runtime, or the part before the fault."""
        assert self._connection is not None  # see wrap
        at = 0
        while at < len(data) and self._parser is not None and self.fault is None:
            if self._request_bytes == 0:
                self._planned = self.faults.begin(Direction.FROM_RUNTIME)
            step = min(self._safe_step(), len(data) - at)
            if self._planned is not None:
                step = min(step, self._planned.byte - self._request_bytes)
                if step == 0:
                    break
            ended = self._parse(data[at : at + step])
            at += step
            if ended and self._planned is not None:
                break
        if self._parser is None:
            at = len(data)
        if at:
            self._connection.receive(data[:at])
        # Bytes beyond the fault never arrive.
        if self._planned is not None and (
            at < len(data) or self._request_bytes in (0, self._planned.byte)
        ):
            self._drop(self._planned)

    def _safe_step(self) -> int:
        """Return the number of bytes that certainly belong to the current request."""
        if self._parser is not None and self._parser.requests:
            request = self._parser.requests[0]
            length = request.headers.get(b"content-length", b"")
            if length.isdigit():
                return max(1, int(length) - request.size)
        return 1

    def _parse(self, data: bytes) -> bool:
        """Parse bytes; return whether the request is complete."""
        assert self._parser is not None  # the caller checks
        self._request_bytes += len(data)
        try:
            self._parser.feed(data)
        except (MalformedRequest, HeadersTooLarge):
            # The connection reports the malformed request and ends.
            self._parser = None
            return False
        if not self._parser.requests or not self._parser.requests[0].complete:
            return False
        self._parser.requests.popleft()
        self._request_bytes = 0
        return True

    def _drop(self, fault: Fault) -> None:
        if self.fault is None:
            self.fault, self._planned = fault, None
            self.faults.triggered.append(fault)
            if self._connection is not None:
                self._connection.closing = True
            self.dropped(fault)
