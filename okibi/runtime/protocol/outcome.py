"""The outcome of an invocation."""

from typing import NamedTuple

from .runtime_api import JSON


class Outcome(NamedTuple):
    """A result or an error, encoded for the Runtime API.

    Args:
        body: the encoded result, or the error as JSON.
        content_type: content type of a result.
        error_type: the `Lambda-Runtime-Function-Error-Type` of an error; None for a result.
        cause: the X-Ray cause of an error as one line of JSON; empty for none.
    """

    body: bytes
    content_type: bytes = JSON
    error_type: str | None = None
    cause: bytes = b""
