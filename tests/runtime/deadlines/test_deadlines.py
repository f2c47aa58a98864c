"""A late handler is answered before the platform's time-out, in whatever call it hangs.

Each test runs a real process for a real second, several side by side. Handlers that end their
process late in the margin run alone: starting a process delays this one and the platform's clock.
"""

import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from okibi.local import EntryKind, InvokeResult
from okibi.runtime.codec.json import COMPILED
from okibi.runtime.deadlines.kill_timer import SIGNAL as KILLS
from okibi.runtime.process_end.shutdown import STOP_LIMIT
from tests.endurance.held import CODES, HANDLERS, SLOTS, held
from tests.support.sandbox import (
    DEFAULT_MARGIN,
    PLATFORM,
    Running,
    deadline_after,
    is_gone,
    process_of,
    running,
    until_idle,
)

# Seconds after a deadline by which the process must have ended, on a busy machine too. `make held`
# measures the goal of 0.2 s.
ENDED = 5.0
# Since 3.14 `pass` is an instruction, so either line may be named.
LOOP = "while True:\npass" if sys.version_info >= (3, 14) else "while True:"
# Handler, what it does, the function it is in at its deadline, and the line. Each handler's
# abandoned case comes last, because it occupies a worker.
SURVIVABLE = [
    ("app.asynchronous", "sleep", "asynchronous", "await trio.sleep_forever()"),
    ("app.asynchronous", "shield", "asynchronous", "await trio.sleep_forever()"),
    ("app.plain", "sleep", "plain", "time.sleep(60)"),
    ("app.plain", "stubborn", "plain", "time.sleep(1)"),
    ("app.plain", "keep the interpreter", "plain", LOOP),
    ("official.loop", "sleep", "inner", "await asyncio.sleep(60 if"),
    ("tree.plain", "sleep", "threaded", "time.sleep(3)"),
]
SURVIVABLE_TOO = [
    ("app.asynchronous", "clean up", "asynchronous", "await trio.sleep(60)"),
    ("app.asynchronous", "nursery", "waits", "await trio.sleep_forever()"),
    ("app.plain", "recv", "plain", "here.recv(1)"),
    ("app.plain", "lock", "plain", "lock.acquire()"),
    ("app.plain", "batch", "works", "time.sleep(seconds)"),
    ("tree.function", "shield", "handle", "await trio.sleep_forever()"),
    ("loops.here", "sleep", "handler", "await asyncio.sleep(60)"),
    ("loops.here", "swallow", "handler", "await asyncio.sleep(60)"),
    ("loops.keeps", "sleep", "handle", "await asyncio.sleep(60)"),
]
FATAL = [
    ("app.asynchronous", "block", "the handler was", "time.sleep(60)"),
    ("app.plain", "clean up", "the handler was", "time.sleep(61)"),
    ("tree.function", "block the server", "the loop was held", "time.sleep(60)"),
    ("app.plain", "gil", "", ""),
]

# Milliseconds: so much more than the default that a busy machine does not reach the platform's
# time-out. A margin is at most half of the time-out.
TIME_OUT, MARGIN = 1000, 500
LONG_TIME_OUT, LONG_MARGIN = 4000, 2000
# Seconds to an event's deadline: it is answered after half of them. The platform waits longer.
DEADLINE = 0.8

# A handler that never ends delays the end of its process until this limit.
HURRIED = (
    sys.executable,
    "-P",
    "-c",
    """
import sys
from okibi.runtime.process_end import shutdown
from okibi.runtime.bootstrap import main
shutdown.STOP_LIMIT = 0.5
sys.exit(main(sys.argv[1:]))
""",
)

slow = partial(pytest.param, marks=pytest.mark.slow)
HELD = [
    (handler, code, slots) if (handler, slots) == ("plain", 1)
    else slow(handler, code, slots)
    for handler, code in zip(HANDLERS, CODES, strict=True) for slots in SLOTS
]  # fmt: skip

Case = tuple[str, str, str, str]
Check = Callable[[Running, Case], Awaitable[None]]


async def check_each_handler(
    check: Check, cases: list[Case], time_out: int, margin: int, at_once: int
) -> None:
    """Check all cases of a handler in one sandbox, several at once: they mostly wait."""
    failed = list[str]()
    turns = trio.CapacityLimiter(at_once)
    environment = {"OKIBI_DEADLINE_MARGIN_MS": str(margin)}

    async def one(handler: str) -> None:
        what = "its start"
        async with turns:
            try:
                async with running(
                    handler, timeout=time_out / 1000, environment=environment
                ) as sandbox:
                    for case in cases:
                        if case[0] == handler:
                            what = case[1]
                            await check(sandbox, case)
            except Exception as error:
                where = traceback.format_exception(error)[-3:]
                failed.append(f"{handler}, {what}: {''.join(where)}")

    async with trio.open_nursery() as nursery:
        for handler in dict.fromkeys(case[0] for case in cases):
            nursery.start_soon(one, handler)
    assert not failed, "\n".join(failed)


def check_place(payload: bytes, words: str, function: str, line: str) -> None:
    """Check that the last frame is this line and that the message names the same place."""
    told = json.loads(payload)
    place, source, *_ = told["stackTrace"][-1].strip().split("\n")
    assert source.strip().startswith(tuple(line.split("\n"))), told
    assert not function or place.endswith(f", in {function}"), told
    assert f"{words} in {place}" in told["errorMessage"], told
    assert not any("/deadlines/watchdog.py" in frame for frame in told["stackTrace"])


async def survives(sandbox: Running, case: Case) -> None:
    _, what, function, line = case
    event = {"name": "a", "do": what}
    assert (await sandbox.invoke({"name": "a"})).function_error is None
    pid = sandbox.pid
    for _ in range(1 + (what == "lock")):
        result = await sandbox.invoke(event)
        assert result.error_type == "Runtime.DeadlineExceeded", result.payload
        assert json.loads(result.payload)["requestId"] == result.request_id
        check_place(result.payload, "the handler was", function, line)
        assert 450 < result.duration_ms < 1000
        answer = await sandbox.invoke({"name": "a"})
        assert answer.function_error is None, answer.payload
        assert sandbox.pid == pid
    assert sandbox.function.starts == 1
    assert sandbox.function.journal.times(EntryKind.TIMED_OUT) == []


async def ends(sandbox: Running, case: Case) -> None:
    _, what, words, line = case
    await sandbox.invoke({"name": "a"})
    pid, starts = sandbox.pid, sandbox.function.starts
    sandbox.lines.clear()
    result = await sandbox.invoke({"name": "a", "do": what})
    took = result.duration_ms
    if line:
        assert result.error_type == "Runtime.DeadlineExceeded", result.payload
        check_place(result.payload, words, "", line)
    else:
        assert result.error_type == "Runtime.ExitError", result.payload
        assert b"Runtime exited with error: signal: " in result.payload
    # The loop has until a quarter of the margin is left, the interpreter until an eighth.
    assert LONG_TIME_OUT - LONG_MARGIN / (4 if line else 8) - 10 < took < LONG_TIME_OUT
    assert (await sandbox.ask({"name": "a"}))["pid"] != pid
    assert is_gone(pid)
    assert sandbox.function.starts == starts + 1
    assert sandbox.said("the loop does not answer at the deadline") == bool(line)
    # Both ends log the stacks.
    assert sandbox.said(", line ") > 1


@pytest.mark.parametrize(
    "cases", [pytest.param(SURVIVABLE, id="often"), slow(SURVIVABLE_TOO, id="seldom")]
)
async def test_a_late_handler_is_answered_and_the_process_serves_on(cases: list[Case]) -> None:
    await check_each_handler(survives, cases, TIME_OUT, MARGIN, at_once=3)


# A held loop and C code past a deadline have tests of their own below.
@pytest.mark.slow
async def test_a_handler_that_cannot_be_ended_ends_the_process_in_time() -> None:
    await check_each_handler(ends, FATAL, LONG_TIME_OUT, LONG_MARGIN, at_once=3)


@pytest.mark.parametrize("handler", ["tree.function", slow("tree.plain"), slow("tree.looped")])
async def test_the_error_names_the_awaited_actor_and_its_line(handler: str) -> None:
    async with running(handler, api=deadline_after(DEADLINE)) as sandbox:
        told = await sandbox.ask({"name": "a", "do": "wait for the server"})
        _, words = told["errorMessage"].split(", waiting for ")
        assert words.startswith("/function/children/visits to answer hang (it is at ")
        assert "functions/tree.py:" in words


@pytest.mark.slow
async def test_an_event_without_a_worker_names_what_the_worker_did() -> None:
    async with running("tree.returning", api=deadline_after(DEADLINE)) as sandbox:
        await sandbox.ask({"name": "a", "do": "raise"})
        told = await sandbox.ask({"name": "a"})
        words = "no worker became free: /function/lambda/workers/worker-0 was"
        place = told["stackTrace"][-1].strip().split("\n")[0]
        assert f"{words} in the init of a new instance, in {place}" in told["errorMessage"]
        assert place.endswith(", in init")
        # The process has ended: each later event would wait for that `init`, too.
        assert "pid" in await sandbox.ask({"name": "a"})
        assert sandbox.said("no worker is ready: an event has waited for one") == 1


@pytest.mark.slow
async def test_a_held_loop_ends_at_the_first_deadline_in_flight() -> None:
    async with running("app.asynchronous", timeout=1.0, max_concurrency=3) as sandbox:
        answers: dict[str, InvokeResult] = {}

        async def invoke(name: str, what: str) -> None:
            answers[name] = await sandbox.invoke({"do": what})

        await sandbox.ask()
        pid = sandbox.pid
        await until_idle(sandbox.function, 3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke, "first", "sleep")
            await trio.sleep(0.2)
            nursery.start_soon(invoke, "holds", "block")
            nursery.start_soon(invoke, "other", "sleep")

        assert answers["first"].error_type == "Runtime.DeadlineExceeded"
        check_place(answers["first"].payload, "the loop was held", "asynchronous", "time.sleep(60)")
        for name in ("holds", "other"):
            assert answers[name].error_type == "Runtime.ExitError"
        assert (await sandbox.ask())["pid"] != pid


@pytest.mark.slow
async def test_an_asyncio_loop_left_open_ends_the_process() -> None:
    async with running("official.kept_loop", api=deadline_after(DEADLINE)) as sandbox:
        await sandbox.ask()
        pid = sandbox.pid
        result = await sandbox.invoke({"do": "sleep"})

        assert result.error_type == "Runtime.DeadlineExceeded"
        check_place(result.payload, "the handler was", "inner", "await asyncio.sleep(60 if")
        assert await sandbox.ask() == {"asyncio": {}}
        assert sandbox.pid != pid
        assert sandbox.said("interrupted an asyncio loop that is still open") == 1


IMPORTS = """
def handler(event, context):
    import told_once
    return told_once.api
"""
FAILS_ONCE = """
import pathlib, time
from . import c_code
mark = pathlib.Path(__file__).with_name("mark")
if not mark.exists():
    mark.touch()
    time.sleep(30)
api
"""


@pytest.mark.slow
async def test_an_import_interrupted_by_a_deadline_ends_the_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "told_once").mkdir()
    (tmp_path / "app.py").write_text(IMPORTS)
    (tmp_path / "told_once" / "__init__.py").write_text(FAILS_ONCE)
    # This module stays imported when Python removes the package, as C code does.
    c_code = 'import sys\nsys.modules["told_once"].api = "its api"'
    (tmp_path / "told_once" / "c_code.py").write_text(c_code)

    late = deadline_after(DEADLINE)
    async with running("app.handler", task_root=tmp_path, api=late) as sandbox:
        assert (await sandbox.ask())["errorType"] == "Runtime.DeadlineExceeded"
        assert await sandbox.ask() == "its api"
        assert await sandbox.ask() == "its api"

        assert sandbox.said("interrupted an import") == 1


async def output_at_end(handler: str, code: str, slots: int = 1, module: str = "holds") -> str:
    """Run a handler to the end of its process, check the time, and return what it wrote."""
    said = ""
    # Writing the stacks has 25 ms, too few on a very busy machine.
    for _ in range(5):
        seconds, said = await held(handler, code, slots, module)
        assert seconds <= ENDED
        if "in keep" in said:
            break
    return said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
@pytest.mark.parametrize(("handler", "code", "slots"), HELD)
async def test_c_code_in_a_warm_sandbox_is_ended(handler: str, code: str, slots: int) -> None:
    said = await output_at_end(handler, code, slots)

    # The stacks contain the handler's line.
    assert 'functions/holds.py", line ' in said
    assert "in keep" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_c_code_between_many_events_is_ended_after_a_time_out() -> None:
    async with process_of(
        "holds.leaves",
        max_concurrency=8,
        # The events have one second; the platform waits longer.
        wall_clock=lambda: time.time() - PLATFORM + 1.0,
    ) as (process, api, said):
        await api.invoke(json.dumps({"by": CODES[0]}).encode())
        with trio.move_on_after(1.0 + ENDED):
            await process.wait()
        assert process.returncode == -KILLS
    assert b"in keep" in b"".join(said)


compiled = pytest.mark.skipif(
    sys.platform != "linux" or not COMPILED, reason="only the compiled part does so"
)


@pytest.mark.slow
@compiled
async def test_c_code_that_blocks_all_signals_is_ended() -> None:
    assert "in keep" in await output_at_end("blocked", CODES[0])


@pytest.mark.slow
@compiled
@pytest.mark.parametrize(("handler", "slots"), [("plain", 1), ("asynchronous", 8)])
async def test_c_code_is_ended_if_its_module_blocks_all_signals(handler: str, slots: int) -> None:
    assert "in keep" in await output_at_end(handler, CODES[0], slots, "masked")


@pytest.mark.slow
@compiled
async def test_an_earlier_event_s_timer_interrupts_no_later_wait() -> None:
    late = deadline_after(1.5)
    async with running("holds.polls", api=late, environment=DEFAULT_MARGIN) as sandbox:
        assert await sandbox.ask({"for": 0}) == 0
        await trio.sleep(1.0)
        # The first event's deadline passes in the middle of the second.
        assert await sandbox.ask({"for": 700}) == 0


@pytest.mark.parametrize("slots", [None, pytest.param(8, marks=[pytest.mark.slow, compiled])])
async def test_a_sandbox_frozen_past_the_last_deadline_serves_on(slots: int | None) -> None:
    late = deadline_after(DEADLINE)
    async with running("app.plain", api=late, max_concurrency=slots) as sandbox:
        pid = (await sandbox.ask())["pid"]
        sandbox.function.freeze()
        await trio.sleep(DEADLINE + 0.2)
        assert (await sandbox.ask())["pid"] == pid


@pytest.mark.slow
async def test_an_unread_log_does_not_delay_the_end_at_a_deadline() -> None:
    async with process_of(
        "short_of.reader",
        read=False,
        # The deadline is after one second; the platform waits longer.
        wall_clock=lambda: time.time() - PLATFORM + 1.0,
    ) as (process, api, _):
        await api.invoke(b"{}")
        result: InvokeResult | None = None

        async def invoke() -> None:
            nonlocal result
            result = await api.invoke(b'{"do": "fill"}')

        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke)
            code = await process.wait()
            (_, began) = api.journal.times(EntryKind.DELIVERED)
            assert trio.current_time() - began <= 1.0 + ENDED
            nursery.cancel_scope.cancel()

    # On a busy machine the kernel's timer may end the process before the report is written.
    assert code in (1, -KILLS)
    if code == 1:
        assert result is not None
        assert result.error_type == "Runtime.DeadlineExceeded"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_an_unread_log_does_not_delay_a_failed_start() -> None:
    async with process_of("fails_unread.handler", read=False) as (process, _, _):
        with trio.fail_after(STOP_LIMIT + ENDED):
            assert await process.wait() == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
@pytest.mark.parametrize("behind", ["a mask of all signals", "no timer"])
async def test_a_thread_of_a_module_that_fails_does_not_delay_the_end(behind: str) -> None:
    async with process_of("fails_held.handler", BEHIND=behind) as (process, _, said):
        with trio.move_on_after(STOP_LIMIT + ENDED):
            await process.wait()
        assert process.returncode == 1
    assert b"the process has not ended within 2 s: exiting now" in b"".join(said)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_a_kernel_without_timers_is_logged() -> None:
    async with running("no_timer.handler") as sandbox:
        assert await sandbox.ask() == "ok"
        assert sandbox.said("the kernel gives no timer: C code that holds") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_a_signalled_process_without_memory_ends_within_its_limit() -> None:
    async with process_of("short_of.memory") as (process, api, _):
        await api.invoke(b"{}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(api.invoke, b'{"do": "use"}')
            began = trio.current_time()
            with trio.move_on_after(STOP_LIMIT + ENDED):
                await process.wait()
            assert process.returncode, "it has not ended"
            assert trio.current_time() - began < STOP_LIMIT + ENDED
            nursery.cancel_scope.cancel()


async def test_a_handler_s_faulthandler_timer_is_left_alone() -> None:
    async with running("timed.handler") as sandbox:
        for _ in range(2):
            assert "timed.py" in await sandbox.ask()


@pytest.mark.slow
async def test_two_handlers_that_never_end_delay_no_later_event() -> None:
    late = deadline_after(DEADLINE)
    async with running("app.asynchronous", command=HURRIED, api=late) as sandbox:
        pid = (await sandbox.ask())["pid"]
        for _ in range(2):
            result = await sandbox.invoke({"do": "shield"})
            assert result.error_type == "Runtime.DeadlineExceeded"
        for _ in range(2):
            assert (await sandbox.ask())["pid"] != pid
        assert sandbox.function.starts == 2
        assert sandbox.said("no worker is left") == 1
