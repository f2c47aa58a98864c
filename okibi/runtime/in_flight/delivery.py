"""A delivery: the state machine of one event, from its arrival to the status of its response.

    RECEIVED   the event has been read in full
    ASSIGNED   the dispatcher has chosen a worker and sent it a message
    RUNNING    the worker has begun; a handler begins at most once per delivery
    STREAMING  the head of a streamed response is in the outbox, perhaps with first pieces
    SETTLED    the outcome is known: the handler's result or an error
    STAGED     the response, or the end of a streamed one, is in the outbox, perhaps partly written
    ACKED      the Runtime API has sent its final status

Each transition is one synchronous method without a checkpoint. trio cancels at checkpoints only,
and a killed actor therefore leaves a delivery before or after a transition, never within.

Each transition checks the table. A late caller, or a worker that does not own the delivery, gets
False and changes nothing. A restarted actor goes on from the state that it finds.

A delivery is identified by its object. The request id is not unique: the retry of an asynchronous
event has the same one (Runtime API).

All calls come from trio's thread, with one exception: the watchdog may settle a delivery from its
own thread. `claim` takes the right to settle in one atomic operation.
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

from ...actors import Ref
from ..protocol.outcome import Outcome
from .stream import Stream


class DeliveryState(enum.IntEnum):
    """How far a delivery has come. An IntEnum, because each event hashes it a dozen times."""

    RECEIVED = 1
    ASSIGNED = 2
    RUNNING = 3
    STREAMING = 4
    SETTLED = 5
    STAGED = 6
    ACKED = 7


class DeliveryTransition(enum.IntEnum):
    """A step from one state to the next, and the actor that takes it."""

    ASSIGN = 1  # dispatcher
    RETURN = 2  # dispatcher: the worker died before it began
    BEGIN = 3  # the assigned worker, once
    STREAM = 4  # the running worker, with the first piece of a streamed response
    SETTLE = 5  # the running worker; dispatcher or watchdog if the worker is dead or late
    STAGE = 6  # responder
    UNSTAGE = 7  # poller: the connection broke, and the response may be sent again
    ACK = 8  # poller


TRANSITIONS: Final[Mapping[tuple[DeliveryState, DeliveryTransition], DeliveryState]] = {
    (DeliveryState.RECEIVED, DeliveryTransition.ASSIGN): DeliveryState.ASSIGNED,
    (DeliveryState.ASSIGNED, DeliveryTransition.RETURN): DeliveryState.RECEIVED,
    (DeliveryState.ASSIGNED, DeliveryTransition.BEGIN): DeliveryState.RUNNING,
    (DeliveryState.RUNNING, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.RUNNING, DeliveryTransition.STREAM): DeliveryState.STREAMING,
    # The end of a stream. An error can only follow the pieces that are out.
    (DeliveryState.STREAMING, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    # Past the deadline, before a handler has begun.
    (DeliveryState.RECEIVED, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.ASSIGNED, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.SETTLED, DeliveryTransition.STAGE): DeliveryState.STAGED,
    (DeliveryState.STAGED, DeliveryTransition.UNSTAGE): DeliveryState.SETTLED,
    (DeliveryState.STAGED, DeliveryTransition.ACK): DeliveryState.ACKED,
}


def _states_after(transition: DeliveryTransition) -> dict[DeliveryState, DeliveryState]:
    """The rows of one transition: from state to state. A lookup then needs no new tuple."""
    return {before: after for (before, each), after in TRANSITIONS.items() if each is transition}


_ASSIGN = _states_after(DeliveryTransition.ASSIGN)
_RETURN = _states_after(DeliveryTransition.RETURN)
_BEGIN = _states_after(DeliveryTransition.BEGIN)
_STREAM = _states_after(DeliveryTransition.STREAM)
_SETTLE = _states_after(DeliveryTransition.SETTLE)
_STAGE = _states_after(DeliveryTransition.STAGE)
_UNSTAGE = _states_after(DeliveryTransition.UNSTAGE)
_ACK = _states_after(DeliveryTransition.ACK)


class Delivery:
    """One event, its worker, its outcome and its state.

    Args:
        serial: number of this delivery in its lane, from 1.
        request_id: the Runtime API's id of the invocation.
        headers: headers of the event, names in lower case.
        body: the event, undecoded; cleared after decoding.
        due: the platform's deadline, in seconds of trio's clock.
        limit: when okibi times the handler out, a margin before `due`.
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
        # Set from STREAMING on, for a streamed response.
        self.stream: Stream | None = None
        # How often a handler has begun: 0 or 1.
        self.begun = 0
        # The head of a JSON response, up to its length; empty until `Lane.prepare_head`.
        self.head = b""
        self._settle_token = [None]

    def __repr__(self) -> str:
        return f"<Delivery {self.serial} {self.request_id} {self.state.name}>"

    @property
    def unsettled(self) -> bool:
        """Whether the outcome is still open."""
        return self.state <= DeliveryState.STREAMING

    def is_overdue(self, now: float) -> bool:
        """Whether the dispatcher may settle this delivery in the worker's place.

        True from halfway between `limit` and `due`, because the worker's own cancel scope, at
        `limit`, goes first.

        Args:
            now: seconds of trio's clock.
        """
        return now >= (self.limit + self.due) / 2

    def assign(self, worker: Ref[Any]) -> bool:
        """Assign the event to a worker. The caller then wakes the worker."""
        if not self._move(_ASSIGN):
            return False
        self.worker = worker
        return True

    def give_back(self) -> bool:
        """Unassign the event from a worker that died before it began."""
        if not self._move(_RETURN):
            return False
        self.worker = None
        return True

    def begin(self, worker: Ref[Any]) -> bool:
        """Begin to handle the event. True once, for the assigned worker."""
        if not self._belongs_to(worker) or not self._move(_BEGIN):
            return False
        self.begun += 1
        return True

    def open_stream(self, stream: Stream, worker: Ref[Any] | None) -> bool:
        """Begin a streamed response. True once, for the running worker."""
        if self.worker != worker or not self._move(_STREAM):
            return False
        self.stream = stream
        return True

    def settle(self, outcome: Outcome, worker: Ref[Any] | None = None) -> bool:
        """Settle the delivery. The first call wins; a worker must own the delivery.

        Args:
            outcome: the response; for a stream, how it ended.
            worker: the calling worker; None for the dispatcher, which needs no ownership.
        """
        begun = self.state is DeliveryState.RUNNING or self.state is DeliveryState.STREAMING
        may_settle = worker is None or (begun and self._belongs_to(worker))
        if not may_settle or self.state not in _SETTLE or not self.claim():
            return False
        self.outcome = outcome
        return self._move(_SETTLE)

    def claim(self) -> bool:
        """Take the right to settle. True once, for the first thread."""
        try:
            self._settle_token.pop()
        except IndexError:
            return False
        return True

    def stage(self) -> bool:
        """Mark the response as staged."""
        return self._move(_STAGE)

    def unstage(self) -> bool:
        """Mark the response as settled again: it must be staged once more."""
        return self._move(_UNSTAGE)

    def ack(self) -> bool:
        """Mark the final status as received."""
        return self._move(_ACK)

    def _belongs_to(self, worker: Ref[Any]) -> bool:
        # Nearly always the same object; Ref.__eq__ is a call.
        return self.worker is worker or self.worker == worker

    def _move(self, moves: dict[DeliveryState, DeliveryState]) -> bool:
        state = moves.get(self.state)
        if state is None:
            return False
        self.state = state
        return True
