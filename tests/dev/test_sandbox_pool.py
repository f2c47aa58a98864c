"""The sandboxes of one function: on demand, frozen, recycled, and bounded."""

import json
import math
import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from okibi.dev.dev_function import DevFunction, Throttled
from okibi.dev.invocation_events import (
    InitFailed,
    InvocationFinished,
    InvocationStatus,
    LogLine,
    SandboxEnded,
    SandboxStarted,
)
from okibi.dev.pool_rules import WAITING_LIMIT
from okibi.dev.sandbox_pool import SandboxPool
from okibi.local import FunctionSettings, ResponseStream
from okibi.local.sandbox.sandbox import SandboxProcess
from tests.support.local_lambda import settings
from tests.support.sandbox_pool import Held, invocation, invoke, invoke_pid, opened_pool


def state(pid: int) -> str:
    """The state of a process, such as T for stopped."""
    return Path(f"/proc/{pid}/status").read_text().partition("\nState:\t")[2][0]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_events_one_after_the_other_share_a_sandbox() -> None:
    async with opened_pool() as (pool, _):
        assert len({await invoke_pid(pool) for _ in range(3)}) == 1
        assert len(pool.sandboxes) == 1


async def test_a_new_sandbox_starts_when_all_are_busy(tmp_path: Path) -> None:
    async with opened_pool() as (pool, reported):
        held = Held(tmp_path, pool)
        busy = held.start()
        await invoke(pool)

        assert len(pool.sandboxes) == 2
        assert math.isnan(busy.answered_at)
        await held.release(1)
        await reported.wait_for(InvocationFinished, 2)


async def test_the_sandbox_used_last_takes_the_next_event(tmp_path: Path) -> None:
    async with opened_pool() as (pool, reported):
        held = Held(tmp_path, pool)
        held.start()
        held.start()
        await reported.wait_for(SandboxStarted, 2)
        await held.release(2)
        await reported.wait_for(InvocationFinished, 1)
        await held.release(1)
        last = await reported.wait_for(InvocationFinished, 2)
        await invoke(pool)

        assert (await reported.wait_for(InvocationFinished, 3)).sandbox == last.sandbox


async def test_events_beyond_the_concurrency_wait_in_order(tmp_path: Path) -> None:
    async with opened_pool(concurrency=1) as (pool, reported):
        held = Held(tmp_path, pool)
        held.start()
        later = [invocation(pool, n=number) for number in range(3)]
        for each in later:
            pool.start_invocation(each)
        assert (pool.waiting, pool.in_flight) == (3, 4)
        await held.release(1)
        await reported.wait_for(InvocationFinished, 4)

    assert [each.request_id for each in reported.of(InvocationFinished)[1:]] == [
        each.request_id for each in later
    ]


async def test_more_than_a_thousand_waiting_events_are_throttled(tmp_path: Path) -> None:
    async with opened_pool(concurrency=1) as (pool, _):
        Held(tmp_path, pool).start()
        for _ in range(WAITING_LIMIT):
            pool.start_invocation(invocation(pool))
        with pytest.raises(Throttled) as refused:
            await invoke(pool)

    assert refused.value.reason == "ConcurrentInvocationLimitExceeded"


async def test_reserved_concurrency_throttles_at_once(tmp_path: Path) -> None:
    async with opened_pool(reserved_concurrency=1) as (pool, _):
        Held(tmp_path, pool).start()
        with pytest.raises(Throttled) as refused:
            pool.start_invocation(invocation(pool))

    assert refused.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"


async def test_reserved_concurrency_of_zero_throttles_all() -> None:
    async with opened_pool(reserved_concurrency=0) as (pool, _):
        with pytest.raises(Throttled):
            await invoke(pool)
        assert len(pool.sandboxes) == 0


async def test_an_idle_sandbox_is_stopped_and_continues_for_an_event() -> None:
    async with opened_pool() as (pool, _):
        pid = await invoke_pid(pool)
        await trio.testing.wait_all_tasks_blocked(0.01)

        assert state(pid) == "T"
        assert await invoke_pid(pool) == pid


async def test_without_freeze_an_idle_sandbox_goes_on() -> None:
    async with opened_pool(freeze=False) as (pool, _):
        pid = await invoke_pid(pool)
        await trio.testing.wait_all_tasks_blocked(0.01)

        assert state(pid) != "T"


async def test_a_time_out_kills_the_sandbox_and_the_next_event_gets_another() -> None:
    async with opened_pool(DevFunction(settings(timeout=0.2))) as (pool, reported):
        result = await invoke(pool, do="sleep", seconds=100)
        await invoke_pid(pool)
        finished = await reported.wait_for(InvocationFinished, 2)

    assert result.error_type == "Sandbox.Timedout"
    assert reported.of(InvocationFinished)[0].status is InvocationStatus.TIMED_OUT
    assert finished.sandbox == 2
    assert reported.of(SandboxEnded)[0].reason == "timed out"


async def test_an_exit_is_reported_and_the_next_event_gets_another_sandbox() -> None:
    async with opened_pool() as (pool, reported):
        result = await invoke(pool, do="exit", status=3)
        await invoke_pid(pool)

    first, second = reported.of(InvocationFinished)
    assert result.error_type == "Runtime.ExitError"
    assert (first.status, first.sandbox) == (InvocationStatus.EXITED, 1)
    assert (second.status, second.sandbox) == (InvocationStatus.OK, 2)


async def test_a_sandbox_that_dies_while_idle_is_replaced() -> None:
    async with opened_pool() as (pool, reported):
        os.kill(await invoke_pid(pool), signal.SIGKILL)
        await reported.wait_for(SandboxEnded)
        assert len(pool.sandboxes) == 0
        await invoke_pid(pool)


async def test_a_function_error_is_reported_with_its_message() -> None:
    async with opened_pool() as (pool, reported):
        await invoke(pool, do="raise", text="no such visit")
        finished = await reported.wait_for(InvocationFinished)

    assert finished.status is InvocationStatus.FUNCTION_ERROR
    assert finished.failure is not None
    assert (finished.failure.error_type, finished.failure.message) == (
        "ValueError",
        "no such visit",
    )


async def test_the_first_invocation_of_a_sandbox_reports_its_init_phase() -> None:
    async with opened_pool() as (pool, reported):
        await invoke(pool)
        await invoke(pool)
        await reported.wait_for(InvocationFinished, 2)

    first, second = reported.of(InvocationFinished)
    assert first.init_ms is not None
    assert first.billed_ms >= first.duration_ms + first.init_ms
    assert second.init_ms is None
    assert (second.memory_size, second.function) == (128, "function")
    assert second.memory is not None


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [("init.error", "Runtime.Broken"), ("init.exit", "Runtime.ExitError")],
)
async def test_a_failed_init_phase_answers_the_event(handler: str, error_type: str) -> None:
    async with opened_pool(handler=handler, start_ahead=False) as (pool, reported):
        result = await invoke(pool)
        failed = await reported.wait_for(InitFailed)
        finished = await reported.wait_for(InvocationFinished)

    assert failed.failure.error_type == error_type
    assert finished.status is InvocationStatus.INIT_ERROR
    assert json.loads(result.payload)["errorType"] == error_type


async def test_a_missing_program_answers_the_event(tmp_path: Path) -> None:
    program = tmp_path / "bootstrap"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    function = DevFunction(FunctionSettings("app.handler", command=[str(program)]))
    program.unlink()
    async with opened_pool(function, start_ahead=False) as (pool, reported):
        result = await invoke(pool)

    error = json.loads(result.payload)
    assert error["errorType"] == "Runtime.InvalidEntrypoint"
    assert str(program) in error["errorMessage"]
    assert reported.of(InitFailed)


CRASHES_IN_INIT = """
from okibi import Handler
print("begins", flush=True)
class Crashing(Handler[dict]):
    async def init(self):
        raise OSError("no table")
    async def handle(self, event, context): ...
"""
CRASHES_BESIDE_INIT = """
import os, trio
from okibi import Child, Function, Handler
from okibi.actors import Actor
class Beside(Handler[dict]):
    async def init(self):
        await trio.sleep(0.1)
        {}
    async def handle(self, event, context): ...
class Crashing(Actor):
    async def live(self, started):
        started()
        raise OSError("no table")
function = Function(Beside, children=[Child(Crashing)])
"""


async def test_a_crash_that_fails_the_start_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(CRASHES_IN_INIT)
    function = DevFunction(FunctionSettings("app.Crashing", task_root=tmp_path))
    async with opened_pool(function) as (_, reported):
        failed = await reported.wait_for(InitFailed)
        await reported.wait_for(SandboxEnded)

    assert failed.failure.message.endswith("/workers/worker-0 did not start: no table")
    assert "begins" in reported.log
    assert not any("Traceback" in line for line in reported.log if not line.startswith("[ERROR] "))


@pytest.mark.slow
async def test_a_crash_is_reported_if_the_function_starts_or_exits_without_a_report(
    tmp_path: Path,
) -> None:
    for end in ("pass", "os._exit(3)"):
        (tmp_path / "app.py").write_text(CRASHES_BESIDE_INIT.format(end))
        function = DevFunction(FunctionSettings("app.function", task_root=tmp_path))
        async with opened_pool(function) as (_, reported):
            await reported.wait_for(SandboxStarted if end == "pass" else InitFailed)
            while not any("ended: crashed (OSError: no table)" in line for line in reported.log):
                await reported.wait_for(LogLine, len(reported.of(LogLine)) + 1)


async def test_an_idle_sandbox_ends_after_the_idle_timeout() -> None:
    async with opened_pool(idle_timeout=0.05) as (pool, reported):
        pid = await invoke_pid(pool)
        ended = await reported.wait_for(SandboxEnded)

        assert ended.reason == "idle"
        assert not is_alive(pid)
        assert len(pool.sandboxes) == 0


async def test_the_first_sandbox_starts_before_an_event_comes() -> None:
    async with opened_pool() as (pool, reported):
        started = await reported.wait_for(SandboxStarted)
        await invoke(pool)

    assert started.sandbox == 1
    assert len(reported.of(SandboxStarted)) == 1


async def test_only_one_sandbox_a_core_starts_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    async with opened_pool(handler="init.hang") as (_, hanging):
        await hanging.wait_for(LogLine)
        async with opened_pool() as (pool, reported):
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert [each for each in pool.sandboxes if each.pid is not None] == []
            await invoke(pool)

    assert len(reported.of(SandboxStarted)) == 1


async def test_an_event_starts_changed_code_before_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    async with opened_pool(handler="init.hang") as (_, hanging):
        await hanging.wait_for(LogLine)
        async with opened_pool(start_ahead=False) as (pool, reported):
            await invoke(pool)
            pool.reload()
            await invoke(pool)
            await reported.wait_for(InvocationFinished, 2)

    assert [each.sandbox for each in reported.of(InvocationFinished)] == [1, 2]


async def test_a_cancelled_wait_does_not_stop_the_function(tmp_path: Path) -> None:
    async with opened_pool() as (pool, reported):
        held = Held(tmp_path, pool)
        with trio.CancelScope() as scope:
            scope.cancel()
            os.mkfifo(tmp_path / "fifo0")
            await invoke(pool, do="fifo", path=str(tmp_path / "fifo0"))
        await held.release(0)

        assert (await reported.wait_for(InvocationFinished)).status is InvocationStatus.OK


async def test_a_response_can_be_streamed() -> None:
    async with opened_pool() as (pool, _):
        streamed = invocation(pool, do="stream", pieces=3, size=10)
        async with ResponseStream(streamed) as response:
            pool.start_invocation(streamed)
            pieces = b"".join([piece async for piece in response])

    assert pieces == b"x" * 30


async def test_a_sandbox_cannot_take_another_ones_event() -> None:
    async with opened_pool(freeze=False) as (pool, _), opened_pool() as (other, _):
        address = json.loads((await invoke(pool, do="environment")).payload)[
            "AWS_LAMBDA_RUNTIME_API"
        ]
        stolen = json.loads((await invoke(other, do="ask", address=address)).payload)
        mine = await invoke(pool)

    assert stolen["status"] == 403
    assert mine.function_error is None


async def test_each_sandbox_has_its_own_runtime_api(tmp_path: Path) -> None:
    addresses: set[str] = set()

    async def ask(pool: SandboxPool) -> None:
        variables = json.loads((await invoke(pool, do="environment")).payload)
        addresses.add(variables["AWS_LAMBDA_RUNTIME_API"])

    async with opened_pool() as (pool, reported):
        await ask(pool)
        await reported.wait_for(InvocationFinished)
        Held(tmp_path, pool).start()
        await ask(pool)

    assert len(addresses) == 2


async def test_managed_instances_serve_many_events_in_one_sandbox(tmp_path: Path) -> None:
    function = DevFunction(settings(max_concurrency=4))
    async with opened_pool(function) as (pool, reported):
        held = Held(tmp_path, pool)
        for _ in range(5):
            held.start()
        await reported.wait_for(SandboxStarted)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (len(pool.sandboxes), pool.waiting) == (1, 1)
        for number in range(1, 6):
            await held.release(number)
        await reported.wait_for(InvocationFinished, 5)

    assert {each.status for each in reported.of(InvocationFinished)} == {InvocationStatus.OK}


@pytest.mark.slow
async def test_many_events_at_once_are_all_answered() -> None:
    answers: set[int] = set()

    async def ask(pool: SandboxPool, number: int) -> None:
        answers.add(json.loads((await invoke(pool, n=number)).payload)["event"]["n"])

    async with opened_pool(concurrency=8) as (pool, _):
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(ask, pool, number)
        assert len(pool.sandboxes) <= 8

    assert answers == set(range(200))


async def test_no_process_remains_after_the_block(tmp_path: Path) -> None:
    async with opened_pool() as (pool, reported):
        held = Held(tmp_path, pool)
        first, second = trio.Event(), trio.Event()
        lost = held.start(first)
        held.start(second)
        await reported.wait_for(SandboxStarted, 2)
        pids = [sandbox.pid or 0 for sandbox in pool.sandboxes]

    assert len(pids) == 2
    assert not any(map(is_alive, pids))
    assert first.is_set()
    assert lost.result().error_type == "Runtime.ExitError"


async def test_no_process_remains_after_a_cancellation(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with opened_pool() as (pool, reported):
            Held(tmp_path, pool).start()
            await reported.wait_for(SandboxStarted)
            pids = [sandbox.pid or 0 for sandbox in pool.sandboxes]
            scope.cancel()
            await trio.sleep_forever()

    assert not any(map(is_alive, pids))


@pytest.mark.slow
async def test_500_freezes_and_thaws_under_load_lose_no_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[int] = []
    thaws = 0
    thaw = SandboxProcess.thaw

    def count_thaw(self: SandboxProcess) -> None:
        nonlocal thaws
        thaws += self.frozen
        thaw(self)

    async def ask(pool: SandboxPool, caller: int) -> None:
        for number in range(250):
            result = await invoke(pool, n=caller * 250 + number)
            answers.append(json.loads(result.payload)["event"]["n"])
            # Let the sandbox be idle now and then.
            await trio.testing.wait_all_tasks_blocked(0.001 * (number % 3))

    monkeypatch.setattr(SandboxProcess, "thaw", count_thaw)
    async with opened_pool(concurrency=4) as (pool, reported), trio.open_nursery() as nursery:
        for caller in range(4):
            nursery.start_soon(ask, pool, caller)

    assert sorted(answers) == list(range(1000))
    assert thaws >= 500
    assert not reported.of(InitFailed)
