"""A Runtime API with scripted answers, for what the local one never sends.

It serves the official client and okibi in turn, each in a new process.
"""

import subprocess
import sys

import attrs
import trio

from okibi.local.server.http_requests import HttpRequest, RequestReader
from tests.limits import HANG
from tests.support.output_side_by_side import MANAGED
from tests.support.sandbox import COMMAND, FUNCTIONS, without_lambda
from tests.support.side_by_side import official_path

HANDLER = "table.handler"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def event(body: bytes, attempt: bytes) -> bytes:
    """Return a /next response with an event."""
    return (
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: "
        b"99999999999999\r\nLambda-Runtime-Invocation-Id: %s\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (attempt, len(body), body)
    )


@attrs.define(eq=False)
class ScriptedApi:
    """Answers requests in order, and keeps them.

    Args:
        answers: the answers, in order. Later requests get 500.
    """

    answers: list[bytes]
    requests: list[HttpRequest] = attrs.field(factory=list[HttpRequest], init=False)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        reader = RequestReader(1 << 20)
        async for data in stream:
            reader.feed(bytes(data))
            while reader.requests and reader.requests[0].complete:
                self.requests.append(reader.requests.popleft())
                await stream.send_all(self.answers.pop(0) if self.answers else FAILED)


async def play(
    answers: list[bytes], command: tuple[str, ...], handler: str
) -> tuple[int, list[HttpRequest]]:
    """Run a client against a script; return its exit code and requests."""
    script = ScriptedApi([*answers])
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listeners[0].socket.getsockname()
    environment = {
        **without_lambda(), **MANAGED, "PYTHONPATH": official_path(), "_HANDLER": handler,
        "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}", "OKIBI_GRACEFUL_SHUTDOWN": "0",
    }  # fmt: skip
    with trio.fail_after(HANG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, script.serve, listeners)
            done = await trio.run_process(
                command, cwd=FUNCTIONS, env=environment, check=False, stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            nursery.cancel_scope.cancel()
    return done.returncode, script.requests


async def official_and_okibi(
    answers: list[bytes], handler: str = HANDLER
) -> list[tuple[int, list[HttpRequest]]]:
    """Run the official client and okibi against the same script."""
    official = (sys.executable, "-m", "awslambdaric", handler)
    return [await play(answers, command, handler) for command in (official, COMMAND)]
