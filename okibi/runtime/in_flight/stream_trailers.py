"""The end of a streamed response: the last chunk, with the error in trailers if the handler failed.

Imported when the first stream ends.
"""

from typing import Any

from ..errors.error_response import decode_body, encode_body
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import last_chunk

# Go's HTTP server, on which the Runtime API runs, reads trailers into a buffer of 4096 bytes and
# refuses a response with longer ones. Base64 turns three bytes of the error into four.
TRAILERS_LIMIT = 4000


def end_of_stream(outcome: Outcome) -> bytes:
    """Build the last chunk of a streamed response.

    Raises:
        ValueError: the error type holds a line break.
    """
    if outcome.error_type is None:
        return last_chunk()
    room = TRAILERS_LIMIT - len(last_chunk(outcome.error_type))
    return last_chunk(outcome.error_type, shorten_error(outcome.body, room // 4 * 3))


def shorten_error(error: bytes, limit: int) -> bytes:
    """Shorten an error's JSON to `limit` bytes.

    Outermost stack entries go first, because they tell least; then the end of the message.
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
