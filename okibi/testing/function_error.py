"""The errors that an invocation raises in a test."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..local.platform.invocation import InvokeResult

# Error types of an invocation that ran out of time: okibi's own answer, and the platform's.
TIMED_OUT = frozenset({"Runtime.DeadlineExceeded", "Sandbox.Timedout"})


class FunctionError(Exception):
    """The function answered with an error (Lambda Invoke: `X-Amz-Function-Error`).

        with pytest.raises(FunctionError, match="ValueError: no such city") as failed:
            await app.invoke({"city": "Atlantis"})

    With `running`, the handler's own exception is the `__cause__`.

    Attributes:
        error_type: the type, such as `ValueError` or `Runtime.UnmarshalError`.
        message: the message of the error.
        stack: the lines of the stack trace that the invoker sees.
        request_id: the id of the invocation; empty if it never began.
    """

    def __init__(
        self, error_type: str, message: str, stack: Sequence[str] = (), request_id: str = ""
    ) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.message = message
        self.stack = tuple(stack)
        self.request_id = request_id


class FunctionTimedOut(FunctionError):
    """The handler ran out of time. okibi answers a margin before the platform's time-out."""


class _ErrorFields(msgspec.Struct):
    errorType: str = ""  # noqa: N815, as in the body
    errorMessage: str = ""  # noqa: N815
    stackTrace: list[str] = []  # noqa: N815


def encode_event(event: object) -> bytes:
    """Encode an event as JSON; bytes are sent unchanged.

    Raises:
        TypeError: JSON cannot represent the event.
    """
    return event if isinstance(event, bytes) else msgspec.json.encode(event)


def decode_result(result: InvokeResult, content_type: str = "application/json") -> Any:
    """Decode the result of an invocation; a result that is no JSON stays bytes.

    Raises:
        FunctionError: the function answered with an error.
    """
    __tracebackhide__ = True
    if result.error_type is not None:
        raise read_error(result)
    if content_type.split(";")[0].strip() != "application/json":
        return result.payload
    try:
        return msgspec.json.decode(result.payload)
    except msgspec.DecodeError:
        return result.payload


def read_error(result: InvokeResult) -> FunctionError:
    """Build the exception for a result that is an error."""
    try:
        body = msgspec.json.decode(result.payload, type=_ErrorFields)
    except msgspec.DecodeError:
        body = _ErrorFields(errorMessage=result.payload.decode("utf-8", "replace"))
    kind = body.errorType or result.error_type or "Runtime.Unknown"
    error = FunctionTimedOut if result.error_type in TIMED_OUT else FunctionError
    return error(kind, body.errorMessage, body.stackTrace, result.request_id)
