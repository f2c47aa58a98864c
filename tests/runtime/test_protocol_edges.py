"""A real process against servers that misbehave, over real sockets."""

import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from okibi.local.server.http_requests import RequestReader
from okibi.runtime.in_flight.outbox import RESPONSE_JOIN_LIMIT
from tests.limits import HANG
from tests.support.played_api import ACCEPTED, event
from tests.support.sandbox import COMMAND, FUNCTIONS, without_lambda

Script = Callable[["Peer"], None]
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
INVALID = REFUSED.replace(b"403", b"400")
slow = partial(pytest.param, marks=pytest.mark.slow)


class Peer:
    """A Runtime API that follows a test's script, one connection after the other."""

    def __init__(self, server: socket.socket, runtime: int) -> None:
        server.settimeout(HANG)
        self._server = server
        self._runtime = runtime
        self.requests: list[str] = []
        # Body of the last request.
        self.body = b""
        self.connections: list[socket.socket] = []
        self.accept()

    def accept(self) -> None:
        """Accept the next connection."""
        self._connection, _ = self._server.accept()
        self._connection.settimeout(HANG)
        self.connections.append(self._connection)
        self._reader = RequestReader(1 << 24)

    def read(self) -> str:
        """Read the next request; return its method and the end of its path."""
        requests = self._reader.requests
        while not (requests and requests[0].complete):
            data = self._connection.recv(1 << 16)
            assert data, "the runtime has closed the connection"
            self._reader.feed(data)
        request = requests.popleft()
        self.body = bytes(request.body)
        self.requests.append(f"{request.method.decode()} {request.path.decode().split('/', 4)[-1]}")
        return self.requests[-1]

    def say(self, data: bytes, piece: int = 1 << 20) -> None:
        for at in range(0, len(data), piece):
            self._connection.sendall(data[at : at + piece])

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Stop the runtime meanwhile: it then finds all bytes and closes at once."""
        os.kill(self._runtime, signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self._runtime, os.WSTOPPED)
            yield
        finally:
            os.kill(self._runtime, signal.SIGCONT)

    def close(self) -> None:
        self._connection.close()

    def close_half(self) -> None:
        """Close the sending side, and go on reading."""
        self._connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def end(self) -> None:
        """Send a 500, which ends the process."""
        self.read()
        self.say(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def process(port: int, handler: str) -> Iterator[subprocess.Popen[bytes]]:
    variables = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "_HANDLER": handler}
    # These servers accept one connection and know no extensions.
    variables["OKIBI_GRACEFUL_SHUTDOWN"] = "0"
    with subprocess.Popen(
        COMMAND,
        cwd=FUNCTIONS,
        env={**without_lambda(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def play(script: Script, handler: str = "app.plain") -> tuple[list[str], int, str]:
    """Run a process against a script; return its requests, exit code and log."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        process(server.getsockname()[1], handler) as started,
    ):
        peer = Peer(server, started.pid)
        try:
            script(peer)
            said, _ = started.communicate(timeout=HANG)
        finally:
            for connection in peer.connections:
                connection.close()
    return peer.requests, started.returncode, said.decode()


def answered(peer: Peer, name: str) -> None:
    """Serve one event on this connection, one request at a time."""
    peer.read()
    peer.say(event(name))
    peer.read()
    peer.say(ACCEPTED)


def breaks_after_the_event(how: Callable[[Peer], None], size: int = 0) -> Script:
    def script(peer: Peer) -> None:
        peer.read()
        with peer.at_once():
            peer.say(event("a", b'"%s"' % (b"x" * size)))
            how(peer)
        peer.accept()
        peer.read()
        peer.say(ACCEPTED)
        answered(peer, "b")
        peer.end()

    return script


@pytest.mark.parametrize(
    ("how", "size", "handler"),
    [
        (Peer.close, 0, "app.plain"),
        slow(Peer.reset, 0, "waits_on_loop.handler"),
        # Not with a reset: it discards what the kernel has not sent.
        slow(Peer.close_half, RESPONSE_JOIN_LIMIT, "app.plain"),
        slow(Peer.close, RESPONSE_JOIN_LIMIT, "waits_on_loop.handler"),
    ],
)
def test_an_event_is_answered_over_a_new_connection_after_a_break(
    how: Callable[[Peer], None], handler: str, size: int
) -> None:
    requests, code, said = play(breaks_after_the_event(how, size), handler)

    assert requests[1:] == ["POST a/response", "GET next", "POST b/response", "GET next"]
    assert code == 1
    assert "may be lost" not in said


@pytest.mark.slow
def test_a_forked_child_sends_no_response() -> None:
    def script(peer: Peer) -> None:
        peer.read()
        with peer.at_once():
            peer.say(event("a", b'{"do": ""}'))
            peer.close_half()
        peer.accept()
        peer.read()
        assert b"child" not in peer.body
        assert peer.body.endswith(b", 0]")
        peer.say(ACCEPTED)
        answered(peer, "b")
        peer.end()

    requests, _, _ = play(script, "odd.forks")

    assert requests.count("POST a/response") == 1


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (Peer.close, ACCEPTED),
        slow(Peer.reset, REFUSED),
        slow(Peer.close_half, INVALID),
    ],
)
def test_a_response_without_a_status_is_sent_again(
    how: Callable[[Peer], None], status: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.say(event("a"))
        peer.read()
        peer.say(b"HTTP/1.1 202 Acc")
        how(peer)
        peer.accept()
        peer.read()
        peer.say(status)
        answered(peer, "b")
        peer.end()

    requests, _, said = play(script)

    assert [each for each in requests if each != "GET next"] == [
        "POST a/response",
        "POST a/response",
        "POST b/response",
    ]
    assert "the response is sent again" in said
    assert said.count("no longer sends the next request with a response") == 1


@pytest.mark.slow
def test_noise_after_a_status_does_not_repeat_the_response() -> None:
    def script(peer: Peer) -> None:
        peer.read()
        peer.say(event("a"))
        peer.read()
        peer.say(ACCEPTED + b"\x16\x03\x01noise")
        peer.accept()
        peer.read()
        peer.say(event("b"))
        peer.read()
        peer.say(ACCEPTED)
        peer.end()

    requests, _, _ = play(script)

    assert requests.count("POST a/response") == requests.count("POST b/response") == 1


def test_an_http_1_0_server_without_lengths_is_supported() -> None:
    answers: list[str] = []
    done = threading.Event()

    class Old(BaseHTTPRequestHandler):
        """A Runtime API on `http.server`: HTTP/1.0, one connection per request."""

        def do_GET(self) -> None:
            if len(answers) == 3:
                done.set()
                self.send_response(500)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", f"id-{len(answers)}")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answers.append(self.path.split("/", 4)[-1])
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Old) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with process(server.server_port, "app.plain") as started:
            assert done.wait(HANG)
            said, _ = started.communicate(timeout=HANG)
        server.shutdown()

    assert answers == [f"id-{n}/response" for n in range(3)]
    assert started.returncode == 1
    assert said.decode().count("no longer sends the next request with a response") == 1
    assert "may be lost" not in said.decode()
