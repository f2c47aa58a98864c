"""The Runtime API for a runtime that the user starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.dev.attached_runtime import ATTACHED_TIMEOUT
from okibi.dev.dev_function import DevFunction
from okibi.dev.invocation_events import (
    InitFailed,
    InvocationFinished,
    InvocationStatus,
    SandboxEnded,
    SandboxStarted,
    SourceChanged,
)
from okibi.dev.sandbox_pool import SandboxPool
from okibi.local import FunctionSettings
from tests.limits import HANG
from tests.support.debug_adapter import Debugger
from tests.support.local_lambda import BOOTSTRAP, settings
from tests.support.sandbox_pool import invocation, invoke, opened_pool

PLAIN = (sys.executable, "-S", "-E", str(BOOTSTRAP))
OKIBI = (sys.executable, "-P", "-m", "okibi.runtime")


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' runtimes keep their connections until they end."""
    monkeypatch.setattr("okibi.dev.attached_runtime.GRACE", 0.02)


def attached(**fields: Any) -> DevFunction:
    return DevFunction(settings(**fields), attach=True, attach_port=0)


@contextmanager
def runtime(
    pool: SandboxPool, *command: str, changes: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a runtime as an IDE would."""
    settings = pool.function.settings
    environment = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": pool.runtime_api,
        "_HANDLER": settings.handler,
        **(changes or {}),
    }
    folder = settings.task_root
    with subprocess.Popen(command or PLAIN, env=environment, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_no_process_is_started() -> None:
    async with opened_pool(attached()) as (pool, _):
        assert pool.sandboxes == []
        assert pool.runtime_api.startswith("127.0.0.1:")


async def test_an_event_waits_for_the_runtime() -> None:
    async with opened_pool(attached(timeout=0.1)) as (pool, reported):
        waiting, done = invocation(pool), trio.Event()
        pool.start_invocation(waiting, done)
        with runtime(pool) as process:
            await done.wait()

        assert json.loads(waiting.result().payload)["pid"] == process.pid
        assert reported.of(SandboxStarted)[0].attached


async def test_no_invocation_times_out_under_a_debugger() -> None:
    async with opened_pool(attached(timeout=0.05)) as (pool, _):
        with runtime(pool):
            result = await invoke(pool, do="sleep", seconds=0.2)
            headers = json.loads((await invoke(pool, do="headers")).payload)["event"]["headers"]

    assert result.function_error is None
    left = int(headers["lambda-runtime-deadline-ms"]) / 1000 - time.time()
    assert left > ATTACHED_TIMEOUT - HANG


async def test_the_next_runtime_gets_the_next_event() -> None:
    async with opened_pool(attached()) as (pool, reported):
        pids: list[int] = []
        for number in (1, 2):
            with runtime(pool):
                pids.append(json.loads((await invoke(pool)).payload)["pid"])
            await reported.wait_for(SandboxEnded, number)

    assert len(set(pids)) == 2
    assert {each.reason for each in reported.of(SandboxEnded)} == {"disconnected"}


async def test_the_event_of_a_stopped_runtime_fails() -> None:
    async with opened_pool(attached()) as (pool, reported):
        with runtime(pool):
            await reported.wait_for(SandboxStarted)
            lost, done = invocation(pool, do="exit", status=1), trio.Event()
            pool.start_invocation(lost, done)
            await done.wait()
        finished = await reported.wait_for(InvocationFinished)

    assert lost.result().error_type == "Runtime.ExitError"
    assert finished.status is InvocationStatus.EXITED


async def test_after_an_init_error_the_next_runtime_serves() -> None:
    async with opened_pool(attached()) as (pool, reported):
        with runtime(pool, changes={"_HANDLER": "init.error"}):
            failed = await reported.wait_for(InitFailed)
            await reported.wait_for(SandboxEnded)
        with runtime(pool):
            result = await invoke(pool)

    assert failed.failure.message == "broken"
    assert result.function_error is None


async def test_a_runtime_stopped_between_events_loses_none() -> None:
    async with opened_pool(attached()) as (pool, reported):
        with runtime(pool) as process:
            await invoke(pool)
            process.send_signal(signal.SIGKILL)
            waiting = invocation(pool)
            await reported.wait_for(SandboxEnded)
        pool.start_invocation(waiting, done := trio.Event())
        with runtime(pool):
            await done.wait()

    assert waiting.result().function_error is None


async def test_an_event_after_the_runtimes_end_waits_before_the_end_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okibi.dev.attached_runtime.GRACE", 0.2)
    async with opened_pool(attached()) as (pool, reported):
        with runtime(pool) as process:
            await invoke(pool)
            process.kill()
            await trio.to_thread.run_sync(process.wait)
        waiting, done = invocation(pool), trio.Event()
        pool.start_invocation(waiting, done)
        await reported.wait_for(SandboxEnded)
        with runtime(pool):
            await done.wait()

    assert waiting.result().function_error is None


async def test_a_reload_leaves_the_runtime_alone() -> None:
    async with opened_pool(attached()) as (pool, reported):
        with runtime(pool) as process:
            await invoke(pool)
            pool.reload([BOOTSTRAP])

            assert json.loads((await invoke(pool)).payload)["pid"] == process.pid
    # A change without an end would hold back the line about the other functions of the folder.
    assert reported.of(SourceChanged) == []


async def test_the_port_is_the_configured_one() -> None:
    async with opened_pool(attached()) as (pool, _):
        port = int(pool.runtime_api.rpartition(":")[2])
        again = DevFunction(settings(), attach=True, attach_port=port)
        with pytest.raises(OSError, match=f"attach_port: cannot listen on 127.0.0.1:{port}"):
            async with opened_pool(again):
                pass


async def test_okibis_runtime_needs_only_the_documented_variables(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def handler(event, context):\n    return context.invoked_function_arn\n"
    )
    function = DevFunction(
        FunctionSettings("app.handler", name="visits", task_root=tmp_path),
        attach=True,
        attach_port=0,
    )
    async with opened_pool(function) as (pool, _):
        with runtime(pool, *OKIBI):
            result = await invoke(pool)

    assert json.loads(result.payload) == function.settings.arn


@pytest.mark.slow
async def test_a_breakpoint_may_hold_an_event_longer_than_its_time_out(tmp_path: Path) -> None:
    pytest.importorskip("debugpy")
    (tmp_path / "app.py").write_text(
        "def handler(event, context):\n    name = event['name']\n    return 'hello ' + name\n"
    )
    function = DevFunction(
        FunctionSettings("app.handler", task_root=tmp_path, timeout=0.1),
        attach=True,
        attach_port=0,
    )
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    debugpy = ("-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client")
    async with opened_pool(function) as (pool, reported):
        held, done = invocation(pool, name="Ada"), trio.Event()
        pool.start_invocation(held, done)
        with runtime(pool, sys.executable, *debugpy, "-m", "okibi.runtime"):
            debugger = await Debugger.connect(port)
            async with debugger.stream:
                await debugger.attach(str(tmp_path / "app.py"), 3)
                stopped = await debugger.wait_for(event="stopped")
                await trio.sleep(0.3)  # past the time-out
                assert not done.is_set()
                await debugger.send("continue", threadId=stopped["body"]["threadId"])
                await done.wait()

    assert stopped["body"]["reason"] == "breakpoint"
    assert json.loads(held.result().payload) == "hello Ada"
    assert reported.of(InvocationFinished)[0].status is InvocationStatus.OK
