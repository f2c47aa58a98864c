"""One invocation: what the invoker gave, what the runtime is shown of it, and what came of it."""

import math
import os
import re
import time
import uuid
from typing import Protocol

import attrs

from .log_tail import LogTail
from .outcomes import InvocationOutcome

__all__ = [
    "Invocation",
    "InvokeResult",
    "ResponseSink",
    "check_headers",
    "new_request_id",
    "new_trace_id",
]

# Control characters but tab and the line breaks, which are sent as spaces; halves of characters.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")


def new_request_id() -> str:
    """A request id as Lambda makes them: a random UUID."""
    return str(uuid.uuid4())


def new_trace_id() -> str:
    """An X-Ray header for a request that is not sampled."""
    noise = os.urandom(20).hex()
    return f"Root=1-{int(time.time()):08x}-{noise[:24]};Parent={noise[24:]};Sampled=0"


@attrs.frozen
class InvokeResult:
    """The answer to an invoke (Lambda Invoke).

    Args:
        status_code: 200, also for an error of the function; 400 where no slot of a
            multi-concurrency runtime was idle.
        payload: the answer's bytes, or the error as JSON.
        function_error: None, or "Unhandled" where the payload is an error: the function's own, a
            time-out, an exit of the process, an init error.
        error_type: None, or what kind of error it was, as the REPORT line names it.
        request_id: the id that the runtime was shown.
        duration_ms: milliseconds from the event's hand-out to its answer; 0 where it was never
            handed out.
        init_ms: milliseconds of the init phase, where this invocation was the first of its sandbox.
        handed_out: False where the runtime failed before it asked for the event.
    """

    status_code: int
    payload: bytes
    function_error: str | None
    error_type: str | None
    request_id: str
    duration_ms: float
    init_ms: float | None = None
    handed_out: bool = True


class ResponseSink(Protocol):
    """Takes a streamed answer as it comes; never waits."""

    @property
    def full(self) -> bool:
        """Whether its reader is behind: no more is to be read of the answer until it is not."""
        ...

    def begin(self, content_type: str) -> None:
        """The answer has begun."""

    def write(self, piece: bytes) -> None:
        """A piece of it has come."""


@attrs.define(eq=False)
class Invocation:
    """One invocation on its way. Times are seconds on the run's own clock, NaN until they happen.

    Args:
        payload: the event, any bytes.
        timeout: seconds from the hand-out to the kill.
        request_id: shown to the runtime.
        client_context: JSON text, or "" for none.
        cognito_identity: JSON text, or "" for none.
        tenant_id: or "" for none.
        trace_id: the X-Ray header, or "" for none.
        content_type: of the event.
        invocation_id: names this attempt, or "" for none.
        function_arn: the ARN that the invoker named, with its qualifier; "" for the function's own.
        sink: where a streamed answer goes piece by piece; None collects it.
        log: takes the lines of its log; None where nobody asks for them.
    """

    payload: bytes
    timeout: float
    request_id: str = attrs.field(factory=new_request_id)
    client_context: str = ""
    cognito_identity: str = ""
    tenant_id: str = ""
    trace_id: str = attrs.field(factory=new_trace_id)
    content_type: str = "application/json"
    invocation_id: str = ""
    function_arn: str = ""
    sink: ResponseSink | None = None
    log: LogTail | None = None

    begun_at: float = attrs.field(default=math.nan, init=False)
    """When the event was handed out."""
    answered_at: float = attrs.field(default=math.nan, init=False)
    """When the outcome was there."""
    ended_at: float = attrs.field(default=math.nan, init=False)
    """When the runtime came back for the next event, or was killed, or was gone."""
    deadline_ms: int = attrs.field(default=0, init=False)
    """Wall clock, milliseconds since the epoch; 0 until the hand-out."""
    outcome: InvocationOutcome | None = attrs.field(default=None, init=False)
    init_ms: float | None = attrs.field(default=None, init=False)
    """Milliseconds of the init phase, where this is the first invocation of its sandbox."""

    def result(self) -> InvokeResult:
        """What the invoker is told; the outcome must be there."""
        if self.outcome is None:
            raise RuntimeError(
                f"invocation {self.request_id} has no outcome yet: wait until it is answered"
            )
        duration = (self.answered_at - self.begun_at) * 1000
        return InvokeResult(
            status_code=self.outcome.status,
            payload=self.outcome.payload,
            function_error=None if self.outcome.error_type is None else "Unhandled",
            error_type=self.outcome.error_type,
            request_id=self.request_id,
            duration_ms=0.0 if math.isnan(duration) else duration,
            init_ms=self.init_ms,
            handed_out=not math.isnan(self.begun_at),
        )


def check_headers(invocation: Invocation) -> None:
    """Check that `/next` can show the invocation.

    Raises:
        ValueError: a field has a character that the HTTP parser of a runtime refuses. Its event
            would be lost, and its invoker would wait for the time-out.
    """
    for name in (
        "request_id",
        "client_context",
        "cognito_identity",
        "tenant_id",
        "trace_id",
        "content_type",
        "invocation_id",
        "function_arn",
    ):
        value = getattr(invocation, name)
        if not (value.isascii() and value.isprintable()) and (unfit := _UNFIT.search(value)):
            raise ValueError(f"{name}: it has {unfit[0]!r}: no HTTP header can carry it")
