"""Lambda on this machine with a real bootstrap process."""

import base64
import json
import math
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from okibi.local import (
    EntryKind,
    FunctionSettings,
    Invocation,
    LocalLambda,
    open_local_lambda,
)
from okibi.local.platform.log_tail import LogTail
from tests.limits import HANG
from tests.support.local_lambda import BOOTSTRAP, event, opened, settings


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


async def until_gone(pid: int) -> None:
    """Wait until a kill takes effect."""
    with trio.fail_after(HANG):
        while not is_gone(pid):
            await trio.lowlevel.checkpoint()


async def test_one_process_serves_all_invocations() -> None:
    async with opened() as (function, _):
        first = await function.invoke(event(n=1))
        second = await function.invoke(event(n=2))

        assert json.loads(first.payload) == {
            "event": {"n": 1},
            "pid": function.pid,
            "id": first.request_id,
        }
        assert json.loads(second.payload)["pid"] == function.pid
        assert function.starts == 1
        assert first.init_ms is not None
        assert first.init_ms > 0
        assert second.init_ms is None


async def test_a_payload_that_is_not_bytes_is_refused() -> None:
    async with opened() as (function, _):
        with pytest.raises(TypeError) as refused:
            await function.invoke({"n": 1})  # type: ignore[arg-type]

    assert str(refused.value) == (
        "payload must be bytes, got dict: write json.dumps(event).encode()"
    )


async def test_a_client_context_that_no_header_can_carry_raises() -> None:
    async with opened() as (function, _):
        for text in ("\0", "a\x1bb", "\x7f", "\ud800"):
            with pytest.raises(
                ValueError, match=r"client_context contains .*, which an HTTP header cannot"
            ):
                await function.invoke(b"{}", client_context=text)
            with pytest.raises(
                ValueError, match=r"client_context contains .*, which an HTTP header cannot"
            ):
                function.stream(b"{}", client_context=text)


async def test_a_time_out_kills_the_process_and_the_next_invoke_starts_one() -> None:
    async with opened(timeout=0.2) as (function, _):
        await function.invoke(b"{}")
        old = function.pid
        assert old is not None

        result = await function.invoke(event(do="sleep", seconds=100))

        assert json.loads(result.payload) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {result.request_id} Error: "
            "Task timed out after 0.20 seconds",
        }
        assert result.duration_ms >= 200
        fresh = await function.invoke(b"{}")
        assert json.loads(fresh.payload)["pid"] == function.pid != old
        assert fresh.init_ms is not None
        assert function.starts == 2
        assert is_gone(old)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (1, "Runtime exited with error: exit status 1"),
        (0, "Runtime exited without providing a reason"),
    ],
)
async def test_an_exit_answers_the_invoke_and_the_next_invoke_starts_a_process(
    status: int, reason: str
) -> None:
    async with opened() as (function, _):
        result = await function.invoke(event(do="exit", status=status))

        assert json.loads(result.payload) == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {result.request_id} Error: {reason}",
        }
        assert result.function_error == "Unhandled"
        assert (await function.invoke(b"{}")).function_error is None
        assert function.starts == 2


async def test_an_invoke_waiting_behind_an_exit_gets_a_new_process() -> None:
    async with opened(timeout=60) as (function, _):
        await function.invoke(b"{}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function.invoke, event(do="answer and exit"))
            await trio.testing.wait_all_tasks_blocked()
            result = await function.invoke(b"{}")

        assert result.function_error is None
        assert function.starts == 2


async def test_an_exit_by_signal_is_named_as_on_lambda() -> None:
    async with opened() as (function, _):
        await function.invoke(b"{}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_once_running, function)
            result = await function.invoke(event(do="sleep", seconds=100))

        assert "Runtime exited with error: signal: killed" in result.payload.decode()


async def kill_once_running(function: LocalLambda) -> None:
    while len(function.journal.entries) < 3:
        await trio.lowlevel.checkpoint()
    assert function.pid is not None
    os.kill(function.pid, 9)


async def test_an_init_error_answers_the_first_invoke() -> None:
    async with opened("init.error") as (function, lines):
        result = await function.invoke(b"{}")

        assert json.loads(result.payload)["errorMessage"] == "broken"
        assert result.function_error == "Unhandled"
        assert lines[0].startswith("INIT_REPORT Init Duration: ")
        assert lines[0].endswith("\tPhase: init\tStatus: error\tError Type: Runtime.Unknown\t")
        assert function.starts == 1
        await function.invoke(b"{}")
        assert function.starts == 2


async def test_the_lines_come_in_lambdas_order() -> None:
    async with opened() as (function, lines):
        result = await function.invoke(event(do="print", text="from the handler"))
        await function.invoke(b"{}")
        request_id = result.request_id

        assert lines[:3] == [
            f"START RequestId: {request_id} Version: $LATEST",
            "from the handler",
            f"END RequestId: {request_id}",
        ]
        report = dict(field.split(": ", 1) for field in lines[3].strip().split("\t"))
        assert report.pop("REPORT RequestId") == request_id
        assert list(report) == [
            "Duration",
            "Billed Duration",
            "Memory Size",
            "Max Memory Used",
            "Init Duration",
        ]
        assert report["Memory Size"] == "128 MB"


async def test_an_unfinished_line_ends_with_its_invocation() -> None:
    async with opened() as (function, lines):
        await function.invoke(event(do="print", text="one", line=False))
        await function.invoke(event(do="print", text="two", line=False))
        await function.wait_for_report()

        words = [line.partition(" ")[0] for line in lines]

    assert words == ["START", "one", "END", "REPORT", "START", "two", "END", "REPORT"]


async def test_several_tasks_can_wait_for_one_report() -> None:
    async with opened(timeout=5) as (function, _):
        await function.invoke(event(do="print", text="one"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function.invoke, event(do="sleep", seconds=0.2))
            while len(function.journal.times(EntryKind.DELIVERED)) < 2:
                await trio.lowlevel.checkpoint()
            with trio.fail_after(HANG):
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(function.wait_for_report)
                    waiting.start_soon(function.wait_for_report)


async def test_the_sandbox_has_lambdas_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    async with opened(environment={"MINE": "yes"}, memory=256, name="visits") as (function, _):
        result = await function.invoke(event(do="environment"))

        environment = json.loads(result.payload)
        assert environment["AWS_LAMBDA_RUNTIME_API"] == function.runtime_api
        assert environment["_HANDLER"] == "app.handler"
        assert environment["LAMBDA_TASK_ROOT"] == str(BOOTSTRAP.parent)
        assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "visits"
        assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
        assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
        assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/visits"
        assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-west-1"
        assert environment["TZ"] == ":UTC"
        assert environment["MINE"] == "yes"


async def test_no_process_remains_after_the_block() -> None:
    async with opened() as (function, _):
        child = json.loads((await function.invoke(event(do="child"))).payload)["pid"]
        pid = function.pid
        assert pid is not None

    assert is_gone(pid)
    await until_gone(child)


async def test_no_detached_process_of_an_earlier_sandbox_remains() -> None:
    async with opened() as (function, _):
        daemon = json.loads((await function.invoke(event(do="daemon"))).payload)["pid"]
        await function.invoke(event(do="exit", status=1))
        await function.invoke(b"{}")
        assert function.starts == 2

    await until_gone(daemon)


async def test_no_process_remains_after_the_block_is_cancelled() -> None:
    pids: list[int | None] = []
    with trio.CancelScope() as scope:
        async with opened() as (function, _):
            await function.invoke(b"{}")
            pids.append(function.pid)
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
    (pid,) = pids
    assert pid is not None
    assert is_gone(pid)


async def test_cancelling_an_invoke_does_not_stop_the_function() -> None:
    async with opened() as (function, _):
        await function.invoke(b"{}")
        with trio.move_on_after(0.01):
            await function.invoke(event(do="sleep", seconds=0.1))

        assert (await function.invoke(b"{}")).function_error is None
        assert function.starts == 1


async def test_a_port_in_use_is_named() -> None:
    async with opened() as (function, _):
        port = int(function.runtime_api.rpartition(":")[2])
        message = f"runtime_port: cannot listen on 127.0.0.1:{port}: the port is in use"
        with pytest.raises(OSError, match=message):
            async with open_local_lambda(settings(), runtime_port=port):
                pytest.fail("the port was free")


async def test_a_bootstrap_that_hangs_in_init_is_killed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okibi.local.sandbox.sandbox.INIT_LIMIT", 0.3)
    async with opened("init.hang", timeout=0.4) as (function, lines):
        function._sandbox._init_limit = 0.3  # pyright: ignore[reportPrivateUsage]
        result = await function.invoke(b"{}")

        assert "Task timed out after 0.40 seconds" in result.payload.decode()
        assert function.starts == 2
        assert sum("\tStatus: timeout\t" in line for line in lines) == 2


# -- over HTTP


# -- the log of an invocation


async def log_of(function: LocalLambda, payload: bytes) -> list[str]:
    """Invoke; return the end of the log."""
    invocation = Invocation(payload, 30.0, log=LogTail())
    await function.run_invocation(invocation)
    assert invocation.log is not None
    if not math.isnan(invocation.begun_at):
        await invocation.log.complete.wait()
    return base64.b64decode(invocation.log.encoded()).decode().splitlines()


async def test_the_log_of_an_invocation_has_its_own_lines_only() -> None:
    async with opened() as (function, _):
        await function.invoke(event(do="print", text="before"))
        start, line, end, report = await log_of(function, event(do="print", text="mine"))

        assert (line, start[:6], end[:4], report[:7]) == ("mine", "START ", "END ", "REPORT ")


async def test_the_log_of_a_failed_start_has_the_lines_of_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("print('importing')\nraise ValueError('no')\n")
    with trio.fail_after(HANG):
        async with open_local_lambda(
            FunctionSettings("app.handler", task_root=tmp_path), output=lambda _: None
        ) as function:
            log = await log_of(function, b"{}")

    assert log[0] == "importing"
    assert any("ValueError: no" in line for line in log)
    assert log[-1].startswith("INIT_REPORT ")


async def test_concurrent_invocations_each_get_a_log() -> None:
    async with opened(max_concurrency=2) as (function, _), trio.open_nursery() as nursery:

        async def one(text: str) -> None:
            log = await log_of(function, event(do="print", text=text))
            assert text in log
            assert log[-1].startswith("REPORT ")

        nursery.start_soon(one, "one")
        nursery.start_soon(one, "two")
