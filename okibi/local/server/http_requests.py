"""Parse HTTP/1.1 requests, pipelined or not, as Go's net/http does.

llhttp (through httptools) splits the bytes. This module adds a server's decisions: a request is
ready when its headers are complete, a body is kept up to a limit, and headers can be too long.
"""

from collections import deque
from typing import Any

import attrs
import httptools

from .browser_requests import SINGLE_HEADERS

# Bytes of request line and headers at most: Go's DefaultMaxHeaderBytes and its slack.
MAX_HEADER_SIZE = (1 << 20) + 4096


class MalformedRequest(Exception):
    """The bytes are not an HTTP/1.1 request. The text is Go's status line: 400, then close."""


class HeadersTooLarge(Exception):
    """Request line and headers exceed MAX_HEADER_SIZE: 431, then close."""


@attrs.define(eq=False)
class HttpRequest:
    """A request with complete headers. The body may still be arriving.

    Header names are lower case. The last of several equal headers counts; two of SINGLE_HEADERS
    are an error.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    version: str
    keep_alive: bool
    # Bytes of the body to keep.
    limit: int
    trailers: dict[bytes, bytes] = attrs.field(factory=dict[bytes, bytes])
    # Received bytes of the body, kept or discarded.
    size: int = 0
    complete: bool = False
    # Whether the server has handled the headers.
    headers_handled: bool = False
    _chunks: list[bytes] = attrs.field(factory=list[bytes])

    def header(self, name: bytes) -> str:
        """Return the value of a header, or ""."""
        value = self.headers.get(name)
        return "" if value is None else value.decode("utf-8", "replace")

    @property
    def path(self) -> bytes:
        """The target without the query."""
        return self.target.partition(b"?")[0]

    @property
    def body(self) -> bytes:
        """The kept part of the body."""
        if len(self._chunks) == 1:
            return self._chunks[0]
        return b"".join(self._chunks)

    def append(self, chunk: bytes) -> None:
        """Add a piece of the body.

        Beyond the limit, count and discard the piece: the request is refused anyway.
        """
        self.size += len(chunk)
        if self.size <= self.limit:
            self._chunks.append(chunk)

    def take(self) -> list[bytes]:
        """Remove and return the pieces of `body` received so far."""
        chunks, self._chunks = self._chunks, []
        return chunks


class RequestReader:
    """Turns bytes into requests.

    Args:
        body_limit: bytes of a body to keep.
    """

    # No attrs: httptools calls the methods below by their names.

    __slots__ = (
        "_body_limit",
        "_feed_size",
        "_head_at_least",
        "_head_at_most",
        "_headers",
        "_in_head",
        "_parser",
        "_request",
        "_target",
        "requests",
    )

    def __init__(self, body_limit: int) -> None:
        self.requests: deque[HttpRequest] = deque()
        """Requests with complete headers, oldest first. The server removes them."""
        self._body_limit = body_limit
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: HttpRequest | None = None
        self._in_head = False
        # llhttp does not report where a message begins. Therefore the size of incomplete headers is
        # only known within bounds, enough to stop headers without end.
        self._feed_size = 0
        self._head_at_least = 0
        self._head_at_most = 0

    def feed(self, data: bytes) -> None:
        """Parse bytes.

        Raises:
            MalformedRequest: the bytes are not HTTP.
            HeadersTooLarge: the headers are too long.
        """
        self._feed_size = len(data)
        if self._in_head:
            self._head_at_most += len(data)
            self._head_at_least += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Go's server ignores an unknown upgrade; llhttp stops. The request is complete, and the
            # last of this connection.
            self.requests[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, (HeadersTooLarge, MalformedRequest)):
                raise error.__context__ from None
            raise MalformedRequest("400 Bad Request") from error
        if self._in_head and self._head_at_least > MAX_HEADER_SIZE:
            raise HeadersTooLarge

    # -- called by httptools

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_at_least = 0
        self._head_at_most = self._feed_size
        self._target = b""
        self._headers = {}
        self._request = None

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers if self._request is None else self._request.trailers
        name = name.lower()
        if name in SINGLE_HEADERS and name in headers:
            title = name.decode().title()
            raise MalformedRequest(f"400 Bad Request: too many {title} headers")
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers = self._headers
        if self._head_at_most > MAX_HEADER_SIZE and self._exact_head_size() > MAX_HEADER_SIZE:
            raise HeadersTooLarge
        version = self._parser.get_http_version()
        if b"host" not in headers and version == "1.1":
            raise MalformedRequest("400 Bad Request: missing required Host header")
        self._request = HttpRequest(
            self._parser.get_method(),
            self._target,
            headers,
            version,
            self._parser.should_keep_alive(),
            self._body_limit,
        )
        self.requests.append(self._request)

    def on_body(self, chunk: bytes) -> None:
        if self._request is not None:
            self._request.append(chunk)

    def on_message_complete(self) -> None:
        if self._request is not None:
            self._request.complete = True

    def _exact_head_size(self) -> int:
        return len(self._target) + sum(
            len(name) + len(value) + 4 for name, value in self._headers.items()
        )
