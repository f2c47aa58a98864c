"""The Runtime API's HTTP, without I/O: build requests, parse responses.

httptools (llhttp) parses a response in about a microsecond, chunked or not. The response to `/next`
is chunked once the event exceeds 2 KB: a parser of Content-Length alone would pass small tests and
fail in production.
"""

import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httptools

from ..system.allocator import retain_freed_memory

VERSION = b"/2018-06-01"
EXTENSIONS = b"/2020-01-01/extension"
JSON = b"application/json"
CLIENT_CONTEXT = b"lambda-runtime-client-context"
COGNITO_IDENTITY = b"lambda-runtime-cognito-identity"
DEADLINE = b"lambda-runtime-deadline-ms"
ATTEMPT = b"lambda-runtime-invocation-id"
TENANT = b"lambda-runtime-aws-tenant-id"
TRACE = b"lambda-runtime-trace-id"
OCTET_STREAM = b"application/octet-stream"
# A streamed response of this type begins with a prelude, which ends with NULs (Runtime API).
HTTP_INTEGRATION = b"application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
# Longer than any invocation. A deadline beyond counts as none: no thread can wait that long.
MAX_SECONDS = 10_000_000
# Characters that need no escape in a path (RFC 3986).
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")
_RESPONSE = (
    b"POST %s/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
    b"Content-Type: %s\r\n%sContent-Length: "
)
# The end of a head: a template of the body's length in bytes.
HEAD_END = b"%d\r\n\r\n"


class ApiResponse(NamedTuple):
    """A final response of the Runtime API."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


class WireError(Exception):
    """The Runtime API sent bytes that are no HTTP.

    Args:
        message: a text that says what is wrong.
        responses: responses that were complete before these bytes; they are valid.
    """

    def __init__(self, message: str, responses: Sequence[ApiResponse] = ()) -> None:
        super().__init__(message)
        self.responses = responses


def split_address(api: str) -> tuple[str, int]:
    """Split `host:port`; the default port is 80.

    >>> split_address("127.0.0.1:9001"), split_address("sandbox"), split_address(":9001")
    (('127.0.0.1', 9001), ('sandbox', 80), ('127.0.0.1', 9001))
    """
    host, colon, port = api.rpartition(":")
    return (host or "127.0.0.1", int(port)) if colon else (api, 80)


def header_value(value: str) -> bytes:
    """Encode a header value.

    Raises:
        ValueError: the value holds a line break, and could inject headers.
    """
    return _one_line(value.encode("latin-1", "replace"))


def _one_line(value: bytes) -> bytes:
    if _ends_header(value):
        raise ValueError("a header value must be one line, got a line break or NUL in it")
    return value


def _ends_header(value: bytes) -> bool:
    """Return whether a value holds bytes that would end a header, or that servers refuse."""
    return b"\n" in value or b"\r" in value or b"\0" in value


def path_segment(value: str) -> bytes:
    """Escape a request id for use in a path."""
    raw = value.encode("latin-1", "replace")
    if raw.replace(b"-", b"").isalnum():
        # A UUID. A regular expression takes three times as long.
        return raw
    return b"".join(b"%c" % b if b in _UNRESERVED else b"%%%02X" % b for b in raw)


def echo_header(headers: dict[bytes, bytes]) -> bytes:
    """Return the header that names a response's attempt; empty if the event named none."""
    attempt = headers.get(ATTEMPT, b"")
    if not attempt or _ends_header(attempt):
        return b""
    return b"Lambda-Runtime-Invocation-Id: %s\r\n" % attempt


def attempt_key(headers: Mapping[bytes, bytes]) -> tuple[bytes | None, bytes | None]:
    """Return the values that distinguish attempts with the same request id."""
    return headers.get(DEADLINE), headers.get(ATTEMPT)


def header_text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Return a header's value as text; None if absent or empty (Runtime API: some modes)."""
    value = headers.get(name)
    return value.decode("utf-8", "replace") if value else None


def next_request(host: bytes) -> bytes:
    """Build `GET /runtime/invocation/next`."""
    return b"GET %s/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n" % (VERSION, host)


def response_head(
    host: bytes, request_id: bytes, length: int, content_type: bytes, echo: bytes = b""
) -> bytes:
    """Build the head of `POST /runtime/invocation/{id}/response`.

    Args:
        host: the Runtime API's address, for the Host header.
        request_id: the request id, escaped by `path_segment`.
        length: bytes of the body.
        content_type: content type of the body.
        echo: the header of `echo_header`; empty for none.

    Raises:
        ValueError: the content type holds a line break.
    """
    head = _RESPONSE % (VERSION, request_id, host, _one_line(content_type), echo)
    return head + HEAD_END % length


def json_response_head(host: bytes) -> bytes:
    """Build a template of `response_head` for JSON: insert request id and echo, append HEAD_END."""
    return _RESPONSE % (VERSION, b"%s", host.replace(b"%", b"%%"), JSON, b"%s")


def error_head(
    host: bytes, path: bytes, length: int, error_type: str, cause: bytes = b"", echo: bytes = b""
) -> bytes:
    """Build the head of an error's POST: of an invocation, of init or of restore.

    Args:
        host: the Runtime API's address, for the Host header.
        path: the path below `/runtime/`: `invocation/{id}/error`, `init/error` or `restore/error`.
        length: bytes of the body.
        error_type: the `Lambda-Runtime-Function-Error-Type`.
        cause: the X-Ray cause as one line; empty for none.
        echo: the header of `echo_header`; empty for none.

    Raises:
        ValueError: the type or the cause holds a line break.
    """
    kind = header_value(error_type)
    xray = b"Lambda-Runtime-Function-XRay-Error-Cause: %s\r\n" % _one_line(cause) if cause else b""
    return (
        b"POST %s/runtime/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Function-Error-Type: %s\r\n%s%sContent-Length: %d\r\n\r\n"
        % (VERSION, path, host, kind, xray, echo, length)
    )


def stream_head(host: bytes, request_id: bytes, content_type: bytes, echo: bytes = b"") -> bytes:
    """Build the head of `POST /runtime/invocation/{id}/response` for a streamed response.

    The head declares the trailers. A response has them only if the handler fails within the stream.

    Args:
        host: the Runtime API's address, for the Host header.
        request_id: the request id, escaped by `path_segment`.
        content_type: content type of the body.
        echo: the header of `echo_header`; empty for none.

    Raises:
        ValueError: the content type holds a line break.
    """
    return (
        b"POST %s/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Type\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Body\r\n"
        b"Content-Type: %s\r\n%sTransfer-Encoding: chunked\r\n\r\n"
        % (VERSION, request_id, host, _one_line(content_type), echo)
    )


def chunk(data: bytes) -> list[bytes]:
    """Encode a piece of a streamed response, as parts to write in order.

    An empty piece has no parts, because an empty chunk would end the stream.
    """
    return [b"%x\r\n" % len(data), data, b"\r\n"] if data else []


def last_chunk(error_type: str = "", error: bytes = b"") -> bytes:
    """Encode the end of a streamed response.

    Go's HTTP server accepts at most 4 KB of trailers, and so does AWS's emulator.
    `in_flight.stream_trailers` shortens a longer error.

    Args:
        error_type: the `Lambda-Runtime-Function-Error-Type`; empty if the handler succeeded.
        error: the error's JSON.

    Raises:
        ValueError: the type holds a line break.
    """
    if not error_type:
        return b"0\r\n\r\n"
    return (
        b"0\r\nLambda-Runtime-Function-Error-Type: %s\r\n"
        b"Lambda-Runtime-Function-Error-Body: %s\r\n\r\n"
        % (header_value(error_type), binascii.b2a_base64(error, newline=False))
    )


def register_request(host: bytes, name: bytes) -> bytes:
    """Build `POST /extension/register` of an internal extension without event subscriptions."""
    body = b'{"events":[]}'
    return (
        b"POST %s/register HTTP/1.1\r\nHost: %s\r\nLambda-Extension-Name: %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (EXTENSIONS, host, name, len(body), body)
    )


def extension_event_request(host: bytes, identifier: bytes) -> bytes:
    """Build `GET /extension/event/next`."""
    return b"GET %s/event/next HTTP/1.1\r\nHost: %s\r\nLambda-Extension-Identifier: %s\r\n\r\n" % (
        EXTENSIONS,
        host,
        identifier,
    )


def seconds_until(deadline_ms: bytes, now: float) -> float:
    """Return the seconds until a deadline; infinity if the header has none.

    Args:
        deadline_ms: the header, in milliseconds since the epoch.
        now: seconds since the epoch.
    """
    try:
        left = int(deadline_ms) / 1000 - now
    except (ValueError, OverflowError):
        return math.inf
    if -MAX_SECONDS < left < MAX_SECONDS:
        return left
    return math.inf if left > 0 else -MAX_SECONDS


class ApiResponseParser:
    """Parses the bytes of one connection into responses. An incomplete response stays in it.

    A server acknowledges each posted response with the same bytes, except for the seconds in the
    Date header. The parser keeps the last 202 and its bytes, and compares instead of parsing: a 202
    is parsed about once per second instead of once per event.
    """

    __slots__ = (
        "_accepted", "_accepted_bytes", "_body", "_done", "_head", "_headers", "_parser",
        "half_read",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        # Headers of a response whose head is complete. llhttp reports trailers as headers, and a
        # trailer must not replace a header (RFC 9110).
        self._head: dict[bytes, bytes] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._done: list[ApiResponse] = []
        # Whether a response has begun and is incomplete.
        self.half_read = False
        # The last 202 and its bytes.
        self._accepted: list[ApiResponse] = []
        self._accepted_bytes = b""

    @property
    def speaks_1_0(self) -> bool:
        """Whether the last response is HTTP/1.0, which has no pipelining."""
        old: bool = self._parser.get_http_version() == "1.0"
        return old

    def feed(self, data: bytes) -> list[ApiResponse]:
        """Parse received bytes into the responses that they complete.

        Interim responses (1xx) are skipped.

        Raises:
            WireError: the bytes are no HTTP. The error has the responses before them.
        """
        at_start, accepted_bytes = not self.half_read, self._accepted_bytes
        known = at_start and accepted_bytes != b"" and data.startswith(accepted_bytes)
        if known:
            if len(data) == len(accepted_bytes):
                return self._accepted
            self._done += self._accepted
            data = data[len(accepted_bytes) :]
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            text = f"the Runtime API sent no HTTP: {error!r}"
            raise WireError(text, self._take()) from error
        done = self._take()
        if at_start and not known and done and done[0].status == 202 and done[0].keep_alive:
            self._keep_accepted(data, done[0])
        return done

    def _keep_accepted(self, data: bytes, response: ApiResponse) -> None:
        """Keep a 202 and its bytes, at the start of `data`, if its length is certain."""
        head, end, _ = data.partition(b"\r\n\r\n")
        length = response.headers.get(b"content-length")
        if not (head.startswith(b"HTTP/1.1 202 ") and length == b"%d" % len(response.body)):
            return
        self._accepted_bytes = data[: len(head) + len(end) + len(response.body)]
        self._accepted = [response]

    def end(self) -> list[ApiResponse]:
        """Take the end of the connection: it completes a response without a length.

        HTTP/1.0 servers send no length, Python's `http.server` among them.
        """
        head = self._head
        has_length = head is None or b"content-length" in head or b"transfer-encoding" in head
        if not has_length:
            self.on_message_complete()
        return self._take()

    def _take(self) -> list[ApiResponse]:
        done, self._done = self._done, []
        return done

    # -- callbacks of httptools

    def on_message_begin(self) -> None:
        self.half_read = True
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._head, self._headers = self._headers, {}

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.half_read = False
        head, self._head = self._head, None
        parser = self._parser
        status = parser.get_status_code()
        # Released now: parts and joined body would double the memory of an event.
        parts, self._body = self._body, []
        if status >= 200 and head is not None:
            body = parts[0] if len(parts) == 1 else _joined(parts)
            keep_alive = parser.should_keep_alive()
            self._done.append(ApiResponse(status, head, body, keep_alive))


def _joined(parts: list[bytes]) -> bytes:
    if parts:
        retain_freed_memory()
    return b"".join(parts)
