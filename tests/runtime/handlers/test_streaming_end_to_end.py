"""Functions that stream, in a real process on the local Lambda."""

import json

import attrs
import httpx
import pytest
import trio

from okibi.local import EntryKind, InvokeResult
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.streaming import ResponseStream
from okibi.runtime.protocol.runtime_api import HTTP_INTEGRATION
from tests.limits import HANG
from tests.support.sandbox import Running, running

# On trio, in a thread, on asyncio, by a class. `test_streaming_handlers.py` tests all kinds.
every_kind = pytest.mark.parametrize(
    "handler",
    [
        "streams.writes",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in (
                "streams.threaded",
                "streams.handling",
                "streams.writing",
                "streams.Yields",
            )
        ),
    ],
)


@attrs.frozen
class StreamedAnswer:
    """A streamed response as its invoker reads it."""

    body: bytes
    content_type: str
    result: InvokeResult
    first: float
    took: float

    @property
    def error(self) -> tuple[str, str]:
        told = json.loads(self.result.payload)
        return told["errorType"], told["errorMessage"]


async def stream(sandbox: Running, timeout: float = 30.0, **event: object) -> StreamedAnswer:
    """Invoke a function, and read the pieces of the response as they arrive."""
    began, first, body = trio.current_time(), 0.0, b""
    invocation = Invocation(json.dumps(event).encode(), timeout)
    async with ResponseStream(invocation) as answer:
        sandbox.function.start_invocation(invocation)
        async for piece in answer:
            first = first or trio.current_time() - began
            body += piece
        result = await answer.result()
    return StreamedAnswer(body, answer.content_type, result, first, trio.current_time() - began)


def lines(count: int, pid: int) -> bytes:
    return b"".join(b"%d %d\n" % (n, pid) for n in range(count))


@pytest.mark.slow
@every_kind
async def test_a_stream_ends_by_an_error_a_deadline_or_sigterm(handler: str) -> None:
    async with running(handler, grace=HANG) as sandbox:
        await stream(sandbox, count=0)

        await pieces_arrive_while_the_handler_runs(sandbox)
        await an_error_ends_the_stream_after_its_pieces(sandbox)
        await a_deadline_ends_the_stream(sandbox)
        assert (await sandbox.invoke()).payload.startswith(lines(3, sandbox.pid))

        assert (await stream(sandbox)).body.startswith(lines(3, sandbox.pid))
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []
        await sigterm_cuts_the_stream(sandbox, pause=5.0)


async def pieces_arrive_while_the_handler_runs(sandbox: Running) -> None:
    told = await stream(sandbox, count=4, pause=0.1)

    assert told.body.startswith(lines(4, sandbox.pid))
    assert told.result.function_error is None
    assert told.took - told.first > 0.15


async def an_error_ends_the_stream_after_its_pieces(sandbox: Running) -> None:
    told = await stream(sandbox, do="late")

    assert told.body.startswith(b"0 ")
    assert told.result.error_type == "Function.ValueError"
    assert told.error == ("ValueError", "late")
    assert "raise ValueError(" in json.loads(told.result.payload)["stackTrace"][-1]


async def a_deadline_ends_the_stream(sandbox: Running) -> None:
    told = await stream(sandbox, timeout=1.2, count=50, pause=0.1)

    assert told.body.startswith(lines(3, sandbox.pid))
    assert told.result.error_type == "Runtime.DeadlineExceeded"


async def sigterm_cuts_the_stream(sandbox: Running, pause: float) -> None:
    event = json.dumps({"count": 100_000, "pause": pause}).encode()
    async with sandbox.function.stream(event) as answer:
        async for _ in answer:
            break
        # Python handles a signal that comes just before a blocking call only after the call.
        await trio.sleep(0.02)
        ending = await sandbox.function.shut_down()
        result = await answer.result()

    assert result.error_type == "Runtime.Stopped"
    assert ending.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["streams.writes", "streams.threaded"])
async def test_sigterm_cuts_a_handler_that_writes_without_pause(handler: str) -> None:
    async with running(handler, grace=HANG) as sandbox:
        await sigterm_cuts_the_stream(sandbox, pause=0.005)


async def test_one_sandbox_streams_event_after_event() -> None:
    async with running("streams.yields") as sandbox:
        await an_error_before_the_first_piece_is_the_answer(sandbox)
        await an_http_response_has_its_prelude(sandbox)
        await a_stream_above_lambda_s_limit_is_cut(sandbox)
        # The invoker leaves before the end of the stream.
        await a_slow_reader_makes_the_handler_wait(sandbox)
        assert sandbox.function.starts == 1


async def an_error_before_the_first_piece_is_the_answer(sandbox: Running) -> None:
    told = await stream(sandbox, do="early")

    assert told.body == b""
    assert told.content_type == ""
    assert told.error == ("ValueError", "early")


async def an_http_response_has_its_prelude(sandbox: Running) -> None:
    told = await stream(sandbox, do="http", count=1)

    prelude, _, body = told.body.partition(b"\0" * 8)
    assert told.content_type == HTTP_INTEGRATION.decode()
    assert json.loads(prelude) == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain"},
        "cookies": ["a=b"],
    }
    assert body == lines(1, sandbox.pid)


async def a_stream_above_lambda_s_limit_is_cut(sandbox: Running) -> None:
    result = await sandbox.invoke({"do": "bytes", "size": 8 * 1024 * 1024})

    assert result.error_type == "Function.ResponseSizeTooLarge"
    assert (await stream(sandbox)).body == lines(3, sandbox.pid)


async def a_slow_reader_makes_the_handler_wait(sandbox: Running) -> None:
    event = json.dumps({"do": "bytes", "size": 64 * 1024 * 1024}).encode()
    async with sandbox.function.stream(event) as answer:
        async for _ in answer:
            break
        while not answer.full:  # noqa: ASYNC110
            await trio.sleep(0.01)
        stands_at = answer._size
        await trio.sleep(0.3)
        assert answer._size == stands_at < 4 * 1024 * 1024
        assert sandbox.function.journal.entries[-1].kind is EntryKind.DELIVERED


@pytest.mark.slow
async def test_a_handler_instance_is_replaced_when_its_stream_failed() -> None:
    async with running("streams.Yields") as sandbox:
        assert (await stream(sandbox)).body.endswith(b"instance 1")
        await stream(sandbox, do="late")
        # The spare worker has an instance too.
        numbers = {(await stream(sandbox)).body[-1:] for _ in range(4)}

        assert b"1" not in numbers


async def test_many_streams_at_once_do_not_mix() -> None:
    told = dict[int, StreamedAnswer]()

    async def one(sandbox: Running, count: int) -> None:
        told[count] = await stream(sandbox, count=count, pause=0.005)

    async with running("streams.plain", max_concurrency=4) as sandbox:
        async with trio.open_nursery() as nursery:
            for count in (10, 20, 30, 40):
                nursery.start_soon(one, sandbox, count)

        assert {n: each.body for n, each in told.items()} == {
            n: lines(n, sandbox.pid) for n in (10, 20, 30, 40)
        }
        assert not [e for e in sandbox.function.journal if e.kind is EntryKind.REFUSED]


# -- over HTTP


async def test_the_first_piece_arrives_over_http_while_the_handler_runs() -> None:
    async with running("streams.yields") as sandbox:
        base = sandbox.function.invoke_url.partition("/2015")[0]
        url = f"{base}/2021-11-15/functions/function/response-streaming-invocations"
        event = {"count": 3, "pause": 0.1}
        async with httpx.AsyncClient() as client, client.stream("POST", url, json=event) as answer:
            came = [trio.current_time() async for _ in answer.aiter_raw()]

    assert came[-1] - came[0] > 0.1
