"""A receiver of spans: a real HTTP server for OpenTelemetry's OTLP, Datadog and Sentry."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import attrs
import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.limits import HANG


@attrs.frozen
class ReceivedSpan:
    """A span, as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    seconds: float
    error: bool
    message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[str]
    links: list[str]


@attrs.define(eq=False)
class Receiver:
    """Collects spans.

    Attributes:
        go: answers are given while it is set.
        status: the status of the answers; spans of other requests than 200 are not kept.
        requests: how many have come.
        answered: how many have been answered.
        items: errors and transactions of Sentry.
    """

    url: str = ""
    go: threading.Event = attrs.field(factory=threading.Event)
    status: int = 200
    requests: int = 0
    answered: int = 0
    spans: list[ReceivedSpan] = attrs.field(factory=list)
    items: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def dsn(self) -> str:
        """The address for Sentry's SDK."""
        return f"http://key@{urlsplit(self.url).netloc}/1"

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [each for each in self.items if each.get("type") != "transaction"]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return [each for each in self.items if each.get("type") == "transaction"]

    def take(self, path: str, body: bytes) -> int:
        read = _READERS.get(path)
        if read is None:
            return 404
        self.requests += 1
        assert self.go.wait(HANG)
        if self.status == 200 and read is _read_envelope:
            self.items += (items := [*_read_envelope(body)])
            self.spans += _spans_of(items)
        elif self.status == 200:
            self.spans += read(body)
        self.answered += 1
        return self.status

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def of_event(self, request_id: str) -> ReceivedSpan:
        """Return the one span of an event."""
        (found,) = [
            each for each in self.spans if each.attributes.get("faas.invocation_id") == request_id
        ]
        return found


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver in a thread."""
    receiver = Receiver()
    receiver.go.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(receiver.take))
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler_of(take: Callable[[str, bytes], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            chunked = self.headers.get("transfer-encoding") == "chunked"
            length = int(self.headers.get("content-length", 0))
            body = b"".join(self._chunks()) if chunked else self.rfile.read(length)
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            self.answer(take(self.path, body))

        def do_GET(self) -> None:
            self.answer(404)

        def answer(self, status: int) -> None:
            with suppress(OSError):  # the client has left
                self.send_response(status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        def _chunks(self) -> Iterator[bytes]:
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _read_otlp(body: bytes) -> Iterator[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    span.status.code == 2,
                    span.status.message,
                    _attributes(span.attributes),
                    resource,
                    [_attributes(each.attributes)["exception.type"] for each in span.events],
                    [each.trace_id.hex() for each in span.links],
                )


def _read_datadog(body: bytes) -> Iterator[ReceivedSpan]:
    """Read a body of the agent's `/v0.4/traces`. Ids are 64 bits, as 16 hexadecimal digits."""
    for trace in msgspec.msgpack.decode(body):
        for span in trace:
            tags: dict[str, Any] = span.get("meta", {})
            parent, named = span.get("parent_id", 0), span["name"] == "aws.lambda"
            yield ReceivedSpan(
                span["name"],
                f"{span['trace_id']:016x}",
                f"{span['span_id']:016x}",
                f"{parent:016x}" if parent else "",
                0,
                span["duration"] / 1e9,
                bool(span.get("error")),
                tags.get("error.message", ""),
                # An inferred span, of a queue or an API, has the request id too.
                {"resource": span["resource"]}
                | tags
                | ({"faas.invocation_id": tags["request_id"]} if named else {}),
                {},
                [],
                [],
            )


def _read_envelope(body: bytes) -> Iterator[dict[str, Any]]:
    """Read an envelope of Sentry: a header, then a header and a body of each item."""
    lines = iter(body.split(b"\n")[1:])
    for line in lines:
        if line and json.loads(line)["type"] in ("event", "transaction"):
            yield json.loads(next(lines))
        elif line:
            next(lines)


def _spans_of(items: list[dict[str, Any]]) -> Iterator[ReceivedSpan]:
    """Yield the spans of Sentry's transactions: the transaction's own, and those in it."""
    for item in items:
        if item.get("type") != "transaction":
            continue
        request_id = item["extra"]["lambda"]["aws_request_id"]
        own = {**item["contexts"]["trace"], "data": {"faas.invocation_id": request_id}}
        own |= {key: item[key] for key in ("start_timestamp", "timestamp")}
        for span in (own, *item["spans"]):
            began, ended = (
                datetime.fromisoformat(span[key]) for key in ("start_timestamp", "timestamp")
            )
            yield ReceivedSpan(
                span.get("description", item["transaction"]),
                span["trace_id"],
                span["span_id"],
                span.get("parent_span_id") or "",
                0,
                (ended - began).total_seconds(),
                span.get("status", "ok") != "ok",
                "",
                span.get("data", {}),
                {},
                [],
                [],
            )


_READERS: dict[str, Callable[[bytes], Iterator[Any]]] = {
    "/v1/traces": _read_otlp,
    "/v0.4/traces": _read_datadog,
    "/api/1/envelope/": _read_envelope,
}


def _attributes(fields: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in fields}
