"""AWS's event stream encoding, used by Lambda's InvokeWithResponseStream.

A message consists of its length, the length of its headers, a CRC-32 of both, the headers, the
payload, and a CRC-32 of everything before. Numbers are big endian. Each piece of a streamed
response is a `PayloadChunk`. The last message is an `InvokeComplete`; after a failure,
`InvokeComplete` carries the error.
"""

import struct
import zlib

import msgspec

from ..platform.invocation import InvokeResult

CONTENT_TYPE = "application/vnd.amazon.eventstream"
# The type number of a string header.
_TEXT = 7


def payload_chunk(piece: bytes) -> bytes:
    """Encode one piece of a response."""
    return message("PayloadChunk", "application/octet-stream", piece)


def completion(result: InvokeResult, log: str = "") -> bytes:
    """Encode the end of a response (Lambda InvokeWithResponseStreamCompleteEvent).

    Args:
        result: the result of the invocation.
        log: the end of the log in Base64, or "" if the invoker did not ask for it.
    """
    fields = {"LogResult": log} if log else dict[str, str]()
    if result.function_error is not None:
        fields["ErrorCode"] = result.error_type or result.function_error
        fields["ErrorDetails"] = result.payload.decode("utf-8", "replace")
    return message("InvokeComplete", "application/json", msgspec.json.encode(fields))


def message(event_type: str, content_type: str, payload: bytes) -> bytes:
    """Encode one message.

    Args:
        event_type: the `:event-type` header.
        content_type: the media type of the payload.
        payload: any bytes.
    """
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (b":event-type", event_type),
            (b":content-type", content_type),
            (b":message-type", "event"),
        )
    )
    # 16 bytes: two lengths and two checksums.
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    prelude = lengths + struct.pack("!I", zlib.crc32(lengths))
    checksum = zlib.crc32(payload, zlib.crc32(headers, zlib.crc32(prelude)))
    return b"".join((prelude, headers, payload, struct.pack("!I", checksum)))


def _header(name: bytes, value: str) -> bytes:
    text = value.encode()
    return struct.pack(f"!B{len(name)}sBH", len(name), name, _TEXT, len(text)) + text
