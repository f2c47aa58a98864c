"""Reading of requests by the benchmarks' server."""

import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from benchmarks.requests import Requests

GET = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\nHost: x\r\n"
PLAIN = POST + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Cut(socket.socket):
    """A socket that returns at most the given number of bytes per read."""

    limits: list[int]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return super().recv_into(buffer, self.limits.pop(0) if self.limits else nbytes, flags)


class Pair(NamedTuple):
    """The reader, and both ends of the connection."""

    requests: Requests
    ours: Cut
    runtime: socket.socket


@pytest.fixture
def pair() -> Iterator[Pair]:
    server, runtime = socket.socketpair()
    with Cut(fileno=server.detach()) as ours, runtime:
        ours.limits = []
        ours.settimeout(5)
        requests = Requests(100)
        requests.attach(ours)
        yield Pair(requests, ours, runtime)


def test_a_response_and_a_next_in_one_write_are_two_requests(pair: Pair) -> None:
    requests, _, runtime = pair
    for _ in range(3):
        runtime.sendall(PLAIN + GET)

        assert requests.answers()
        assert requests.begins(b"POST /2018-06-01/runtime/invocation/1/response ")
        assert requests.has(b"hello")
        assert not requests.answers()


@pytest.mark.parametrize(
    "post",
    [
        PLAIN,
        PLAIN.replace(b"Content-Length", b"content-length"),
        CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        CHUNKED.lower().replace(b"post", b"POST", 1) + b"5\r\nhello\r\n0\r\nSome: trailer\r\n\r\n",
    ],
)
def test_a_request_may_be_cut_anywhere(pair: Pair, post: bytes) -> None:
    _, ours, runtime = pair
    for cut in range(1, len(post) + len(GET)):
        requests = Requests(100)
        requests.attach(ours)
        ours.limits.append(cut)
        runtime.sendall(post + GET)

        assert requests.answers()
        assert requests.body() == b"hello"
        assert requests.has(b"hello")
        assert not requests.has(b"hallo")
        assert not requests.answers()


def test_a_stream_that_ends_with_an_error_is_refused(pair: Pair) -> None:
    requests, _, runtime = pair
    trailer = b"Lambda-Runtime-Function-Error-Type: ValueError\r\n"
    runtime.sendall(CHUNKED + b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")

    with pytest.raises(ValueError, match="the stream ended with an error"):
        requests.answers()
