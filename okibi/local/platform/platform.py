"""The part of the platform that both modes share.

Everything here is synchronous and does no I/O. `classic_mode.py` handles one event at a time,
`multi_concurrency.py` many. `connection.py` uses only the methods of this class.
"""

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import attrs

from ..limits import MAX_PAYLOAD_SIZE, MAX_STREAM_SIZE
from .extensions import Extensions
from .hooks import RuntimeApiHooks, ignore
from .invocation import Invocation
from .journal import EntryKind, Journal, JournalEntry
from .outcomes import (
    ERROR_WITH_CAUSE,
    InvocationOutcome,
    function_error_type,
    too_large,
    without_cause,
)
from .states import ApiError

INVALID_REQUEST_ID = ApiError(400, "InvalidRequestID", "Invalid request ID")
INVALID_RESPONSE_MODE = ApiError(
    400, "InvalidFunctionResponseMode", "Invalid function response mode"
)
INVOKE_TIMEOUT = ApiError(410, "InvokeTimeout", "Invoke timeout")
REQUEST_ENTITY_TOO_LARGE = ApiError(
    413,
    "RequestEntityTooLarge",
    f"Exceeded maximum allowed payload size ({MAX_PAYLOAD_SIZE} bytes).",
)

# The only valid value of `Lambda-Runtime-Function-Response-Mode`.
STREAMING = "streaming"

ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"


@attrs.define(eq=False)
class PendingNext:
    """A /next without an event yet.

    Args:
        deliver: called once with the invocation for this /next.
    """

    deliver: Callable[[Invocation], None]
    abandoned: bool = attrs.field(default=False, init=False)


@attrs.define(eq=False)
class Platform(ABC):
    """The platform's side of one sandbox.

    The methods for the runtime are named after the endpoints. An endpoint with a body has two, as
    in rapid: `begin_…` at the headers, `finish_…` at the end of the body.

    Args:
        clock: seconds, for all times.
        wall_clock: seconds since the epoch, for `Lambda-Runtime-Deadline-Ms` only.
        journal: records what happens.
        swallow_abandoned: give an event to a /next with a broken connection, as Lambda does.
        on_initialised: called when the init phase is over: the runtime and its extensions wait for
            the first event, or the runtime has sent /init/error.
        on_answer: called with each invocation that has an outcome.
        hooks: called by the rules for `RuntimeApiHooks`.
        extensions: the registered extensions. Their `on_ready` must call `hand_out`.
    """

    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    journal: Journal
    swallow_abandoned: bool = True
    on_initialised: Callable[[], None] = ignore
    on_answer: Callable[[Invocation], None] = ignore
    hooks: RuntimeApiHooks = attrs.field(factory=RuntimeApiHooks)
    extensions: Extensions = attrs.field(
        default=attrs.Factory(lambda self: Extensions(on_ready=self.hand_out), takes_self=True)
    )

    # Answers the next invoke, even if the sandbox has ended.
    init_error: InvocationOutcome | None = attrs.field(default=None, init=False)
    # Whether the init phase of this sandbox is over.
    initialised: bool = attrs.field(default=False, init=False)
    # The sandbox is about to end: no event is handed out.
    closing: bool = attrs.field(default=False, init=False)

    # -- the platform's side

    @abstractmethod
    def offer(self, invocation: Invocation) -> None:
        """Submit an invocation."""

    @abstractmethod
    def end(self, outcome: Callable[[str], InvocationOutcome] | None = None) -> None:
        """Forget the sandbox that has ended; a new runtime may start.

        Args:
            outcome: returns the outcome for the request id of an unanswered invocation.
        """

    @abstractmethod
    def hand_out(self) -> None:
        """Hand out events to pending /nexts if the rules allow it."""

    # -- the runtime's side: what it asks

    @abstractmethod
    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        """GET /next: return an error, the event that the runtime already has, or None.

        After None, `waiter` gets the event later.
        """

    @abstractmethod
    def begin_response(self, request_id: str, attempt: str, mode: str) -> ApiError | Invocation:
        """Take the headers of a /response; return the invocation, or an error.

        Args:
            request_id: the request id in the path.
            attempt: `Lambda-Runtime-Invocation-Id`, or "".
            mode: `Lambda-Runtime-Function-Response-Mode`, or "".
        """

    @abstractmethod
    def begin_error(self, request_id: str, attempt: str) -> ApiError | Invocation:
        """Take the headers of an /error, like `begin_response`."""

    def finish_response(
        self,
        invocation: Invocation,
        body: bytes,
        size: int,
        content_type: str,
        trailers: Mapping[bytes, bytes],
    ) -> ApiError | None:
        """Take the body of a /response.

        Args:
            invocation: the result of `begin_response`.
            body: the body; empty if a sink has received it.
            size: the length of the whole body, of which `body` may be the beginning.
            content_type: the media type, or "".
            trailers: the trailers, with names in lower case.
        """
        streamed = invocation.sink is not None and not body
        limit = MAX_STREAM_SIZE if streamed else MAX_PAYLOAD_SIZE
        if size > limit:
            late = self.answer(invocation, too_large(limit), "response")
            return late or self.refuse(REQUEST_ENTITY_TOO_LARGE)
        outcome = InvocationOutcome(body, content_type=content_type or "application/json")
        if error_type := trailers.get(ERROR_TYPE):
            failure = _decode_trailer(trailers.get(ERROR_BODY, b""))
            outcome = InvocationOutcome(
                failure, function_error_type(error_type.decode("utf-8", "replace"))
            )
        elif invocation.sink is not None and body:
            # The invoker streams and the runtime does not: a stream with one piece.
            invocation.sink.begin(outcome.content_type)
            invocation.sink.write(body)
        return self.answer(invocation, outcome, "response")

    def finish_error(
        self, invocation: Invocation, body: bytes, error_type: str, content_type: str = ""
    ) -> ApiError | None:
        """Take the body of an /error. `error_type`: `Lambda-Runtime-Function-Error-Type` or ""."""
        if content_type == ERROR_WITH_CAUSE:
            body = without_cause(body)
        return self.answer(
            invocation, InvocationOutcome(body, function_error_type(error_type)), "error"
        )

    @abstractmethod
    def accept_init_error(self, body: bytes, error_type: str) -> ApiError | None:
        """Take the error of POST /init/error: it answers the first invoke."""

    # -- the runtime's side: what its connections do

    @abstractmethod
    def abandon(self, waiter: PendingNext) -> None:
        """Note that the connection of a pending /next broke."""

    @abstractmethod
    def truncate(self, invocation: Invocation | None) -> None:
        """Note that the connection broke within a /response or an /error."""

    # -- internals

    @abstractmethod
    def answer(
        self, invocation: Invocation, outcome: InvocationOutcome, endpoint: str
    ) -> ApiError | None:
        """Record the outcome sent by the runtime; return an error if it comes too late."""

    def end_init_phase(self) -> None:
        """End the init phase, unless it is over."""
        if not self.initialised:
            self.initialised = True
            self.on_initialised()

    def begin_event(self, invocation: Invocation, waiter: PendingNext) -> None:
        """Hand out an invocation. Its time starts now."""
        invocation.begun_at = self.clock()
        invocation.deadline_ms = int((self.wall_clock() + invocation.timeout) * 1000)
        self.hooks.on_begin(invocation)
        if waiter.abandoned:
            self.record(EntryKind.SWALLOWED, invocation.request_id)
        else:
            self.record(EntryKind.DELIVERED, invocation.request_id)
            waiter.deliver(invocation)

    def record_init_error(self, body: bytes, error_type: str) -> InvocationOutcome:
        """Record an init error; return it as the outcome of an invocation."""
        error = InvocationOutcome(body, function_error_type(error_type))
        self.record(EntryKind.INIT_ERROR, detail=error.error_type or "")
        self.hooks.on_init_error(error)
        return error

    def record_timeout(self, invocation: Invocation) -> None:
        """Record a time-out in the journal."""
        self.record(EntryKind.TIMED_OUT, invocation.request_id)

    def refuse(self, refusal: ApiError, request_id: str = "") -> ApiError:
        """Record and return a refusal."""
        self.record(EntryKind.REFUSED, request_id, refusal.error_type)
        return refusal

    def record(self, kind: EntryKind, request_id: str = "", detail: str = "") -> None:
        """Add an entry to the journal."""
        self.journal.entries.append(JournalEntry(self.clock(), kind, request_id, detail))


def names_other_attempt(invocation: Invocation, attempt: str) -> bool:
    """Return whether a response names another attempt. A response without an attempt passes."""
    return bool(attempt) and bool(invocation.invocation_id) and attempt != invocation.invocation_id


def _decode_trailer(trailer: bytes) -> bytes:
    try:
        return base64.b64decode(trailer, validate=True)
    except binascii.Error:
        return b""
