"""Code that holds the event loop for over 100 ms is logged with its line."""

import sys
from types import FrameType
from typing import Any

import pytest
import trio

from okibi.actors.trio_internals import CONTEXT
from okibi.runtime.deadlines.held_loop import _title
from tests.support.sandbox import FUNCTIONS, Running, running, until_idle

known = pytest.mark.skipif(CONTEXT is None, reason="this release's loop is not known")

# Seconds: three looks, 100 ms apart, fall into it on a busy machine too.
HOLD = 0.6
FILE = FUNCTIONS / "blocks_loop.py"


def messages(sandbox: Running) -> list[str]:
    """The warnings of a sandbox, without level, time and request id."""
    return [line.split("\t")[3] for line in sandbox.lines if line.startswith("[WARNING]\t")]


def line_of(code: str, after: str) -> int:
    """The number of the first line with this code after the line that begins with `after`."""
    lines = [line.strip() for line in FILE.read_text().splitlines()]
    start = next(n for n, line in enumerate(lines) if line.startswith(after))
    return next(n for n, line in enumerate(lines) if n > start and line.startswith(code)) + 1


@pytest.mark.slow
@known
async def test_an_actor_that_blocks_the_loop_is_logged_once() -> None:
    async with running("blocks_loop.function") as sandbox:
        for _ in range(2):
            await sandbox.ask({"do": "call", "seconds": HOLD})
        await sandbox.ask({"do": "make", "seconds": HOLD})

    line = line_of("time.sleep(seconds)", after="class Blocker")
    message = (
        "/function/children/blocker: Blocker.block held the event loop for over 100 ms in"
        f' File "{FILE}", line {line}, in block; no other actor or event could run meanwhile.'
        " Run blocking code in a thread: await trio.to_thread.run_sync(...)"
    )
    called, made = messages(sandbox)
    assert called == message
    assert made.startswith("SlowToMake.__init__ held the event loop for over 100 ms in File ")
    assert not [line for line in sandbox.lines if "watchdog continues" in line]


@known
@pytest.mark.parametrize("slots", [None, pytest.param(2, marks=pytest.mark.slow)])
async def test_an_async_handler_that_blocks_the_loop_is_logged_once(slots: int | None) -> None:
    async with running("blocks_loop.handler", max_concurrency=slots) as sandbox:
        request_id, _ = [await sandbox.ask({"seconds": HOLD}) for _ in range(2)]

    line = line_of("time.sleep", after="async def handler")
    message = (
        f'handler held the event loop for over 100 ms in File "{FILE}", line {line}, in handler;'
        " no other actor or event could run meanwhile."
        " Run blocking code in a thread: await trio.to_thread.run_sync(...)"
    )
    assert messages(sandbox) == [message]
    [line_of_log] = [line for line in sandbox.lines if line.startswith("[WARNING]\t")]
    assert line_of_log.split("\t")[2] == request_id


@pytest.mark.slow
@known
async def test_many_short_calls_of_a_blocking_client_are_a_hold() -> None:
    async with running("blocks_loop.short_calls") as sandbox:
        for _ in range(2):
            await sandbox.ask({"seconds": HOLD})

    [message] = messages(sandbox)
    assert message.startswith("short_calls held the event loop for over 100 ms in File ")


def test_a_proxy_is_not_asked_for_its_class() -> None:
    asked = list[object]()

    class Proxy:
        """Like Django's SimpleLazyObject, which is evaluated when it is asked for its class."""

        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            asked.append(self)
            return dict

    def method(self: Proxy) -> FrameType:
        return sys._getframe()

    assert _title(method(Proxy())) == "method"
    assert asked == []


@pytest.mark.slow
async def test_waits_threads_and_imports_are_not_logged() -> None:
    async with (
        running("blocks_loop.function", max_concurrency=3) as sandbox,
        trio.open_nursery() as nursery,
    ):
        await until_idle(sandbox.function, 3)
        for do in ("wait", "thread", "import"):
            nursery.start_soon(sandbox.ask, {"do": do, "seconds": HOLD})

    assert messages(sandbox) == []


@pytest.mark.slow
async def test_a_plain_def_that_blocks_the_loop_is_not_logged() -> None:
    async with running("blocks_loop.plain") as sandbox:
        await sandbox.ask({"seconds": HOLD})

    assert messages(sandbox) == []
