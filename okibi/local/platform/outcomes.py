"""The outcomes of an invocation: Lambda's payloads and error types for the invoker."""

import re
import signal

import attrs
import msgspec

from ..limits import MAX_PAYLOAD_SIZE

# Content type of an error with an X-Ray cause. The cause is not for the invoker.
ERROR_WITH_CAUSE = "application/vnd.aws.lambda.error.cause+json"

_VALID_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


@attrs.frozen
class InvocationOutcome:
    """The outcome of an invocation, for the invoker.

    Args:
        payload: the bytes of the response.
        error_type: Lambda's name of the error, or None.
        content_type: the media type of the payload.
        status: HTTP status for the invoker; 200 also for an error of the function.
    """

    payload: bytes
    error_type: str | None = None
    content_type: str = "application/json"
    status: int = 200


def timed_out(request_id: str, seconds: float) -> InvocationOutcome:
    """Return the outcome after a time-out; the sandbox was killed (Lambda Invoke)."""
    return _platform_error(
        "Sandbox.Timedout",
        f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds",
    )


def signal_name(number: int) -> str:
    """Return Lambda's name of a signal, also of a real-time signal."""
    return (signal.strsignal(number) or f"signal {number}").lower()


def exited(request_id: str, returncode: int) -> InvocationOutcome:
    """Return the outcome after an exit without a response (Lambda Invoke).

    Args:
        request_id: the request id of the invocation.
        returncode: the exit code of the process; below 0, a signal.
    """
    if returncode == 0:
        reason = "Runtime exited without providing a reason"
    elif returncode > 0:
        reason = f"Runtime exited with error: exit status {returncode}"
    else:
        reason = f"Runtime exited with error: signal: {signal_name(-returncode)}"
    return _platform_error("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")


def extension_failed(request_id: str, error_type: str) -> InvocationOutcome:
    """Return the outcome after an extension's error has ended the sandbox (Extensions API)."""
    return _platform_error(error_type, f"RequestId: {request_id} Error: {error_type}")


def too_large(limit: int = MAX_PAYLOAD_SIZE) -> InvocationOutcome:
    """Return the outcome of a response that was too large. The text is Lambda's."""
    return _platform_error(
        "Function.ResponseSizeTooLarge",
        f"Response payload size exceeded maximum allowed payload size ({limit} bytes).",
    )


def unavailable() -> InvocationOutcome:
    """Return the outcome if no slot of a multi-concurrency runtime was idle (AWS's emulator)."""
    return attrs.evolve(platform_error("Runtime.Unavailable"), status=400)


def restore_failed() -> InvocationOutcome:
    """Return the outcome of a hook that failed after a restore (Lambda: SnapStartException)."""
    message = (
        "The afterRestore() runtime hook encountered an error. For more information, check the "
        "Amazon CloudWatch logs."
    )
    return attrs.evolve(_platform_error("SnapStartException", message), status=400)


def restore_timed_out() -> InvocationOutcome:
    """Return the outcome of a restore that took too long (Lambda: SnapStartTimeoutException)."""
    message = "Lambda couldn't restore the snapshot within the timeout limit."
    return attrs.evolve(_platform_error("SnapStartTimeoutException", message), status=408)


def platform_error(error_type: str) -> InvocationOutcome:
    """Return an error of the platform; in multi-concurrency, the payload has only the type."""
    return InvocationOutcome(msgspec.json.encode({"errorType": error_type}), error_type)


def function_error_type(header: str) -> str:
    """Return the error type for `Lambda-Runtime-Function-Error-Type` (Runtime API).

    As in rapid, the pattern is not anchored.
    """
    if _VALID_ERROR_TYPE.search(header):
        return header
    return "Function.Unknown" if header.startswith("Function.") else "Runtime.Unknown"


def without_cause(body: bytes) -> bytes:
    """Return an error of type ERROR_WITH_CAUSE without the cause (Runtime API)."""
    try:
        return msgspec.json.encode(msgspec.json.decode(body, type=_ErrorWithCause))
    except msgspec.DecodeError:
        return b'"Invalid error body"'


class _ErrorWithCause(msgspec.Struct, omit_defaults=True):
    errorMessage: str = ""  # noqa: N815 - as sent by the runtime
    errorType: str = ""  # noqa: N815
    stackTrace: list[str] = []  # noqa: N815


def _platform_error(error_type: str, message: str) -> InvocationOutcome:
    # In the platform's errors the type comes first; in a runtime's, the message.
    body = msgspec.json.encode({"errorType": error_type, "errorMessage": message})
    return InvocationOutcome(body, error_type)
