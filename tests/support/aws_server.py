"""A server that plays AWS over TCP or TLS: a function of the test answers each request."""

import json
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trustme

# At the end of bytes: the connection is closed after them.
CUT = b"<cut>"
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}


@attrs.frozen
class Received:
    """A request that has arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        return self.headers["x-amz-target"].rpartition(".")[2]

    @property
    def parameters(self) -> Any:
        return json.loads(self.body)


Respond = Callable[[Received], Awaitable[bytes | None]]


@attrs.define(eq=False)
class AwsServer:
    """Attributes: the URL, the requests so far, the connections so far and those open now."""

    url: str = ""
    requests: list[Received] = attrs.Factory(list)
    connections: int = 0
    open: int = 0


def answer(value: object = None, status: int = 200, **headers: str) -> bytes:
    """Return the bytes of an answer."""
    body = b"" if value is None else json.dumps(value).encode()
    lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    lines += f"x-amzn-RequestId: r-1\r\ncontent-length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def refusal(code: str, status: int = 400, **headers: str) -> bytes:
    return answer({"__type": f"com.amazonaws#{code}", "message": "no"}, status, **headers)


@asynccontextmanager
async def aws_server(
    respond: Respond, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[AwsServer]:
    """Serve on a free port.

    Args:
        respond: takes a request; returns the bytes to send, or None to close the connection.
        tls: the certificate, or None for TCP.
    """
    server = AwsServer()

    async def serve(stream: trio.abc.Stream) -> None:
        server.connections += 1
        server.open += 1
        try:
            await _serve(server, stream, respond)
        except (trio.BrokenResourceError, ssl.SSLError):
            pass
        finally:
            server.open -= 1
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await trio.aclose_forcefully(stream)

    listeners: Any
    async with trio.open_nursery() as nursery:
        if tls is None:
            listen = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
            listeners = await nursery.start(listen)
            socket = listeners[0].socket
        else:
            listen_by_tls = partial(
                trio.serve_ssl_over_tcp, serve, 0, tls, host="127.0.0.1", https_compatible=True
            )
            listeners = await nursery.start(listen_by_tls)
            socket = listeners[0].transport_listener.socket
        port = socket.getsockname()[1]
        server.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        yield server
        nursery.cancel_scope.cancel()


async def _serve(server: AwsServer, stream: trio.abc.Stream, respond: Respond) -> None:
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            data = await stream.receive_some(65536)
            if not data:
                return
            received += data
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = [line.partition(":") for line in lines]
        headers = {name.lower(): text.strip() for name, _, text in pairs}
        length = int(headers.get("content-length", "0"))
        while len(received) < length:
            received += await stream.receive_some(65536)
        method, path, _ = first.split(" ")
        request = Received(method, path, headers, received[:length])
        received = received[length:]
        server.requests.append(request)
        sent = await respond(request)
        if sent is None:
            return
        await stream.send_all(sent.removesuffix(CUT))
        if sent.endswith(CUT):
            return


@contextmanager
def environment(variables: dict[str, str]) -> Generator[pytest.MonkeyPatch]:
    """Set variables, and unset all others of AWS's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("AWS_"):
                patch.delenv(name)
        for name, text in variables.items():
            patch.setenv(name, text)
        patch.setenv("AWS_CONFIG_FILE", variables.get("AWS_CONFIG_FILE", "/nonexistent"))
        file = variables.get("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", file)
        yield patch


def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext, trustme.CA]:
    """Return the contexts of a server on localhost and of its client, and their root."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client, authority
