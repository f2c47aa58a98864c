"""One connection of the runtime, without I/O."""

import pytest

from okibi.local.limits import MAX_PAYLOAD_SIZE
from okibi.local.platform.journal import EntryKind
from okibi.local.platform.states import RuntimeState
from tests.support.platform_without_io import NEXT, PING, ClassicHarness, error, post, state_refusal


def test_an_abandoned_next_swallows_the_next_event() -> None:
    harness = ClassicHarness()
    gone, waiting, later = harness.connect(), harness.connect(), harness.connect()
    gone.feed(NEXT)
    waiting.feed(NEXT)
    gone.connection.peer_gone()

    harness.offer()

    assert gone.sent == waiting.sent == []
    assert [entry.kind for entry in harness.journal] == [
        EntryKind.ABANDONED,
        EntryKind.SWALLOWED,
    ]
    assert later.request(NEXT) == (200, b'{"a":1}')


def test_swallowing_by_an_abandoned_next_can_be_switched_off() -> None:
    harness = ClassicHarness()
    harness.platform.swallow_abandoned = False
    gone, waiting = harness.connect(), harness.connect()
    gone.feed(NEXT)
    waiting.feed(NEXT)
    gone.connection.peer_gone()

    harness.offer()

    assert len(waiting.sent) == 1


def test_without_keep_alive_the_connection_closes_after_one_response() -> None:
    harness = ClassicHarness()
    peer = harness.connect(keep_alive=False)

    (answer,) = peer.feed(PING + PING)

    assert b"\r\nConnection: close\r\n" in answer
    assert peer.connection.closing


def test_connection_close_ends_the_connection() -> None:
    peer = ClassicHarness().connect()

    (answer,) = peer.feed(PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    assert b"\r\nConnection: close\r\n" in answer
    assert peer.connection.closing


def test_an_http_1_0_request_gets_an_http_1_0_response_without_chunks() -> None:
    harness = ClassicHarness()
    harness.offer(b"x" * 5000)
    peer = harness.connect()

    (answer,) = peer.feed(NEXT.replace(b"HTTP/1.1", b"HTTP/1.0"))

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
def test_malformed_bytes_are_answered_as_go_does(data: bytes, status: bytes) -> None:
    peer = ClassicHarness().connect()

    (answer,) = peer.feed(data)

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
def test_each_path_is_answered_as_in_the_emulator(
    request_line: str, status: int, body: bytes
) -> None:
    peer = ClassicHarness().connect()

    request = f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert peer.request(request) == (status, body)


# -- sizes


def test_after_a_too_large_response_next_is_allowed_and_error_is_not() -> None:
    harness = ClassicHarness()
    invocation = harness.offer()
    peer = harness.connect()
    peer.feed(NEXT)

    body = b"x" * (MAX_PAYLOAD_SIZE + 1)
    assert peer.request(post("invocation/id-1/response", body)) == (
        413,
        error("Exceeded maximum allowed payload size (6291556 bytes).", "RequestEntityTooLarge"),
    )
    assert invocation.outcome is not None
    assert invocation.outcome.payload == (
        b'{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size'
        b' exceeded maximum allowed payload size (6291556 bytes)."}'
    )
    status, _ = peer.request(post("invocation/id-1/error", b"{}"))
    assert status == 403
    assert peer.feed(NEXT) == []
    assert harness.platform.state is RuntimeState.READY


def test_a_too_large_error_closes_the_connection_without_a_response() -> None:
    harness = ClassicHarness()
    peer = harness.running()

    answers = peer.feed(post("invocation/id-1/error", b"x" * (MAX_PAYLOAD_SIZE + 1)))

    assert answers == []
    assert peer.connection.closing
    assert harness.connect().request(NEXT) == (
        403,
        state_refusal("InvocationErrorResponse to Ready"),
    )


@pytest.mark.parametrize("piece", [65_536, 2_000_000])
def test_headers_above_a_mebibyte_get_431_and_close_the_connection(piece: int) -> None:
    harness = ClassicHarness()
    peer = harness.running()
    data = post("invocation/id-1/error", b"{}", "X: " + "a" * 1_100_000)

    for start in range(0, len(data), piece):
        if not peer.connection.closing:
            peer.feed(data[start : start + piece])

    assert peer.sent[-1].startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nConnection: close\r\n" in peer.sent[-1]
    assert harness.platform.state is RuntimeState.RUNNING
