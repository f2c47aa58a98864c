"""The floor: a bare blocking socket that pipelines. No actors, no JSON, no HTTP but a split."""

import os
import socket


def main() -> None:
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    following = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
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
            connection.sendall(
                b"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s%s"
                % (request_id, len(body), body, following)
            )


def read(connection: socket.socket, buffer: bytes) -> tuple[bytes, bytes, bytes]:
    """One answer: head, body, and what came after."""
    while b"\r\n\r\n" not in buffer:
        buffer += connection.recv(65536)
    head, _, rest = buffer.partition(b"\r\n\r\n")
    at = head.find(b"Content-Length: ")
    if at < 0:
        return head + b"\r\n", *chunked(connection, rest)
    end = head.find(b"\r\n", at)
    length = int(head[at + 16 : end if end > 0 else None])
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n", rest[:length], rest[length:]


def chunked(connection: socket.socket, rest: bytes) -> tuple[bytes, bytes]:
    """A chunked body, as the Runtime API sends every event above 2 KB."""
    body = b""
    while True:
        while b"\r\n" not in rest:
            rest += connection.recv(65536)
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        while len(rest) < length + 2:
            rest += connection.recv(65536)
        body += rest[:length]
        rest = rest[length + 2 :]
        if not length:
            return body, rest


if __name__ == "__main__":
    main()
