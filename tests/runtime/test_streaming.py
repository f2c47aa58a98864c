"""Functions that stream, in a real process on the local Lambda, as their invoker sees them."""

import json
import threading
from typing import Any

import attrs
import httpx
import pytest
import trio

from runtime.local import Happening, InvokeResult, RuntimeApi
from runtime.wire import HTTP_INTEGRATION
from tests.runtime.sandbox import Running, running

KINDS = [
    "streams.yields",
    "streams.plain",
    "streams.threaded",
    "streams.writes",
    "streams.Yields",
    "streams.yielding",
    "streams.writing",
    "streams.handling",
    "streams.plainly",
]
# What an invoker may be kept waiting by a machine that is busy, and no more.
SLACK = 0.25


@attrs.frozen
class Streamed:
    """What an invoker has read."""

    body: bytes
    content_type: str
    result: InvokeResult
    first: float
    took: float

    @property
    def error(self) -> tuple[str, str]:
        told = json.loads(self.result.payload)
        return told["errorType"], told["errorMessage"]


async def stream(sandbox: Running, **event: object) -> Streamed:
    """Invoke a function, and read its answer as it comes."""
    began, first, body = trio.current_time(), 0.0, b""
    async with sandbox.function.stream(json.dumps(event).encode()) as answer:
        async for piece in answer:
            first = first or trio.current_time() - began
            body += piece
        result = await answer.result()
    return Streamed(body, answer.content_type, result, first, trio.current_time() - began)


def lines(count: int, pid: int) -> bytes:
    return b"".join(b"%d %d\n" % (n, pid) for n in range(count))


@pytest.mark.parametrize("handler", KINDS)
async def test_the_first_piece_comes_while_the_handler_still_runs(handler: str) -> None:
    async with running(handler) as sandbox:
        await stream(sandbox, count=0)

        told = await stream(sandbox, count=4, pause=0.2)

        assert told.body.startswith(lines(4, sandbox.pid))
        assert told.result.function_error is None
        assert told.first < SLACK
        assert told.took > 0.75
        assert sandbox.function.starts == 1


@pytest.mark.parametrize("handler", KINDS)
async def test_what_fails_in_the_middle_comes_as_an_error_behind_what_is_out(handler: str) -> None:
    async with running(handler) as sandbox:
        told = await stream(sandbox, do="late")

        assert told.body.startswith(b"0 ")
        assert told.result.error_type == "Function.ValueError"
        assert told.error == ("ValueError", "late")
        assert "raise ValueError(" in json.loads(told.result.payload)["stackTrace"][-1]
        assert (await stream(sandbox)).body.startswith(lines(3, sandbox.pid))
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []


@pytest.mark.parametrize("handler", KINDS)
async def test_at_its_deadline_it_ends_with_an_error_and_the_sandbox_stays_warm(
    handler: str,
) -> None:
    async with running(handler, timeout=2.0) as sandbox:
        await stream(sandbox, count=0)

        told = await stream(sandbox, count=50, pause=0.1)

        assert told.body.startswith(lines(5, sandbox.pid))
        assert told.result.error_type == "Runtime.DeadlineExceeded"
        assert (await stream(sandbox)).body.startswith(lines(3, sandbox.pid))
        assert sandbox.function.starts == 1


async def test_before_the_first_piece_an_error_is_the_answer() -> None:
    async with running("streams.yields") as sandbox:
        told = await stream(sandbox, do="early")

        assert told.body == b""
        assert told.content_type == ""
        assert told.error == ("ValueError", "early")


async def test_a_handler_instance_is_replaced_when_its_stream_failed() -> None:
    async with running("streams.Yields") as sandbox:
        assert (await stream(sandbox)).body.endswith(b"instance 1")
        await stream(sandbox, do="late")
        # There is a spare worker, with an instance of its own.
        numbers = {(await stream(sandbox)).body[-1:] for _ in range(4)}

        assert b"1" not in numbers


async def test_an_http_answer_has_its_prelude() -> None:
    async with running("streams.yields") as sandbox:
        told = await stream(sandbox, do="http", count=1)

        prelude, _, body = told.body.partition(b"\0" * 8)
        assert told.content_type == HTTP_INTEGRATION.decode()
        assert json.loads(prelude) == {
            "statusCode": 201,
            "headers": {"content-type": "text/plain"},
            "cookies": ["a=b"],
        }
        assert body == lines(1, sandbox.pid)


async def test_who_takes_it_whole_gets_it_whole() -> None:
    async with running("streams.writes") as sandbox:
        result = await sandbox.invoke()

        assert result.payload == lines(3, sandbox.pid)


async def test_a_stream_that_holds_the_loop_is_ended_at_the_deadline() -> None:
    async with running("streams.yields", timeout=1.0) as sandbox:
        told = await stream(sandbox, do="busy")

        assert told.body == b"one"
        assert told.result.error_type == "Runtime.DeadlineExceeded"
        assert (await stream(sandbox)).body.startswith(b"0 ")
        assert sandbox.function.starts == 1


@pytest.mark.parametrize("handler", KINDS)
@pytest.mark.parametrize("pause", [0.005, 5.0])
async def test_sigterm_in_the_middle_cuts_it_and_its_invoker_is_told(
    handler: str, pause: float
) -> None:
    async with running(handler) as sandbox:
        event = json.dumps({"count": 100_000, "pause": pause}).encode()
        async with sandbox.function.stream(event) as answer:
            async for _ in answer:
                break
            # Python hears of no signal that comes just before a call that blocks, until that ends.
            await trio.sleep(0.02)
            ending = await sandbox.function.shut_down()
            result = await answer.result()

        assert result.error_type == "Runtime.Stopped"
        assert ending.returncode == 0


async def test_a_stream_longer_than_lambda_takes_is_cut_and_the_sandbox_stays_warm() -> None:
    async with running("streams.yields") as sandbox:
        pid = (await stream(sandbox)).body

        result = await sandbox.invoke({"do": "bytes", "size": 8 * 1024 * 1024})

        assert result.error_type == "Function.ResponseSizeTooLarge"
        assert (await stream(sandbox)).body == pid
        assert sandbox.function.starts == 1


async def test_a_slow_reader_makes_the_handler_wait() -> None:
    async with running("streams.yields") as sandbox:
        event = json.dumps({"do": "bytes", "size": 64 * 1024 * 1024}).encode()
        async with sandbox.function.stream(event) as answer:
            async for _ in answer:
                break
            while not answer.full:  # noqa: ASYNC110
                await trio.sleep(0.01)
            stands_at = answer._size
            await trio.sleep(0.3)
            assert answer._size == stands_at < 4 * 1024 * 1024
            assert sandbox.function.journal.entries[-1].happening is Happening.DELIVERED


async def test_many_streams_at_once_do_not_meet() -> None:
    api = RuntimeApi(max_concurrency=4)
    told = dict[int, Streamed]()

    async def one(sandbox: Running, count: int) -> None:
        told[count] = await stream(sandbox, count=count, pause=0.01)

    async with running("streams.plain", api=api) as sandbox:
        async with trio.open_nursery() as nursery:
            for count in (10, 20, 30, 40):
                nursery.start_soon(one, sandbox, count)

        assert {n: each.body for n, each in told.items()} == {
            n: lines(n, sandbox.pid) for n in (10, 20, 30, 40)
        }
        assert not [e for e in api.journal.entries if e.happening is Happening.REFUSED]


# -- over HTTP


def of_boto3(url: str, event: object) -> list[dict[str, Any]]:
    import boto3  # type: ignore[import-untyped]

    client = boto3.client(
        "lambda",
        endpoint_url=url.partition("/2015")[0],
        region_name="xx-test-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    answer = client.invoke_with_response_stream(
        FunctionName="function", Payload=json.dumps(event).encode()
    )
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    return list(answer["EventStream"])


async def test_boto3_reads_a_stream_and_its_end() -> None:
    pytest.importorskip("boto3")
    async with running("streams.yields") as sandbox:
        events = await trio.to_thread.run_sync(
            of_boto3, sandbox.function.invoke_url, {"count": 3, "pause": 0.01}
        )

        pieces = [e["PayloadChunk"]["Payload"] for e in events if "PayloadChunk" in e]
        assert b"".join(pieces) == lines(3, sandbox.pid)
        assert events[-1] == {"InvokeComplete": {}}


@pytest.mark.parametrize(("do", "pieces"), [("late", 3), ("early", 0)])
async def test_boto3_is_told_of_an_error_before_the_first_piece_and_after_it(
    do: str, pieces: int
) -> None:
    pytest.importorskip("boto3")
    async with running("streams.yields") as sandbox:
        *before, last = await trio.to_thread.run_sync(
            of_boto3, sandbox.function.invoke_url, {"do": do, "pause": 0.01}
        )

        body = b"".join(e["PayloadChunk"]["Payload"] for e in before)
        assert body == lines(pieces, sandbox.pid)
        end = last["InvokeComplete"]
        assert end["ErrorCode"] == "Function.ValueError"
        assert json.loads(end["ErrorDetails"])["errorMessage"] == do


async def test_over_http_too_the_first_piece_comes_while_the_handler_still_runs() -> None:
    came = threading.Event()
    async with running("streams.yields") as sandbox:
        base = sandbox.function.invoke_url.partition("/2015")[0]
        url = f"{base}/2021-11-15/functions/function/response-streaming-invocations"
        event = {"count": 3, "pause": 0.2}
        async with httpx.AsyncClient() as client, client.stream("POST", url, json=event) as answer:
            began = 0.0
            async for _ in answer.aiter_raw():
                began = began or trio.current_time()
                came.set()
            assert trio.current_time() - began > 0.35
    assert came.is_set()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/2021-11-15/functions/other/response-streaming-invocations", 404),
        ("GET", "/2021-11-15/functions/function/response-streaming-invocations", 405),
        ("POST", "/2021-11-15/functions/function/invocations", 404),
    ],
)
async def test_what_cannot_be_streamed_is_refused(method: str, path: str, status: int) -> None:
    async with running("streams.yields") as sandbox:
        base = sandbox.function.invoke_url.partition("/2015")[0]
        async with httpx.AsyncClient() as client:
            answer = await client.request(method, base + path, content=b"{}")

        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
