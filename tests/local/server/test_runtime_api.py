"""The Runtime API on trio, over streams in memory and with a mock clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgspec
import pytest
import trio
import trio.testing

from okibi.local import (
    FunctionSettings,
    InvokeResult,
    RuntimeApi,
    RuntimeApiHooks,
    RuntimeApiOptions,
    RuntimeState,
)

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"

SETTINGS = FunctionSettings("app.handler")


def post(path: str, body: bytes) -> bytes:
    head = f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@attrs.define(eq=False)
class Runtime:
    """The runtime's end of a connection."""

    stream: trio.abc.HalfCloseableStream
    _buffer: bytes = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of one response."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers["Content-Length"])
        while len(self._buffer) < size:
            self._buffer += await self._more()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return int(status.split()[1]), headers, body

    async def next(self) -> tuple[str, bytes]:
        """Ask for an event; return its request id and body."""
        await self.send(NEXT)
        status, headers, body = await self.receive()
        assert status == 200
        return headers["Lambda-Runtime-Aws-Request-Id"], body

    async def answer(self, request_id: str, body: bytes) -> None:
        await self.send(post(f"invocation/{request_id}/response", body))
        assert (await self.receive())[0] == 202

    async def _more(self) -> bytes:
        data = await self.stream.receive_some()
        if not data:
            raise EOFError
        return bytes(data)


@attrs.define(eq=False)
class Bench:
    api: RuntimeApi
    nursery: trio.Nursery
    kills: list[float]
    results: list[InvokeResult] = attrs.field(factory=list[InvokeResult])

    def connect(self) -> Runtime:
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.api.serve_connection, ours)
        return Runtime(theirs)

    async def invoke(self, payload: bytes = b"1", **options: str) -> None:
        self.results.append(await self.api.invoke(payload, **options))  # type: ignore[arg-type]

    def start_invoke(self, payload: bytes = b"1") -> None:
        self.nursery.start_soon(self.invoke, payload)


@asynccontextmanager
async def open_bench(**options: Any) -> AsyncIterator[Bench]:
    kills = list[float]()
    hooks = RuntimeApiHooks(on_kill=lambda: kills.append(trio.current_time()))
    async with trio.open_nursery() as nursery:
        yield Bench(RuntimeApi(SETTINGS, RuntimeApiOptions(**options), hooks), nursery, kills)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with open_bench() as bench:
        yield bench


@pytest.fixture
async def socket_stream(bench: Bench) -> AsyncIterator[trio.SocketStream]:
    """The runtime's end of a real connection."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    bench.nursery.start_soon(trio.serve_listeners, bench.api.serve_connection, listeners)
    port = listeners[0].socket.getsockname()[1]
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield stream


async def test_an_invoke_gets_the_runtimes_response(bench: Bench) -> None:
    runtime = bench.connect()
    bench.start_invoke(b'{"x":1}')

    request_id, event = await runtime.next()
    await runtime.answer(request_id, b'{"y":2}')
    await trio.testing.wait_all_tasks_blocked()

    (result,) = bench.results
    assert event == b'{"x":1}'
    assert (result.status_code, result.payload, result.function_error) == (200, b'{"y":2}', None)
    assert result.request_id == request_id


async def test_an_error_response_is_unhandled_for_the_invoker(bench: Bench) -> None:
    runtime = bench.connect()
    bench.start_invoke()

    request_id, _ = await runtime.next()
    await runtime.send(post(f"invocation/{request_id}/error", b'{"errorType":"E"}'))
    await runtime.receive()
    await trio.testing.wait_all_tasks_blocked()

    (result,) = bench.results
    assert result.status_code == 200
    assert result.function_error == "Unhandled"
    assert result.payload == b'{"errorType":"E"}'


async def test_pipelined_requests_are_answered_in_order(bench: Bench) -> None:
    runtime = bench.connect()
    bench.start_invoke(b"1")
    request_id, _ = await runtime.next()

    await runtime.send(post(f"invocation/{request_id}/response", b"1") + NEXT)
    bench.start_invoke(b"2")

    assert (await runtime.receive())[0] == 202
    assert (await runtime.receive())[2] == b"2"


async def test_a_time_out_answers_the_invoker_and_ends_the_sandbox(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    runtime = bench.connect()
    start = trio.current_time()
    bench.start_invoke()
    request_id, _ = await runtime.next()

    with pytest.raises(EOFError):
        await runtime.receive()
    await trio.testing.wait_all_tasks_blocked()

    (result,) = bench.results
    assert bench.kills == [start + 3.0]
    assert msgspec.json.decode(result.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 3.00 seconds",
    }
    assert result.function_error == "Unhandled"
    assert bench.api.state is RuntimeState.STARTED


async def test_the_time_starts_when_the_event_is_handed_out(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    bench.start_invoke()
    await trio.sleep(100)
    runtime = bench.connect()
    request_id, _ = await runtime.next()
    await trio.sleep(2.9)
    await runtime.answer(request_id, b"1")
    await trio.testing.wait_all_tasks_blocked()

    (result,) = bench.results
    assert result.function_error is None
    assert result.duration_ms == pytest.approx(2900)


async def test_a_runtime_that_never_asks_again_is_ended_at_the_deadline(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    runtime = bench.connect()
    start = trio.current_time()
    bench.start_invoke(b"1")
    request_id, _ = await runtime.next()
    await runtime.answer(request_id, b"1")
    bench.start_invoke(b"2")

    with pytest.raises(EOFError):
        await runtime.receive()
    assert bench.kills == [start + 3.0]
    fresh = bench.connect()
    assert (await fresh.next())[1] == b"2"
    assert [result.payload for result in bench.results] == [b"1"]


async def test_a_new_runtime_may_start_after_the_sandbox_ended(
    bench: Bench,
) -> None:
    from okibi.local.platform.outcomes import exited

    runtime = bench.connect()
    bench.start_invoke()
    request_id, _ = await runtime.next()

    bench.api.sandbox_ended(lambda request_id: exited(request_id, 1))
    await trio.testing.wait_all_tasks_blocked()

    (result,) = bench.results
    assert msgspec.json.decode(result.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: exit status 1",
    }
    with pytest.raises(EOFError):
        await runtime.receive()
    bench.start_invoke(b"2")
    assert (await bench.connect().next())[1] == b"2"


async def test_an_init_error_answers_the_waiting_invoke(bench: Bench) -> None:
    runtime = bench.connect()
    bench.start_invoke()
    await trio.testing.wait_all_tasks_blocked()

    await runtime.send(post("init/error", b'{"errorType":"Runtime.X"}'))
    assert (await runtime.receive())[0] == 202
    await trio.testing.wait_all_tasks_blocked()

    (result,) = bench.results
    assert result.payload == b'{"errorType":"Runtime.X"}'
    assert result.function_error == "Unhandled"


async def test_a_runtime_that_stays_after_an_init_error_is_killed(
    bench: Bench,
) -> None:
    runtime = bench.connect()
    await runtime.send(post("init/error", b"{}"))
    await runtime.receive()
    await bench.invoke()
    assert bench.kills == []

    bench.start_invoke(b"2")
    await trio.testing.wait_all_tasks_blocked()

    assert len(bench.kills) == 1
    assert (await bench.connect().next())[1] == b"2"


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope at the n-th task step of a run."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


async def two_invocations(api: RuntimeApi) -> None:
    """Run a runtime and an invoker through two invocations."""
    async with trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(api.serve_connection, ours)
        nursery.start_soon(api.invoke, b"1")
        runtime = Runtime(theirs)
        request_id, _ = await runtime.next()
        await runtime.send(post(f"invocation/{request_id}/response", b"1") + NEXT)
        await runtime.receive()
        nursery.start_soon(api.invoke, b"2")
        _, headers, _ = await runtime.receive()
        await runtime.answer(headers["Lambda-Runtime-Aws-Request-Id"], b"2")
        await theirs.aclose()


@pytest.mark.slow
def test_after_a_cancellation_at_any_step_the_next_runtime_is_served() -> None:
    async def run(instrument: CancelAtStep) -> None:
        api = RuntimeApi(SETTINGS)
        with trio.fail_after(60):
            with instrument.scope:
                await two_invocations(api)
            api.sandbox_ended(None)
            instrument.left = 0
            await two_invocations(api)

    for step in range(1, 80):
        instrument = CancelAtStep(step)
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(run, instrument, instruments=[instrument], clock=clock)


async def test_a_busy_polling_server_serves_like_any_other() -> None:
    async with open_bench(busy_poll=0.001) as bench:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        bench.nursery.start_soon(trio.serve_listeners, bench.api.serve_connection, listeners)
        port = listeners[0].socket.getsockname()[1]
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            runtime = Runtime(stream)
            bench.start_invoke(b"1")
            request_id, event = await runtime.next()
            await runtime.answer(request_id, event)
            await bench.nursery.start(wait_for_result, bench)

        assert bench.results[0].payload == b"1"


async def wait_for_result(bench: Bench, task_status: trio.TaskStatus[None]) -> None:
    while not bench.results:
        await trio.lowlevel.checkpoint()
    task_status.started()


async def test_the_deadline_header_uses_the_given_wall_clock() -> None:
    async with open_bench(wall_clock=lambda: 5.0) as bench:
        runtime = bench.connect()
        bench.start_invoke()

        await runtime.send(NEXT)
        _, headers, _ = await runtime.receive()

    assert headers["Lambda-Runtime-Deadline-Ms"] == "8000"


async def test_the_last_response_reaches_a_peer_that_is_still_sending(
    socket_stream: trio.SocketStream,
) -> None:
    stream = socket_stream

    await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"a" * 3_000_000 + b"\r\n\r\n")

    assert (await stream.receive_some()).startswith(b"HTTP/1.1 431 ")
