"""How a streamed answer ends: with its last chunk, and the error in the trailers if it failed.

Imported when the first one ends.
"""

from typing import Any

from ..errors.error_response import decode_body, encode_body
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import last_chunk

# Go's HTTP server, and so the Runtime API, reads the trailers into a buffer of 4096 bytes and
# refuses the whole answer where they do not fit. The error is sent as base64, four bytes for three.
TRAILERS_LIMIT = 4000


def end_of_stream(outcome: Outcome) -> bytes:
    """The last chunk of a streamed answer, with what came of it.

    Raises:
        ValueError: its error type is more than one line.
    """
    if outcome.error_type is None:
        return last_chunk()
    room = TRAILERS_LIMIT - len(last_chunk(outcome.error_type))
    return last_chunk(outcome.error_type, shortened(outcome.body, room // 4 * 3))


def shortened(error: bytes, limit: int) -> bytes:
    """An error's JSON within a limit of bytes: of its stack the outermost entries go first, which
    tell least, then the end of its message.
    """
    if len(error) <= limit:
        return error
    body: dict[str, Any] = decode_body(error)
    stack, message = body["stackTrace"], body["errorMessage"]
    while stack and len(encode_body(body)) > limit:
        del stack[0]
    size = len(message)
    while size and len(encode_body(body)) > limit:
        size = size * 3 // 4
        body["errorMessage"] = message[:size] + " [cut]"
    return encode_body(body)
