"""Where AWS's emulator does otherwise than the specification and okibi's local server: as data.

What is not listed here must be the same, and what is listed must differ.
"""

import attrs

__all__ = ["DIFFERENCES", "Difference"]


@attrs.frozen
class Difference:
    """One.

    Args:
        case: the function that is the case.
        label: what was seen in it.
        emulator: what the emulator answers: status and body.
        reason: why the local server does not.
    """

    case: str
    label: str
    emulator: tuple[int, bytes]
    reason: str


DIFFERENCES = (
    Difference(
        "headers_that_have_nothing_to_say_are_left_out",
        "their names",
        (
            0,
            (
                b"content-length content-type lambda-runtime-aws-request-id"
                b" lambda-runtime-deadline-ms lambda-runtime-invoked-function-arn"
            ),
        ),
        "It has no X-Ray to ask and gives no trace id, not even the invoker's. Lambda gives one"
        " always.",
    ),
    Difference(
        "init_error_is_final_and_the_first_invokes_reply",
        "the invoker",
        (0, b""),
        "It answers once the process has ended, which a runtime's does after an init error and the"
        " suite's does not. The body is then the same.",
    ),
    Difference(
        "error_trailers_are_accepted_and_make_it_an_error",
        "the invoker",
        (200, b"hello!"),
        "Its classic mode collects a stream and drops the trailers. Lambda reads them, as its own"
        " multi-concurrency does.",
    ),
    Difference(
        "at_the_time_out_the_runtime_starts_anew",
        "the old connection",
        (0, b"open"),
        "It leaves a connection to end with the process that has it. The suite is not that process;"
        " with a real runtime there is no difference.",
    ),
    Difference(
        "an_oversized_response_is_413_and_then_unknown",
        "the invoker",
        (200, b'{"errorType":"Function.ResponseSizeTooLarge"}'),
        "Its multi-concurrency gives the error's type alone. Lambda's Invoke has a message, and so"
        " has the classic mode.",
    ),
)
