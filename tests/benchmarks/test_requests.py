"""How the benchmarks' server reads what a runtime sends."""

import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from benchmarks.requests import SPARE, Closed, Requests

GET = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\nHost: x\r\n"
PLAIN = POST + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Cut(socket.socket):
    """Gives no more at once than it is told to, as often as it is told."""

    limits: list[int]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return super().recv_into(buffer, self.limits.pop(0) if self.limits else nbytes, flags)


class Pair(NamedTuple):
    """The reader, its end of the connection, and the runtime's."""

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


def test_an_answer_and_the_next_question_in_one_write_are_two_requests(pair: Pair) -> None:
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
def test_a_request_is_the_same_wherever_it_is_cut(pair: Pair, post: bytes) -> None:
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

    with pytest.raises(ValueError, match="the stream ends with an error"):
        requests.answers()


def test_one_who_asks_whether_its_body_is_wanted_is_told_so(pair: Pair) -> None:
    requests, _, runtime = pair
    runtime.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    told = list[bytes]()

    def go_on() -> None:
        told.append(runtime.recv(100))
        runtime.sendall(b"hello")

    thread = threading.Thread(target=go_on)
    thread.start()
    assert requests.answers()
    thread.join()
    assert told == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert requests.has(b"hello")


def test_what_is_closed_is_said(pair: Pair) -> None:
    requests, _, runtime = pair
    runtime.sendall(PLAIN[:-1])
    runtime.close()

    with pytest.raises(Closed):
        requests.answers()


def test_more_than_there_is_room_for_is_refused(pair: Pair) -> None:
    requests, _, runtime = pair
    runtime.sendall(POST + b"Content-Length: %d\r\n\r\n" % (2 * SPARE))
    threading.Thread(target=runtime.sendall, args=(bytes(2 * SPARE),), daemon=True).start()

    with pytest.raises(ValueError, match="a request of more than"):
        requests.answers()
