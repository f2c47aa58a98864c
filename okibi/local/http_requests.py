"""HTTP/1.1 requests out of bytes, one after the other, pipelined or not, as Go's net/http reads.

llhttp (through httptools) splits the bytes; this room adds what a server decides: when a request
is there to be looked at (its headers are complete), how much of a body is kept, and when headers
are too long.
"""

from collections import deque
from typing import Any

import attrs
import httptools

__all__ = ["MAX_HEADER_SIZE", "HeadersTooLarge", "HttpRequest", "MalformedRequest", "RequestReader"]

MAX_HEADER_SIZE = (1 << 20) + 4096
"""Bytes of request line and headers; Go's DefaultMaxHeaderBytes and the slop it adds."""


class MalformedRequest(Exception):
    """The bytes are no HTTP/1.1 request: 400, and the connection ends. Its text is Go's status
    line for it.
    """


class HeadersTooLarge(Exception):
    """Request line and headers are longer than MAX_HEADER_SIZE: 431, and the connection ends."""


@attrs.define(eq=False)
class HttpRequest:
    """A request; its headers are complete, its body may still be on the way.

    Header names are lower case; of a header that is sent twice, the last one counts. Two Host
    headers are no request.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    version: str
    keep_alive: bool
    limit: int
    """Bytes of the body that are kept."""
    trailers: dict[bytes, bytes] = attrs.field(factory=dict[bytes, bytes])
    size: int = 0
    """Bytes of the body that have come, kept or not."""
    complete: bool = False
    headers_handled: bool = False
    """Whether the server has looked at its headers."""
    _chunks: list[bytes] = attrs.field(factory=list[bytes])

    def header(self, name: bytes) -> str:
        """The value of a header, or ""."""
        value = self.headers.get(name)
        return "" if value is None else value.decode("utf-8", "replace")

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def body(self) -> bytes:
        """The body as far as it was kept."""
        if len(self._chunks) == 1:
            return self._chunks[0]
        return b"".join(self._chunks)

    def append(self, chunk: bytes) -> None:
        """A piece of the body. Past the limit it is counted and dropped: the answer is a refusal
        anyway.
        """
        self.size += len(chunk)
        if self.size <= self.limit:
            self._chunks.append(chunk)

    def take(self) -> list[bytes]:
        """The pieces that have come since the last time, and are then no part of `body`."""
        chunks, self._chunks = self._chunks, []
        return chunks


class RequestReader:
    """Bytes in, requests out.

    Args:
        body_limit: bytes of a body that are kept.
    """

    # A plain class: httptools asks this object for its callbacks, and the names are httptools' own.

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
        """Requests whose headers have come, oldest first. The server takes them away."""
        self._body_limit = body_limit
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: HttpRequest | None = None
        self._in_head = False
        # llhttp does not say at which byte a message begins, so the length of a head is known
        # within bounds until it is complete. That is enough to end one that never is.
        self._feed_size = 0
        self._head_at_least = 0
        self._head_at_most = 0

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            MalformedRequest: what came is no HTTP.
            HeadersTooLarge: it is, but its headers have no end.
        """
        self._feed_size = len(data)
        if self._in_head:
            self._head_at_most += len(data)
            self._head_at_least += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Go's server ignores an upgrade that it does not know; llhttp stops reading there. The
            # request itself is complete, and is the connection's last.
            self.requests[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, (HeadersTooLarge, MalformedRequest)):
                raise error.__context__ from None
            raise MalformedRequest("400 Bad Request") from error
        if self._in_head and self._head_at_least > MAX_HEADER_SIZE:
            raise HeadersTooLarge

    # -- httptools calls these

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
        if name == b"host" and name in headers:
            raise MalformedRequest("400 Bad Request: too many Host headers")
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
