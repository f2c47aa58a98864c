"""The platform's side of one runtime, without I/O: its state, its invocation, its waiting /next.

Everything here is synchronous. What the trio shell (`runtime_api.py`) does on top is to move
bytes, to park the invokers, and to own the time-out.
"""

from collections import deque
from collections.abc import Callable

import attrs

from runtime.local.invocation import Invocation
from runtime.local.journal import Entry, Happening, Journal
from runtime.local.outcomes import (
    ERROR_WITH_CAUSE,
    MAX_PAYLOAD_SIZE,
    Outcome,
    function_error_type,
    too_large,
    without_cause,
)
from runtime.local.states import Move, Refusal, State, transition

__all__ = [
    "INVALID_REQUEST_ID",
    "INVALID_RESPONSE_MODE",
    "REQUEST_ENTITY_TOO_LARGE",
    "Exchange",
    "Waiter",
]

INVALID_REQUEST_ID = Refusal(400, "InvalidRequestID", "Invalid request ID")
INVALID_RESPONSE_MODE = Refusal(
    400, "InvalidFunctionResponseMode", "Invalid function response mode"
)
REQUEST_ENTITY_TOO_LARGE = Refusal(
    413,
    "RequestEntityTooLarge",
    f"Exceeded maximum allowed payload size ({MAX_PAYLOAD_SIZE} bytes).",
)


@attrs.define(eq=False)
class Waiter:
    """A pending /next.

    Args:
        deliver: called once with the invocation that this /next gets.
    """

    deliver: Callable[[Invocation], None]
    abandoned: bool = attrs.field(default=False, init=False)


def _ignore(_: object) -> None:
    """Nobody listens."""


def _nothing() -> None:
    """Nobody listens."""


@attrs.define(eq=False)
class Exchange:
    """What passes between the platform and one runtime at a time.

    The platform offers one invocation at a time (`offer`); the runtime's calls are the methods
    named after the endpoints. Those that read a body come in two halves, as the state does:
    `begin_…` at the headers, `finish_…` at the end of the body.

    Args:
        clock: seconds, the run's own clock.
        wall_clock: seconds since the epoch; only `Lambda-Runtime-Deadline-Ms` is made of it.
        journal: what happened is written down there.
        swallow_abandoned: whether a /next whose connection broke still takes the next event, as
            Lambda's does.
        on_come: told when a new runtime makes its first call, be it /next or /init/error.
        on_init_error: told of the error that an /init/error brought.
        on_begin, on_answer, on_end: told of an invocation when it is handed out, when its outcome
            is there, and when the runtime is through with it. They must not raise.
    """

    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    journal: Journal
    swallow_abandoned: bool = True
    on_come: Callable[[], None] = _nothing
    on_init_error: Callable[[Outcome], None] = _ignore
    on_begin: Callable[[Invocation], None] = _ignore
    on_answer: Callable[[Invocation], None] = _ignore
    on_end: Callable[[Invocation], None] = _ignore

    state: State = attrs.field(default=State.STARTED, init=False)
    current: Invocation | None = attrs.field(default=None, init=False)
    """Handed out, and the runtime has not come back from it yet."""
    offered: Invocation | None = attrs.field(default=None, init=False)
    """Waits for the runtime to come."""
    init_error: Outcome | None = attrs.field(default=None, init=False)
    """The reply of the first invoke, also when the sandbox is gone by then."""
    _waiters: deque[Waiter] = attrs.field(factory=deque[Waiter], init=False)

    # -- the platform's side

    def offer(self, invocation: Invocation) -> None:
        """The next invocation; it is handed out at once where a /next waits for it."""
        if self.offered is not None:
            raise RuntimeError("an invocation is offered already: a sandbox takes one at a time")
        self.offered = invocation
        if self.init_error is not None:
            error, self.init_error = self.init_error, None
            self._settle(invocation, error)
        else:
            self._hand_out()

    def withdraw(self, invocation: Invocation) -> None:
        """Take back an offer that nobody took."""
        if self.offered is invocation:
            self.offered = None

    def end(self, outcome: Outcome | None = None) -> None:
        """The sandbox is gone. `outcome` is for the invocation it leaves without one; a new
        runtime may start.
        """
        self._write(Happening.SANDBOX_ENDED, detail=self.state.value)
        left = self.current or self.offered
        if left is not None and left.outcome is None and outcome is not None:
            self._settle(left, outcome)
        self._release()
        self.state = State.STARTED
        self._waiters.clear()

    # -- the runtime's side: what it asks

    def next(self, waiter: Waiter) -> Refusal | Invocation | None:
        """GET /next: a refusal, the event that the runtime has already, or None: `waiter` is told
        when it comes.
        """
        state = transition(self.state, Move.NEXT)
        if isinstance(state, Refusal):
            return self._refuse(state)
        if state is State.RUNNING:
            assert self.current is not None  # Running is the state of having one
            self._write(Happening.DELIVERED, self.current.request_id)
            return self.current
        if self.state is State.RESPONSE_SENT:
            self._release()
        if self.state is State.STARTED:
            self.on_come()
        self.state = state
        self._waiters.append(waiter)
        self._hand_out()
        return None

    def begin_response(self, request_id: str, mode: str) -> Refusal | None:
        """The headers of a /response; `mode` is `Lambda-Runtime-Function-Response-Mode` or ""."""
        refusal = self._begin(request_id, Move.RESPONSE)
        # The state has moved before the mode is looked at, and nothing moves it back.
        if refusal is None and mode not in ("", "streaming"):
            refusal = self._refuse(INVALID_RESPONSE_MODE, request_id)
        return refusal

    def finish_response(self, body: bytes, size: int, content_type: str) -> Refusal | None:
        """The body of a /response is read; `size` is its true length, of which `body` may lack the
        end.
        """
        if size > MAX_PAYLOAD_SIZE:
            self._answer(too_large(), "response")
            return self._refuse(REQUEST_ENTITY_TOO_LARGE)
        self._answer(Outcome(body, content_type=content_type or "application/json"), "response")
        return None

    def begin_error(self, request_id: str) -> Refusal | None:
        """The headers of an /error."""
        return self._begin(request_id, Move.ERROR)

    def finish_error(self, body: bytes, error_type: str, content_type: str = "") -> None:
        """The body of an /error is read; `error_type` is `Lambda-Runtime-Function-Error-Type` or
        "".
        """
        if content_type == ERROR_WITH_CAUSE:
            body = without_cause(body)
        self._answer(Outcome(body, function_error_type(error_type)), "error")

    def accept_init_error(self, body: bytes, error_type: str) -> Refusal | None:
        """An /init/error with its body: the reply of the first invoke."""
        state = transition(self.state, Move.INIT_ERROR)
        if isinstance(state, Refusal):
            return self._refuse(state)
        self.state = state
        self.on_come()
        error = Outcome(body, function_error_type(error_type))
        self._write(Happening.INIT_ERROR, detail=error.error_type or "")
        self.on_init_error(error)
        if self.offered is None:
            self.init_error = error
        else:
            self._settle(self.offered, error)
        return None

    # -- the runtime's side: what its connections do

    def abandon(self, waiter: Waiter) -> None:
        """The connection of a pending /next broke."""
        waiter.abandoned = True
        self._write(Happening.ABANDONED)
        if not self.swallow_abandoned and waiter in self._waiters:
            self._waiters.remove(waiter)

    def truncate(self) -> None:
        """The connection broke in the middle of a /response or /error: the state stays where its
        headers led.
        """
        self._write(Happening.TRUNCATED, self.current.request_id if self.current else "")

    def time_out(self, invocation: Invocation) -> None:
        """Write down that `invocation` had no time left; `end` does the rest."""
        self._write(Happening.TIMED_OUT, invocation.request_id)

    # -- how it does it

    def _hand_out(self) -> None:
        if self.state is not State.READY or self.offered is None or not self._waiters:
            return
        invocation, self.offered = self.offered, None
        waiter = self._waiters.popleft()
        state = transition(self.state, Move.RELEASE)
        assert isinstance(state, State)  # Ready is the one state with a release
        self.state = state
        self.current = invocation
        invocation.begun = self.clock()
        invocation.deadline_ms = int((self.wall_clock() + invocation.timeout) * 1000)
        self.on_begin(invocation)
        if waiter.abandoned:
            self._write(Happening.SWALLOWED, invocation.request_id)
        else:
            self._write(Happening.DELIVERED, invocation.request_id)
            waiter.deliver(invocation)

    def _begin(self, request_id: str, move: Move) -> Refusal | None:
        if self.current is None or request_id != self.current.request_id:
            return self._refuse(INVALID_REQUEST_ID, request_id)
        state = transition(self.state, move)
        if isinstance(state, Refusal):
            return self._refuse(state, request_id)
        self.state = state
        return None

    def _answer(self, outcome: Outcome, endpoint: str) -> None:
        state = transition(self.state, Move.ANSWERED)
        if isinstance(state, Refusal) or self.current is None:
            # A sandbox's connections end with it, so its late body cannot come here.
            raise RuntimeError(f"the body of a /{endpoint} was read in state {self.state.value}")
        self.state = state
        self._write(Happening.ANSWERED, self.current.request_id, endpoint)
        self._settle(self.current, outcome)

    def _settle(self, invocation: Invocation, outcome: Outcome) -> None:
        invocation.outcome = outcome
        invocation.answered = self.clock()
        self.withdraw(invocation)
        self.on_answer(invocation)

    def _release(self) -> None:
        """The runtime is through with what it had."""
        if self.current is not None:
            invocation, self.current = self.current, None
            invocation.ended = self.clock()
            self.on_end(invocation)

    def _refuse(self, refusal: Refusal, request_id: str = "") -> Refusal:
        self._write(Happening.REFUSED, request_id, refusal.error_type)
        return refusal

    def _write(self, happening: Happening, request_id: str = "", detail: str = "") -> None:
        self.journal.entries.append(Entry(self.clock(), happening, request_id, detail))
