"""Values to bytes and bytes to values: the Runtime API's HTTP, without a socket.

httptools (llhttp) parses: about a microsecond an answer, chunked or not. `/next` comes chunked
once the event passes 2 KB, so a parser that knows only Content-Length works in small tests and
fails on every real event.
"""

import binascii
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httptools

from ..system.allocator import keep_what_is_freed

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
# A streamed answer of this type begins with a prelude, whose end NULs mark (Runtime API).
HTTP_INTEGRATION = b"application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
# No invocation lasts so long: what says it does is no deadline, and too long for a thread's wait.
MAX_SECONDS = 10_000_000
# What stands for itself in a path (RFC 3986); a request id is a UUID.
_SEGMENT = re.compile(rb"[A-Za-z0-9._~-]+")
_RESPONSE = (
    b"POST %s/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
    b"Content-Type: %s\r\n%sContent-Length: "
)
HEAD_END = b"%d\r\n\r\n"
"""What ends a head: its body's length in bytes."""
# What would end a header, or be refused in one.
_BREAKS = re.compile(rb"[\r\n\0]")


class ApiResponse(NamedTuple):
    """One final answer of the Runtime API."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


class WireError(Exception):
    """What the Runtime API sent is no HTTP.

    Args:
        answers: those that were complete before it; what they say counts all the same.
    """

    def __init__(self, message: str, answers: Sequence[ApiResponse] = ()) -> None:
        super().__init__(message)
        self.answers = answers


def header_value(value: str) -> bytes:
    """A value that is safe to stand in a header.

    Raises:
        ValueError: it holds a line break, with which it could pose as headers of its own.
    """
    return _one_line(value.encode("latin-1", "replace"))


def _one_line(value: bytes) -> bytes:
    if _BREAKS.search(value):
        raise ValueError("a header value must be one line: it holds a line break")
    return value


def path_segment(value: str) -> bytes:
    """A value that is safe to stand in a path, whatever the Runtime API called an invocation."""
    raw = value.encode("latin-1", "replace")
    if raw.replace(b"-", b"").isalnum():
        # A UUID: an expression would take three times as long to say so.
        return raw
    return b"".join(b"%c" % b if _SEGMENT.fullmatch(b"%c" % b) else b"%%%02X" % b for b in raw)


def echo_header(headers: dict[bytes, bytes]) -> bytes:
    """The header that names the attempt an answer belongs to; empty where the event named none."""
    attempt = headers.get(ATTEMPT, b"")
    if not attempt or _BREAKS.search(attempt):
        return b""
    return b"Lambda-Runtime-Invocation-Id: %s\r\n" % attempt


def attempt_key(headers: Mapping[bytes, bytes]) -> tuple[bytes | None, bytes | None]:
    """What sets one attempt at an event apart from another, beside the request id."""
    return headers.get(DEADLINE), headers.get(ATTEMPT)


def header_text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """A header's value; None without one. An empty header is an absent one (Runtime API: some modes
    send them so).
    """
    value = headers.get(name)
    return value.decode("utf-8", "replace") if value else None


def next_request(host: bytes) -> bytes:
    """`GET /runtime/invocation/next`."""
    return b"GET %s/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n" % (VERSION, host)


def response_head(
    host: bytes, request_id: bytes, length: int, content_type: bytes, echo: bytes = b""
) -> bytes:
    """`POST /runtime/invocation/{id}/response`, up to its body.

    Args:
        request_id: as `path_segment` gives it.
        length: bytes of the body.
        content_type: of the body.
        echo: as `echo_header` gives it.

    Raises:
        ValueError: the content type is more than one line.
    """
    head = _RESPONSE % (VERSION, request_id, host, _one_line(content_type), echo)
    return head + HEAD_END % length


def json_response_head(host: bytes) -> bytes:
    """The same for JSON, up to its length: template of request id and echo; `HEAD_END` follows."""
    return _RESPONSE % (VERSION, b"%s", host.replace(b"%", b"%%"), JSON, b"%s")


def error_head(
    host: bytes, path: bytes, length: int, error_type: str, cause: bytes = b"", echo: bytes = b""
) -> bytes:
    """An error's POST, up to its body: of an invocation, or of `init` or `restore`.

    Args:
        path: below `/runtime/`: `invocation/{id}/error` or `init/error`.
        length: bytes of the body.
        error_type: the `Lambda-Runtime-Function-Error-Type`.
        cause: the X-Ray cause in one line, empty for none.
        echo: as `echo_header` gives it.

    Raises:
        ValueError: the type or the cause is more than one line.
    """
    kind = header_value(error_type)
    xray = b"Lambda-Runtime-Function-XRay-Error-Cause: %s\r\n" % _one_line(cause) if cause else b""
    return (
        b"POST %s/runtime/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Function-Error-Type: %s\r\n%s%sContent-Length: %d\r\n\r\n"
        % (VERSION, path, host, kind, xray, echo, length)
    )


def stream_head(host: bytes, request_id: bytes, content_type: bytes, echo: bytes = b"") -> bytes:
    """`POST /runtime/invocation/{id}/response` of an answer that is streamed, up to its body.

    The trailers are declared beforehand: only an answer that fails half way has them.

    Args:
        request_id: as `path_segment` gives it.
        content_type: of the body.
        echo: as `echo_header` gives it.

    Raises:
        ValueError: the content type is more than one line.
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
    """A piece of a streamed answer, as the parts to write one after the other.

    An empty piece has none: a chunk of no bytes would be the end.
    """
    return [b"%x\r\n" % len(data), data, b"\r\n"] if data else []


def last_chunk(error_type: str = "", error: bytes = b"") -> bytes:
    """The end of a streamed answer.

    Go reads trailers into a buffer of 4 KB and gives up on longer ones, and the emulator with it;
    a longer error is cut, to JSON still, where `in_flight.stream_trailers` does it.

    Args:
        error_type: the `Lambda-Runtime-Function-Error-Type`; empty for a good end.
        error: its JSON.

    Raises:
        ValueError: the type is more than one line.
    """
    if not error_type:
        return b"0\r\n\r\n"
    return (
        b"0\r\nLambda-Runtime-Function-Error-Type: %s\r\n"
        b"Lambda-Runtime-Function-Error-Body: %s\r\n\r\n"
        % (header_value(error_type), binascii.b2a_base64(error, newline=False))
    )


def register_request(host: bytes, name: bytes) -> bytes:
    """`POST /extension/register`, of an internal extension that takes no events."""
    body = b'{"events":[]}'
    return (
        b"POST %s/register HTTP/1.1\r\nHost: %s\r\nLambda-Extension-Name: %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (EXTENSIONS, host, name, len(body), body)
    )


def extension_event_request(host: bytes, identifier: bytes) -> bytes:
    """`GET /extension/event/next`."""
    return b"GET %s/event/next HTTP/1.1\r\nHost: %s\r\nLambda-Extension-Identifier: %s\r\n\r\n" % (
        EXTENSIONS,
        host,
        identifier,
    )


def seconds_until(deadline_ms: bytes) -> float:
    """Seconds until a wall clock time; infinity for a header that tells none."""
    try:
        left = int(deadline_ms) / 1000 - time.time()
    except (ValueError, OverflowError):
        return math.inf
    if -MAX_SECONDS < left < MAX_SECONDS:
        return left
    return math.inf if left > 0 else -MAX_SECONDS


class ApiResponseParser:
    """Bytes of one connection in, answers out. Half an answer stays in it until the rest comes.

    A server accepts an answer in the same bytes each time, but for the second in its date. What
    they say is kept, to be parsed once a second and not with each event, whether the next event
    comes right behind them or later.
    """

    __slots__ = (
        "_accepted", "_body", "_done", "_head", "_headers", "_parser", "_said", "half_read",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        # Of an answer whose head is complete. What llhttp calls a header after that is a trailer,
        # which must not pose as one (RFC 9110).
        self._head: dict[bytes, bytes] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._done: list[ApiResponse] = []
        self.half_read = False
        # What was accepted last, and the bytes that said so.
        self._said = b""
        self._accepted: list[ApiResponse] = []

    @property
    def speaks_1_0(self) -> bool:
        """Whether the answer that was read last is one of HTTP/1.0, which knows no pipelining."""
        old: bool = self._parser.get_http_version() == "1.0"
        return old

    def feed(self, data: bytes) -> list[ApiResponse]:
        """Take what came, and give the answers that are complete with it.

        Interim answers (1xx) are passed over.

        Raises:
            WireError: it is no HTTP; the answers before that are in the error.
        """
        whole, said = not self.half_read, self._said
        known = whole and said != b"" and data.startswith(said)
        if known:
            if len(data) == len(said):
                return self._accepted
            self._done += self._accepted
            data = data[len(said) :]
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            text = f"the Runtime API sent no HTTP: {error!r}"
            raise WireError(text, self._take()) from error
        done = self._take()
        if whole and not known and done and done[0].status == 202 and done[0].keep_alive:
            self._keep(data, done[0])
        return done

    def _keep(self, data: bytes, answer: ApiResponse) -> None:
        """Keep the bytes of an answer that these begin with, where it is plain which they are."""
        head, end, _ = data.partition(b"\r\n\r\n")
        length = answer.headers.get(b"content-length")
        if not (head.startswith(b"HTTP/1.1 202 ") and length == b"%d" % len(answer.body)):
            return
        self._said = data[: len(head) + len(end) + len(answer.body)]
        self._accepted = [answer]

    def end(self) -> list[ApiResponse]:
        """The other side has closed: the answer whose body that was the end of, if there is one.

        Servers of HTTP/1.0 leave the length out, Python's `http.server` among them.
        """
        head = self._head
        told = head is None or b"content-length" in head or b"transfer-encoding" in head
        if not told:
            self.on_message_complete()
        return self._take()

    def _take(self) -> list[ApiResponse]:
        done, self._done = self._done, []
        return done

    # -- what httptools calls

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
        # Not kept until the next answer begins: with the whole, it would be twice an event.
        parts, self._body = self._body, []
        if status >= 200 and head is not None:
            body = parts[0] if len(parts) == 1 else _joined(parts)
            keep_alive = parser.should_keep_alive()
            self._done.append(ApiResponse(status, head, body, keep_alive))


def _joined(parts: list[bytes]) -> bytes:
    if parts:
        keep_what_is_freed()
    return b"".join(parts)
