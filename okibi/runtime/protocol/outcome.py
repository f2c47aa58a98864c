"""What an invocation ended with."""

from typing import NamedTuple

from .runtime_api import JSON


class Outcome(NamedTuple):
    """What an invocation ended with, ready for the wire.

    Args:
        body: the encoded result, or the error as JSON.
        content_type: of a result.
        error_type: set for an error: the `Lambda-Runtime-Function-Error-Type`.
        cause: an error's X-Ray cause in one line, empty for none.
    """

    body: bytes
    content_type: bytes = JSON
    error_type: str | None = None
    cause: bytes = b""
