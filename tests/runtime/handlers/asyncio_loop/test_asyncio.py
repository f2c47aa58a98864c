"""Handlers written for asyncio, in a real process: one lasting loop, ended as trio's would be."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.local import InvokeResult
from tests.limits import HANG
from tests.support.sandbox import Running, process_of, running, until_handed_out, until_there

ASYNCIO = {"OKIBI_LOOP": "asyncio"}
LATE: dict[str, Any] = {"timeout": 1.0}
SAID = 'set OKIBI_LOOP=asyncio, or write Function(handler, loop="asyncio")'


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


async def a_log_line_of_a_task_s_bears_the_invocation_s_request_id(sandbox: Running) -> None:
    for _ in range(2):
        request_id = await sandbox.do("log")
        (line,) = (each for each in sandbox.lines if request_id in each and "a task" in each)
        assert line.startswith("[WARNING]")


async def subprocesses_and_threads_of_asyncio_s_work(sandbox: Running) -> None:
    assert await sandbox.do("process") == "hi\n"
    assert await sandbox.do("thread") is True


RAISED = [
    ("raise", "ValueError", "no"),
    ("exit", "SystemExit", "3"),
    ("interrupt", "KeyboardInterrupt", ""),
    # As the official client tells of it, after `asyncio.run`.
    ("group", "ExceptionGroup", "unhandled errors in a TaskGroup (1 sub-exception)"),
]


async def what_a_handler_raises_is_its_answer_and_costs_nothing_else(sandbox: Running) -> None:
    for do, kind, message in RAISED:
        told = await sandbox.do(do)
        assert (told["errorType"], told["errorMessage"]) == (kind, message)
        # The stack begins in the user's own code.
        assert 'loops.py", line ' in told["stackTrace"][0], do
        assert "in handler\n" in told["stackTrace"][0], do
        assert do != "group" or "in fails\n" in "".join(told["stackTrace"])
        assert (await sandbox.ask())["same"] is True, do


async def neither_an_exit_beside_nor_a_stop_ends_the_loop(sandbox: Running) -> None:
    for do, said in (
        ("exit beside", "a background task raised SystemExit; the asyncio loop goes on"),
        ("stop", "user code has stopped the asyncio loop; it goes on"),
    ):
        assert (await sandbox.do(do))["same"] is True, do
        assert (await sandbox.ask())["same"] is True, do
        assert sandbox.said(said) == 1


async def a_task_that_is_kept_goes_on_without_a_word(sandbox: Running) -> None:
    before = (await sandbox.do("keep_running"))["ticks"]
    while (await sandbox.ask())["ticks"] < before + 500:  # noqa: ASYNC110, of a process
        await trio.sleep(0.01)
    assert sandbox.said("has returned and left") == 0


async def a_task_left_behind_goes_on_and_is_told_of_once_for_its_place(sandbox: Running) -> None:
    for _ in range(3):
        before = (await sandbox.do("leave"))["ticks"]
    while (await sandbox.ask())["ticks"] < before + 500:  # noqa: ASYNC110, of a process
        await trio.sleep(0.01)
    assert sandbox.said("a handler has returned and left task 'ticker' running: ticks") == 1
    assert sandbox.said("okibi.runtime.keep_running(task)") == 1


async def a_loop_that_crashes_costs_its_invocation_and_is_started_anew(sandbox: Running) -> None:
    told = await sandbox.do("break")
    assert told["errorType"] == "LoopEnded"
    assert (await sandbox.ask())["same"] is False
    assert (await sandbox.ask())["same"] is True


async def test_what_a_handler_does_on_asyncio_costs_the_lasting_loop_nothing() -> None:
    async with running("loops.here") as sandbox:
        for rule in (
            one_loop_serves_all_invocations,
            an_invocation_s_context_variables_are_its_own,
            a_child_that_a_handler_forks_ends_when_its_handler_does,
            a_log_line_of_a_task_s_bears_the_invocation_s_request_id,
            subprocesses_and_threads_of_asyncio_s_work,
            what_a_handler_raises_is_its_answer_and_costs_nothing_else,
            neither_an_exit_beside_nor_a_stop_ends_the_loop,
            a_task_that_is_kept_goes_on_without_a_word,
            a_task_left_behind_goes_on_and_is_told_of_once_for_its_place,
            a_loop_that_crashes_costs_its_invocation_and_is_started_anew,
        ):
            await rule(sandbox)
            assert sandbox.function.starts == 1, rule


async def test_the_variable_has_an_unchanged_handler_run_on_asyncio() -> None:
    # What a plain `def` gives back is awaited too.
    for handler in ("loops.handler", "loops.wrapped"):
        async with running(handler, environment=ASYNCIO) as sandbox:
            assert (await sandbox.ask())["pid"] == sandbox.pid


@pytest.mark.parametrize("handler", ["loops.handler", "loops.on_trio"])
async def test_without_it_the_error_says_what_to_set(handler: str) -> None:
    # What the function says counts, whatever the variable says.
    environment = ASYNCIO if handler == "loops.on_trio" else {}
    async with running(handler, environment=environment) as sandbox:
        told = await sandbox.do("sleep")
        assert told["errorMessage"].startswith("no running event loop: ")
        assert told["errorMessage"].endswith(SAID)
        # What a library's future, which trio cannot await, comes to.
        told = await sandbox.ask()
        assert told["errorType"] == "TypeError"
        assert told["errorMessage"].endswith(SAID)


async def test_what_needs_trio_there_is_told_so() -> None:
    async with running("crossed.on_asyncio") as sandbox:
        for what in ("calls", "sleeps", "steps"):
            told = await sandbox.do(what)
            assert ": this needs trio, and the handler runs on asyncio" in told["errorMessage"], (
                what
            )
            assert told["errorMessage"].endswith("call actors with okibi.runtime.from_asyncio")


async def test_what_is_asked_from_asyncio_on_trio_is_told_how_it_is_done_there() -> None:
    async with running("crossed.from_asyncio_on_trio") as sandbox:
        told = await sandbox.ask()
        assert "on trio await the address's own verb" in told["errorMessage"]


async def at_its_deadline_it_is_cancelled(sandbox: Running) -> None:
    assert (await sandbox.do("sleep"))["errorType"] == "Runtime.DeadlineExceeded"
    assert sandbox.said("cancelled") == 1


async def one_that_does_not_let_itself_be_cancelled_is_answered_and_abandoned(
    sandbox: Running,
) -> None:
    assert (await sandbox.do("swallow"))["errorType"] == "Runtime.DeadlineExceeded"
    assert sandbox.said("is abandoned") == 1


async def those_that_clean_up_for_long_hold_no_worker_and_are_not_cut_short(
    sandbox: Running,
) -> None:
    for _ in range(2):
        told = await sandbox.do("clean up", **{"for": 1})
        assert told["errorType"] == "Runtime.DeadlineExceeded"
    while sandbox.said("has cleaned up") < 2:
        assert (await sandbox.ask())["same"] is True


async def test_a_late_handler_on_asyncio_is_answered_and_the_loop_goes_on() -> None:
    async with running("loops.here", **LATE) as sandbox:
        pid = (await sandbox.ask())["pid"]
        for rule in (
            at_its_deadline_it_is_cancelled,
            one_that_does_not_let_itself_be_cancelled_is_answered_and_abandoned,
            those_that_clean_up_for_long_hold_no_worker_and_are_not_cut_short,
        ):
            await rule(sandbox)
            assert (await sandbox.ask())["same"] is True, rule
        assert sandbox.function.starts == 1

        # But for one that blocks it.
        assert (await sandbox.do("block"))["errorType"] == "Runtime.DeadlineExceeded"
        assert (await sandbox.ask())["pid"] != pid
        assert sandbox.said("in handler") >= 1


async def test_whichever_actor_is_killed_beside_it_its_own_result_is_the_answer() -> None:
    async with running("loops.here") as sandbox:
        await sandbox.ask()
        for name in ("asyncio", "responder-0", "dispatcher", "poller-0"):
            told = await sandbox.do("kill", path=f"/function/lambda/{name}")
            assert told["same"] is True, name
        assert (await sandbox.ask())["same"] is True

        # With its worker it is cancelled, and answered with an error.
        kinds: list[object] = []
        for n in (0, 1):
            told = await sandbox.do("kill", path=f"/function/lambda/workers/worker-{n}")
            kinds.append(told.get("errorType"))
        assert "Runtime.WorkerExited" in kinds
        assert (await sandbox.ask())["same"] is True
        assert sandbox.function.starts == 1


# -- Handler classes


async def test_a_handler_s_life_and_its_tasks_are_on_the_loop_and_end_with_it() -> None:
    async with running("loops.keeps") as sandbox:
        assert await sandbox.ask() == {"same": True, "ticked": True}
        for do, kind in (("raise", "ValueError"), ("crash beside", "LookupError")):
            assert (await sandbox.do(do))["errorType"] == kind
            assert await sandbox.ask() == {"same": True, "ticked": True}
        # Two workers, and two instances that were replaced.
        assert sandbox.said("init") == 4
        assert sandbox.said("tick ends") == 2
        assert sandbox.said("terminate crashed") == 2
        assert sandbox.said("has returned and left") == 0
        assert sandbox.function.starts == 1


# -- actors, from there


async def test_asyncio_code_calls_actors() -> None:
    async with running("loops.both") as sandbox:
        assert max(await sandbox.ask({"by": [1, 2, 3]})) == 6
        assert (await sandbox.ask({"by": ["nobody"]}))["errorType"] == "ActorExited"
        assert await sandbox.ask({"by": [5]}) == [5]


async def test_from_another_asyncio_loop_the_error_says_what_to_use() -> None:
    async with running("loops.elsewhere", environment=ASYNCIO) as sandbox:
        told = await sandbox.ask()
        assert told["errorType"] == "RuntimeError"
        assert "use okibi.actors.Portal" in told["errorMessage"]


# -- the end


async def test_at_the_end_tasks_and_generators_end_and_the_exit_code_is_0() -> None:
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


async def test_told_to_end_it_cancels_and_answers_what_is_in_flight(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("do", "code", "kind"),
    [
        ("leave stubborn", 0, None),
        # What could not be ended has not ended well.
        ("swallow", 1, "Runtime.Stopped"),
        pytest.param("block", 1, "Runtime.Stopped", marks=pytest.mark.slow),
    ],
)
async def test_what_holds_on_does_not_hold_the_answer_nor_the_end(
    do: str, code: int, kind: str | None, tmp_path: Path
) -> None:
    told: list[InvokeResult] = []
    begun = tmp_path / "begun"
    async with process_of("loops.here") as (process, api, _), trio.open_nursery() as nursery:

        async def invoke() -> None:
            told.append(await api.invoke(json.dumps({"do": do, "begun": str(begun)}).encode()))

        nursery.start_soon(invoke)
        await until_handed_out(api)
        await until_there(begun)
        await trio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(HANG):
            assert await process.wait() == code
        nursery.cancel_scope.cancel()

    assert [result.error_type for result in told] == [kind]
