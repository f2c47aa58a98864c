"""A delivery: the state machine of one event, from its arrival to the status of its response.

    RECEIVED   the event has been read in full
    ASSIGNED   the dispatcher has chosen a worker and sent it a message
    RUNNING    the worker has begun; a handler begins at most once per delivery
    STREAMING  the head of a streamed response is in the outbox, perhaps with first pieces
    SETTLED    the outcome is known: the handler's result or an error
    STAGED     the response, or the end of a streamed one, is in the outbox, perhaps partly written
    ACKED      the Runtime API has sent its final status

An event whose handler has called `Context.after_response` goes on:

    FOLLOWING_UP   the worker runs the registered functions; the response is out
    FINISHED       they have ended, and the lane may ask for the next event

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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...actors import Ref
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import echo_header, path_segment
from .stream import Stream

if TYPE_CHECKING:
    from .follow_ups import Call, FollowUps

    class Observed(Protocol):
        """The event as its observers see it (`handlers.observed_event`)."""

        def end(self, outcome: Outcome, /) -> None: ...
        def note_error(self, error: BaseException, /) -> None: ...
        def note_route(self, route: str, /) -> None: ...
        def note_early_answer(self, outcome: Outcome, /) -> None: ...
        def note_late_answer(self, error: Outcome, /) -> None: ...


class DeliveryState(enum.IntEnum):
    """The progress of a delivery. An IntEnum, because each event hashes the state a dozen times."""

    RECEIVED = 1
    ASSIGNED = 2
    RUNNING = 3
    STREAMING = 4
    SETTLED = 5
    STAGED = 6
    ACKED = 7
    FOLLOWING_UP = 8
    FINISHED = 9


# The members as globals, for what each event passes: in Python 3.11 an access by the class takes
# longer than a call, because the metaclass has a `__getattr__`.
RECEIVED, ASSIGNED, RUNNING, STREAMING, SETTLED, STAGED, ACKED, FOLLOWING_UP, FINISHED = (
    DeliveryState
)


# Each step, named as its method: from state to state.
TRANSITIONS: Final[Mapping[str, Mapping[DeliveryState, DeliveryState]]] = {
    # The dispatcher.
    "assign": {RECEIVED: ASSIGNED},
    # The dispatcher: the worker died before it began.
    "give_back": {ASSIGNED: RECEIVED},
    # The assigned worker, once.
    "begin": {ASSIGNED: RUNNING},
    # The running worker, with the first piece of a streamed response.
    "open_stream": {RUNNING: STREAMING},
    # The running worker; dispatcher or watchdog if the worker is dead or late.
    "settle": {
        RUNNING: SETTLED,
        # The end of a stream. An error can only follow the pieces that are out.
        STREAMING: SETTLED,
        # Past the deadline, before a handler has begun.
        RECEIVED: SETTLED,
        ASSIGNED: SETTLED,
    },
    # The responder.
    "stage": {SETTLED: STAGED},
    # The poller: the connection broke, and the response may be sent again.
    "unstage": {STAGED: SETTLED},
    # The poller.
    "ack": {STAGED: ACKED},
    # The worker, if there are follow-ups.
    "begin_follow_ups": {ACKED: FOLLOWING_UP},
    # The worker; the dispatcher if the worker is dead or late.
    "finish": {ACKED: FINISHED, FOLLOWING_UP: FINISHED},
}
# A row each: a lookup of state and transition together would need a new tuple.
(
    _ASSIGN, _GIVE_BACK, _BEGIN, _OPEN_STREAM, _SETTLE, _STAGE, _UNSTAGE, _ACK, _BEGIN_FOLLOW_UPS,
    _FINISH,
) = TRANSITIONS.values()  # fmt: skip


class OtherAnswers:
    """Answers besides the handler's result.

    Attributes:
        early: sends an answer while the handler goes on; None if the handler may not do so.
        late: makes the answer in place of the error of a late handler; None for the error.
    """

    __slots__ = ("early", "late")

    def __init__(self, early: "Callable[[object], None] | None" = None) -> None:
        self.early = early
        self.late: Callable[[], Outcome] | None = None


class Delivery:
    """One event, its worker, its outcome and its state.

    Args:
        request_id: the Runtime API's id of the invocation.
        headers: headers of the event, names in lower case.
        body: the event, undecoded; cleared after decoding.
        due: the platform's deadline, in seconds of trio's clock.
        limit: the time at which okibi times the handler out, a margin before `due`.
    """

    # None for nearly every event, and once they have ended. Of the class, to cost others nothing.
    follow_ups: "FollowUps | None" = None
    # Of adapters.
    other_answers: "OtherAnswers | None" = None
    # Of a function with telemetry.
    observed: "Observed | None" = None

    def __init__(
        self,
        request_id: str,
        headers: dict[bytes, bytes],
        body: bytes,
        due: float,
        limit: float,
    ) -> None:
        self.request_id = request_id
        self.headers = headers
        self.body = body
        self.due = due
        self.limit = limit
        self.state = RECEIVED
        self.worker: Ref[Any] | None = None
        self.outcome: Outcome | None = None
        # Set from STREAMING on, for a streamed response.
        self.stream: Stream | None = None
        # How often a handler has begun: 0 or 1.
        self.begun = 0
        # The head of a JSON response, up to its length; empty until `prepare_head`.
        self.head = b""
        self._settle_token = [None]

    def __repr__(self) -> str:
        return f"<Delivery {self.request_id} {self.state.name}>"

    @property
    def unsettled(self) -> bool:
        """Whether the outcome is still open."""
        return self.state <= STREAMING

    @property
    def unfinished(self) -> bool:
        """Whether the event occupies its worker: it is unsettled, or has follow-ups."""
        return self.state <= STREAMING or self.follow_ups is not None

    def is_overdue(self, now: float) -> bool:
        """Return whether the dispatcher may settle this delivery in the worker's place.

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
        if not self._move(_GIVE_BACK):
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
        if self.worker != worker or not self._move(_OPEN_STREAM):
            return False
        self.stream = stream
        return True

    def settle(self, outcome: Outcome, worker: Ref[Any] | None = None) -> bool:
        """Settle the delivery. The first call wins; a worker must own the delivery.

        Args:
            outcome: the response; for a stream, how it ended.
            worker: the calling worker; None for the dispatcher, which needs no ownership.
        """
        begun = self.state is RUNNING or self.state is STREAMING
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
        """Mark the final status as received.

        Frees what no actor needs any more: event and response have up to 6 MB each, and the ledger
        keeps the delivery until its worker gets the next one.
        """
        if not self._move(_ACK):
            return False
        if self.stream is None:
            self.outcome = None
            self.body = b""
        return True

    def open_follow_ups(self) -> "FollowUps | None":
        """Return the follow-ups, new ones for an unsettled delivery; None if it takes no more.

        Any thread may call this.
        """
        if self.follow_ups is None and self.unsettled:
            from .follow_ups import FollowUps

            self.follow_ups = FollowUps()
            # Look again: the loop may have settled the delivery since.
            if self.state > STREAMING:
                self.follow_ups = None
        return self.follow_ups

    def take_follow_ups(self) -> "list[Call]":
        """Take the registered functions, which then do not run by themselves."""
        follow_ups, self.follow_ups = self.follow_ups, None
        return [] if follow_ups is None else [*follow_ups.calls]

    def begin_follow_ups(self, worker: Ref[Any]) -> bool:
        """Begin the follow-ups. True once, for the worker that ran the handler."""
        mine = self.follow_ups is not None and self._belongs_to(worker)
        return mine and self._move(_BEGIN_FOLLOW_UPS)

    def claim_end(self) -> bool:
        """Take the right to end the event: to settle it, or to end its follow-ups. True once.

        False while a response is on its way.
        """
        if self.unsettled:
            return self.claim()
        follow_ups = self.follow_ups
        return self.state >= ACKED and follow_ups is not None and follow_ups.claim()

    def finish(self) -> bool:
        """End the follow-ups. True once.

        Before ACKED, they are dropped: the delivery ends as one without follow-ups.
        """
        follow_ups = self.follow_ups
        if follow_ups is None or not follow_ups.claim():
            return False
        self.follow_ups = None
        self._move(_FINISH)
        return True

    def drop_follow_ups(self, why: str) -> None:
        """End the follow-ups that no worker will run, or end, and log them.

        Args:
            why: the reason, a clause.
        """
        follow_ups = self.follow_ups
        if follow_ups is not None and self.finish():
            follow_ups.log_rest(self.request_id, why)

    def allow_early_answer(self, answer: "Callable[[object], None]") -> None:
        """Let the handler answer before it ends, by a call of this function."""
        self.other_answers = OtherAnswers(answer)

    def prepare_late_answer(self, make: "Callable[[], Outcome]") -> None:
        """Have an answer sent in place of the error if the handler is late."""
        answers = self.other_answers = self.other_answers or OtherAnswers()
        answers.late = make

    def drop_other_answers(self) -> None:
        """Keep the other answers no longer: they refer to this delivery."""
        self.other_answers = None

    def late_answer(self) -> Outcome | None:
        """Return the answer to a late event in place of the error; None for the error.

        Any thread may call this.
        """
        answers = self.other_answers
        if answers is None or answers.late is None or self.state is not RUNNING:
            return None
        return answers.late()

    def observe(self, observed: "Observed") -> None:
        """Tell the observers of the event what becomes of the event."""
        self.observed = observed

    def drop_body(self) -> None:
        """Keep the undecoded event no longer."""
        self.body = b""

    def lose_stream(self, error: Outcome) -> None:
        """Respond with an error in place of a stream that was written and lost."""
        self.stream = None
        self.outcome = error

    def prepare_head(self, template: bytes) -> bytes:
        """Build the head of a JSON response, up to its length.

        Args:
            template: the result of `json_response_head`.
        """
        self.head = template % (path_segment(self.request_id), echo_header(self.headers))
        return self.head

    def _belongs_to(self, worker: Ref[Any]) -> bool:
        # Nearly always the same object; Ref.__eq__ is a call.
        return self.worker is worker or self.worker == worker

    def _move(self, moves: Mapping[DeliveryState, DeliveryState]) -> bool:
        state = moves.get(self.state)
        if state is None:
            return False
        self.state = state
        return True
