"""One connection of the runtime without I/O: the bytes that go in and those that come out."""

import pytest

from okibi.local.journal import EntryKind
from okibi.local.outcomes import MAX_PAYLOAD_SIZE
from okibi.local.states import RuntimeState
from tests.support.platform_without_io import NEXT, PING, Desk, error, post, state_refusal


def test_an_abandoned_next_swallows_the_next_event() -> None:
    desk = Desk()
    gone, waiting, later = desk.connect(), desk.connect(), desk.connect()
    gone.tell(NEXT)
    waiting.tell(NEXT)
    gone.connection.peer_gone()

    desk.offer()

    assert gone.sent == waiting.sent == []
    assert [entry.kind for entry in desk.journal] == [
        EntryKind.ABANDONED,
        EntryKind.SWALLOWED,
    ]
    assert later.ask(NEXT) == (200, b'{"a":1}')


def test_an_abandoned_next_can_be_told_not_to_swallow() -> None:
    desk = Desk()
    desk.platform.swallow_abandoned = False
    gone, waiting = desk.connect(), desk.connect()
    gone.tell(NEXT)
    waiting.tell(NEXT)
    gone.connection.peer_gone()

    desk.offer()

    assert len(waiting.sent) == 1


def test_a_server_without_keep_alive_closes_after_its_first_answer() -> None:
    desk = Desk()
    peer = desk.connect(keep_alive=False)

    (answer,) = peer.tell(PING + PING)

    assert b"\r\nConnection: close\r\n" in answer
    assert peer.connection.closing


def test_a_request_that_asks_to_close_is_the_last() -> None:
    peer = Desk().connect()

    (answer,) = peer.tell(PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    assert b"\r\nConnection: close\r\n" in answer
    assert peer.connection.closing


def test_an_http_1_0_request_gets_an_http_1_0_answer_without_chunks() -> None:
    desk = Desk()
    desk.offer(b"x" * 5000)
    peer = desk.connect()

    (answer,) = peer.tell(NEXT.replace(b"HTTP/1.1", b"HTTP/1.0"))

    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Length: 5000" in answer
    assert peer.connection.closing


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request: missing required Host header"),
    ],
)
def test_what_is_no_request_is_answered_as_go_does(data: bytes, status: bytes) -> None:
    peer = Desk().connect()

    (answer,) = peer.tell(data)

    assert answer == (
        b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%b"
        % (status, status)
    )
    assert peer.connection.closing


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        ("GET /2018-06-01/ping", 200, b"pong"),
        ("GET /2018-06-01/runtime/restore/next", 404, b"404 page not found\n"),
        ("POST /2018-06-01/runtime/restore/error", 404, b"404 page not found\n"),
        ("GET /2018-06-01/runtime/invocation/next/", 404, b"404 page not found\n"),
        ("POST /2018-06-01/runtime/invocation/id/other", 404, b"404 page not found\n"),
        ("POST /2018-06-01/runtime/invocation/next", 405, b""),
        ("GET /2018-06-01/runtime/init/error", 405, b""),
        ("GET /2018-06-01/runtime/invocation/id/error", 405, b""),
    ],
)
def test_each_path_is_answered_as_the_emulators_router_does(
    request_line: str, status: int, body: bytes
) -> None:
    peer = Desk().connect()

    request = f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert peer.ask(request) == (status, body)


# -- sizes


def test_a_response_one_byte_too_large_is_refused_then_next_works_and_error_does_not() -> None:
    desk = Desk()
    invocation = desk.offer()
    peer = desk.connect()
    peer.tell(NEXT)

    body = b"x" * (MAX_PAYLOAD_SIZE + 1)
    assert peer.ask(post("invocation/id-1/response", body)) == (
        413,
        error("Exceeded maximum allowed payload size (6291556 bytes).", "RequestEntityTooLarge"),
    )
    assert invocation.outcome is not None
    assert invocation.outcome.payload == (
        b'{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size'
        b' exceeded maximum allowed payload size (6291556 bytes)."}'
    )
    status, _ = peer.ask(post("invocation/id-1/error", b"{}"))
    assert status == 403
    assert peer.tell(NEXT) == []
    assert desk.platform.state is RuntimeState.READY


def test_an_oversized_error_closes_the_connection_without_an_answer() -> None:
    desk = Desk()
    peer = desk.running()

    answers = peer.tell(post("invocation/id-1/error", b"x" * (MAX_PAYLOAD_SIZE + 1)))

    assert answers == []
    assert peer.connection.closing
    assert desk.connect().ask(NEXT) == (403, state_refusal("InvocationErrorResponse to Ready"))


@pytest.mark.parametrize("piece", [65_536, 2_000_000])
def test_headers_above_a_mebibyte_are_431_and_the_connection_ends(piece: int) -> None:
    desk = Desk()
    peer = desk.running()
    data = post("invocation/id-1/error", b"{}", "X: " + "a" * 1_100_000)

    for start in range(0, len(data), piece):
        if not peer.connection.closing:
            peer.tell(data[start : start + piece])

    assert peer.sent[-1].startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nConnection: close\r\n" in peer.sent[-1]
    assert desk.platform.state is RuntimeState.RUNNING
