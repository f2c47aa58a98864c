"""Build HTTP responses as Go's net/http does."""

import time
from http import HTTPStatus

import attrs
import msgspec

from ..platform.invocation import Invocation
from ..platform.states import ApiError

# Bytes of a body that Go's server buffers; a longer body is sent in chunks.
CHUNKED_ABOVE = 2048

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_LARGE_STATUS = "431 Request Header Fields Too Large"

_STATUS_LINES = {
    status.value: f" {status.value} {status.phrase}\r\n".encode()
    for status in HTTPStatus
    if status.value >= 200
}
# Go's older name.
_STATUS_LINES[413] = b" 413 Request Entity Too Large\r\n"

JSON = b"Content-Type: application/json\r\n"
PLAIN_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"


@attrs.frozen
class HttpResponse:
    """A response before encoding."""

    status: int
    body: bytes = b""
    headers: bytes = JSON


ACCEPTED = HttpResponse(202, b'{"status":"OK"}\n')
PONG = HttpResponse(200, b"pong", PLAIN_TEXT)
NOT_FOUND = HttpResponse(
    404, b"404 page not found\n", PLAIN_TEXT + b"X-Content-Type-Options: nosniff\r\n"
)


def error_response(refusal: ApiError) -> HttpResponse:
    """Build the error response to a refused call."""
    return HttpResponse(refusal.status, error_body(refusal))


def method_not_allowed(allowed: bytes) -> HttpResponse:
    """Build the response to a known path with a wrong method."""
    return HttpResponse(405, headers=b"Allow: %b\r\n" % allowed)


def encode_response(
    status: int,
    body: bytes,
    headers: bytes = JSON,
    *,
    version: str = "1.1",
    keep_alive: bool = True,
) -> list[bytes]:
    """Encode a response as pieces to write.

    Args:
        status: the HTTP status.
        body: the whole body; sent in chunks if longer than CHUNKED_ABOVE.
        headers: header lines, each with CRLF.
        version: the HTTP version of the request; HTTP/1.0 never gets chunks.
        keep_alive: whether the connection stays open.
    """
    size = len(body)
    chunked = size > CHUNKED_ABOVE and version != "1.0"
    head = b"%b%b%b%b%b%b\r\n" % (
        b"HTTP/1.0" if version == "1.0" else b"HTTP/1.1",
        _STATUS_LINES[status],
        headers,
        _date_header(),
        _length_header(status, size, chunked),
        _connection_header(version, keep_alive),
    )
    if not chunked:
        return [head + body] if size <= CHUNKED_ABOVE else [head, body]
    if size < 1 << 16:
        return [b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, size, body)]
    return [b"%b%x\r\n" % (head, size), body, b"\r\n0\r\n\r\n"]


def chunked_head(headers: bytes, *, keep_alive: bool = True) -> bytes:
    """Encode the head of an HTTP/1.1 200 response with a body to be written in chunks (`chunk`).

    Args:
        headers: header lines, each with CRLF.
        keep_alive: whether the connection stays open.
    """
    return b"HTTP/1.1%b%b%b%b%b\r\n" % (
        _STATUS_LINES[200],
        headers,
        _date_header(),
        _length_header(200, 0, chunked=True),
        _connection_header("1.1", keep_alive),
    )


def chunk(data: bytes) -> bytes:
    """Encode a chunk of a body. An empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def error_body(refusal: ApiError) -> bytes:
    """Encode the body of an error response."""
    return b'{"errorMessage":%b,"errorType":%b}\n' % (
        json_string(refusal.message),
        json_string(refusal.error_type),
    )


def plain_error(status: str) -> bytes:
    """Encode Go's response to bytes that are not a request; the connection closes after it.

    Args:
        status: code and reason, as in the status line.
    """
    headers = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n{status}".encode()


def json_string(text: str) -> bytes:
    """Encode a JSON string."""
    return msgspec.json.encode(text)


def event_headers(invocation: Invocation, function_arn: str, *, empty: bool = False) -> bytes:
    """Encode the headers of a /next response (Runtime API).

    Args:
        invocation: the invocation to deliver.
        function_arn: the ARN to send if the invoker named none.
        empty: send Client-Context and Cognito-Identity even if empty, as multi-concurrency does.
            Classic mode omits empty headers.
    """
    # Sorted by name, as in Go.
    lines = [
        ("Content-Type", invocation.content_type or "application/json"),
        ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
        ("Lambda-Runtime-Aws-Tenant-Id", invocation.tenant_id),
        ("Lambda-Runtime-Client-Context", invocation.client_context),
        ("Lambda-Runtime-Cognito-Identity", invocation.cognito_identity),
        ("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms)),
        ("Lambda-Runtime-Invocation-Id", invocation.invocation_id),
        ("Lambda-Runtime-Invoked-Function-Arn", invocation.function_arn or function_arn),
        ("Lambda-Runtime-Trace-Id", invocation.trace_id),
    ]
    always = ("Lambda-Runtime-Client-Context", "Lambda-Runtime-Cognito-Identity") if empty else ()
    text = "".join(
        f"{name}: {_one_line(value)}\r\n" for name, value in lines if value or name in always
    )
    return text.encode("utf-8", "surrogateescape")


def _one_line(value: str) -> str:
    # As Go does: a line break in a value would add a header chosen by the invoker.
    if "\n" in value or "\r" in value:
        return value.replace("\n", " ").replace("\r", " ")
    return value


def _length_header(status: int, size: int, chunked: bool) -> bytes:
    if chunked:
        return b"Transfer-Encoding: chunked\r\n"
    return b"" if status == 204 else b"Content-Length: %d\r\n" % size


def _connection_header(version: str, keep_alive: bool) -> bytes:
    if version == "1.0":
        return b"Connection: keep-alive\r\n" if keep_alive else b""
    return b"" if keep_alive else b"Connection: close\r\n"


_date = (0, b"")


def _date_header() -> bytes:
    """Return the Date header, built once a second."""
    global _date
    now = int(time.time())
    if now != _date[0]:
        text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        _date = (now, f"Date: {text}\r\n".encode())
    return _date[1]
