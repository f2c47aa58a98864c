"""Values to bytes and bytes to values: the Runtime API's HTTP, without a socket.

httptools (llhttp) parses: about a microsecond an answer, chunked or not. `/next` comes chunked
once the event passes 2 KB, so a parser that knows only Content-Length works in small tests and
fails on every real event.
"""

from typing import Any, NamedTuple

import httptools

VERSION = b"/2018-06-01"
JSON = b"application/json"


class WireError(Exception):
    """What the Runtime API sent is no HTTP."""


class Answer(NamedTuple):
    """One final answer of the Runtime API."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool


def header_value(value: str) -> bytes:
    """A value that is safe to stand in a header.

    Raises:
        ValueError: it holds a line break, with which it could pose as headers of its own.
    """
    if "\r" in value or "\n" in value or "\0" in value:
        raise ValueError(f"a header value must be one line, not {value!r}")
    return value.encode("latin-1", "replace")


def next_request(host: bytes) -> bytes:
    """`GET /runtime/invocation/next`."""
    return b"GET %s/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n" % (VERSION, host)


def response_head(
    host: bytes, request_id: bytes, length: int, content_type: bytes, echo: bytes = b""
) -> bytes:
    """`POST /runtime/invocation/{id}/response`, up to its body."""
    return (
        b"POST %s/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
        b"Content-Type: %s\r\n%sContent-Length: %d\r\n\r\n"
        % (VERSION, request_id, host, content_type, echo, length)
    )


def error_head(
    host: bytes, path: bytes, length: int, error_type: str, cause: bytes = b"", echo: bytes = b""
) -> bytes:
    """An error's POST, up to its body: of an invocation, or of `init` or `restore`.

    Args:
        path: below `/runtime/`: `invocation/{id}/error` or `init/error`.
        length: bytes of the body.
        error_type: the `Lambda-Runtime-Function-Error-Type`.
        cause: the X-Ray cause in one line, empty for none.
    """
    kind = header_value(error_type)
    xray = b"Lambda-Runtime-Function-XRay-Error-Cause: %s\r\n" % cause if cause else b""
    return (
        b"POST %s/runtime/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Function-Error-Type: %s\r\n%s%sContent-Length: %d\r\n\r\n"
        % (VERSION, path, host, kind, xray, echo, length)
    )


class AnswerParser:
    """Bytes of one connection in, answers out. Half an answer stays in it until the rest comes."""

    __slots__ = ("_body", "_done", "_headers", "_parser", "half_read")

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._done: list[Answer] = []
        self.half_read = False

    def feed(self, data: bytes) -> list[Answer]:
        """Take what came, and give the answers that are complete with it.

        Interim answers (1xx) are passed over.

        Raises:
            WireError: it is no HTTP.
        """
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise WireError(f"the Runtime API sent no HTTP: {error!r}") from error
        done, self._done = self._done, []
        return done

    # -- what httptools calls

    def on_message_begin(self) -> None:
        self.half_read = True
        self._headers = {}
        self._body = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.half_read = False
        parser = self._parser
        status = parser.get_status_code()
        if status >= 200:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            keep_alive = parser.should_keep_alive()
            self._done.append(Answer(status, self._headers, body, keep_alive))
