"""The floor: a blocking, pipelining socket. No actors, no JSON, and HTTP only by splitting.

`--json` adds okibi's decoding and encoding for a plain callable, which shows JSON's share above the
floor. `--awake` sleeps only between laps, which shows the floor's share of sleep.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Callable
from functools import cached_property

# A larger body is sent without copying it.
APART_ABOVE = 1 << 16
# Seconds without an event after which the lap is another contender's.
LAP = 0.005


def build_json_echo() -> Callable[[bytes | bytearray], bytes]:
    """Return a function that decodes an event and encodes the value."""
    import msgspec

    from okibi.runtime.codec.json import encode_official_escaped

    decode = msgspec.json.Decoder[object]().decode
    return lambda body: encode_official_escaped(decode(body)).body


class Awake(socket.socket):
    """A socket that polls before it sleeps."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        until = time.perf_counter() + LAP
        while not self._come(0) and time.perf_counter() < until:
            pass
        return super().recv(size, flags)

    @cached_property
    def _come(self) -> Callable[[int], object]:
        looks = select.poll()
        looks.register(self, select.POLLIN)
        return looks.poll


def main() -> None:
    answer = build_json_echo() if "--json" in sys.argv else None
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    following = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        if "--awake" in sys.argv:
            connection = Awake(fileno=connection.detach())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(following)
        buffer = b""
        while True:
            head, body, buffer = read(connection, buffer)
            if head.startswith(b"HTTP/1.1 202"):
                continue
            name = b"Lambda-Runtime-Aws-Request-Id: "
            at = head.index(name) + len(name)
            request_id = head[at : head.index(b"\r\n", at)]
            if answer is not None:
                body = answer(body)
            said = (
                b"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % (request_id, len(body))
            )
            if len(body) > APART_ABOVE:
                connection.sendall(said)
                connection.sendall(body)
                connection.sendall(following)
            else:
                connection.sendall(b"%s%s%s" % (said, body, following))


def read(connection: socket.socket, buffer: bytes) -> tuple[bytes, bytes | bytearray, bytes]:
    """Read one response: head, body, and the bytes after it."""
    while b"\r\n\r\n" not in buffer:
        buffer += connection.recv(65536) or sys.exit("the server has gone")
    head, _, rest = buffer.partition(b"\r\n\r\n")
    at = head.find(b"Content-Length: ")
    if at < 0:
        return head + b"\r\n", *chunked(connection, rest)
    end = head.find(b"\r\n", at)
    length = int(head[at + 16 : end if end > 0 else None])
    return head + b"\r\n", *exactly(connection, rest, length)


def exactly(connection: socket.socket, rest: bytes, length: int) -> tuple[bytes | bytearray, bytes]:
    """Read `length` bytes, and return the bytes after them. Nothing is copied twice."""
    at = len(rest)
    if at >= length:
        return rest[:length], rest[length:]
    whole = bytearray(length)
    whole[:at] = rest
    view = memoryview(whole)
    while at < length:
        at += connection.recv_into(view[at:]) or sys.exit("the server has gone")
    return whole, b""


def chunked(connection: socket.socket, rest: bytes) -> tuple[bytes | bytearray, bytes]:
    """Read a chunked body: the Runtime API sends every event above 2 KB so."""
    parts = list[bytes | bytearray]()
    while True:
        while b"\r\n" not in rest:
            rest += connection.recv(65536) or sys.exit("the server has gone")
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        part, rest = exactly(connection, rest, length)
        _, rest = exactly(connection, rest, 2)
        if not length:
            return parts[0] if len(parts) == 1 else b"".join(parts), rest
        parts.append(part)


if __name__ == "__main__":
    main()
