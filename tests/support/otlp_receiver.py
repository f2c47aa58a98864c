"""A receiver of OpenTelemetry's spans: a real HTTP server that takes OTLP."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


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
        delay: seconds until a request is answered.
        status: the status of the answers; spans of other requests than 200 are not kept.
    """

    url: str = ""
    delay: float = 0.0
    status: int = 200
    requests: int = 0
    spans: list[ReceivedSpan] = attrs.field(factory=list)

    def take(self, body: bytes) -> int:
        self.requests += 1
        time.sleep(self.delay)
        if self.status == 200:
            self.spans += _read(body)
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(receiver.take))
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler_of(take: Callable[[bytes], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            self.send_response(take(body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _read(body: bytes) -> Iterator[ReceivedSpan]:
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


def _attributes(fields: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in fields}
