"""One HTTP request, and the parts of it that every kind of event holds."""

import base64
import time
from collections.abc import Sequence
from urllib.parse import parse_qsl

import attrs

from ...invocation import new_request_id, new_trace_id
from ..asgi import Scope

__all__ = ["IncomingRequest", "encode_body"]

_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")


@attrs.frozen
class IncomingRequest:
    """One HTTP request.

    Args:
        method: the method, in capitals.
        raw_path: the path as sent, percent-encoded.
        raw_query: the query string as sent, without `?`.
        headers: names in lower case and values, in the order of arrival.
        body: the whole body.
        source_ip: the address of the peer.
        port: the port of this server, for `x-forwarded-port`.
        protocol: such as `HTTP/1.1`.
        received_at: seconds since the epoch.
        request_id: the id of the request and of its invocation.
        trace_id: the X-Ray header of the invocation.
    """

    method: str
    raw_path: str
    raw_query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    port: int = 9000
    protocol: str = "HTTP/1.1"
    received_at: float = 0.0
    request_id: str = attrs.field(factory=new_request_id)
    trace_id: str = attrs.field(factory=new_trace_id)

    @classmethod
    def from_scope(cls, scope: Scope) -> "IncomingRequest":
        """Read the scope of an ASGI server; the body is read later."""
        headers = [
            (name.decode("latin-1").lower(), _decode_header(value))
            for name, value in scope["headers"]
        ]
        trace_id = next((value for name, value in headers if name == "x-amzn-trace-id"), "")
        return cls(
            method=scope["method"].upper(),
            raw_path=scope["raw_path"].decode("latin-1") or "/",
            raw_query=scope["query_string"].decode("latin-1"),
            headers=headers,
            source_ip=(scope.get("client") or ("127.0.0.1", 0))[0],
            port=(scope.get("server") or ("127.0.0.1", 9000))[1] or 9000,
            protocol=f"HTTP/{scope['http_version']}",
            received_at=time.time(),
            trace_id=trace_id if trace_id.isprintable() and trace_id else new_trace_id(),
        )

    @property
    def trace_root(self) -> str:
        """The part of the X-Ray header that clients and functions see."""
        return self.trace_id.partition(";")[0]

    def header(self, name: str) -> str:
        """Return the last value of a header, or "".

        Args:
            name: the name in lower case.
        """
        return next((value for key, value in reversed(self.headers) if key == name), "")

    def forwarded_headers(self) -> list[tuple[str, str]]:
        """Return the headers, with those that AWS's front ends add.

        `x-forwarded-for` keeps what an earlier proxy wrote, and adds the peer.
        """
        added = ("x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto")
        earlier = [value for name, value in self.headers if name == "x-forwarded-for"]
        return [
            *((name, value) for name, value in self.headers if name not in added),
            ("x-amzn-trace-id", self.trace_root),
            ("x-forwarded-for", ", ".join((*earlier, self.source_ip))),
            ("x-forwarded-port", str(self.port)),
            ("x-forwarded-proto", "http"),
        ]

    def query_parameters(self) -> dict[str, list[str]]:
        """Return the decoded query parameters; `+` is a space."""
        parameters: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.raw_query, keep_blank_values=True):
            parameters.setdefault(name, []).append(value)
        return parameters

    def time_texts(self) -> tuple[str, int]:
        """Return the time of arrival as in a server's log, and in milliseconds."""
        text = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.received_at))
        return text, int(self.received_at * 1000)


def encode_body(request: IncomingRequest) -> tuple[str, bool]:
    """Return the body for an event, and whether it is in Base64.

    The body stays text if its media type is `text/*`, `application/json`, `application/xml` or
    `application/javascript` and the bytes are UTF-8. Everything else is sent in Base64, also a form
    and a body without a media type (observed on API Gateway; documented for load balancers).
    """
    if not request.body:
        return "", False
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    if media_type.startswith("text/") or media_type in _TEXT_TYPES:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _decode_header(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
