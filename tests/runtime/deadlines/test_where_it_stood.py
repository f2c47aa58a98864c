"""The line that a handler was in, found from an exception, a task or a thread."""

import asyncio
import json
import selectors
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Actor, start
from okibi.actors.frames import FrameSource, frames_of_coroutine
from okibi.runtime.deadlines.interrupt import SIGNAL, DeadlineInterrupt
from okibi.runtime.deadlines.where_it_stood import (
    UNKNOWN,
    ThreadFrameSource,
    deadline_error_from_exception,
    deadline_error_from_loop,
    deadline_error_from_worker,
    frames_of_error,
)
from okibi.runtime.errors.error_response import LATE
from okibi.runtime.errors.exceptions import DeadlineExceeded
from okibi.runtime.protocol.outcome import Outcome
from tests.limits import HANG
from tests.runtime.deadlines.test_interrupt import signalling
from tests.support.doubles import delivery, worker


def told(outcome: Outcome) -> tuple[str, list[str]]:
    """The message after its common beginning, and the function names of the stack."""
    assert outcome.error_type == "Runtime.DeadlineExceeded"
    body = json.loads(outcome.body)
    assert body["errorType"] == "Runtime.DeadlineExceeded"
    assert body["requestId"] == "id-1"
    message = body["errorMessage"]
    assert message.startswith(f"{LATE}: ")
    functions = [entry.split("\n")[0].rpartition(", in ")[2] for entry in body["stackTrace"]]
    return message.removeprefix(f"{LATE}: "), functions


def names(frames: list[tuple[Any, int]]) -> list[str]:
    return [frame.f_code.co_name for frame, _ in frames]


class UnreadableFuture(asyncio.Future[None]):
    @property
    def get_coro(self) -> Any:
        raise LookupError


async def cancelled(act: Callable[[], Any]) -> BaseException:
    """The Cancelled that a scope raises in a function."""
    raised: list[BaseException] = []
    with trio.move_on_after(1):
        try:
            await act()
        except BaseException as error:
            raised.append(error)
            raise
    return raised[0]


async def inner() -> None:
    await trio.sleep_forever()


async def outer() -> None:
    await inner()


async def test_a_cancelled_names_the_user_s_innermost_line(autojump_clock: MockClock) -> None:
    words, functions = told(deadline_error_from_exception(await cancelled(outer), "id-1"))

    assert words.startswith(f'the handler was in File "{__file__}", line ')
    assert words.endswith(", in inner")
    assert functions[-2:] == ["outer", "inner"]


async def test_the_line_before_the_clean_up_is_named(
    autojump_clock: MockClock,
) -> None:
    async def cleans_up() -> None:
        try:
            await inner()
        finally:
            await trio.sleep(1)

    assert told(deadline_error_from_exception(await cancelled(cleans_up), "id-1"))[1][-2:] == [
        "cleans_up",
        "inner",
    ]


async def test_a_handler_that_awaits_its_tasks_is_at_their_line(autojump_clock: MockClock) -> None:
    async def parent() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outer)

    assert told(deadline_error_from_exception(await cancelled(parent), "id-1"))[1][-3:] == [
        "parent",
        "outer",
        "inner",
    ]


def test_an_exception_without_user_frames_names_no_place() -> None:
    assert told(deadline_error_from_exception(DeadlineExceeded(), "id-1")) == (UNKNOWN, [])


def test_a_cycle_of_exceptions_is_followed_finitely() -> None:
    first, second = DeadlineExceeded(), DeadlineExceeded()
    first.__context__, second.__context__ = second, first

    assert told(deadline_error_from_exception(first, "id-1")) == (UNKNOWN, [])


def test_the_user_s_own_line_precedes_an_installed_library_s() -> None:
    code: dict[str, Any] = {}
    file = "/opt/python/lib/python3.13/site-packages/client.py"
    exec(compile("def get():\n raise error\n", file, "exec"), code)
    code["error"] = DeadlineExceeded()

    with pytest.raises(DeadlineExceeded) as caught:
        code["get"]()
    words, functions = told(deadline_error_from_exception(caught.value, "id-1"))

    assert words.endswith(", in test_the_user_s_own_line_precedes_an_installed_library_s")
    assert functions[-1] == "get"


@pytest.mark.parametrize("file", ["client.py", "asyncpg/protocol.pyx"])
def test_libraries_beside_the_user_s_code_and_compiled_ones_count_less(
    tmp_path: Path, file: str
) -> None:
    """The layout of `pip install --target`, as in a package for Lambda."""
    (tmp_path / "client-1.0.dist-info").mkdir()
    code: dict[str, Any] = {"error": DeadlineExceeded()}
    name = str(tmp_path / file) if file == "client.py" else file
    exec(compile("def get():\n raise error\n", name, "exec"), code)

    with pytest.raises(DeadlineExceeded) as caught:
        code["get"]()
    words, _ = told(deadline_error_from_exception(caught.value, "id-1"))

    assert words.endswith(", in test_libraries_beside_the_user_s_code_and_compiled_ones_count_less")


def test_callers_of_the_user_s_innermost_line_are_not_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asking takes time, and little is left at a deadline."""
    asked = list[str]()

    def is_written_by_user(name: str) -> bool:
        asked.append(name)
        return True

    monkeypatch.setattr(
        "okibi.runtime.deadlines.where_it_stood.is_written_by_user", is_written_by_user
    )

    def within() -> None:
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded) as caught:
        within()
    words, _ = told(deadline_error_from_exception(caught.value, "id-1"))

    assert words.endswith(", in within")
    assert asked == [__file__]


# -- a task that a plain `def` runs a loop of asyncio's for


async def waits() -> None:
    await on_nothing()


async def on_nothing() -> None:
    await asyncio.sleep(60)


async def holds() -> None:
    time.sleep(60)  # noqa: ASYNC251, the loop is held


async def gathers() -> None:
    await asyncio.gather(asyncio.sleep(60))


def by_run(task: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(task())


def by_its_own_loop(task: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(task())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("run", "task", "line"),
    [
        (by_run, waits, "on_nothing"),
        (by_run, holds, "holds"),
        (by_run, gathers, "gathers"),
        (by_its_own_loop, waits, "on_nothing"),
    ],
)
def test_a_def_that_runs_asyncio_is_at_its_task_s_line(
    run: Callable[[Any], None], task: Callable[[], Coroutine[Any, Any, None]], line: str
) -> None:
    with (
        (interrupt := DeadlineInterrupt()),
        signalling(interrupt, 0.3),
        pytest.raises(DeadlineExceeded) as caught,
    ):
        interrupt.run(lambda *_: run(task), {}, None)
    words, functions = told(deadline_error_from_exception(caught.value, "id-1"))

    assert words.endswith(f", in {line}")
    assert functions[-1] == line
    assert run.__name__ in functions


def test_a_second_signal_after_the_task_keeps_the_task_s_line() -> None:
    async def late() -> None:
        signal.raise_signal(SIGNAL)

    class SignalsAgain(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            if task.done():
                signal.raise_signal(SIGNAL)
            return super().select(timeout)

    def handler(event: object, context: object) -> None:
        loop.run_forever()

    loop = asyncio.SelectorEventLoop(SignalsAgain())
    task = loop.create_task(late())
    with (interrupt := DeadlineInterrupt()), pytest.raises(DeadlineExceeded) as caught:
        interrupt.run(handler, {}, None)
    loop.close()
    words, functions = told(deadline_error_from_exception(caught.value, "id-1"))

    assert isinstance(task.exception(), DeadlineExceeded)
    assert words.endswith(", in late")
    assert functions[-1] == "late"


@pytest.mark.parametrize(
    "what", [asyncio.Future, pytest.param(UnreadableFuture, marks=pytest.mark.slow)]
)
def test_a_def_that_runs_asyncio_without_a_task_is_at_its_own_line(
    what: type["asyncio.Future[None]"],
) -> None:
    def handler(event: object, context: object) -> None:
        loop.run_until_complete(what(loop=loop))

    loop = asyncio.new_event_loop()
    with (
        (interrupt := DeadlineInterrupt()),
        signalling(interrupt, 0.3),
        pytest.raises(DeadlineExceeded) as caught,
    ):
        interrupt.run(handler, {}, None)
    loop.close()
    words, _ = told(deadline_error_from_exception(caught.value, "id-1"))

    assert words.endswith(", in handler")


def test_a_def_that_runs_asyncio_in_a_thread_is_at_its_task_s_line() -> None:
    async def says() -> None:
        begun.set()
        await until_over()

    async def until_over() -> None:
        while not over.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    thread, begun, over = ThreadFrameSource(), threading.Event(), threading.Event()
    runner = threading.Thread(target=thread.run, args=(lambda: asyncio.run(says()),))
    runner.start()
    assert begun.wait(HANG)
    # Sometimes the task is running and awaits nothing.
    seen, enough = names(thread.frames()), time.monotonic() + 5
    while "until_over" not in seen and time.monotonic() < enough:
        seen = names(thread.frames())
    over.set()
    runner.join()

    assert "until_over" in seen


# -- elsewhere


def test_a_thread_has_frames_while_it_runs() -> None:
    thread, begun, over = ThreadFrameSource(), threading.Event(), threading.Event()

    def runs() -> None:
        begun.set()
        over.wait()

    runner = threading.Thread(target=thread.run, args=(runs,))
    runner.start()
    assert begun.wait(HANG)
    seen = names(thread.frames())
    over.set()
    runner.join()

    assert "runs" in seen
    assert thread.frames() == []


def test_frame_sources_count_only_in_okibi_s_frames() -> None:
    class Nowhere(FrameSource):
        def frames(self) -> Any:
            raise AssertionError

    def user_frame(here: FrameSource) -> None:
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded) as caught:
        user_frame(Nowhere())

    assert names(frames_of_error(caught.value))[-1] == "user_frame"


async def test_a_suspended_coroutine_is_followed_to_what_it_awaits() -> None:
    async def waits() -> None:
        await on_future()

    async def on_future() -> None:
        await asyncio.Future(loop=loop)

    loop = asyncio.new_event_loop()
    coroutine = waits()
    coroutine.send(None)

    assert names(frames_of_coroutine(coroutine)) == ["waits", "on_future"]
    coroutine.close()
    assert frames_of_coroutine(coroutine) == []
    loop.close()


# -- by what its worker is at


class Shielded(Actor):
    """A worker whose handler does not end."""

    doing = "at another event"

    async def run(self) -> None:
        await inner()


async def test_a_handler_that_could_not_be_ended_is_at_its_task_s_line(
    nursery: trio.Nursery,
) -> None:
    made, ref = delivery(), await start(nursery, Shielded)
    await wait_all_tasks_blocked()
    made.assign(ref)
    made.begin(ref)

    words, functions = told(deadline_error_from_worker(made))

    assert words.endswith(", in inner")
    assert functions == ["run", "inner"]


async def test_an_event_not_begun_names_what_its_worker_does(
    nursery: trio.Nursery,
) -> None:
    made, ref = delivery(), await start(nursery, Shielded, path="/w")
    await wait_all_tasks_blocked()
    made.assign(ref)

    words, functions = told(deadline_error_from_worker(made))

    assert words.startswith("no worker became free: /w was at another event, in File ")
    assert functions == ["run", "inner"]


async def test_an_event_without_a_worker_says_so(nursery: trio.Nursery) -> None:
    words = "no worker became free"
    assert told(deadline_error_from_worker(delivery(), [])) == (words, [])
    # A dead worker says nothing.
    assert told(deadline_error_from_worker(delivery(), [worker(alive=False)])) == (words, [])

    busy = await start(nursery, Shielded, path="/w")
    await wait_all_tasks_blocked()
    assert told(deadline_error_from_worker(delivery(), [busy]))[0].startswith(
        f"{words}: /w was at another event, in "
    )


async def test_an_event_with_an_idle_worker_came_too_late(nursery: trio.Nursery) -> None:
    class Idle(Actor):
        async def run(self) -> None:
            await self.receive()

    idle = await start(nursery, Idle)

    assert told(deadline_error_from_worker(delivery(), [idle])) == (
        "the event arrived too late for its handler to begin",
        [],
    )


async def test_the_line_that_holds_the_loop_is_named(nursery: trio.Nursery) -> None:
    made, ref = delivery(), await start(nursery, Shielded)
    await wait_all_tasks_blocked()
    made.assign(ref)
    made.begin(ref)
    outcomes: list[Outcome] = []

    def ask() -> None:
        outcomes.append(deadline_error_from_loop(made))

    # This task holds the loop; the thread reads its frames.
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    (outcome,) = outcomes

    words, functions = told(outcome)
    assert words.startswith(f'the loop was held in File "{__file__}", line ')
    assert words.endswith("; run blocking code in a thread: await trio.to_thread.run_sync(...)")
    assert functions[-1].startswith("test_the_line_that_holds")


@pytest.mark.parametrize("call", ["trio.to_thread.run_sync", "asyncio.to_thread"])
async def test_a_handler_that_holds_the_loop_learns_the_cure(
    nursery: trio.Nursery, call: str
) -> None:
    def ask() -> None:
        thread = threading.Thread(target=lambda: outcomes.append(deadline_error_from_loop(made)))
        thread.start()
        thread.join()

    def ask_on_asyncio() -> None:
        loop = asyncio.SelectorEventLoop()
        loop.call_soon(ask)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()

    class Holds(Actor):
        async def run(self) -> None:
            await begun.wait()
            ask() if call.startswith("trio") else ask_on_asyncio()
            ended.set()

    begun, ended, outcomes = trio.Event(), trio.Event(), list[Outcome]()
    made, ref = delivery(), await start(nursery, Holds)
    made.assign(ref)
    made.begin(ref)
    begun.set()
    await ended.wait()

    words, _ = told(outcomes[0])
    assert words.startswith(f'the handler was in File "{__file__}", line ')
    assert words.endswith(
        f"; write a plain def, or run blocking code in a thread: await {call}(...)"
    )


async def test_unreadable_frames_do_not_prevent_the_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("it changed meanwhile")

    monkeypatch.setattr("okibi.runtime.deadlines.where_it_stood.frames_in_loop", breaks)

    assert told(deadline_error_from_loop(delivery())) == (UNKNOWN, [])
