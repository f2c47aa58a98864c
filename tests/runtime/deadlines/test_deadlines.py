"""Whatever a handler hangs in, the invoker is answered before the platform's time-out.

Real processes and a real second for each. They run side by side, but for those that end their
process in the last part of the margin: what starts a process holds up this one, and with it the
platform's clock, until that one runs.
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
from okibi.runtime.process.shutdown import STOP_LIMIT
from tests.endurance.held import CODES, HANDLERS, PLATFORM, SLOTS, held
from tests.support.sandbox import DEFAULT_MARGIN, Running, is_gone, process_of, running, until_idle

# Seconds behind a deadline that tell an end from none, on a busy machine too. `make held` measures
# the bar of 0.2 s.
ENDED = 5.0
# Since 3.14 a `pass` is an instruction of its own: either line.
LOOP = "while True:\npass" if sys.version_info >= (3, 14) else "while True:"
# The handler, what it does, and the line it then stands in, with the function around it. Of each
# handler what is abandoned comes last: it keeps a worker.
SURVIVABLE = [
    ("app.asynchronous", "sleep", "asynchronous", "await trio.sleep_forever()"),
    ("app.asynchronous", "clean up", "asynchronous", "await trio.sleep(60)"),
    ("app.asynchronous", "nursery", "waits", "await trio.sleep_forever()"),
    ("app.asynchronous", "shield", "asynchronous", "await trio.sleep_forever()"),
    ("app.plain", "sleep", "plain", "time.sleep(60)"),
    ("app.plain", "busy", "act", LOOP),
    ("app.plain", "recv", "plain", "here.recv(1)"),
    ("app.plain", "lock", "plain", "lock.acquire()"),
    ("app.plain", "stubborn", "plain", "time.sleep(1)"),
    ("app.plain", "batch", "works", "time.sleep(seconds)"),
    ("official.loop", "sleep", "inner", "await asyncio.sleep(60 if"),
    ("tree.function", "sleep", "handle", "await trio.sleep_forever()"),
    ("tree.function", "shield", "handle", "await trio.sleep_forever()"),
    ("tree.plain", "sleep", "threaded", "time.sleep(3)"),
    ("loops.here", "sleep", "handler", "await asyncio.sleep(60)"),
    ("loops.here", "swallow", "handler", "await asyncio.sleep(60)"),
    ("loops.keeps", "sleep", "handle", "await asyncio.sleep(60)"),
]
FATAL = [
    ("app.asynchronous", "block", "it stood", "time.sleep(60)"),
    ("app.plain", "clean up", "it stood", "time.sleep(61)"),
    ("tree.function", "block the server", "the loop was held", "time.sleep(60)"),
    ("app.plain", "gil", "", ""),
]

# Five times the default, or six: what a busy machine takes of it must not make it the platform's
# time-out.
MARGIN = 500
LONG_MARGIN = 600

slow = partial(pytest.param, marks=pytest.mark.slow)
HELD = [
    (handler, code, slots) if (handler, slots) in {("plain", 1), ("asynchronous", 8)}
    else slow(handler, code, slots)
    for handler, code in zip(HANDLERS, CODES, strict=True) for slots in SLOTS
]  # fmt: skip

Case = tuple[str, str, str, str]
Check = Callable[[Running, Case], Awaitable[None]]


async def each(check: Check, cases: list[Case], margin: int, at_once: int) -> None:
    """Check those of each handler in one sandbox, so many at once, for they mostly wait."""
    failed = list[str]()
    turns = trio.CapacityLimiter(at_once)
    environment = {"OKIBI_DEADLINE_MARGIN_MS": str(margin)}

    async def one(handler: str) -> None:
        what = "its start"
        async with turns:
            try:
                async with running(handler, timeout=1.0, environment=environment) as sandbox:
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


def stands(payload: bytes, words: str, function: str, line: str) -> None:
    """Its last frame is the user's line, and its message names the same place."""
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
        stands(result.payload, "it stood", function, line)
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
        stands(result.payload, words, "", line)
    else:
        assert result.error_type == "Runtime.ExitError", result.payload
        assert b"Runtime exited with error: signal: " in result.payload
    # The loop has until a quarter of the margin is left, the interpreter until an eighth is.
    assert 1000 - LONG_MARGIN / (4 if line else 8) - 10 < took < 1000
    assert (await sandbox.ask({"name": "a"}))["pid"] != pid
    assert is_gone(pid)
    assert sandbox.function.starts == starts + 1
    assert sandbox.said("the loop does not answer at the deadline") == bool(line)
    # The stacks, of the kernel's end too.
    assert sandbox.said(", line ") > 1


async def test_what_can_be_ended_is_answered_and_the_same_process_serves_the_next_event() -> None:
    await each(survives, SURVIVABLE, MARGIN, at_once=3)


async def test_what_cannot_be_ended_ends_the_process_before_the_platform_does() -> None:
    await each(ends, FATAL, LONG_MARGIN, at_once=1)


async def test_one_that_waits_for_an_actor_says_for_whom_and_where_that_one_is() -> None:
    async with running("tree.function", timeout=1.0) as sandbox:
        told = await sandbox.ask({"name": "a", "do": "wait for the server"})
        _, words = told["errorMessage"].split(", waiting for ")
        assert words.startswith("/function/children/visits to answer hang (it is at ")
        assert "functions/tree.py:" in words


@pytest.mark.parametrize("handler", ["tree.plain", slow("tree.looped")])
async def test_so_does_one_that_waits_in_a_thread_or_on_asyncio_s_loop(handler: str) -> None:
    async with running(handler, timeout=1.0) as sandbox:
        told = await sandbox.ask({"name": "a", "do": "wait for the server"})
        _, words = told["errorMessage"].split(", waiting for ")
        assert words.startswith("/function/children/visits to answer hang (it is at ")
        assert "functions/tree.py:" in words


async def test_an_event_that_no_worker_became_free_for_says_what_the_worker_was_at() -> None:
    async with running("tree.returning", timeout=1.0) as sandbox:
        await sandbox.ask({"name": "a", "do": "raise"})
        told = await sandbox.ask({"name": "a"})
        words = "no worker became free for it: /function/lambda/workers/worker-0 was"
        place = told["stackTrace"][-1].strip().split("\n")[0]
        assert f"{words} in the init of a new instance, in {place}" in told["errorMessage"]
        assert place.endswith(", in init")


async def test_a_handler_that_holds_the_loop_past_its_deadline_costs_all_in_flight() -> None:
    async with running("app.asynchronous", timeout=1.0, max_concurrency=2) as sandbox:
        answers: dict[str, InvokeResult] = {}

        async def invoke(what: str) -> None:
            answers[what] = await sandbox.invoke({"do": what})

        await sandbox.ask()
        pid = sandbox.pid
        await until_idle(sandbox.function, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke, "block")
            await trio.sleep(0.5)
            nursery.start_soon(invoke, "short")

        assert answers["block"].error_type == "Runtime.DeadlineExceeded"
        assert answers["short"].error_type == "Runtime.ExitError"
        assert (await sandbox.ask())["pid"] != pid


async def test_a_held_loop_ends_at_the_first_deadline_in_flight_whoever_holds_it() -> None:
    async with running("app.asynchronous", timeout=1.0, max_concurrency=3) as sandbox:
        answers: dict[str, InvokeResult] = {}

        async def invoke(name: str, what: str) -> None:
            answers[name] = await sandbox.invoke({"do": what})

        await sandbox.ask()
        await until_idle(sandbox.function, 3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke, "first", "sleep")
            await trio.sleep(0.2)
            nursery.start_soon(invoke, "holds", "block")
            nursery.start_soon(invoke, "other", "sleep")

        assert answers["first"].error_type == "Runtime.DeadlineExceeded"
        stands(answers["first"].payload, "the loop was held", "asynchronous", "time.sleep(60)")
        for name in ("holds", "other"):
            assert answers[name].error_type == "Runtime.ExitError"


async def test_an_asyncio_loop_that_stays_open_ends_with_the_event_s_process() -> None:
    async with running("official.kept_loop", timeout=1.0) as sandbox:
        await sandbox.ask()
        pid = sandbox.pid
        result = await sandbox.invoke({"do": "sleep"})

        assert result.error_type == "Runtime.DeadlineExceeded"
        stands(result.payload, "it stood", "inner", "await asyncio.sleep(60 if")
        assert await sandbox.ask() == {"asyncio": {}}
        assert sandbox.pid != pid
        assert sandbox.said("has cut a run of an asyncio loop short") == 1


IMPORTS = """
def handler(event, context):
    import told_once
    return told_once.api
"""
TOLD_ONCE = """
import pathlib, time
from . import c_code
mark = pathlib.Path(__file__).with_name("mark")
if not mark.exists():
    mark.touch()
    time.sleep(30)
api
"""


async def test_a_deadline_that_cuts_an_import_short_leaves_no_half_of_it_to_the_next_event(
    tmp_path: Path,
) -> None:
    (tmp_path / "told_once").mkdir()
    (tmp_path / "app.py").write_text(IMPORTS)
    (tmp_path / "told_once" / "__init__.py").write_text(TOLD_ONCE)
    # It stays imported when the package is taken back, as C code does.
    c_code = 'import sys\nsys.modules["told_once"].api = "its api"'
    (tmp_path / "told_once" / "c_code.py").write_text(c_code)

    async with running("app.handler", task_root=tmp_path, timeout=2.0) as sandbox:
        assert (await sandbox.ask())["errorType"] == "Runtime.DeadlineExceeded"
        assert await sandbox.ask() == "its api"
        assert await sandbox.ask() == "its api"

        assert sandbox.said("has cut an import short") == 1


async def test_a_handler_that_lets_no_other_thread_run_is_ended_by_the_kernel_s_timer() -> None:
    environment = {"OKIBI_DEADLINE_MARGIN_MS": str(MARGIN)}
    async with running("app.plain", timeout=1.0, environment=environment) as sandbox:
        pid = (await sandbox.ask())["pid"]
        result = await sandbox.invoke({"do": "keep the interpreter"})

        assert result.error_type == "Runtime.DeadlineExceeded", result.payload
        stands(result.payload, "it stood", "plain", LOOP)
        assert 450 < result.duration_ms < 1000
        assert (await sandbox.ask())["pid"] == pid


async def told_and_ended(handler: str, code: str, slots: int = 1, module: str = "holds") -> str:
    """What it writes at its end, which comes in time."""
    said = ""
    # The stacks have 25 ms, which a busy machine may take.
    for _ in range(5):
        seconds, said = await held(handler, code, slots, module)
        assert seconds <= ENDED
        if "in keep" in said:
            break
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
@pytest.mark.parametrize(("handler", "code", "slots"), HELD)
async def test_c_code_that_holds_the_interpreter_of_a_warm_sandbox_is_ended(
    handler: str, code: str, slots: int
) -> None:
    said = await told_and_ended(handler, code, slots)

    # All stacks tell where it stood.
    assert 'functions/holds.py", line ' in said
    assert "in keep" in said


compiled = pytest.mark.skipif(
    sys.platform != "linux" or not COMPILED, reason="only the compiled part does so"
)


@compiled
async def test_c_code_behind_a_mask_of_all_signals_is_ended_too() -> None:
    assert "in keep" in await told_and_ended("blocked", CODES[0])


@compiled
@pytest.mark.parametrize(
    ("handler", "slots"), [("plain", 1), slow("plain", 8), slow("asynchronous", 8)]
)
async def test_c_code_of_a_module_that_blocks_all_signals_is_ended(
    handler: str, slots: int
) -> None:
    assert "in keep" in await told_and_ended(handler, CODES[0], slots, "masked")


@compiled
async def test_the_timer_of_an_earlier_event_cuts_no_wait_of_a_later_one_short() -> None:
    async with running("holds.polls", timeout=2.0, environment=DEFAULT_MARGIN) as sandbox:
        assert await sandbox.ask({"for": 0}) == 0
        await trio.sleep(1.5)
        # The first one's time is over in the middle of it.
        assert await sandbox.ask({"for": 700}) == 0


async def test_a_sandbox_that_was_frozen_past_the_last_deadline_serves_on() -> None:
    async with running("app.plain", timeout=1.5) as sandbox:
        pid = (await sandbox.ask())["pid"]
        sandbox.function.freeze()
        await trio.sleep(2.0)
        assert (await sandbox.ask())["pid"] == pid


@pytest.mark.parametrize("slots", [None, slow(8)])
async def test_a_log_without_a_reader_holds_no_end_at_the_deadline(slots: int | None) -> None:
    async with process_of("short_of.reader", read=False, max_concurrency=slots) as (
        process,
        api,
        _,
    ):
        # The event's deadline comes after a second, while the platform waits on.
        api.wall_clock = lambda: time.time() - PLATFORM + 1.0
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

    # On a busy machine the kernel's timer may end the process before the report is out.
    assert code in (1, -KILLS)
    if code == 1:
        assert result is not None
        assert result.error_type == "Runtime.DeadlineExceeded"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_a_log_without_a_reader_holds_no_start_that_fails() -> None:
    async with process_of("fails_unread.handler", read=False) as (process, _, _):
        with trio.fail_after(STOP_LIMIT + ENDED):
            assert await process.wait() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
@pytest.mark.parametrize("behind", ["a mask of all signals", slow("no timer")])
async def test_a_thread_of_a_module_that_fails_does_not_hold_the_end(behind: str) -> None:
    async with process_of("fails_held.handler", BEHIND=behind) as (process, _, said):
        with trio.move_on_after(STOP_LIMIT + ENDED):
            await process.wait()
        assert process.returncode == 1
    assert b"the process does not end by itself in 2 s" in b"".join(said)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_where_there_is_no_timer_the_log_says_what_is_not_ended() -> None:
    async with running("no_timer.handler") as sandbox:
        assert await sandbox.ask() == "ok"
        assert sandbox.said("the kernel gives no timer: C code that holds") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
async def test_without_memory_a_process_that_is_told_to_end_ends_within_its_limit() -> None:
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


async def test_a_handler_s_own_timer_of_faulthandler_is_its_own() -> None:
    async with running("timed.handler") as sandbox:
        for _ in range(2):
            assert "timed.py" in await sandbox.ask()


async def test_two_handlers_that_never_end_cost_no_later_event_its_time() -> None:
    async with running("app.asynchronous", timeout=3.0) as sandbox:
        pid = (await sandbox.ask())["pid"]
        for _ in range(2):
            result = await sandbox.invoke({"do": "shield"})
            assert result.error_type == "Runtime.DeadlineExceeded"
        for _ in range(2):
            assert (await sandbox.ask())["pid"] != pid
        assert sandbox.function.starts == 2
        assert sandbox.said("no worker is left") == 1
