"""The benchmarks' server: checks and timing."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from benchmarks.events import STATUS, event
from benchmarks.server import EventFeed, RuntimeListener, WrongAnswer
from okibi.runtime.protocol.runtime_api import (
    next_request,
    response_head,
)

PAYLOAD = b'{"a": 1}'
NEXT = next_request(b"x")


def answer(number: int, body: bytes = b'{"a":1}') -> bytes:
    """Return a response to the event of this number, and the next GET."""
    request_id = event(number, 0).answer.split(b"/")[4]
    return response_head(b"x", request_id, len(body), b"application/json") + body + NEXT


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, runtime = socket.socketpair()
    with server, runtime:
        server.settimeout(5)
        yield server, runtime


Pair = tuple[socket.socket, socket.socket]


def feed() -> EventFeed:
    made = EventFeed(PAYLOAD, pid=os.getpid())
    made.begin(warmup=1, count=2)
    return made


def test_a_lap_ends_with_the_request_after_its_last_event(pair: Pair) -> None:
    server, runtime = pair
    runtime.sendall(NEXT + answer(0) + answer(1) + answer(2))
    serving = feed()

    assert serving.serve(server)
    assert serving.given == 3
    assert 0 < serving.measured["answer_us"] < serving.measured["cycle_us"]
    said = runtime.recv(1 << 16)
    assert said.count(STATUS) == 3
    assert said.count(PAYLOAD) == 3


def test_a_lap_continues_on_another_connection(pair: Pair) -> None:
    server, runtime = pair
    runtime.sendall(NEXT + answer(0))
    runtime.shutdown(socket.SHUT_WR)
    serving = feed()

    assert not serving.serve(server)
    assert serving.given == 2


def test_the_runtime_waits_for_its_event_between_two_laps(pair: Pair) -> None:
    server, runtime = pair
    runtime.sendall(NEXT + answer(0) + answer(1) + answer(2))
    serving = feed()
    assert serving.serve(server)
    runtime.recv(1 << 16)
    runtime.setblocking(False)
    with pytest.raises(BlockingIOError):
        runtime.recv(1)

    serving.begin(warmup=0, count=1)
    runtime.setblocking(True)
    runtime.sendall(answer(3))

    assert serving.serve(server)
    assert serving.given == 4
    assert runtime.recv(1 << 16).count(PAYLOAD) == 1


def test_the_figures_of_a_lap_are_its_own(pair: Pair) -> None:
    server, runtime = pair
    runtime.sendall(NEXT + answer(0) + answer(1) + answer(2))
    serving = feed()
    serving.serve(server)
    serving.begin(warmup=1, count=1)
    began = time.perf_counter()
    runtime.sendall(answer(3) + answer(4))
    serving.serve(server)

    assert serving.measured["mean_us"] < (time.perf_counter() - began) * 1e6


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (answer(1, b'{"a":2}'), "event 1 came back as"),
        (answer(1, b'{"a":1} '), "event 1 came back as"),
        (answer(2), "not the answer to event 1"),
        (answer(1).replace(b"/response", b"/error"), "not the answer to event 1"),
    ],
)
def test_one_wrong_response_fails_the_run(pair: Pair, later: bytes, why: str) -> None:
    server, runtime = pair
    runtime.sendall(NEXT + answer(0) + later + answer(2))

    with pytest.raises(WrongAnswer, match=why):
        feed().serve(server)


LARGE = b'{"a": "%s"}' % (b"x" * 5000)
ECHOED, OTHER = (b'{"a":"%s"}' % (each * 5000) for each in (b"x", b"y"))


@pytest.mark.parametrize(
    ("which", "body", "why"),
    [
        # The first event is not measured; its response is decoded and compared.
        (0, OTHER, "the echo came back as"),
        (1, OTHER, "event 1 came back as"),
        (2, ECHOED + b" ", "event 2 came back as"),
        # During a measured event only the length is compared.
        (2, OTHER, ""),
    ],
)
def test_large_responses_are_compared_only_during_the_warm_up(
    pair: Pair, which: int, body: bytes, why: str
) -> None:
    server, runtime = pair
    answers = [answer(number, body if number == which else ECHOED) for number in range(3)]
    runtime.sendall(NEXT + b"".join(answers))
    serving = EventFeed(LARGE, pid=os.getpid())
    serving.begin(warmup=2, count=1)

    if not why:
        assert serving.serve(server)
        return
    with pytest.raises(WrongAnswer, match=why):
        serving.serve(server)


@pytest.mark.slow
def test_a_runtime_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.server.PATIENCE", 1)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen(command, stdin=subprocess.PIPE) as process,
        socket.create_connection(listener.getsockname()) as runtime,
    ):
        runtime.sendall(NEXT)
        serving = EventFeed(b'{"a": "%s"}' % (b"x" * 6_000_000), pid=process.pid)
        serving.begin(warmup=0, count=1)

        with (
            RuntimeListener(listener, process).runtime() as connection,
            pytest.raises(BlockingIOError),
        ):
            serving.serve(connection)
