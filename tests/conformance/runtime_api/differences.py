"""Differences of AWS's emulator from the specification and from okibi's local server, as data.

Every difference must be listed, and every listed difference must occur.
"""

import attrs

__all__ = ["DIFFERENCES", "Difference"]


@attrs.frozen
class Difference:
    """One difference.

    Args:
        case: name of the case's function.
        label: label of the observation.
        emulator: status and body of the emulator's answer.
        reason: the reason for the local server's difference.
    """

    case: str
    label: str
    emulator: tuple[int, bytes]
    reason: str


DIFFERENCES = (
    Difference(
        "headers_without_a_value_are_omitted",
        "header names",
        (
            0,
            (
                b"content-length content-type lambda-runtime-aws-request-id"
                b" lambda-runtime-deadline-ms lambda-runtime-invoked-function-arn"
            ),
        ),
        "The emulator has no X-Ray and sends no trace id, not even the invoker's. Lambda always"
        " sends a trace id.",
    ),
    Difference(
        "init_error_is_final_and_the_reply_to_the_first_invoke",
        "the invoker",
        (0, b""),
        "The emulator answers when the process has ended. A runtime exits after an init error; the"
        " suite's bootstrap does not. The body would be the same.",
    ),
    Difference(
        "error_trailers_make_a_streamed_response_an_error",
        "the invoker",
        (200, b"hello!"),
        "The emulator's classic mode collects a stream and drops the trailers. Lambda and the"
        " emulator's multi-concurrency read the trailers.",
    ),
    Difference(
        "the_runtime_restarts_after_a_timeout",
        "the old connection",
        (0, b"open"),
        "The emulator does not close the connection: the connection ends with the runtime's"
        " process. The suite is not that process; with a real runtime there is no difference.",
    ),
    Difference(
        "a_too_large_response_is_413_and_ends_the_invocation",
        "the invoker",
        (200, b'{"errorType":"Function.ResponseSizeTooLarge"}'),
        "The emulator's multi-concurrency sends only the error's type. Lambda's Invoke and the"
        " classic mode also send a message.",
    ),
)
