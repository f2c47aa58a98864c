"""One port for Lambda's API and the functions' HTTP routes."""

import errno
import logging
import socket
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.dev.dev_function import Route
from okibi.dev.dev_server import DevServerOptions, open_dev_server
from okibi.dev.http.http_front import HttpFront
from tests.support.dev_server import Served, dev_function, serve_functions
from tests.support.local_lambda import event


async def test_lambda_s_api_and_http_routes_share_a_port() -> None:
    async with serve_functions() as served:
        invoked = await served.http.post(served.server.invoke_url("function"), content=b"{}")
        requested = await served.http.get(served.server.function_url("function"))
        alone = await served.http.get(served.server.url + "/path?a=b")

        assert invoked.json()["event"] == {}
        assert requested.json()["event"]["requestContext"]["http"]["method"] == "GET"
        assert alone.json()["event"]["rawPath"] == "/path"


async def test_a_path_with_a_date_is_a_route_of_the_function() -> None:
    async with serve_functions() as served:
        answer = await served.http.get(served.server.url + "/2026-11-30/diary")

        assert answer.json()["event"]["rawPath"] == "/2026-11-30/diary"


async def test_functions_do_not_get_each_other_s_events() -> None:
    async with serve_functions([dev_function("one"), dev_function("two")]) as served:
        pids = {
            name: {(await served.invoke(name=name)).json()["pid"] for _ in range(3)}
            for name in ("one", "two")
        }

        assert [len(each) for each in pids.values()] == [1, 1]
        assert pids["one"] != pids["two"]


async def test_an_error_of_the_server_is_a_service_exception(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(HttpFront, "__call__", fail)
    async with serve_functions() as served:
        with caplog.at_level(logging.ERROR):
            answer = await served.http.get(served.server.url + "/")

        assert answer.status_code == 500
        assert answer.headers["X-Amzn-ErrorType"] == "ServiceException"
        assert "RuntimeError: broken" in answer.json()["Message"]
        assert "cannot serve GET /" in caplog.text
        assert (await served.invoke()).status_code == 200


async def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: the port is in use") as raised:
            async with open_dev_server([dev_function()], DevServerOptions(port=port)):
                pass

    assert raised.value.errno == errno.EADDRINUSE


async def test_two_functions_with_one_name_are_refused() -> None:
    for functions in ([dev_function("one"), dev_function("one")], []):
        with pytest.raises(ValueError, match="one or more with different names"):
            async with open_dev_server(functions, DevServerOptions(port=0)):
                pass


async def test_two_functions_with_one_route_are_refused() -> None:
    functions = [dev_function(name, routes=[Route("GET", "/")]) for name in ("one", "two")]
    with pytest.raises(ValueError, match="route"):
        async with open_dev_server(functions, DevServerOptions(port=0)):
            pass


async def test_the_port_is_free_when_the_block_has_ended() -> None:
    async with serve_functions() as served:
        port = served.server.port
        await served.invoke()
    async with serve_functions(port=port) as served:
        assert served.server.port == port


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_dev_server([dev_function()], DevServerOptions(port=0)):
            _ = 1 / 0


async def open_request(served: Served, body: bytes) -> trio.SocketStream:
    """Invoke the function on a new connection, and read no answer."""
    head = b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: localhost\r\n"
    raw = trio.socket.socket()
    # Less than a large answer, which then does not fit into the kernel's buffers.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await raw.connect(("127.0.0.1", served.server.port))
    client = trio.SocketStream(raw)
    await client.send_all(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
    return client


async def test_a_request_in_progress_ends_with_the_server() -> None:
    """The function's process is killed."""
    async with serve_functions([dev_function(timeout=100)]) as served:
        client = await open_request(served, event(do="sleep", seconds=1000))
        await served.log.wait_for(lambda line: line.startswith("START"))
    async with client:
        assert await client.receive_some() == b""


async def test_a_client_that_reads_nothing_does_not_keep_the_server() -> None:
    with trio.CancelScope() as scope:
        async with serve_functions() as served:
            client = await open_request(served, event(do="size", size=6_000_000))
            await served.log.wait_for(lambda line: line.startswith("REPORT"))
            # The server waits for the client then.
            await wait_all_tasks_blocked(0.01)
            scope.cancel()
    await client.aclose()


async def test_queued_events_are_kept_with_a_data_folder(tmp_path: Path) -> None:
    function = dev_function(timeout=100)
    async with serve_functions([function], data=tmp_path) as served:
        await served.invoke(event(do="sleep", seconds=1000), X_Amz_Invocation_Type="Event")
        assert served.server.queue.counts() == {"function": 1}
    async with serve_functions([dev_function(timeout=0.1)], data=tmp_path) as served:
        assert served.server.queue.counts() == {"function": 1}
