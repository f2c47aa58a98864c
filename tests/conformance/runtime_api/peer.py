"""A client of blocking sockets, in no way the runtime's own: both servers are asked by it."""

import socket
import threading
from contextlib import suppress
from typing import NamedTuple

import attrs

__all__ = ["ANSWER_TIMEOUT", "NO_ANSWER", "ApiAnswer", "Peer", "request"]

ANSWER_TIMEOUT = 10.0
"""Seconds until an answer that must come is given up."""


class ApiAnswer(NamedTuple):
    """What came: status, body, and the headers by their names in lower case."""

    status: int
    body: bytes
    headers: dict[str, str]


NO_ANSWER = ApiAnswer(0, b"", {})
"""No answer came, or the connection was closed without one."""


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """A request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@attrs.define(eq=False)
class Peer:
    """One connection."""

    address: tuple[str, int]
    _socket: socket.socket = attrs.field(init=False)
    _buffer: bytes = attrs.field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        self._socket = socket.create_connection(self.address, ANSWER_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Write; a server that has closed already is one that may still have answered."""
        try:
            self._socket.sendall(data)
        except OSError:
            return

    def ask(self, data: bytes) -> ApiAnswer:
        """Write a request and read its answer."""
        self.send(data)
        return self.read()

    def read(self, timeout: float = ANSWER_TIMEOUT) -> ApiAnswer:
        """The next answer, or NO_ANSWER."""
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
        """Whether the server closes the connection, and sends nothing more."""
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
    """An invoke that waits for its answer in a thread."""

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
        """What it was answered."""
        self._thread.join(timeout)
        return self._answer
