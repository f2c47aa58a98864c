"""The classic mode of the platform, without I/O: one runtime, one event at a time.

Everything here is synchronous. `runtime_api.py` adds the sockets, the waiting invokers and the
time-outs.
"""

import signal
from collections import deque
from collections.abc import Callable
from functools import partial

import attrs

from .invocation import Invocation
from .journal import EntryKind
from .outcomes import InvocationOutcome, exited
from .platform import (
    INVALID_REQUEST_ID,
    INVALID_RESPONSE_MODE,
    INVOKE_TIMEOUT,
    STREAMING,
    PendingNext,
    Platform,
    names_other_attempt,
)
from .states import ApiError, RuntimeState, RuntimeTrigger, transition


@attrs.define(eq=False)
class ClassicPlatform(Platform):
    """The platform of a runtime that handles one event at a time (see `Platform`)."""

    state: RuntimeState = attrs.field(default=RuntimeState.STARTED, init=False)
    # The invocation that was handed out, until the runtime calls /next again.
    current: Invocation | None = attrs.field(default=None, init=False)
    # The invocation that waits for a /next.
    offered: Invocation | None = attrs.field(default=None, init=False)
    _waiters: deque[PendingNext] = attrs.field(factory=deque[PendingNext], init=False)

    # -- the platform's side

    def offer(self, invocation: Invocation) -> None:
        """Submit the next invocation. A pending /next gets it at once."""
        if self.offered is not None:
            raise RuntimeError(
                "an invocation is already offered: a classic sandbox takes one at a time"
            )
        self.offered = invocation
        if self.init_error is not None:
            error, self.init_error = self.init_error, None
            self.settle(invocation, error)
        else:
            self.hand_out()

    def withdraw(self, invocation: Invocation) -> None:
        """Take back an invocation that was not handed out."""
        if self.offered is invocation:
            self.offered = None

    def end(self, outcome: Callable[[str], InvocationOutcome] | None = None) -> None:
        self.record(EntryKind.SANDBOX_ENDED, detail=self.state.value)
        if outcome is None and self.current is not None:
            # The sandbox was killed. No other code reports that to this invoker.
            outcome = partial(exited, returncode=-signal.SIGKILL)
        invocation = self.current or self.offered
        if invocation is not None and invocation.outcome is None and outcome is not None:
            self.settle(invocation, outcome(invocation.request_id))
        self._release_current()
        self.state = RuntimeState.STARTED
        self.closing = self.initialised = False
        self._waiters.clear()
        self.extensions.clear()

    def settle(self, invocation: Invocation, outcome: InvocationOutcome) -> None:
        """Record the outcome and notify the invoker."""
        invocation.outcome = outcome
        invocation.answered_at = self.clock()
        self.withdraw(invocation)
        self.on_answer(invocation)

    def hand_out(self) -> None:
        if self.state is not RuntimeState.READY or not self._waiters:
            return
        if self.closing or not self.extensions.ready:
            return
        if not self.initialised:
            self.end_init_phase()
        if self.offered is None:
            self.hooks.on_idle()
            return
        invocation, self.offered = self.offered, None
        waiter = self._waiters.popleft()
        state = transition(self.state, RuntimeTrigger.RELEASE)
        assert isinstance(state, RuntimeState)  # only Ready has a release
        self.state = state
        self.current = invocation
        self.begin_event(invocation, waiter)
        self.extensions.send_invoke_events(invocation)

    # -- the runtime's side: what it asks

    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        state = transition(self.state, RuntimeTrigger.NEXT)
        if isinstance(state, ApiError):
            return self.refuse(state)
        if state is RuntimeState.RUNNING:
            assert self.current is not None  # Running always has one
            self.record(EntryKind.DELIVERED, self.current.request_id)
            return self.current
        if self.state is RuntimeState.RESPONSE_SENT:
            self._release_current()
        self.state = state
        self._waiters.append(waiter)
        self.extensions.close_registration()
        self.hand_out()
        return None

    def begin_response(self, request_id: str, attempt: str, mode: str) -> ApiError | Invocation:
        begun = self._begin(request_id, attempt, RuntimeTrigger.RESPONSE)
        # rapid changes the state before it checks the mode, and does not change it back.
        if isinstance(begun, Invocation) and mode not in ("", STREAMING):
            return self.refuse(INVALID_RESPONSE_MODE, request_id)
        return begun

    def begin_error(self, request_id: str, attempt: str) -> ApiError | Invocation:
        return self._begin(request_id, attempt, RuntimeTrigger.ERROR)

    def accept_init_error(self, body: bytes, error_type: str) -> ApiError | None:
        state = transition(self.state, RuntimeTrigger.INIT_ERROR)
        if isinstance(state, ApiError):
            return self.refuse(state)
        self.state = state
        self.end_init_phase()
        error = self.record_init_error(body, error_type)
        if self.offered is None:
            self.init_error = error
        else:
            self.settle(self.offered, error)
        return None

    # -- the runtime's side: what its connections do

    def abandon(self, waiter: PendingNext) -> None:
        waiter.abandoned = True
        self.record(EntryKind.ABANDONED)
        if not self.swallow_abandoned and waiter in self._waiters:
            self._waiters.remove(waiter)

    def truncate(self, invocation: Invocation | None) -> None:
        """Record the cut. The state stays as the headers left it."""
        self.record(EntryKind.TRUNCATED, invocation.request_id if invocation else "")

    # -- internals

    def _begin(
        self, request_id: str, attempt: str, trigger: RuntimeTrigger
    ) -> ApiError | Invocation:
        current = self.current
        if current is None or request_id != current.request_id:
            return self.refuse(INVALID_REQUEST_ID, request_id)
        if names_other_attempt(current, attempt):
            return self.refuse(INVOKE_TIMEOUT, request_id)
        state = transition(self.state, trigger)
        if isinstance(state, ApiError):
            return self.refuse(state, request_id)
        self.state = state
        return current

    def answer(
        self, invocation: Invocation, outcome: InvocationOutcome, endpoint: str
    ) -> ApiError | None:
        state = transition(self.state, RuntimeTrigger.ANSWERED)
        if isinstance(state, ApiError) or self.current is not invocation:
            # Unreachable: the connections of a sandbox close when the sandbox ends.
            raise RuntimeError(f"the body of a /{endpoint} was read in state {self.state.value}")
        self.state = state
        if invocation.outcome is not None:
            # The invocation timed out; the runtime was asked to end and has not done so yet.
            return self.refuse(INVOKE_TIMEOUT, invocation.request_id)
        self.record(EntryKind.ANSWERED, invocation.request_id, endpoint)
        self.settle(invocation, outcome)
        return None

    def _release_current(self) -> None:
        """End the current invocation."""
        if self.current is not None:
            invocation, self.current = self.current, None
            invocation.ended_at = self.clock()
            self.hooks.on_end(invocation)
