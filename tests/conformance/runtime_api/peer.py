"""A client of blocking sockets. It shares no code with okibi's runtime."""

import socket
import threading
from contextlib import suppress
from typing import NamedTuple

import attrs

__all__ = ["ANSWER_TIMEOUT", "NO_ANSWER", "ApiAnswer", "Peer", "request"]

ANSWER_TIMEOUT = 10.0
"""Seconds to wait for an expected answer."""


class ApiAnswer(NamedTuple):
    """A response. The names of the headers are in lower case."""

    status: int
    body: bytes
    headers: dict[str, str]


NO_ANSWER = ApiAnswer(0, b"", {})
"""Returned when no answer came or the connection was closed."""


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """Build a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@attrs.define(eq=False)
class Peer:
    """One connection to a server."""

    address: tuple[str, int]
    _socket: socket.socket = attrs.field(init=False)
    _buffer: bytes = attrs.field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        self._socket = socket.create_connection(self.address, ANSWER_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Write the data. Ignore a closed connection: the server may have answered before."""
        try:
            self._socket.sendall(data)
        except OSError:
            return

    def ask(self, data: bytes) -> ApiAnswer:
        """Write a request and read its answer."""
        self.send(data)
        return self.read()

    def read(self, timeout: float = ANSWER_TIMEOUT) -> ApiAnswer:
        """Read the next answer. Return NO_ANSWER after the timeout or at the end of the stream."""
        self._socket.settimeout(timeout)
        try:
            head = self._read_until(b"\r\n\r\n").decode("latin-1")
            status_line, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (it.partition(":") for it in lines)
            }
            return ApiAnswer(int(status_line.split()[1]), self._read_body(headers), headers)
        except (OSError, EOFError):
            return NO_ANSWER

    def is_closed(self) -> bool:
        """Return whether the server closes the connection without sending more data."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self._socket.close()

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._read_bytes(int(headers.get("content-length", "0")))
        body = b""
        while size := int(self._read_until(b"\r\n"), 16):
            body += self._read_bytes(size)
            self._read_bytes(2)
        self._read_bytes(2)
        return body

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(end)
        return head + end

    def _read_bytes(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise EOFError
        self._buffer += data


@attrs.define(eq=False)
class Invoker:
    """An invoke whose thread waits for the answer."""

    address: tuple[str, int]
    data: bytes
    _answer: ApiAnswer = attrs.field(default=NO_ANSWER, init=False)
    _thread: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(ConnectionError):
            peer = Peer(self.address)
            self._answer = peer.ask(self.data)
            peer.close()

    def answer(self, timeout: float = ANSWER_TIMEOUT) -> ApiAnswer:
        """Wait for the answer and return it, or NO_ANSWER after the timeout."""
        self._thread.join(timeout)
        return self._answer
