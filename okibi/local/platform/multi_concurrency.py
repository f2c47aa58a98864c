# Multi-concurrency (Lambda Managed Instances; AWS's emulator has it in
# internal/lambda-managed-instances/invoke). The runtime as a whole has no state. Every /next adds
# an idle slot, and each invocation has a state, found by its request id:
#
#    waits --hand-out--> running --response headers--> responding --body accepted--> gone
#                           |                              |
#                           +---/error---------------------+----> gone
#                           +---bad response mode, truncated body: gone, an error to the invoker
#                           +---time-out: late; the one response that still comes gets 410
#
# A response to an invocation that is gone gets 400 InvalidRequestID, and so does a second response.
# An invoke without an idle slot is refused at once, except during the init phase, when invokes
# wait. A time-out answers the invoker and does not end the runtime.
"""The multi-concurrency mode of the platform, without I/O: one runtime, many events at once."""

from collections import deque
from collections.abc import Callable

import attrs

from .invocation import Invocation
from .journal import EntryKind
from .outcomes import InvocationOutcome, platform_error, timed_out, unavailable
from .platform import (
    INVALID_REQUEST_ID,
    INVALID_RESPONSE_MODE,
    INVOKE_TIMEOUT,
    STREAMING,
    PendingNext,
    Platform,
    names_other_attempt,
)
from .states import ApiError


@attrs.define(eq=False)
class MultiConcurrencyPlatform(Platform):
    """The platform of a runtime with many slots (see `Platform`)."""

    running: dict[str, Invocation] = attrs.field(factory=dict[str, Invocation], init=False)
    """Invocations handed out and not answered, by request id."""
    _waiting: deque[Invocation] = attrs.field(factory=deque[Invocation], init=False)
    _idle: deque[PendingNext] = attrs.field(factory=deque[PendingNext], init=False)
    _responding: set[str] = attrs.field(factory=set[str], init=False)
    _late: set[str] = attrs.field(factory=set[str], init=False)

    @property
    def free_slots(self) -> int:
        """The number of events that the runtime takes at once; 0 during the init phase."""
        if not self.initialised or not self._may_hand_out():
            return 0
        return sum(not waiter.abandoned for waiter in self._idle)

    @property
    def offered(self) -> Invocation | None:
        """The first invocation that waits for the runtime's init phase."""
        return self._waiting[0] if self._waiting else None

    # -- the platform's side

    def offer(self, invocation: Invocation) -> None:
        """Hand out the invocation or refuse it; during the init phase, let it wait."""
        if self.init_error is not None:
            error, self.init_error = self.init_error, None
            self._settle(invocation, error)
        elif self._idle and self._may_hand_out():
            self._begin_event(invocation)
        elif self.initialised and not self.closing:
            self.record(EntryKind.UNAVAILABLE, invocation.request_id)
            self._settle(invocation, unavailable())
        else:
            self._waiting.append(invocation)

    def withdraw(self, invocation: Invocation) -> None:
        """Forget the invocation: its invoker has left. A response comes too late."""
        if invocation in self._waiting:
            self._waiting.remove(invocation)
        elif self.running.pop(invocation.request_id, None) is not None:
            self._late.add(invocation.request_id)

    def expire(self, invocation: Invocation) -> None:
        """Time the invocation out. The runtime goes on."""
        self.record_timeout(invocation)
        self._late.add(invocation.request_id)
        self._settle(invocation, timed_out(invocation.request_id, invocation.timeout))

    def end(self, outcome: Callable[[str], InvocationOutcome] | None = None) -> None:
        self.record(EntryKind.SANDBOX_ENDED, detail="Running" if self.initialised else "Started")
        for invocation in list(self.running.values()):
            lost = outcome(invocation.request_id) if outcome else platform_error("Runtime.Unknown")
            self._settle(invocation, lost)
        if outcome is not None and not self.initialised:
            for invocation in list(self._waiting):
                self._settle(invocation, outcome(invocation.request_id))
        self.initialised = self.closing = False
        self.running.clear()
        self._idle.clear()
        self._responding.clear()
        self._late.clear()
        self.extensions.clear()

    def hand_out(self) -> None:
        if self._idle and self._may_hand_out():
            self.end_init_phase()
        while self._waiting and self._idle and self._may_hand_out():
            self._begin_event(self._waiting.popleft())
        if self._idle and self._may_hand_out():
            self.hooks.on_idle()

    # -- the runtime's side: what it asks

    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        self._idle.append(waiter)
        self.extensions.close_registration()
        self.hand_out()
        return None

    def begin_response(self, request_id: str, attempt: str, mode: str) -> ApiError | Invocation:
        invocation = self._find_running(request_id, attempt)
        if isinstance(invocation, ApiError):
            return invocation
        if mode not in ("", STREAMING):
            self._settle(invocation, platform_error("Runtime.InvalidResponseModeHeader"))
            return self.refuse(INVALID_RESPONSE_MODE, request_id)
        self._responding.add(request_id)
        return invocation

    def begin_error(self, request_id: str, attempt: str) -> ApiError | Invocation:
        invocation = self._find_running(request_id, attempt)
        if isinstance(invocation, Invocation):
            self._responding.add(request_id)
        return invocation

    def accept_init_error(self, body: bytes, error_type: str) -> ApiError | None:
        """Accept the error at any time. Only during the init phase does it answer invokes."""
        error = self.record_init_error(body, error_type)
        if not self.initialised:
            self.end_init_phase()
            waiting, self._waiting = self._waiting, deque[Invocation]()
            self.init_error = None if waiting else error
            for invocation in waiting:
                self._settle(invocation, error)
        return None

    # -- the runtime's side: what its connections do

    def abandon(self, waiter: PendingNext) -> None:
        waiter.abandoned = True
        self.record(EntryKind.ABANDONED)
        if not self.swallow_abandoned and waiter in self._idle:
            self._idle.remove(waiter)

    def truncate(self, invocation: Invocation | None) -> None:
        self.record(EntryKind.TRUNCATED, invocation.request_id if invocation else "")
        if invocation is not None and invocation.outcome is None:
            self._settle(invocation, platform_error("Runtime.TruncatedResponse"))

    # -- internals

    def answer(
        self, invocation: Invocation, outcome: InvocationOutcome, endpoint: str
    ) -> ApiError | None:
        self._responding.discard(invocation.request_id)
        if invocation.outcome is not None or invocation.request_id not in self.running:
            self._late.discard(invocation.request_id)
            return self.refuse(INVOKE_TIMEOUT, invocation.request_id)
        self.record(EntryKind.ANSWERED, invocation.request_id, endpoint)
        self._settle(invocation, outcome)
        return None

    def _find_running(self, request_id: str, attempt: str) -> ApiError | Invocation:
        invocation = self.running.get(request_id)
        if invocation is None or request_id in self._responding:
            if request_id in self._late:
                self._late.discard(request_id)
                return self.refuse(INVOKE_TIMEOUT, request_id)
            return self.refuse(INVALID_REQUEST_ID, request_id)
        if names_other_attempt(invocation, attempt):
            return self.refuse(INVOKE_TIMEOUT, request_id)
        return invocation

    def _may_hand_out(self) -> bool:
        return not self.closing and self.extensions.ready

    def _begin_event(self, invocation: Invocation) -> None:
        waiter = self._idle.popleft()
        self.running[invocation.request_id] = invocation
        self.begin_event(invocation, waiter)
        if waiter.abandoned:
            # The connection of that /next is broken, so the event is lost.
            self._settle(invocation, platform_error("Runtime.Unknown"))

    def _settle(self, invocation: Invocation, outcome: InvocationOutcome) -> None:
        handed_out = self.running.pop(invocation.request_id, None) is not None
        if invocation in self._waiting:
            self._waiting.remove(invocation)
        self._responding.discard(invocation.request_id)
        invocation.outcome = outcome
        invocation.answered_at = self.clock()
        self.on_answer(invocation)
        if handed_out:
            invocation.ended_at = invocation.answered_at
            self.hooks.on_end(invocation)
