"""Callers of the local servers: no web page, and only the sandbox calls the Runtime API."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from okibi.local import EntryKind, LocalLambda
from okibi.local.sandbox.peer_process import is_connected_from
from tests.support.local_lambda import event, opened

INVOKE = "/2015-03-31/functions/function/invocations"
STREAM = "/2021-11-15/functions/function/response-streaming-invocations"
NEXT = "/2018-06-01/runtime/invocation/next"
PING = "/2018-06-01/ping"
INIT_ERROR = "/2018-06-01/runtime/init/error"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the caller is unknown")


def ask(
    address: str, request: str, *headers: str, body: str = "{}", wait: float = 10.0
) -> tuple[int, str]:
    """Send a request; return status and the rest of the response, or 0 after a time-out."""
    host, _, port = address.partition(":")
    lines = [f"{request} HTTP/1.1", *headers, "Connection: close", f"Content-Length: {len(body)}"]
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        connection.sendall("\r\n".join([*lines, "", body]).encode())
        answer = b""
        try:
            while data := connection.recv(1 << 16):
                answer += data
        except TimeoutError:
            return 0, ""
    head, _, rest = answer.decode().partition("\r\n")
    return int(head.split()[1]), rest


async def ask_invoke(function: LocalLambda, *headers: str, request: str = f"POST {INVOKE}") -> int:
    address = function.invoke_url.removeprefix("http://").partition("/")[0]
    status, _ = await trio.to_thread.run_sync(lambda: ask(address, request, *headers))
    return status


async def ask_runtime_api(
    function: LocalLambda, request: str, *headers: str, body: str = "", wait: float = 10.0
) -> tuple[int, str]:
    headers = headers or (f"Host: {function.runtime_api}",)
    return await trio.to_thread.run_sync(
        lambda: ask(function.runtime_api, request, *headers, body=body, wait=wait)
    )


def port_of(function: LocalLambda) -> str:
    found = re.search(r":(\d+)/", function.invoke_url)
    assert found is not None
    return found[1]


# -- the Invoke API


async def test_a_web_page_cannot_invoke_the_function() -> None:
    async with opened(allowed_hosts=["Docker.internal"]) as (function, _):
        host = f"Host: 127.0.0.1:{port_of(function)}"
        for path in (INVOKE, STREAM):
            for headers in (
                ("Host: evil.example",),
                (host, "Origin: http://evil.example"),
                (host, "Sec-Fetch-Site: cross-site"),
            ):
                status = await ask_invoke(function, *headers, request=f"POST {path}")
                assert status == 403, (path, headers)
        assert list(function.journal) == []
        assert await ask_invoke(function, "Host: docker.internal") == 200


async def test_a_header_that_reveals_a_page_is_refused_twice() -> None:
    async with opened(any_process=True) as (function, _):
        host = f"Host: 127.0.0.1:{port_of(function)}"
        origin = f"Origin: http://127.0.0.1:{port_of(function)}"
        hosts = (host, "Host: evil.example")
        assert await ask_invoke(function, *hosts) == 400
        assert await ask_invoke(function, host, "Origin: http://evil.example", origin) == 400
        assert (await ask_runtime_api(function, f"GET {PING}", *hosts))[0] == 400
        assert list(function.journal) == []


# -- whose connection it is


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with ours, accepted:
            yield ours, accepted


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process with its own session and without sockets."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        yield process.pid
        process.kill()


@on_linux
def test_a_connection_belongs_to_the_process_that_holds_its_socket(stranger: int) -> None:
    with connected() as (_, accepted):
        ends = accepted.getsockname(), accepted.getpeername()
        assert is_connected_from(os.getpid(), *ends)
        assert not is_connected_from(stranger, *ends)


def test_every_process_is_allowed_if_the_kernel_cannot_tell(stranger: int) -> None:
    # The kernel does not know our own socket either.
    assert is_connected_from(stranger, ("127.0.0.1", 1), ("127.0.0.1", 2))


# -- the Runtime API


@on_linux
async def test_another_process_cannot_take_an_event() -> None:
    async with opened() as (function, _):
        status, rest = await ask_runtime_api(function, f"GET {NEXT}", wait=2.0)
        assert status == 403
        assert "does not belong to the function's sandbox" in rest

        result = await function.invoke(b"{}")
        assert json.loads(result.payload)["pid"] == function.pid


@on_linux
async def test_another_process_is_refused_while_the_sandbox_is_down() -> None:
    async with opened() as (function, _):
        await function.invoke(event(do="exit", status=1))
        async with trio.open_nursery() as nursery:
            answers = list[int]()

            async def call() -> None:
                answers.append((await ask_runtime_api(function, f"GET {NEXT}"))[0])

            nursery.start_soon(call)
            result = await function.invoke(b"{}")
        assert json.loads(result.payload)["pid"] == function.pid
        assert answers == [403]


async def test_a_process_started_by_the_bootstrap_may_call() -> None:
    async with opened() as (function, _):
        # In the session of the bootstrap, and in its own session.
        for session in (False, True):
            result = await function.invoke(event(do="call from a child", session=session))

            assert json.loads(result.payload) == {"status": 200}, session


@on_linux
async def test_a_process_left_by_an_earlier_sandbox_is_refused(tmp_path: Path) -> None:
    async with opened(environment={"LATER": str(tmp_path / "told")}) as (function, _):
        await function.invoke(event(do="call later"))
        await function.invoke(event(do="exit", status=1))
        result = await function.invoke(event(do="told later"))

        assert json.loads(result.payload) == {"status": 403}


async def test_any_process_may_call_if_any_process_is_set() -> None:
    async with opened(any_process=True) as (function, _):
        assert (await ask_runtime_api(function, f"GET {PING}"))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: evil.example",),
        ("Host: localhost", "Origin: http://evil.example"),
        ("Host: localhost", "Sec-Fetch-Site: cross-site"),
    ],
    ids=["Host", "Origin", "Sec-Fetch-Site"],
)
async def test_a_web_page_cannot_call_the_runtime_api(headers: tuple[str, ...]) -> None:
    async with opened(any_process=True) as (function, _):
        for request in (
            f"GET {NEXT}",
            f"POST {INIT_ERROR}",
            "GET /2020-01-01/extension/event/next",
        ):
            status, _ = await ask_runtime_api(function, request, *headers, wait=2.0)
            assert status == 403
        assert not function.journal.times(EntryKind.INIT_ERROR)
