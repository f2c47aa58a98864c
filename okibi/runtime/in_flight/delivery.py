"""A delivery: one event on its way to one answer. This table is the truth; mail is a wake-up.

    RECEIVED   the whole event has been read
    ASSIGNED   a worker has been told
    RUNNING    that worker has begun; a handler never begins twice for one delivery
    STREAMING  the head of its answer is in the lane's outbox, and maybe a part of what follows
    SETTLED    there is an answer, the handler's or an error
    STAGED     the answer, or the end of a streamed one, is in the outbox, maybe partly written
    ACKED      the Runtime API has given its final status

Every move is one synchronous function without a checkpoint, so an actor that is killed, which
can only happen at a checkpoint, has moved a delivery or has not. Each move is fenced by the
table: whoever comes late, or is not the worker it belongs to, gets False and changes nothing.
So whoever dies leaves a ledger from which its successor can go on, by looking.

A delivery is known by its object, never by its request id: that repeats when an asynchronous
event is retried (Runtime API).

Beyond the one thread of the tree only the watchdog touches a delivery, and only to settle it:
the right to settle is a token taken with a single atomic operation.
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

from ...actors import Ref
from ..protocol.outcome import Outcome
from .stream import Stream


class DeliveryState(enum.IntEnum):
    """How far a delivery has come. Integers, since they are hashed a dozen times an event."""

    RECEIVED = 1
    ASSIGNED = 2
    RUNNING = 3
    STREAMING = 4
    SETTLED = 5
    STAGED = 6
    ACKED = 7


class DeliveryTransition(enum.IntEnum):
    """What moves it on."""

    ASSIGN = 1  # dispatcher
    RETURN = 2  # dispatcher: its worker died before it began
    BEGIN = 3  # its worker, once
    STREAM = 4  # its worker, with the first bytes of an answer that has others to come
    SETTLE = 5  # its worker; the dispatcher or the watchdog, when it is dead or late
    STAGE = 6  # responder
    UNSTAGE = 7  # poller: the connection broke, and the answer may be sent once more
    ACK = 8  # poller


TRANSITIONS: Final[Mapping[tuple[DeliveryState, DeliveryTransition], DeliveryState]] = {
    (DeliveryState.RECEIVED, DeliveryTransition.ASSIGN): DeliveryState.ASSIGNED,
    (DeliveryState.ASSIGNED, DeliveryTransition.RETURN): DeliveryState.RECEIVED,
    (DeliveryState.ASSIGNED, DeliveryTransition.BEGIN): DeliveryState.RUNNING,
    (DeliveryState.RUNNING, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.RUNNING, DeliveryTransition.STREAM): DeliveryState.STREAMING,
    # How it ended: from here on an error can only follow the bytes that are out.
    (DeliveryState.STREAMING, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    # Past its deadline, whether anybody has begun or not.
    (DeliveryState.RECEIVED, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.ASSIGNED, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.SETTLED, DeliveryTransition.STAGE): DeliveryState.STAGED,
    (DeliveryState.STAGED, DeliveryTransition.UNSTAGE): DeliveryState.SETTLED,
    (DeliveryState.STAGED, DeliveryTransition.ACK): DeliveryState.ACKED,
}


def _moves(move: DeliveryTransition) -> dict[DeliveryState, DeliveryState]:
    """The table's rows of one move: a pair to look up would be made anew for each."""
    return {before: after for (before, each), after in TRANSITIONS.items() if each is move}


_ASSIGN, _RETURN, _BEGIN = (
    _moves(DeliveryTransition.ASSIGN),
    _moves(DeliveryTransition.RETURN),
    _moves(DeliveryTransition.BEGIN),
)
_STREAM, _SETTLE = _moves(DeliveryTransition.STREAM), _moves(DeliveryTransition.SETTLE)
_STAGE, _UNSTAGE, _ACK = (
    _moves(DeliveryTransition.STAGE),
    _moves(DeliveryTransition.UNSTAGE),
    _moves(DeliveryTransition.ACK),
)


class Delivery:
    """One event, who handles it, and how far it has come.

    Args:
        serial: which delivery of its lane this is, from 1.
        request_id: what the Runtime API calls it.
        headers: what came with it, names in lower case.
        body: the event, undecoded; empty once it is decoded.
        due: when the platform ends the sandbox over it, in seconds of trio's clock.
        limit: when okibi answers in its handler's place, a margin before that.
    """

    def __init__(
        self,
        serial: int,
        request_id: str,
        headers: dict[bytes, bytes],
        body: bytes,
        due: float,
        limit: float,
    ) -> None:
        self.serial = serial
        self.request_id = request_id
        self.headers = headers
        self.body = body
        self.due = due
        self.limit = limit
        self.state = DeliveryState.RECEIVED
        self.worker: Ref[Any] | None = None
        self.outcome: Outcome | None = None
        # Of a streamed answer, once its head is in the outbox.
        self.stream: Stream | None = None
        self.begun = 0
        # What its answer begins with, up to its length, if that is JSON; empty until it is written.
        self.head = b""
        self._token = [None]

    def __repr__(self) -> str:
        return f"<Delivery {self.serial} {self.request_id} {self.state.name}>"

    @property
    def unsettled(self) -> bool:
        """Whether nobody has answered it yet."""
        return self.state <= DeliveryState.STREAMING

    def is_overdue(self, now: float) -> bool:
        """Whether others may answer it in its worker's place: halfway from limit to due, for the
        worker's own scope, at the limit, comes first.

        Args:
            now: in seconds of trio's clock.
        """
        return now >= (self.limit + self.due) / 2

    def assign(self, worker: Ref[Any]) -> bool:
        """Give it to a worker, who is to be told."""
        if not self._move(_ASSIGN):
            return False
        self.worker = worker
        return True

    def give_back(self) -> bool:
        """Take it from a worker that has died before it began: still its first run."""
        if not self._move(_RETURN):
            return False
        self.worker = None
        return True

    def begin(self, worker: Ref[Any]) -> bool:
        """Begin to handle it. True once, for the worker it is assigned to."""
        if not self._is_for(worker) or not self._move(_BEGIN):
            return False
        self.begun += 1
        return True

    def open_stream(self, stream: Stream, worker: Ref[Any] | None) -> bool:
        """Begin to answer it in pieces. True once, for the worker that runs it."""
        if self.worker != worker or not self._move(_STREAM):
            return False
        self.stream = stream
        return True

    def settle(self, outcome: Outcome, worker: Ref[Any] | None = None) -> bool:
        """Answer it. The first answer wins; a worker's only while it is that worker's.

        Args:
            outcome: the answer; of a streamed one, how it ended.
            worker: who answers; None for the dispatcher, whose word always counts.
        """
        begun = self.state is DeliveryState.RUNNING or self.state is DeliveryState.STREAMING
        mine = worker is None or (begun and self._is_for(worker))
        if not mine or self.state not in _SETTLE or not self.claim():
            return False
        self.outcome = outcome
        return self._move(_SETTLE)

    def claim(self) -> bool:
        """Take the sole right to answer. True once, whichever thread asks."""
        try:
            self._token.pop()
        except IndexError:
            return False
        return True

    def stage(self) -> bool:
        """Say that the answer is in the outbox."""
        return self._move(_STAGE)

    def unstage(self) -> bool:
        """Say that the answer has to be put there once more."""
        return self._move(_UNSTAGE)

    def ack(self) -> bool:
        """Say that the Runtime API has given its final status."""
        return self._move(_ACK)

    def _is_for(self, worker: Ref[Any]) -> bool:
        # Nearly always it is the same object; to compare what two refer to takes a call.
        return self.worker is worker or self.worker == worker

    def _move(self, moves: dict[DeliveryState, DeliveryState]) -> bool:
        state = moves.get(self.state)
        if state is None:
            return False
        self.state = state
        return True
