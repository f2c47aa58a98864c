"""What both modes of the platform's side share: who is told, what is written down, how a body ends.

Everything here is synchronous and knows no I/O. `classic_mode.py` is the classic mode, one event
at a time; `multi_concurrency.py` is multi-concurrency. `connection.py` calls what this class names,
and nothing else of them.
"""

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import attrs

from .extensions import Extensions
from .invocation import Invocation
from .journal import EntryKind, Journal, JournalEntry
from .outcomes import (
    ERROR_WITH_CAUSE,
    MAX_PAYLOAD_SIZE,
    MAX_STREAM_SIZE,
    InvocationOutcome,
    function_error_type,
    too_large,
    without_cause,
)
from .states import ApiError

__all__ = [
    "ERROR_TYPE",
    "INVALID_REQUEST_ID",
    "INVALID_RESPONSE_MODE",
    "INVOKE_TIMEOUT",
    "REQUEST_ENTITY_TOO_LARGE",
    "STREAMING",
    "PendingNext",
    "Platform",
]

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

STREAMING = "streaming"
"""The one value that `Lambda-Runtime-Function-Response-Mode` may have."""

ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"


@attrs.define(eq=False)
class PendingNext:
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
class Platform(ABC):
    """The platform's side of one sandbox.

    The runtime's calls are the methods named after the endpoints. Those that read a body come in
    two halves, as rapid's states do: `begin_…` at the headers, `finish_…` at the end of the body.

    Args:
        clock: seconds, the run's own clock.
        wall_clock: seconds since the epoch; only `Lambda-Runtime-Deadline-Ms` is made of it.
        journal: what happened is written down there.
        swallow_abandoned: whether a /next whose connection broke still takes the next event, as
            Lambda's does.
        on_initialised: told when a new runtime's init phase is over: it and its extensions wait for
            the first event, or it has sent /init/error.
        on_init_error: told of the error that an /init/error brought.
        on_begin, on_answer, on_end: told of an invocation when it is handed out, when its outcome
            is there, and when the runtime is through with it. They must not raise.
        on_idle: told when the runtime and its extensions all wait, and nothing is there for them.
        extensions: those that have registered.
    """

    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    journal: Journal
    swallow_abandoned: bool = True
    on_initialised: Callable[[], None] = _nothing
    on_init_error: Callable[[InvocationOutcome], None] = _ignore
    on_begin: Callable[[Invocation], None] = _ignore
    on_answer: Callable[[Invocation], None] = _ignore
    on_end: Callable[[Invocation], None] = _ignore
    on_idle: Callable[[], None] = _nothing
    extensions: Extensions = attrs.field(factory=Extensions)

    init_error: InvocationOutcome | None = attrs.field(default=None, init=False)
    """The reply of the first invoke, also when the sandbox is gone by then."""
    initialised: bool = attrs.field(default=False, init=False)
    """Whether the init phase of this sandbox is over."""
    closing: bool = attrs.field(default=False, init=False)
    """The sandbox is about to end: no more events are handed out."""

    def __attrs_post_init__(self) -> None:
        self.extensions.on_ready = self.hand_out

    # -- the platform's side

    @abstractmethod
    def offer(self, invocation: Invocation) -> None:
        """An invocation has arrived."""

    @abstractmethod
    def end(self, outcome: Callable[[str], InvocationOutcome] | None = None) -> None:
        """The sandbox is gone; a new runtime may start.

        Args:
            outcome: of a request id; for each invocation that it leaves without one.
        """

    @abstractmethod
    def hand_out(self) -> None:
        """Give events to those who wait for them, as far as the rules allow it."""

    # -- the runtime's side: what it asks

    @abstractmethod
    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        """GET /next: a refusal, the event that the runtime has already, or None: `waiter` is told
        when it comes.
        """

    @abstractmethod
    def begin_response(self, request_id: str, attempt: str, mode: str) -> ApiError | Invocation:
        """The headers of a /response: what it answers, or why it may not.

        Args:
            request_id: out of the path.
            attempt: `Lambda-Runtime-Invocation-Id`, or "".
            mode: `Lambda-Runtime-Function-Response-Mode`, or "".
        """

    @abstractmethod
    def begin_error(self, request_id: str, attempt: str) -> ApiError | Invocation:
        """The headers of an /error; as `begin_response`."""

    def finish_response(
        self,
        invocation: Invocation,
        body: bytes,
        size: int,
        content_type: str,
        trailers: Mapping[bytes, bytes],
    ) -> ApiError | None:
        """The body of a /response is read.

        Args:
            invocation: what `begin_response` gave.
            body: of it; empty where it went to a sink piece by piece.
            size: its true length, of which `body` may lack the end.
            content_type: or "".
            trailers: names in lower case.
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
            # A buffered answer to an invoker who takes it as a stream is a stream of one piece.
            invocation.sink.begin(outcome.content_type)
            invocation.sink.write(body)
        return self.answer(invocation, outcome, "response")

    def finish_error(
        self, invocation: Invocation, body: bytes, error_type: str, content_type: str = ""
    ) -> ApiError | None:
        """The body of an /error is read; `error_type` is `Lambda-Runtime-Function-Error-Type` or
        "".
        """
        if content_type == ERROR_WITH_CAUSE:
            body = without_cause(body)
        return self.answer(
            invocation, InvocationOutcome(body, function_error_type(error_type)), "error"
        )

    @abstractmethod
    def accept_init_error(self, body: bytes, error_type: str) -> ApiError | None:
        """An /init/error with its body: the reply of the first invoke."""

    # -- the runtime's side: what its connections do

    @abstractmethod
    def abandon(self, waiter: PendingNext) -> None:
        """The connection of a pending /next broke."""

    @abstractmethod
    def truncate(self, invocation: Invocation | None) -> None:
        """The connection broke in the middle of a /response or an /error."""

    # -- how it does it

    @abstractmethod
    def answer(
        self, invocation: Invocation, outcome: InvocationOutcome, endpoint: str
    ) -> ApiError | None:
        """The outcome that the runtime has sent; a refusal where it comes too late."""

    def end_init_phase(self) -> None:
        """The init phase is over, if it was not before."""
        if not self.initialised:
            self.initialised = True
            self.on_initialised()

    def begin_event(self, invocation: Invocation, waiter: PendingNext) -> None:
        """The hand-out itself; its clock starts to run."""
        invocation.begun_at = self.clock()
        invocation.deadline_ms = int((self.wall_clock() + invocation.timeout) * 1000)
        self.on_begin(invocation)
        if waiter.abandoned:
            self.record(EntryKind.SWALLOWED, invocation.request_id)
        else:
            self.record(EntryKind.DELIVERED, invocation.request_id)
            waiter.deliver(invocation)

    def record_init_error(self, body: bytes, error_type: str) -> InvocationOutcome:
        """An init error as the outcome that it is for an invocation."""
        error = InvocationOutcome(body, function_error_type(error_type))
        self.record(EntryKind.INIT_ERROR, detail=error.error_type or "")
        self.on_init_error(error)
        return error

    def record_timeout(self, invocation: Invocation) -> None:
        """Write down that `invocation` had no time left."""
        self.record(EntryKind.TIMED_OUT, invocation.request_id)

    def refuse(self, refusal: ApiError, request_id: str = "") -> ApiError:
        """The refusal, written down."""
        self.record(EntryKind.REFUSED, request_id, refusal.error_type)
        return refusal

    def record(self, kind: EntryKind, request_id: str = "", detail: str = "") -> None:
        """A line of the journal."""
        self.journal.entries.append(JournalEntry(self.clock(), kind, request_id, detail))


def names_other_attempt(invocation: Invocation, attempt: str) -> bool:
    """Whether an answer names another attempt than this one; one that names none passes."""
    return bool(attempt) and bool(invocation.invocation_id) and attempt != invocation.invocation_id


def _decode_trailer(trailer: bytes) -> bytes:
    try:
        return base64.b64decode(trailer, validate=True)
    except binascii.Error:
        return b""
