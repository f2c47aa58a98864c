"""Where a handler stood: read off an exception, a task, a thread."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Actor, start
from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.deadlines.where_it_stood import (
    UNKNOWN,
    Elsewhere,
    InThread,
    frames_of_awaiting,
    frames_of_error,
    late_at,
    late_by,
    late_held,
)
from okibi.runtime.errors.error_response import LATE
from okibi.runtime.errors.exceptions import DeadlineExceeded
from okibi.runtime.protocol.outcome import Outcome
from tests.limits import HANG
from tests.runtime.deadlines.test_interrupt import ringing
from tests.support.doubles import delivery, worker


def told(outcome: Outcome) -> tuple[str, list[str]]:
    """The message behind the words that all have, and the functions of the stack."""
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


class Untellable(asyncio.Future[None]):
    @property
    def get_coro(self) -> Any:
        raise LookupError


async def cancelled(act: Callable[[], Any]) -> BaseException:
    """What the end of a scope raises in something."""
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


async def test_a_cancelled_tells_of_the_user_s_innermost_line(autojump_clock: MockClock) -> None:
    words, functions = told(late_by(await cancelled(outer), "id-1"))

    assert words.startswith(f'it stood in File "{__file__}", line ')
    assert words.endswith(", in inner")
    assert functions[-2:] == ["outer", "inner"]


async def test_one_that_cleans_up_is_told_of_where_it_stood_before(
    autojump_clock: MockClock,
) -> None:
    async def cleans_up() -> None:
        try:
            await inner()
        finally:
            await trio.sleep(1)

    assert told(late_by(await cancelled(cleans_up), "id-1"))[1][-2:] == ["cleans_up", "inner"]


async def test_one_that_waits_for_its_tasks_is_where_they_are(autojump_clock: MockClock) -> None:
    async def parent() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outer)

    assert told(late_by(await cancelled(parent), "id-1"))[1][-3:] == ["parent", "outer", "inner"]


def test_an_exception_without_a_frame_of_the_user_s_is_told_of_plainly() -> None:
    assert told(late_by(DeadlineExceeded(), "id-1")) == (UNKNOWN, [])


def test_a_circle_of_exceptions_comes_to_an_end() -> None:
    first, second = DeadlineExceeded(), DeadlineExceeded()
    first.__context__, second.__context__ = second, first

    assert told(late_by(first, "id-1")) == (UNKNOWN, [])


def test_a_line_of_the_user_s_own_comes_before_one_that_is_installed() -> None:
    code: dict[str, Any] = {}
    file = "/opt/python/lib/python3.13/site-packages/client.py"
    exec(compile("def get():\n raise error\n", file, "exec"), code)
    code["error"] = DeadlineExceeded()

    with pytest.raises(DeadlineExceeded) as caught:
        code["get"]()
    words, functions = told(late_by(caught.value, "id-1"))

    assert words.endswith(", in test_a_line_of_the_user_s_own_comes_before_one_that_is_installed")
    assert functions[-1] == "get"


@pytest.mark.parametrize("file", ["client.py", "asyncpg/protocol.pyx"])
def test_so_it_does_where_that_lies_beside_his_or_is_compiled(tmp_path: Path, file: str) -> None:
    """As `pip install --target` has it, for a package of Lambda's."""
    (tmp_path / "client-1.0.dist-info").mkdir()
    code: dict[str, Any] = {"error": DeadlineExceeded()}
    name = str(tmp_path / file) if file == "client.py" else file
    exec(compile("def get():\n raise error\n", name, "exec"), code)

    with pytest.raises(DeadlineExceeded) as caught:
        code["get"]()
    words, _ = told(late_by(caught.value, "id-1"))

    assert words.endswith(", in test_so_it_does_where_that_lies_beside_his_or_is_compiled")


def test_of_what_has_called_his_innermost_line_nobody_asks_whether_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To tell takes time, which there is little of at a deadline."""
    asked = list[str]()

    def is_his(name: str) -> bool:
        asked.append(name)
        return True

    monkeypatch.setattr("okibi.runtime.deadlines.where_it_stood.is_written_by_user", is_his)

    def within() -> None:
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded) as caught:
        within()
    words, _ = told(late_by(caught.value, "id-1"))

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


@pytest.mark.parametrize("run", [by_run, by_its_own_loop])
@pytest.mark.parametrize(
    ("task", "line"), [(waits, "on_nothing"), (holds, "holds"), (gathers, "gathers")]
)
def test_a_def_that_runs_a_loop_of_asyncio_s_stands_where_its_task_does(
    run: Callable[[Any], None], task: Callable[[], Coroutine[Any, Any, None]], line: str
) -> None:
    with (alarm := Alarm()), ringing(alarm), pytest.raises(DeadlineExceeded) as caught:
        alarm.run(lambda *_: run(task), {}, None)
    words, functions = told(late_by(caught.value, "id-1"))

    assert words.endswith(f", in {line}")
    assert functions[-1] == line
    assert run.__name__ in functions


@pytest.mark.parametrize("what", [asyncio.Future, Untellable])
def test_one_that_waits_for_what_is_no_task_stands_at_its_own_line(
    what: type["asyncio.Future[None]"],
) -> None:
    def handler(event: object, context: object) -> None:
        loop.run_until_complete(what(loop=loop))

    loop = asyncio.new_event_loop()
    with (alarm := Alarm()), ringing(alarm), pytest.raises(DeadlineExceeded) as caught:
        alarm.run(handler, {}, None)
    loop.close()
    words, _ = told(late_by(caught.value, "id-1"))

    assert words.endswith(", in handler")


def test_in_a_thread_of_its_own_it_stands_there_too() -> None:
    async def says() -> None:
        begun.set()
        await until_over()

    async def until_over() -> None:
        while not over.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    thread, begun, over = InThread(), threading.Event(), threading.Event()
    runner = threading.Thread(target=thread.run, args=(lambda: asyncio.run(says()),))
    runner.start()
    assert begun.wait(HANG)
    # Now and then its task is at work, and waits for nothing.
    seen, enough = names(thread.frames()), time.monotonic() + 5
    while "until_over" not in seen and time.monotonic() < enough:
        seen = names(thread.frames())
    over.set()
    runner.join()

    assert "until_over" in seen


# -- elsewhere


def test_a_thread_s_frames_are_there_while_it_runs() -> None:
    thread, begun, over = InThread(), threading.Event(), threading.Event()

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


def test_what_runs_elsewhere_is_followed_only_from_okibi_s_own_frames() -> None:
    class Nowhere(Elsewhere):
        def frames(self) -> Any:
            raise AssertionError

    def of_the_user_s(here: Elsewhere) -> None:
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded) as caught:
        of_the_user_s(Nowhere())

    assert names(frames_of_error(caught.value))[-1] == "of_the_user_s"


async def test_a_coroutine_that_waits_is_followed_to_what_it_awaits() -> None:
    async def waits() -> None:
        await on_future()

    async def on_future() -> None:
        await asyncio.Future(loop=loop)

    loop = asyncio.new_event_loop()
    coroutine = waits()
    coroutine.send(None)

    assert names(frames_of_awaiting(coroutine)) == ["waits", "on_future"]
    coroutine.close()
    assert frames_of_awaiting(coroutine) == []
    loop.close()


# -- by what its worker is at


class Shielded(Actor):
    """A worker whose handler does not end."""

    doing = "at another event"

    async def run(self) -> None:
        await inner()


async def test_one_that_could_not_be_ended_stands_where_its_task_is(nursery: trio.Nursery) -> None:
    made, ref = delivery(), await start(nursery, Shielded)
    await wait_all_tasks_blocked()
    made.assign(ref)
    made.begin(ref)

    words, functions = told(late_at(made))

    assert words.endswith(", in inner")
    assert functions == ["run", "inner"]


async def test_one_that_its_worker_has_not_begun_says_what_that_is_at(
    nursery: trio.Nursery,
) -> None:
    made, ref = delivery(), await start(nursery, Shielded, path="/w")
    await wait_all_tasks_blocked()
    made.assign(ref)

    words, functions = told(late_at(made))

    assert words.startswith("no worker became free for it: /w was at another event, in File ")
    assert functions == ["run", "inner"]


async def test_one_without_a_worker_says_so(nursery: trio.Nursery) -> None:
    words = "no worker became free for it"
    assert told(late_at(delivery(), [])) == (words, [])
    # One that is dead says nothing more.
    assert told(late_at(delivery(), [worker(alive=False)])) == (words, [])

    busy = await start(nursery, Shielded, path="/w")
    await wait_all_tasks_blocked()
    assert told(late_at(delivery(), [busy]))[0].startswith(f"{words}: /w was at another event, in ")


async def test_one_that_finds_an_idle_worker_has_come_too_late(nursery: trio.Nursery) -> None:
    class Idle(Actor):
        async def run(self) -> None:
            await self.receive()

    idle = await start(nursery, Idle)

    assert told(late_at(delivery(), [idle])) == ("it came too late for its handler to begin", [])


async def test_when_somebody_else_holds_the_loop_that_line_is_named(nursery: trio.Nursery) -> None:
    made, ref = delivery(), await start(nursery, Shielded)
    await wait_all_tasks_blocked()
    made.assign(ref)
    made.begin(ref)
    outcomes: list[Outcome] = []

    def ask() -> None:
        outcomes.append(late_held(made))

    # This task holds the loop, for the thread to see.
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    (outcome,) = outcomes

    words, functions = told(outcome)
    assert words.startswith(f'the loop was held in File "{__file__}", line ')
    assert functions[-1].startswith("test_when_somebody_else")


async def test_what_cannot_be_read_does_not_keep_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("it changed meanwhile")

    monkeypatch.setattr("okibi.runtime.deadlines.where_it_stood._frames_in_loop", breaks)

    assert told(late_held(delivery())) == (UNKNOWN, [])
