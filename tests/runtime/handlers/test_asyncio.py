"""Handlers for asyncio on okibi's lasting loop, in a real process."""

import json
import signal
from pathlib import Path

import pytest
import trio

from okibi.local import InvokeResult
from tests.limits import HANG
from tests.support.sandbox import (
    Running,
    deadline_after,
    process_of,
    running,
    until_handed_out,
    until_there,
)

ASYNCIO = {"OKIBI_LOOP": "asyncio"}
SAID = "an actor and a Resource have a loop= of their own"


async def one_loop_serves_all_invocations(sandbox: Running) -> None:
    assert (await sandbox.ask())["same"] is False
    for _ in range(3):
        assert (await sandbox.ask())["same"] is True


async def an_invocation_s_context_variables_are_its_own(sandbox: Running) -> None:
    assert [(await sandbox.ask())["counted"] for _ in range(3)] == [0, 0, 0]


async def a_child_that_a_handler_forks_ends_when_its_handler_does(sandbox: Running) -> None:
    for do, code in (("fork", 0), ("fork and exit", 3)):
        assert await sandbox.do(do) == code
        assert (await sandbox.ask())["pid"] == sandbox.pid


async def a_task_s_log_line_has_the_invocation_s_request_id(sandbox: Running) -> None:
    for _ in range(2):
        request_id = await sandbox.do("log")
        (line,) = (each for each in sandbox.lines if request_id in each and "a task" in each)
        assert line.startswith("[WARNING]")


async def asyncio_subprocesses_and_threads_work(sandbox: Running) -> None:
    assert await sandbox.do("process") == "hi\n"
    assert await sandbox.do("thread") is True


RAISED = [
    ("raise", "ValueError", "no"),
    ("exit", "SystemExit", "3"),
    ("interrupt", "KeyboardInterrupt", ""),
    # The official client logs the same after `asyncio.run`.
    ("group", "ExceptionGroup", "unhandled errors in a TaskGroup (1 sub-exception)"),
]


async def an_exception_is_answered_and_affects_no_other_event(sandbox: Running) -> None:
    for do, kind, message in RAISED:
        told = await sandbox.do(do)
        assert (told["errorType"], told["errorMessage"]) == (kind, message)
        # The stack begins in the user's own code.
        assert 'loops.py", line ' in told["stackTrace"][0], do
        assert "in handler\n" in told["stackTrace"][0], do
        assert do != "group" or "in fails\n" in "".join(told["stackTrace"])
        assert (await sandbox.ask())["same"] is True, do


async def neither_a_background_exit_nor_a_stop_ends_the_loop(sandbox: Running) -> None:
    for do in ("exit beside", "stop"):
        assert (await sandbox.do(do))["same"] is True, do
        assert (await sandbox.ask())["same"] is True, do
    assert sandbox.said("a background task raised SystemExit; the asyncio loop continues") == 1


async def a_kept_task_keeps_running_without_a_log_line(sandbox: Running) -> None:
    before = (await sandbox.do("keep_running"))["ticks"]
    while (await sandbox.ask())["ticks"] < before + 500:  # noqa: ASYNC110, of a process
        await trio.sleep(0.01)
    assert sandbox.said("returned and left") == 0


async def a_leftover_task_keeps_running_and_is_logged_once(sandbox: Running) -> None:
    for _ in range(3):
        before = (await sandbox.do("leave"))["ticks"]
    while (await sandbox.ask())["ticks"] < before + 500:  # noqa: ASYNC110, of a process
        await trio.sleep(0.01)
    assert sandbox.said("a handler returned and left task 'ticker' running: ticks") == 1
    assert sandbox.said("okibi.runtime.keep_running(task)") == 1


async def a_crashed_loop_fails_its_invocation_and_is_restarted(sandbox: Running) -> None:
    told = await sandbox.do("break")
    assert told["errorType"] == "LoopEnded"
    assert (await sandbox.ask())["same"] is False
    assert (await sandbox.ask())["same"] is True


async def test_handlers_on_asyncio_share_one_lasting_loop() -> None:
    async with running("loops.here") as sandbox:
        for rule in (
            one_loop_serves_all_invocations,
            an_invocation_s_context_variables_are_its_own,
            a_child_that_a_handler_forks_ends_when_its_handler_does,
            a_task_s_log_line_has_the_invocation_s_request_id,
            asyncio_subprocesses_and_threads_work,
            an_exception_is_answered_and_affects_no_other_event,
            neither_a_background_exit_nor_a_stop_ends_the_loop,
            a_kept_task_keeps_running_without_a_log_line,
            a_leftover_task_keeps_running_and_is_logged_once,
            a_crashed_loop_fails_its_invocation_and_is_restarted,
        ):
            await rule(sandbox)
            assert sandbox.function.starts == 1, rule


# An awaitable result of a plain `def` is awaited too.
@pytest.mark.parametrize(
    "handler", ["loops.handler", pytest.param("loops.wrapped", marks=pytest.mark.slow)]
)
async def test_okibi_loop_runs_an_unchanged_handler_on_asyncio(handler: str) -> None:
    async with running(handler, environment=ASYNCIO) as sandbox:
        assert (await sandbox.ask())["pid"] == sandbox.pid


@pytest.mark.parametrize(
    "handler", ["loops.handler", pytest.param("loops.on_trio", marks=pytest.mark.slow)]
)
async def test_an_asyncio_handler_on_trio_is_answered_with_the_cure(handler: str) -> None:
    # The Function's loop takes precedence over OKIBI_LOOP.
    environment = ASYNCIO if handler == "loops.on_trio" else {}
    async with running(handler, environment=environment) as sandbox:
        told = await sandbox.do("sleep")
        assert told["errorMessage"].startswith("no running event loop: ")
        assert told["errorMessage"].endswith(SAID)
        # A future of a library, which trio cannot await.
        told = await sandbox.ask()
        assert told["errorType"] == "TypeError"
        assert told["errorMessage"].endswith(SAID)


async def test_a_trio_handler_on_asyncio_is_answered_with_the_cure() -> None:
    async with running("crossed.on_asyncio") as sandbox:
        for what in ("calls", "sleeps", "steps"):
            told = await sandbox.do(what)
            assert ": this needs trio, and the handler runs on asyncio" in told["errorMessage"], (
                what
            )
            assert told["errorMessage"].endswith("call actors with okibi.runtime.from_asyncio")


@pytest.mark.slow
async def test_from_asyncio_on_trio_is_answered_with_the_cure() -> None:
    async with running("crossed.from_asyncio_on_trio") as sandbox:
        told = await sandbox.ask()
        assert "on trio use `await address.call(...)`" in told["errorMessage"]


async def a_handler_is_cancelled_at_its_deadline(sandbox: Running) -> None:
    assert (await sandbox.do("sleep"))["errorType"] == "Runtime.DeadlineExceeded"
    assert sandbox.said("cancelled") == 1


async def a_handler_that_resists_cancellation_is_abandoned(
    sandbox: Running,
) -> None:
    assert (await sandbox.do("swallow"))["errorType"] == "Runtime.DeadlineExceeded"
    assert sandbox.said("abandoning ") == 1


async def a_long_clean_up_occupies_no_worker_and_is_not_cut(
    sandbox: Running,
) -> None:
    for _ in range(2):
        told = await sandbox.do("clean up", **{"for": 0.6})
        assert told["errorType"] == "Runtime.DeadlineExceeded"
    while sandbox.said("has cleaned up") < 2:
        assert (await sandbox.ask())["same"] is True


async def test_a_late_handler_on_asyncio_is_answered_and_the_loop_stays() -> None:
    async with running("loops.here", api=deadline_after(0.8)) as sandbox:
        await sandbox.ask()
        for rule in (
            a_handler_is_cancelled_at_its_deadline,
            a_handler_that_resists_cancellation_is_abandoned,
            a_long_clean_up_occupies_no_worker_and_is_not_cut,
        ):
            await rule(sandbox)
            assert (await sandbox.ask())["same"] is True, rule
        assert sandbox.function.starts == 1


@pytest.mark.slow
async def test_a_late_handler_that_blocks_the_loop_ends_the_process() -> None:
    async with running("loops.here", api=deadline_after(0.8)) as sandbox:
        pid = (await sandbox.ask())["pid"]

        assert (await sandbox.do("block"))["errorType"] == "Runtime.DeadlineExceeded"
        assert (await sandbox.ask())["pid"] != pid
        assert sandbox.said("in handler") >= 1


@pytest.mark.slow
async def test_killing_another_actor_does_not_change_the_answer() -> None:
    async with running("loops.here") as sandbox:
        await sandbox.ask()
        for name in ("asyncio/loop", "lambda/responder-0", "lambda/dispatcher", "lambda/poller-0"):
            told = await sandbox.do("kill", path=f"/function/{name}")
            assert told["same"] is True, name
        assert (await sandbox.ask())["same"] is True

        # Killing the worker cancels the handler, which is answered with an error.
        kinds: list[object] = []
        for n in (0, 1):
            told = await sandbox.do("kill", path=f"/function/lambda/workers/worker-{n}")
            kinds.append(told.get("errorType"))
        assert "Runtime.WorkerExited" in kinds
        assert (await sandbox.ask())["same"] is True
        assert sandbox.function.starts == 1


# -- Handler classes


async def test_a_handler_class_and_its_tasks_run_on_the_loop() -> None:
    async with running("loops.keeps") as sandbox:
        assert await sandbox.ask() == {"same": True, "ticked": True}
        for do, kind in (("raise", "ValueError"), ("crash beside", "LookupError")):
            assert (await sandbox.do(do))["errorType"] == kind
            assert await sandbox.ask() == {"same": True, "ticked": True}
        # Two workers, and two replaced instances: the other worker answers while one is replaced.
        while sandbox.said("init") < 4:
            await sandbox.ask()
        assert sandbox.said("tick ends") == 2
        assert sandbox.said("terminate crashed") == 2
        assert sandbox.said("returned and left") == 0
        assert sandbox.function.starts == 1


# -- actors, from the loop


async def test_code_on_asyncio_calls_actors() -> None:
    async with running("loops.both") as sandbox:
        assert max(await sandbox.ask({"by": [1, 2, 3]})) == 6
        assert (await sandbox.ask({"by": ["nobody"]}))["errorType"] == "ActorExited"
        assert await sandbox.ask({"by": [5]}) == [5]


@pytest.mark.slow
async def test_from_asyncio_on_another_loop_is_answered_with_the_cure() -> None:
    async with running("loops.elsewhere", environment=ASYNCIO) as sandbox:
        told = await sandbox.ask()
        assert told["errorType"] == "RuntimeError"
        assert "use okibi.actors.Portal" in told["errorMessage"]


# -- the end


async def test_sigterm_ends_tasks_and_generators_with_exit_code_0() -> None:
    async with process_of("loops.here") as (process, api, said):
        for do in (b"keep_running", b"generator"):
            await api.invoke(b'{"do": "%s"}' % do)
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(HANG):
            assert await process.wait() == 0
    text = b"".join(said)
    assert b"ticks end" in text
    assert b"generator ends" in text
    assert b"Task was destroyed" not in text
    assert b"Traceback" not in text


async def test_sigterm_cancels_and_answers_the_event_in_flight(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    async with process_of("loops.here") as (process, api, said):
        async with trio.open_nursery() as nursery:

            async def invoke() -> None:
                event = {"do": "sleep", "begun": str(begun)}
                result = await api.invoke(json.dumps(event).encode())
                assert result.error_type == "Runtime.Stopped"

            nursery.start_soon(invoke)
            await until_handed_out(api)
            await until_there(begun)
            await trio.sleep(0.05)
            process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert b"cancelled" in b"".join(said)


@pytest.mark.slow
@pytest.mark.parametrize(("do", "kind"), [("leave stubborn", None), ("swallow", "Runtime.Stopped")])
async def test_code_that_resists_delays_neither_the_answer_nor_the_end(
    do: str, kind: str | None, tmp_path: Path
) -> None:
    told: list[InvokeResult] = []
    begun = tmp_path / "begun"
    async with process_of("loops.here") as (process, api, _), trio.open_nursery() as nursery:

        async def invoke() -> None:
            told.append(await api.invoke(json.dumps({"do": do, "begun": str(begun)}).encode()))

        nursery.start_soon(invoke)
        await until_there(begun)
        await trio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(HANG):
            assert await process.wait() == 0
        nursery.cancel_scope.cancel()

    assert [result.error_type for result in told] == [kind]
