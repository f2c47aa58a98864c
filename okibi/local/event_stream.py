"""AWS's event stream: what Lambda's InvokeWithResponseStream answers with over HTTP.

A message is its length, the length of its headers, a checksum of those two, the headers, the
payload, and a checksum of all of it; numbers big endian, checksums CRC-32. Of a streamed answer
each piece is a `PayloadChunk` and the end an `InvokeComplete`, which tells of an error, if there
was one.
"""

import struct
import zlib

import msgspec

from .invocation import InvokeResult

__all__ = ["CONTENT_TYPE", "completion", "message", "payload_chunk"]

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_TEXT = 7
"""The number of a header's value that is text; there are others."""


def payload_chunk(piece: bytes) -> bytes:
    """A piece of the answer."""
    return message("PayloadChunk", "application/octet-stream", piece)


def completion(result: InvokeResult, log: str = "") -> bytes:
    """The end of the answer (Lambda InvokeWithResponseStreamCompleteEvent).

    Args:
        result: of the invocation.
        log: the tail of its log in Base64, or "" where nobody asks for it.
    """
    told = {"LogResult": log} if log else dict[str, str]()
    if result.function_error is not None:
        told["ErrorCode"] = result.error_type or result.function_error
        told["ErrorDetails"] = result.payload.decode("utf-8", "replace")
    return message("InvokeComplete", "application/json", msgspec.json.encode(told))


def message(event_type: str, content_type: str, payload: bytes) -> bytes:
    """One message.

    Args:
        event_type: what it tells.
        content_type: of the payload.
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
    # Two lengths, and three checksums of four bytes: one behind them, one at the end.
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    prelude = lengths + struct.pack("!I", zlib.crc32(lengths))
    checksum = zlib.crc32(payload, zlib.crc32(headers, zlib.crc32(prelude)))
    return b"".join((prelude, headers, payload, struct.pack("!I", checksum)))


def _header(name: bytes, value: str) -> bytes:
    text = value.encode()
    return struct.pack(f"!B{len(name)}sBH", len(name), name, _TEXT, len(text)) + text
