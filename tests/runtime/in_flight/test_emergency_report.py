"""Errors reported over a new connection, to servers of all kinds."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from okibi.runtime.errors.error_response import platform_error
from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.in_flight import emergency_report
from okibi.runtime.in_flight.emergency_report import report_init_error, report_outcome
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import another_socket, delivery


@contextmanager
def server_sending(*pieces: bytes) -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """A server that reads one request and writes these pieces."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                request = connection.recv(1 << 20)
                while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                    request += connection.recv(1 << 20)
                requests.append(request)
                # The client may close before the end.
                with suppress(OSError):
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(0.005)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname(), requests
        thread.join()


def init(address: tuple[str, int]) -> int | None:
    return report_init_error(address, InitError("Runtime.X", "why", ("  line\n",)))


def invocation(address: tuple[str, int]) -> int | None:
    outcome = platform_error("Runtime.DeadlineExceeded", "late", "id-1")
    late = delivery(headers={"lambda-runtime-invocation-id": "attempt-7"})
    return report_outcome(address, late, outcome)


@pytest.mark.parametrize(
    ("send", "path", "kind"),
    [
        (init, b"init/error", b"Runtime.X"),
        (invocation, b"invocation/id-1/error", b"Runtime.DeadlineExceeded"),
    ],
)
def test_the_error_is_posted_and_the_status_returned(
    send: Callable[[tuple[str, int]], int | None], path: bytes, kind: bytes
) -> None:
    with server_sending(b"HTTP/1.1 202 Accepted\r\nContent-", b"Length: 0\r\n\r\n") as (
        address,
        requests,
    ):
        assert send(address) == 202

    head, body = requests[0].split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /2018-06-01/runtime/%s HTTP/1.1\r\n" % path)
    assert b"\r\nHost: 127.0.0.1:%d\r\n" % address[1] in head
    assert b"\r\nLambda-Runtime-Function-Error-Type: %s\r\n" % kind in head
    assert json.loads(body)["errorType"].encode() == kind
    assert (b"\r\nLambda-Runtime-Invocation-Id: attempt-7\r\n" in head) is (send is invocation)


def test_a_result_is_posted_as_a_response() -> None:
    with server_sending(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n") as (
        address,
        requests,
    ):
        assert report_outcome(address, delivery(), Outcome(b"{}")) == 202

    head, body = requests[0].split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert b"Function-Error-Type" not in head
    assert body == b"{}"


def test_a_replaced_socket_class_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with server_sending(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n") as (address, _):
        another_socket(monkeypatch)

        assert init(address) == 202


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\nnoise",
        b"HTTP/1.0 202 Accepted\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_the_status_is_found_among_other_bytes(response: bytes) -> None:
    with server_sending(response) as (address, _):
        assert init(address) == 202


@pytest.mark.parametrize("response", [b"", b"noise\r\n\r\n", b"HTTP/1.1 202 Acc"])
def test_without_a_complete_response_the_status_is_none(response: bytes) -> None:
    with server_sending(response) as (address, _):
        assert init(address) is None


def test_without_a_server_the_status_is_none() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert init(bound.getsockname()) is None


def test_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emergency_report, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert init(server.getsockname()) is None


def test_a_server_that_sends_single_bytes_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emergency_report, "TIMEOUT", 0.05)
    with server_sending(*[b"H"] * 100) as (address, _):
        began = time.monotonic()
        assert init(address) is None
        assert time.monotonic() - began < 0.4


def test_a_server_that_reads_late_and_never_responds_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = 0.4
    monkeypatch.setattr(emergency_report, "TIMEOUT", limit)
    # More than the kernel buffers.
    monkeypatch.setattr(emergency_report, "error_json", lambda *_: b"x" * 8_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                time.sleep(limit * 0.7)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        assert init(server.getsockname()) is None
        took = time.monotonic() - began
        thread.join()

    assert took < 1.5 * limit


@pytest.mark.parametrize("kind", ["X\r\nEvil: 1", "X" * 1_100_000])
def test_a_type_that_fits_no_header_is_reported_as_unknown(kind: str) -> None:
    with server_sending(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n") as (
        address,
        requests,
    ):
        assert report_init_error(address, InitError(kind, "why")) == 202

    assert b"\r\nEvil" not in requests[0].split(b"\r\n\r\n")[0]
    assert b"\r\nLambda-Runtime-Function-Error-Type: Runtime.Unknown\r\n" in requests[0]
