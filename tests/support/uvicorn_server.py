"""uvicorn on a real socket, in a thread: what an application answers to HTTP itself."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import uvicorn

from okibi.local.services.http_events import IncomingRequest
from tests.limits import HANG

__all__ = ["Answer", "ask_uvicorn", "send_request", "serve_by_uvicorn"]


@attrs.frozen
class Answer:
    """What a client gets.

    Args:
        status: the HTTP status.
        headers: names in lower case and values, sorted.
        body: the whole body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def ask_uvicorn(
    application: Any, requests: Mapping[str, IncomingRequest], **options: Any
) -> dict[str, Answer]:
    """Return the answer to each request, sent one after the other.

    Args:
        application: the ASGI application.
        requests: the requests by name.
        options: settings of uvicorn.
    """
    with serve_by_uvicorn(application, **options) as port:
        return {name: send_request(port, request) for name, request in requests.items()}


@contextmanager
def serve_by_uvicorn(application: Any, **options: Any) -> Iterator[int]:
    """Serve an application on a free port.

    uvicorn believes the `x-forwarded-…` headers, and so tells the application their client.
    """
    config = uvicorn.Config(
        application, port=0, log_config=None, server_header=False, date_header=False, **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        until = time.monotonic() + HANG
        while not server.started:
            assert thread.is_alive(), "uvicorn has ended"
            assert time.monotonic() < until, "uvicorn does not start"
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def send_request(port: int, request: IncomingRequest) -> Answer:
    """Send a request on a connection of its own, and return the answer."""
    target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
    lines = [f"{request.method} {target} {request.protocol}"]
    lines += [f"{name}: {value}" for name, value in request.headers if name != "content-length"]
    if request.body:
        lines.append(f"content-length: {len(request.body)}")
    head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
    with socket.create_connection(("127.0.0.1", port), HANG) as connection:
        connection.sendall(head.encode() + request.body)
        response = http.client.HTTPResponse(connection, method=request.method)
        response.begin()
        headers = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, sorted(headers), response.read())
