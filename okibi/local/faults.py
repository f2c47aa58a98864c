"""Faults on demand, without I/O: a connection is dropped at a chosen byte of a chosen message.

It is what a test of a runtime needs to try every place where a connection can break. A message is a
request of the runtime or an answer to one; each way they are counted from 0, over all connections,
in the order in which they begin.
"""

from collections.abc import Callable, Sequence
from enum import Enum

import attrs

from . import http_responses
from .connection import Connection
from .http_requests import HeadersTooLarge, MalformedRequest, RequestReader

__all__ = ["Direction", "Fault", "Faults", "FaultyConnection"]


class Direction(Enum):
    """Which messages are counted."""

    FROM_RUNTIME = "request"
    """From the runtime."""
    TO_RUNTIME = "answer"
    """To the runtime; a 100 Continue is none."""


@attrs.frozen
class Fault:
    """A place where a connection is dropped, once.

    Args:
        direction: which messages are meant.
        message: which of them; 0 is the first.
        byte: how many bytes of it pass. 0: not one does. Its length or more: all do, and then the
            connection is dropped; a request has then been acted on.
        reset: whether the runtime sees a reset (RST) and not an orderly end (FIN).
    """

    direction: Direction
    message: int
    byte: int
    reset: bool = False


@attrs.define(eq=False)
class Faults:
    """What is to go wrong, and what has.

    Args:
        plan: the faults; more may be added while the server runs.
    """

    plan: Sequence[Fault] = ()
    triggered: list[Fault] = attrs.field(factory=list[Fault], init=False)
    """Those whose place has come, in order."""
    _counts: dict[Direction, int] = attrs.field(factory=dict[Direction, int], init=False)

    def begin(self, direction: Direction) -> Fault | None:
        """A message begins; the fault that is meant for it."""
        number = self._counts.get(direction, 0)
        self._counts[direction] = number + 1
        return next(
            (f for f in self.plan if f.direction is direction and f.message == number), None
        )


@attrs.define(eq=False)
class FaultyConnection:
    """A connection that breaks where it is told to.

    Args:
        faults: where.
        send: takes the pieces of an answer to the runtime.
        dropped: told of the fault once the connection is to be closed.
    """

    faults: Faults
    send_on: Callable[[list[bytes]], None]
    dropped: Callable[[Fault], None]
    fault: Fault | None = attrs.field(default=None, init=False)
    """The one that has happened here."""
    _connection: Connection | None = attrs.field(default=None, init=False)
    _parser: RequestReader | None = attrs.field(default=None, init=False)
    _planned: Fault | None = attrs.field(default=None, init=False)
    _request_bytes: int = attrs.field(default=0, init=False)
    """Bytes of the request that is coming in."""

    def wrap(self, connection: Connection) -> None:
        """The connection whose line this is."""
        self._connection = connection
        self._parser = RequestReader(0)

    def send(self, pieces: list[bytes]) -> None:
        """An answer, as far as it gets."""
        if self.fault is not None:
            return
        fault = (
            None if pieces == [http_responses.CONTINUE] else self.faults.begin(Direction.TO_RUNTIME)
        )
        if fault is None:
            self.send_on(pieces)
            return
        if part := b"".join(pieces)[: fault.byte]:
            self.send_on([part])
        self._drop(fault)

    def receive(self, data: bytes) -> None:
        """Bytes of the runtime, as far as they get."""
        assert self._connection is not None  # joined before anything comes
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
        # What came behind the fault's place never arrives.
        if self._planned is not None and (
            at < len(data) or self._request_bytes in (0, self._planned.byte)
        ):
            self._drop(self._planned)

    def _safe_step(self) -> int:
        """How many bytes surely belong to the request that is coming in."""
        if self._parser is not None and self._parser.requests:
            request = self._parser.requests[0]
            length = request.headers.get(b"content-length", b"")
            if length.isdigit():
                return max(1, int(length) - request.size)
        return 1

    def _parse(self, data: bytes) -> bool:
        """Read on; whether the request is complete."""
        assert self._parser is not None  # or nothing is counted
        self._request_bytes += len(data)
        try:
            self._parser.feed(data)
        except (MalformedRequest, HeadersTooLarge):
            # The connection ends of itself.
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
