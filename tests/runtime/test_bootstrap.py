"""The life of the process: init errors, signals, exit codes."""

import json
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from okibi.local import RuntimeApiOptions
from okibi.runtime.bootstrap import CANCELLED
from okibi.runtime.process_end.shutdown import STOP_LIMIT
from tests.limits import HANG
from tests.support.sandbox import (
    COMMAND,
    FUNCTIONS,
    process_of,
    running,
    without_lambda,
)

slow = partial(pytest.param, marks=pytest.mark.slow)

SLOW_IMPORT = """
import sys
import okibi.runtime.bootstrap
okibi.runtime.bootstrap.LIMIT = 0.5
sys.exit(okibi.runtime.bootstrap.main(sys.argv[1:]))
"""


async def exit_of(handler: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a bootstrap without a platform; return its exit code and its output."""
    process = await trio.run_process(
        [*COMMAND, *arguments],
        env={**without_lambda(), "_HANDLER": handler, **environment},
        cwd=FUNCTIONS,
        check=False,
        capture_stdout=True,
        capture_stderr=True,
    )
    return process.returncode, (process.stdout + process.stderr).decode()


# -- init errors


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        slow(
            "app.nobody",
            "Runtime.HandlerNotFound",
            "Handler 'nobody' missing on module 'app'; the module defines "
            "act, asynchronous, plain, answer, waits, leave, works",
        ),
        (
            "tree.FailingHandler",
            "ConnectionError",
            "/function/lambda/workers/worker-0 did not start: no table",
        ),
    ],
)
async def test_an_init_error_is_reported_and_ends_the_process(
    handler: str, kind: str, words: str
) -> None:
    async with running(handler) as sandbox:
        result = await sandbox.invoke()

        error = json.loads(result.payload)
        assert (error["errorType"], error["errorMessage"]) == (kind, words)
        assert result.function_error == "Unhandled"
        assert sandbox.said(words) >= 1


async def test_when_an_actor_does_not_start_earlier_ones_are_stopped() -> None:
    async with running("tree.failing") as sandbox:
        error = await sandbox.ask()

        assert error["errorMessage"] == "/function/children/database did not start: no database"
        # The stack trace begins in the user's file.
        (line,) = error["stackTrace"]
        assert 'tree.py", line ' in line
        assert "in init" in line
        assert sandbox.said("visits end: shutdown") >= 1


TIMES_OUT = """
import socket
import httpx
from okibi import Handler

SILENT = socket.create_server(("127.0.0.1", 0))

class Times(Handler[dict]):
    async def init(self):
        url = f"http://127.0.0.1:{SILENT.getsockname()[1]}/"
        async with httpx.AsyncClient(timeout=0.1, trust_env=False) as client:
            await client.get(url)

    async def handle(self, event, context): ...
"""


@pytest.mark.slow
async def test_a_time_out_in_init_is_logged_with_one_traceback(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TIMES_OUT)
    async with running("app.Times", task_root=tmp_path) as sandbox:
        error = await sandbox.ask()
        log = "\n".join(sandbox.lines).replace("\r", "\n")

    assert error["errorMessage"] == "/function/lambda/workers/worker-0 did not start"
    # The crash report has the frames of httpx; the init error after it has the user's alone.
    assert log.count("in _send_single_request") == 1
    assert log.count("await client.get(url)") == 2
    assert log.count("OKIBI_TRACE=full") == 1
    assert any("_send_single_request" in entry for entry in error["stackTrace"])


async def test_a_slow_import_is_logged_with_its_line_and_serves(tmp_path: Path) -> None:
    """Lambda restarts an init of over 10 s, within the function's time-out."""
    handler = "def handler(event, context):\n    return threads\n"
    threads = "import threading\nthreads = [t.name for t in threading.enumerate()]\n"
    (tmp_path / "app.py").write_text(f"import time\n\ntime.sleep(0.8)\n{threads}{handler}")
    command = (sys.executable, "-P", "-c", SLOW_IMPORT)
    async with running("app.handler", command=command, task_root=tmp_path) as sandbox:
        # As in the official client, there is no other thread.
        assert await sandbox.ask() == ["MainThread"]
        assert sandbox.said(f'File "{tmp_path}/app.py", line 3 in <module>') == 1


async def test_a_missing_address_is_one_sentence_on_stderr() -> None:
    code, said = await exit_of("app.plain")

    assert code == 1
    assert said == (
        "okibi: AWS_LAMBDA_RUNTIME_API is not set: "
        "run the function on Lambda or with `okibi invoke`\n"
    )


@pytest.mark.slow
async def test_a_bad_setting_is_one_sentence_on_stderr() -> None:
    code, said = await exit_of(
        "app.plain", AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001", AWS_LAMBDA_MAX_CONCURRENCY="x"
    )

    assert code == 1
    assert said == "okibi: AWS_LAMBDA_MAX_CONCURRENCY must be a number >= 1, got 'x'\n"


async def test_a_bad_setting_is_reported_to_the_invoker() -> None:
    async with running("app.plain", environment={"OKIBI_LOOP": "uvloop"}) as sandbox:
        error = await sandbox.ask()

    assert error["errorType"] == "Runtime.BadSetting"
    assert error["errorMessage"] == "OKIBI_LOOP must be trio or asyncio, got 'uvloop'"


@pytest.mark.slow
async def test_an_init_error_without_a_runtime_api_exits_with_1() -> None:
    code, said = await exit_of("app.nobody", AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{free_port()}")

    assert code == 1
    assert "Runtime.HandlerNotFound: Handler 'nobody' missing on module 'app'" in said


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


# -- stops and exit codes


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)])
async def test_a_signal_stops_the_tree_in_order_and_exits_with_0(number: signal.Signals) -> None:
    async with process_of("tree.function") as (process, api, said):
        await api.invoke(b'{"name": "a"}')
        began = time.perf_counter()

        process.send_signal(number)

        assert await process.wait() == 0
        # `make stopping` measures the bar of 0.3 s.
        assert time.perf_counter() - began < STOP_LIMIT
    lines = b"".join(said).decode().splitlines()
    assert [line for line in lines if " end" in line] == [
        "beside ends",
        "beside ends",
        "visits end: shutdown",
    ]


@pytest.mark.slow
async def test_a_thread_of_the_function_delays_no_exit() -> None:
    async with process_of("odd.threads") as (process, api, _):
        await api.invoke(b"{}")
        process.send_signal(signal.SIGTERM)
        began = time.perf_counter()
        assert await process.wait() == 0
        assert time.perf_counter() - began < 2.7


@pytest.mark.slow
async def test_a_runtime_api_that_cannot_be_reached_exits_with_1() -> None:
    code, said = await exit_of("app.plain", AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{free_port()}")

    assert code == 1
    assert "the Runtime API cannot be reached" in said.splitlines()[-1]
    assert "Traceback" not in said


async def test_a_tree_that_gives_up_exits_with_1() -> None:
    async with process_of("tree.dying") as (process, _, said):
        assert await process.wait() == 1
    assert b"again and again" in b"".join(said)


BESIDE = """\
import trio
from okibi.actors import Server
from okibi.runtime import Function
from okibi.supervisors import Child


class Kept(Server):
    async def terminate(self, reason):
        print("kept ends:", reason)


async def crash():
    raise LookupError("beside the tree")


def callback():
    raise LookupError("beside the tree")


async def handler(event, context):
    if event == "task":
        trio.lowlevel.spawn_system_task(crash)
    else:
        trio.lowlevel.current_trio_token().run_sync_soon(callback)


function = Function(handler, children=[Child(Kept)])
"""


@pytest.mark.parametrize("what", ["task", slow("callback")])
async def test_a_crash_outside_the_tree_stops_the_tree_in_order(what: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BESIDE)
    async with process_of("app.function", task_root=tmp_path) as (process, api, said):
        await api.invoke(b'"%s"' % what.encode())
        # Without the handling, the tree would serve on and no actor would terminate.
        with trio.fail_after(HANG):
            assert await process.wait() == 1
    error = b"".join(said).decode()
    assert "kept ends: shutdown" in error
    assert CANCELLED in error
    assert "LookupError: beside the tree" in error


@pytest.mark.slow
async def test_a_500_of_the_runtime_api_exits_with_1() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nbad\n")
        await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        code, said = await exit_of("app.plain", AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{port}")
        nursery.cancel_scope.cancel()

    assert code == 1
    assert "the Runtime API answered /next with 500: bad" in said


async def test_a_signal_during_init_exits_with_0_and_reports_nothing() -> None:
    async with process_of("tree.hanging") as (process, api, said):
        while not any(b"init has begun" in part for part in said):  # noqa: ASYNC110, of a process
            await trio.sleep(0.01)
        process.send_signal(signal.SIGTERM)

        assert await process.wait() == 0
        assert api.state.value == "Started"


async def test_events_past_their_deadline_do_not_end_the_process() -> None:
    behind = 60.0
    late = RuntimeApiOptions(wall_clock=lambda: time.time() - behind)
    async with running("odd.pid", api=late) as function:
        answers = [await function.invoke() for _ in range(20)]
        behind = 0.0

        assert {a.error_type for a in answers} == {"Runtime.DeadlineExceeded"}
        assert await function.ask() == function.pid
        assert function.function.starts == 1
