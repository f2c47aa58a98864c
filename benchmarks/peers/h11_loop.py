"""The Runtime API on trio through h11: the cost of parsing in Python.

It answers and asks in one write, as okibi does.
"""

import os
import sys
from typing import Any

import h11
import trio

ENDPOINT = "/2018-06-01/runtime/invocation"


async def event(connection: h11.Connection, stream: trio.SocketStream) -> tuple[Any, bytes]:
    """Read one response; return head and body."""
    head, body = None, b""
    while True:
        told = connection.next_event()
        if told is h11.NEED_DATA:
            connection.receive_data(
                await stream.receive_some(65536) or sys.exit("the server has gone")
            )
        elif isinstance(told, h11.Response):
            head = told
        elif isinstance(told, h11.Data):
            body += told.data
        elif isinstance(told, h11.EndOfMessage):
            return head, body


def begin(connection: h11.Connection, method: str, target: str, *headers: tuple[str, str]) -> bytes:
    """Return the head of a request."""
    request = h11.Request(method=method, target=target, headers=[("Host", "x"), *headers])
    return connection.send(request) or b""


async def main() -> None:
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    connection = h11.Connection(h11.CLIENT)
    asked = begin(connection, "GET", f"{ENDPOINT}/next")
    await stream.send_all(asked + (connection.send(h11.EndOfMessage()) or b""))
    while True:
        head, body = await event(connection, stream)
        connection.start_next_cycle()
        named = dict(head.headers)[b"lambda-runtime-aws-request-id"].decode()
        length = ("Content-Length", str(len(body)))
        said = begin(connection, "POST", f"{ENDPOINT}/{named}/response", length)
        said += connection.send(h11.Data(data=body)) or b""
        said += connection.send(h11.EndOfMessage()) or b""
        # h11 allows no request before the previous response. The bytes of the next GET are
        # constant, and are appended.
        await stream.send_all(said + asked)
        await event(connection, stream)
        connection.start_next_cycle()
        begin(connection, "GET", f"{ENDPOINT}/next")
        connection.send(h11.EndOfMessage())


if __name__ == "__main__":
    trio.run(main)
