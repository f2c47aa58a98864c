"""Bytes that are no proper request: the server refuses them, and goes on."""

import math
import random

import pytest
import trio

from okibi.dev.http_server import IDLE_LIMIT
from tests.support.dev_server import serve_functions

HOST = b"Host: localhost\r\n"
POST = b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\n" + HOST
KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
WEBSOCKET = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
HTTP_2 = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# What is sent, and how the response begins; b"" where the connection may just end.
BAD_REQUESTS = {
    "a WebSocket without a key": (WEBSOCKET + b"\r\n", b"HTTP/1.1 400"),
    "a WebSocket": (WEBSOCKET + KEY + b"\r\n", b"HTTP/1.1 403"),
    "a WebSocket with trailing bytes": (WEBSOCKET + KEY + b"\r\n\x81\x85xyz", b"HTTP/1.1 403"),
    "a WebSocket with a header that is not ASCII": (
        WEBSOCKET + KEY + b"Sec-WebSocket-Protocol: \xff\r\n\r\n",
        b"",
    ),
    "an upgrade to HTTP/2 with trailing bytes": (
        HTTP_2 + b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + b"trailing" * 20,
        b"HTTP/1.1 101",
    ),
    "an upgrade to HTTP/2 with bad settings": (
        HTTP_2 + b"HTTP2-Settings: AAA\r\n\r\n",
        b"HTTP/1.1 101",
    ),
    "HTTP/2 with bytes that are no frame": (PREFACE + b"no frame at all" * 9, b"\0"),
    "a chunk without a size": (
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 400",
    ),
    "a chunk that is longer than its size": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n",
        b"",
    ),
    "TLS": (b"\x16\x03\x01\x00\xea\x01\x00\x00\xe6\x03\x03" + bytes(range(200)), b"HTTP/1.1 400"),
    "a long header": (POST + b"X: " + b"x" * 100_000, b"HTTP/1.1 431"),
    "a long path": (b"GET /" + b"x" * 100_000, b"HTTP/1.1 431"),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"HTTP/1.1 400"),
    "a length and chunks": (
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    "two Origin headers": (
        POST + b"Origin: http://evil.example\r\nOrigin: http://localhost\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    "two Origin headers for a function URL": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Origin: http://a.test\r\nOrigin: http://b.test\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    "two Sec-Fetch-Site headers": (
        POST + b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: none\r\n\r\n",
        b"HTTP/1.1 400",
    ),
    "a negative length": (POST + b"Content-Length: -2\r\n\r\n{}", b"HTTP/1.1 400"),
    "two Host headers": (POST + HOST + b"\r\n", b"HTTP/1.1 400"),
    "no Host header": (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
    "a path that is not UTF-8": (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", b"HTTP/1.1 400"),
    "NUL bytes": (bytes(64), b"HTTP/1.1 400"),
    "half an event": (POST + b"Content-Length: 500\r\n\r\n{", b""),
}


async def send(port: int, data: bytes, expected: bytes = b"") -> bytes:
    """Send bytes; return the answer as soon as it has the expected length.

    Without an expected answer, end the connection and wait until the server does too.
    """
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            await stream.send_all(data)
            if not expected:
                await stream.send_eof()
            while len(answer) < (len(expected) or math.inf):
                received = await stream.receive_some()
                if not received:
                    break
                answer += received
        except trio.BrokenResourceError:
            # The server has closed the connection before it had read everything.
            pass
    return answer


async def test_the_server_survives_every_bad_request() -> None:
    async with serve_functions() as served:
        for what, (data, expected) in BAD_REQUESTS.items():
            answer = await send(served.server.port, data, expected)

            assert answer.startswith(expected), what
            assert (await served.invoke()).status_code == 200, what


async def test_what_follows_a_length_and_chunks_is_no_request() -> None:
    chunks = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    async with serve_functions() as served:
        answer = await send(served.server.port, (POST + chunks) * 2)

        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer


async def test_a_bad_connection_does_not_disturb_another() -> None:
    async with serve_functions() as served:
        path = b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", served.server.port) as stream:
            await stream.send_all(path + HOST + b"Content-Length: 2\r\n\r\n{")
            for data, _ in BAD_REQUESTS.values():
                await send(served.server.port, data)
            await stream.send_all(b"}")

            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
async def test_the_server_survives_mutated_requests() -> None:
    seed = random.Random(5)
    async with serve_functions() as served:
        for _ in range(1000):
            data = bytearray(seed.choice(list(BAD_REQUESTS.values()))[0][:2000])
            for _ in range(seed.randint(1, 6)):
                at = seed.randrange(len(data))
                data[at : at + seed.randint(0, 3)] = seed.randbytes(seed.randint(0, 4))
            await send(served.server.port, bytes(data))
        assert (await served.invoke()).status_code == 200


async def test_the_socket_of_a_client_that_left_is_closed_at_once() -> None:
    request = b"GET /2015-03-31/functions HTTP/1.1\r\n" + HOST + b"\r\n"
    async with serve_functions() as served:
        for data in (b"", request):
            with trio.fail_after(IDLE_LIMIT / 2):
                await send(served.server.port, data)
