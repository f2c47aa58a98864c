"""Lambda's API over real sockets: what clients send that boto3 would not, and streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from okibi.dev.asgi import ClientLeft, read_body
from okibi.local.invoke_api import operations as invoke_module
from okibi.local.limits import MAX_EVENT_SIZE
from okibi.local.platform.streaming import ResponseStream
from tests.support.dev_server import Served, dev_function, serve_functions
from tests.support.local_lambda import event

FUNCTIONS = "/2015-03-31/functions"
INVOKE = f"{FUNCTIONS}/function/invocations"
STREAM = "/2021-11-15/functions/function/response-streaming-invocations"
MB = 1024 * 1024

# -- refused calls

INVALID = "InvalidParameterValueException"
NOT_FOUND = "ResourceNotFoundException"
UNKNOWN = "UnknownOperationException"

REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", INVOKE, {"content": b"{"}, 400, "InvalidRequestContentException"),
    ("POST", INVOKE, {"content": b"[" * 6 * MB + b"["}, 413, "RequestTooLargeException"),
    ("POST", STREAM, {"headers": {"X-Amz-Invocation-Type": "Event"}}, 400, INVALID),
    ("POST", f"{FUNCTIONS}/%F0%9F%94%A5/invocations", {}, 404, NOT_FOUND),
    ("GET", f"{FUNCTIONS}?MaxItems=0", {}, 400, INVALID),
    ("GET", f"{FUNCTIONS}?MaxItems=many", {}, 400, INVALID),
    ("GET", f"{FUNCTIONS}?Marker=other", {}, 400, INVALID),
    ("GET", f"{FUNCTIONS}/other", {}, 404, NOT_FOUND),
    ("GET", f"{FUNCTIONS}/other/configuration", {}, 404, NOT_FOUND),
    ("GET", "/2017-03-31/tags/other", {}, 404, NOT_FOUND),
    ("GET", INVOKE, {}, 404, UNKNOWN),
    ("DELETE", FUNCTIONS, {"content": b"x" * 100}, 404, UNKNOWN),
    ("PUT", f"{FUNCTIONS}/function/code", {"content": b"x" * MB}, 404, UNKNOWN),
    ("GET", "/2018-06-01/runtime/invocation/next", {}, 404, UNKNOWN),
]


async def test_a_refused_call_has_the_shape_of_an_error_of_aws() -> None:
    async with serve_functions() as served:
        for method, path, options, status, error_type in REFUSED:
            answer = await served.http.request(method, served.server.url + path, **options)

            assert answer.status_code == status, path
            assert answer.headers["X-Amzn-ErrorType"] == error_type, path
            assert answer.headers["Content-Type"] == "application/json"
            assert len(answer.headers["X-Amzn-RequestId"]) == 36
            told = answer.json()
            assert told["Type"] == "User"
            assert told.get("message") or told["Message"]
        assert (await served.invoke()).status_code == 200
        assert sum(line.startswith("START") for line in served.log.lines) == 1


# -- large events


async def test_a_large_body_is_not_kept_in_memory() -> None:
    kept = 0

    async def receive() -> dict[str, Any]:
        nonlocal kept
        kept += MB
        return {"type": "http.request", "body": bytes(MB), "more_body": kept < 50 * MB}

    body = await read_body(receive, 3 * MB)

    assert len(body.data) <= 3 * MB
    assert body.size == 50 * MB


async def test_a_body_without_end_is_not_read_to_the_end() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(MB), "more_body": True}

    assert (await read_body(receive, MAX_EVENT_SIZE)).size < 100 * MB


async def test_a_client_that_leaves_midway_invokes_nothing() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        await read_body(receive, MAX_EVENT_SIZE)


# -- asynchronous invocations


async def test_a_queued_event_runs_under_the_request_id_of_the_answer() -> None:
    async with serve_functions() as served:
        answer = await served.invoke(event(do="print", text="ran"), X_Amz_Invocation_Type="Event")

        assert (answer.status_code, answer.content) == (202, b"")
        request_id = answer.headers["X-Amzn-RequestId"]
        await served.log.wait_for(lambda line: line.startswith(f"END RequestId: {request_id}"))
        assert "ran" in served.log.lines


# -- streams


@asynccontextmanager
async def open_stream(served: Served) -> AsyncIterator[bytes]:
    """Ask for two pieces with a long pause; yield what has arrived with the first."""
    body = event(do="stream", pieces=2, size=3, pause=1000)
    head = f"POST {STREAM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", served.server.port) as client:
        await client.send_all(head.encode() + body)
        received = b""
        while b"xxx" not in received:
            received += await client.receive_some()
        yield received


async def test_a_chunk_arrives_before_the_next_is_produced() -> None:
    async with (
        serve_functions([dev_function(timeout=100)]) as served,
        open_stream(served) as received,
    ):
        assert received.startswith(b"HTTP/1.1 200")
        assert received.count(b"PayloadChunk") == 1


class WatchedStream(ResponseStream):
    """A stream of which the test sees when the server has stopped reading it."""

    left = trio.Event()

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self.left.set()


async def test_a_client_that_leaves_a_stream_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchedStream, "left", trio.Event())
    monkeypatch.setattr(invoke_module, "ResponseStream", WatchedStream)
    async with serve_functions([dev_function(timeout=100)]) as served:
        async with open_stream(served):
            assert not WatchedStream.left.is_set()

        await WatchedStream.left.wait()
        assert served.server.pools["function"].in_flight == 1


# -- many at once


async def invoke_many(served: Served, count: int) -> list[int]:
    numbers = list[int]()
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(trust_env=False, timeout=None, limits=limits) as http:

        async def one(number: int) -> None:
            url = served.server.invoke_url("function")
            answer = await http.post(url, content=event(number=number))
            numbers.append(answer.json()["event"]["number"])

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)
    return numbers


@pytest.mark.slow
async def test_of_200_requests_at_once_none_is_lost() -> None:
    async with serve_functions([dev_function(concurrency=8)]) as served:
        numbers = await invoke_many(served, 200)

        assert sorted(numbers) == list(range(200))
        assert len(served.server.pools["function"].sandboxes) <= 8
