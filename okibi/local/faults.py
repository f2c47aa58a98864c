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

__all__ = ["Fault", "Faults", "Line", "Way"]


class Way(Enum):
    """Which messages are counted."""

    REQUEST = "request"
    """From the runtime."""
    ANSWER = "answer"
    """To the runtime; a 100 Continue is none."""


@attrs.frozen
class Fault:
    """A place where a connection is dropped, once.

    Args:
        way: which messages are meant.
        message: which of them; 0 is the first.
        byte: how many bytes of it pass. 0: not one does. Its length or more: all do, and then the
            connection is dropped; a request has then been acted on.
        reset: whether the runtime sees a reset (RST) and not an orderly end (FIN).
    """

    way: Way
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
    happened: list[Fault] = attrs.field(factory=list[Fault], init=False)
    """Those whose place has come, in order."""
    _begun: dict[Way, int] = attrs.field(factory=dict[Way, int], init=False)

    def begin(self, way: Way) -> Fault | None:
        """A message begins; the fault that is meant for it."""
        number = self._begun.get(way, 0)
        self._begun[way] = number + 1
        return next((f for f in self.plan if f.way is way and f.message == number), None)


@attrs.define(eq=False)
class Line:
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
    _scout: RequestReader | None = attrs.field(default=None, init=False)
    _coming: Fault | None = attrs.field(default=None, init=False)
    _read: int = attrs.field(default=0, init=False)
    """Bytes of the request that is coming in."""

    def join(self, connection: Connection) -> None:
        """The connection whose line this is."""
        self._connection = connection
        self._scout = RequestReader(0)

    def send(self, pieces: list[bytes]) -> None:
        """An answer, as far as it gets."""
        if self.fault is not None:
            return
        fault = None if pieces == [http_responses.CONTINUE] else self.faults.begin(Way.ANSWER)
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
        while at < len(data) and self._scout is not None and self.fault is None:
            if self._read == 0:
                self._coming = self.faults.begin(Way.REQUEST)
            step = min(self._one_go(), len(data) - at)
            if self._coming is not None:
                step = min(step, self._coming.byte - self._read)
                if step == 0:
                    break
            ended = self._count(data[at : at + step])
            at += step
            if ended and self._coming is not None:
                break
        if self._scout is None:
            at = len(data)
        if at:
            self._connection.receive(data[:at])
        # What came behind the fault's place never arrives.
        if self._coming is not None and (at < len(data) or self._read in (0, self._coming.byte)):
            self._drop(self._coming)

    def _one_go(self) -> int:
        """How many bytes surely belong to the request that is coming in."""
        if self._scout is not None and self._scout.requests:
            request = self._scout.requests[0]
            length = request.headers.get(b"content-length", b"")
            if length.isdigit():
                return max(1, int(length) - request.size)
        return 1

    def _count(self, data: bytes) -> bool:
        """Read on; whether the request is complete."""
        assert self._scout is not None  # or nothing is counted
        self._read += len(data)
        try:
            self._scout.feed(data)
        except (MalformedRequest, HeadersTooLarge):
            # The connection ends of itself.
            self._scout = None
            return False
        if not self._scout.requests or not self._scout.requests[0].complete:
            return False
        self._scout.requests.popleft()
        self._read = 0
        return True

    def _drop(self, fault: Fault) -> None:
        if self.fault is None:
            self.fault, self._coming = fault, None
            self.faults.happened.append(fault)
            if self._connection is not None:
                self._connection.closing = True
            self.dropped(fault)
