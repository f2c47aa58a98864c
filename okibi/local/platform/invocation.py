"""One invocation: the event, the headers for the runtime, and the outcome."""

import math
import os
import re
import time
import uuid
from typing import Any, Protocol

import attrs

from .log_tail import LogTail
from .outcomes import InvocationOutcome

# Control characters except tab and line breaks (those are sent as spaces), and lone surrogates.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udc7f\udd00-\udfff]")


def new_request_id() -> str:
    """Return a random UUID, as Lambda does."""
    return str(uuid.uuid4())


def new_trace_id() -> str:
    """Return an X-Ray header of an unsampled request."""
    noise = os.urandom(20).hex()
    return f"Root=1-{int(time.time()):08x}-{noise[:24]};Parent={noise[24:]};Sampled=0"


@attrs.frozen
class InvokeResult:
    """The result of an invoke (Lambda Invoke).

    Args:
        status_code: 200, also for a failed function. 400 if a multi-concurrency runtime had no idle
            slot.
        payload: the bytes of the response, or the error as JSON.
        function_error: "Unhandled" if the payload is an error (raised, time-out, exit, init error);
            otherwise None.
        error_type: the error type as in the REPORT line, or None.
        request_id: the id sent to the runtime.
        duration_ms: milliseconds from handing out the event to its response; 0 if never handed out.
        init_ms: milliseconds of the init phase, for the first invocation of a sandbox.
        handed_out: False if the runtime failed before it asked for the event.
        restore_ms: milliseconds of the restore phase, for the first invocation after a restore.
    """

    status_code: int
    payload: bytes
    function_error: str | None
    error_type: str | None
    request_id: str
    duration_ms: float
    init_ms: float | None = None
    handed_out: bool = True
    restore_ms: float | None = None


class ResponseSink(Protocol):
    """Receives a streamed response piece by piece. Never blocks."""

    @property
    def full(self) -> bool:
        """Whether the reader is behind. Until it is not, the caller stops reading the response."""
        ...

    def begin(self, content_type: str) -> None:
        """Start the response."""

    def write(self, piece: bytes) -> None:
        """Add a piece."""


def _check_payload(_: object, __: object, value: Any) -> None:
    if not isinstance(value, bytes):
        raise TypeError(
            f"payload must be bytes, got {type(value).__name__}: write json.dumps(event).encode()"
        )


@attrs.define(eq=False)
class Invocation:
    """One invocation. Times are seconds on trio's clock, NaN until they happen.

    Args:
        payload: the event, any bytes.
        timeout: seconds from handing out the event to the kill.
        request_id: the id sent to the runtime.
        client_context: JSON text, or "" for none.
        cognito_identity: JSON text, or "" for none.
        tenant_id: the tenant, or "" for none.
        trace_id: the X-Ray header, or "" for none.
        content_type: the media type of the event.
        invocation_id: identifies this attempt, or "" for none.
        function_arn: the ARN that the invoker named, with qualifier; "" for the function's own.
        sink: receives a streamed response piece by piece; None collects the response.
        log: receives the log lines of this invocation, or None.
    """

    payload: bytes = attrs.field(validator=_check_payload)
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

    # When the event was handed out.
    begun_at: float = attrs.field(default=math.nan, init=False)
    # When the outcome was known.
    answered_at: float = attrs.field(default=math.nan, init=False)
    # When the runtime asked for the next event, or its process died.
    ended_at: float = attrs.field(default=math.nan, init=False)
    # Milliseconds since the epoch; 0 until the event is handed out.
    deadline_ms: int = attrs.field(default=0, init=False)
    outcome: InvocationOutcome | None = attrs.field(default=None, init=False)
    # Milliseconds of the init phase, for the first invocation of a sandbox.
    init_ms: float | None = attrs.field(default=None, init=False)
    # Milliseconds of the restore phase, for the first invocation after it.
    restore_ms: float | None = attrs.field(default=None, init=False)

    def result(self) -> InvokeResult:
        """Return the result for the invoker.

        Raises:
            RuntimeError: the outcome is not known yet.
        """
        if self.outcome is None:
            raise RuntimeError(
                f"invocation {self.request_id} has no outcome yet; wait until it is answered"
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
            restore_ms=self.restore_ms,
        )


def check_headers(invocation: Invocation) -> None:
    """Check that `/next` can send the fields of the invocation as headers.

    Otherwise the runtime's HTTP parser would refuse the response, and the invoker would time out.

    Raises:
        ValueError: a field contains a character that a header cannot carry.
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
            raise ValueError(f"{name} contains {unfit[0]!r}, which an HTTP header cannot carry")
