"""Whatever a handler hangs in, the invoker is answered before the platform's time-out.

Real processes and a real second for each: they run side by side.
"""

import json
import traceback
from collections.abc import Awaitable, Callable

import trio

from runtime.local import Happening
from tests.runtime.sandbox import Running, is_gone, running

SURVIVABLE = [
    ("app.asynchronous", "sleep"),
    ("app.asynchronous", "shield"),
    ("app.plain", "sleep"),
    ("app.plain", "busy"),
    ("app.plain", "recv"),
    ("app.plain", "lock"),
    ("app.plain", "stubborn"),
    ("official.loop", "sleep"),
    ("tree.function", "sleep"),
    ("tree.function", "shield"),
    ("tree.plain", "sleep"),
]
FATAL = [
    ("app.asynchronous", "busy"),
    ("app.plain", "gil"),
]

Check = Callable[[Running, str], Awaitable[None]]


async def side_by_side(check: Check, handlers: list[tuple[str, str]], timeout: float = 1.0) -> None:
    """Check each of them in a sandbox of its own, four at a time, for they mostly wait."""
    failed = list[str]()
    turns = trio.CapacityLimiter(4)

    async def one(handler: str, what: str) -> None:
        async with turns:
            try:
                async with running(handler, timeout=timeout) as sandbox:
                    await check(sandbox, what)
            except Exception as error:
                where = traceback.format_exception(error)[-3:]
                failed.append(f"{handler}, {what}: {''.join(where)}")

    async with trio.open_nursery() as nursery:
        for handler, what in handlers:
            nursery.start_soon(one, handler, what)
    assert not failed, "\n".join(failed)


async def survives(sandbox: Running, what: str) -> None:
    event = {"name": "a", "do": what}
    assert (await sandbox.invoke({"name": "a"})).function_error is None
    pid = sandbox.pid
    for _ in range(1 + (what == "lock")):
        result = await sandbox.invoke(event)
        assert result.error_type == "Runtime.DeadlineExceeded", result.payload
        assert json.loads(result.payload)["requestId"] == result.request_id
        assert 850 < result.duration_ms < 1000
        answer = await sandbox.invoke({"name": "a"})
        assert answer.function_error is None, answer.payload
        assert sandbox.pid == pid
    assert sandbox.function.starts == 1
    assert sandbox.function.journal.times(Happening.TIMED_OUT) == []


async def ends(sandbox: Running, what: str) -> None:
    await sandbox.invoke()
    pid = sandbox.pid
    result = await sandbox.invoke({"do": what})
    took = result.duration_ms
    if what == "busy":
        assert result.error_type == "Runtime.DeadlineExceeded", result.payload
        assert sandbox.said("the loop does not answer at the deadline") == 1
        assert sandbox.said("in act") >= 1
    else:
        assert result.error_type == "Runtime.ExitError", result.payload
        assert b"exit status 1" in result.payload
    assert 850 < took < 1000
    assert (await sandbox.ask())["pid"] != pid
    assert is_gone(pid)
    assert sandbox.function.starts == 2


async def test_what_can_be_ended_is_answered_and_the_same_process_serves_the_next_event() -> None:
    await side_by_side(survives, SURVIVABLE)


async def test_what_cannot_be_ended_ends_the_process_before_the_platform_does() -> None:
    await side_by_side(ends, FATAL)
