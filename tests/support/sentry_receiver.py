"""A receiver of Sentry's envelopes: a real HTTP server."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs


@attrs.define(eq=False)
class SentryReceiver:
    """Collects the events and transactions of Sentry.

    Attributes:
        go: requests are answered when this is set, as at first.
        status: the status of the answers; what comes with another one than 200 is not kept.
    """

    dsn: str = ""
    go: threading.Event = attrs.field(factory=threading.Event)
    status: int = 200
    requests: int = 0
    answered: int = 0
    items: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [each for each in self.items if each.get("type") != "transaction"]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return [each for each in self.items if each.get("type") == "transaction"]

    def take(self, body: bytes) -> int:
        self.requests += 1
        assert self.go.wait(20)
        if self.status == 200:
            self.items += _read(body)
        self.answered += 1
        return self.status


@contextmanager
def receiving() -> Iterator[SentryReceiver]:
    """Run a receiver in a thread."""
    receiver = SentryReceiver()
    receiver.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            self.send_response(receiver.take(body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.dsn = f"http://key@127.0.0.1:{server.server_address[1]}/1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _read(envelope: bytes) -> Iterator[dict[str, Any]]:
    """Yield the items of an envelope: a header of the whole, then a header and a body of each."""
    lines = iter(envelope.split(b"\n")[1:])
    for line in lines:
        if line and json.loads(line)["type"] in ("event", "transaction"):
            yield json.loads(next(lines))
        elif line:
            next(lines)
