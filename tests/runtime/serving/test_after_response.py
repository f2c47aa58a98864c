"""Functions that run after the response, in real processes.

`tests/endurance/test_after_response.py` kills the actors around them.
"""

import json
import signal
import time
from pathlib import Path

import pytest
import trio

from okibi.local import EntryKind, RuntimeApiOptions
from tests.support.sandbox import (
    deadline_after,
    process_of,
    running,
)

HANDLERS = [
    ("followed.plain", "wait", "trio"),
    ("followed.plain", "wait_on_trio", "trio"),
    ("followed.asynchronous", "wait", "trio"),
    ("followed.asynchronous", "wait_on_trio", "trio"),
    ("followed.Class", "wait_on_trio", "trio"),
    ("followed.stream", "wait_on_trio", "trio"),
    ("followed.stream", "wait", "trio"),
    ("followed.in_thread", "wait", "trio"),
    ("followed.in_thread", "wait_on_trio", "trio"),
    ("followed.in_thread", "wait", "asyncio"),
    ("followed.plain", "wait_on_asyncio", "asyncio"),
    ("followed.asynchronous", "wait_on_asyncio", "asyncio"),
    ("followed.Class", "wait", "asyncio"),
]
# Handler, function, and the line at which it is late.
LATE = [
    ("followed.plain", "sleep", "time.sleep(60)"),
    ("followed.in_thread", "sleep", "time.sleep(60)"),
    ("followed.asynchronous", "sleep", "time.sleep(60)"),
    ("followed.asynchronous", "sleep_on_trio", "await trio.sleep_forever()"),
    ("followed.Class", "shield", "await trio.sleep(3)"),
]
# Seconds to an event's deadline: it is over after half of them. The platform waits longer.
DEADLINE = 1.0


@pytest.mark.parametrize(("handler", "function", "loop"), HANDLERS)
async def test_the_invoker_has_the_answer_before_a_function_ends(
    handler: str, function: str, loop: str, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    async with running(handler, environment={"OKIBI_LOOP": loop}) as sandbox:
        await sandbox.invoke({"function": function, "path": str(go)})
        go.touch()
        ran = await sandbox.ask({})

    assert ran == [function]


@pytest.mark.parametrize("raises", [False, True])
async def test_an_error_of_a_function_is_logged_and_changes_no_answer(raises: bool) -> None:
    async with running("followed.Class") as sandbox:
        first = await sandbox.invoke({"function": "fail", "raise": "yes" if raises else ""})
        second = await sandbox.invoke({})

    assert (first.error_type or "") == ("Function.ValueError" if raises else "")
    assert b"the invoker has its answer" not in first.payload
    assert second.payload == b"[]"
    assert sandbox.said(f"{first.request_id}\tfail raised after the response") == 1
    assert sandbox.said("ValueError: the invoker has its answer") == 1


async def test_an_interrupted_settling_ends_the_functions_and_the_lane_serves_on() -> None:
    async with running("followed.Interrupted") as sandbox:
        first = await sandbox.invoke({"function": "fail"})
        second = await sandbox.invoke({})

    assert first.payload == second.payload == b"[]"
    assert sandbox.said(f"fail did not run after the response to {first.request_id}") == 1
    assert sandbox.function.starts == 1


async def test_after_a_late_handler_no_function_runs_and_each_is_logged() -> None:
    async with running("followed.late", api=deadline_after(DEADLINE)) as sandbox:
        first = await sandbox.invoke({"function": "fail"})
        second = await sandbox.invoke({})

    assert first.error_type == "Runtime.DeadlineExceeded"
    assert second.payload == b"[]"
    ran_not = f"fail did not run after the response to {first.request_id}: no time was left"
    assert sandbox.said(ran_not) == 1


async def test_a_late_function_is_ended_and_its_line_logged() -> None:
    async def one(handler: str, function: str, line: str) -> None:
        async with running(handler, api=deadline_after(DEADLINE)) as sandbox:
            first = await sandbox.invoke({"function": function})
            pid = sandbox.pid
            second = await sandbox.invoke({})

            assert (first.payload, second.payload) == (b"[]", b"[]")
            assert sandbox.pid == pid
            assert sandbox.said("a function that ran after the response was in File") == 1
            assert sandbox.said(line)
            assert sandbox.said(f"{function} was cut after the response to {first.request_id}") == 1

    async with trio.open_nursery() as nursery:
        for case in LATE:
            nursery.start_soon(one, *case)


@pytest.mark.parametrize("slots", [None, 2])
@pytest.mark.parametrize(
    ("handler", "function"), [("followed.asynchronous", "block"), ("followed.plain", "hold")]
)
async def test_a_function_that_holds_the_process_ends_it_after_the_answer(
    handler: str, function: str, slots: int | None
) -> None:
    api = deadline_after(DEADLINE)
    async with running(handler, api=api, max_concurrency=slots) as sandbox:
        first = await sandbox.invoke({"function": function})
        pid = sandbox.pid
        while sandbox.function.pid == pid:  # noqa: ASYNC110, of a process
            await trio.sleep(0.01)
        second = await sandbox.invoke({})
        refused = sandbox.function.journal.refusals()

        assert (first.payload, second.payload, refused) == (b"[]", b"[]", [])


@pytest.mark.parametrize(
    ("handler", "function"),
    [
        ("followed.asynchronous", "sleep_on_trio"),
        ("followed.plain", "sleep"),
        ("followed.in_thread", "sleep"),
    ],
)
async def test_sigterm_ends_a_function_and_the_process_in_order(
    handler: str, function: str
) -> None:
    async with process_of(handler) as (process, api, said):
        answer = await api.invoke(json.dumps({"function": function}).encode())
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    log = b"".join(said).decode()
    assert answer.payload == b"[]"
    assert code == 0
    cut = f"{function} was cut after the response to {answer.request_id}"
    assert cut in log or f"{function} raised after the response" in log


async def test_other_lanes_serve_while_a_function_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with running("followed.in_thread", max_concurrency=2) as sandbox:
        await sandbox.invoke({"function": "wait", "path": str(go)})
        meanwhile = [await sandbox.ask({}) for _ in range(3)]
        go.touch()

    assert meanwhile == [[], [], []]


async def test_a_time_out_of_the_platform_in_a_function_resets_the_sandbox() -> None:
    # Only the platform's time-out ends the function: okibi's deadline is a minute later.
    api = RuntimeApiOptions(wall_clock=lambda: time.time() + 60)
    async with running("followed.plain", timeout=1.0, api=api) as sandbox:
        first = await sandbox.invoke({"function": "sleep"})
        pid = sandbox.pid
        second = await sandbox.invoke({})

        assert (first.payload, second.payload) == (b"[]", b"[]")
        assert sandbox.pid != pid
        journal = sandbox.function.journal
        assert len(journal.times(EntryKind.TIMED_OUT, first.request_id)) == 1
        assert journal.refusals() == []
