"""What a `def` has on a loop of asyncio's at its deadline ends with its event."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, suppress
from contextvars import copy_context
from typing import Any, cast

import pytest

from runtime import current, unfinished
from runtime.alarm import SIGNAL, Alarm, handles
from runtime.delivery import Delivery
from runtime.failure import DeadlineExceeded
from tests.runtime.sandbox import running
from tests.runtime.stage import delivery
from tests.runtime.test_alarm import ringing


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    with (alarm := Alarm()):
        yield alarm


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def lasts(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Task[None]]:
    """A task that a module has begun, before any event."""
    task = loop.create_task(asyncio.sleep(60))
    yield task
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))


def ends(alarm: Alarm, handler: Callable[[], object]) -> None:
    """Run it as an event's `def`, to the DeadlineExceeded that it comes to."""

    def invoked() -> None:
        current.enter("an id", {})
        alarm.run(lambda *_: handler(), {}, None)

    with pytest.raises(DeadlineExceeded):
        copy_context().run(invoked)
    current.expect(1)


async def late(said: list[str]) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        said.append("cleaned up")


async def stubborn(ended: list[str]) -> None:
    while not ended:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


def end_stubborn(loop: asyncio.AbstractEventLoop, ended: list[str]) -> None:
    """End the only task that is left."""
    (left,) = asyncio.all_tasks(loop)
    ended.append("enough")
    left.cancel()
    loop.run_until_complete(left)


def test_the_task_that_a_lasting_loop_waited_for_is_cancelled_and_cleans_up(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    said = list[str]()

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: loop.run_until_complete(late(said)), {}, None)

    assert said == ["cleaned up"]
    assert not asyncio.all_tasks(loop)
    assert not alarm.armed


def test_so_it_is_where_the_handler_answers_with_what_there_is(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    said = list[str]()

    def handler(event: object, context: object) -> str:
        with suppress(DeadlineExceeded):
            loop.run_until_complete(late(said))
        return "part"

    with ringing(alarm):
        assert alarm.run(handler, {}, None) == "part"

    assert said == ["cleaned up"]


def test_and_that_answer_is_the_handler_s_though_the_task_takes_all_the_time_there_is(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    @handles
    def handle(delivery: Delivery) -> object:
        return alarm.run(lambda *_: knowing(), {}, None)

    def knowing() -> str:
        with suppress(DeadlineExceeded):
            loop.run_until_complete(stubborn(ended))
        return "part"

    ended, taken = list[str](), delivery()
    with ringing(alarm, every=0.05, interrupting=True):
        assert handle(taken) == "part"

    assert taken.swallowed is None
    end_stubborn(loop, ended)


def test_one_that_does_not_end_is_let_be_at_half_of_the_margin(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    said = list[str]()
    with ringing(alarm, interrupting=True), pytest.raises(DeadlineExceeded):
        alarm.run(lambda *_: loop.run_until_complete(stubborn(said)), {}, None)

    end_stubborn(loop, said)


def test_what_ran_beside_a_task_that_ended_by_it_ends_too_but_what_is_not_its_event_s(
    alarm: Alarm, loop: asyncio.AbstractEventLoop, lasts: asyncio.Task[None]
) -> None:
    said = list[str]()

    async def holds_the_loop() -> None:
        await asyncio.sleep(0)
        signal.raise_signal(SIGNAL)

    async def batch() -> None:
        await asyncio.gather(late(said), holds_the_loop())

    ends(alarm, lambda: loop.run_until_complete(batch()))

    assert said == ["cleaned up"]
    if hasattr(lasts, "get_context"):
        assert asyncio.all_tasks(loop) == {lasts}


async def waits(said: list[str]) -> None:
    await asyncio.wait([asyncio.ensure_future(late(said))])


async def shields(said: list[str]) -> None:
    await asyncio.shield(late(said))


async def takes_as_completed(said: list[str]) -> None:
    for each in asyncio.as_completed([late(said)]):
        await each


@pytest.mark.parametrize("batch", [waits, shields, takes_as_completed])
def test_so_it_is_with_what_goes_on_though_who_waits_for_it_is_cancelled(
    alarm: Alarm,
    loop: asyncio.AbstractEventLoop,
    lasts: asyncio.Task[None],
    batch: Callable[[list[str]], Coroutine[Any, Any, None]],
) -> None:
    """On each Python: 3.11 does not tell whose a task is, but what wakes it does."""
    said = list[str]()

    with ringing(alarm):
        ends(alarm, lambda: loop.run_until_complete(batch(said)))

    assert said == ["cleaned up"]
    assert asyncio.all_tasks(loop) == {lasts}


def test_of_what_has_not_begun_yet_only_the_event_s_is_cancelled(
    loop: asyncio.AbstractEventLoop, lasts: asyncio.Task[None]
) -> None:
    said = list[str]()

    def invoked() -> None:
        current.enter("an id", {})
        task = loop.create_task(late(said))
        unfinished.end([loop])
        assert task.cancelled()

    copy_context().run(invoked)

    current.expect(1)
    assert not said
    assert asyncio.all_tasks(loop) == {lasts}


class SignalsOnceMore(asyncio.SelectorEventLoop):
    """Signals when it has looked at the clock so many times more, out of any task."""

    looks = 0

    def time(self) -> float:
        self.looks -= 1
        if not self.looks:
            signal.raise_signal(SIGNAL)
        return super().time()


@pytest.mark.parametrize("looks", [1, 2])
def test_so_it_is_where_the_next_signal_comes_before_the_task_s_end_is_told(
    alarm: Alarm, looks: int
) -> None:
    """The kernel's and the watchdog's come as one. `gather` has ended then, and its waiter not."""
    said, loop = list[str](), SignalsOnceMore()

    async def holds_the_loop() -> None:
        await asyncio.sleep(0)
        loop.looks = looks
        signal.raise_signal(SIGNAL)

    async def batch() -> None:
        await asyncio.gather(late(said), holds_the_loop())

    with closing(loop):
        ends(alarm, lambda: loop.run_until_complete(batch()))

        assert loop.looks < 0
        assert not asyncio.all_tasks(loop)
    assert said == ["cleaned up"]


def test_a_loop_that_was_about_to_stop_does_not_stop_in_the_next_event(alarm: Alarm) -> None:
    """What it ran for was done; it was hit before it had heard of that."""

    late_loop = SignalsOnceMore()

    async def is_done() -> None:
        late_loop.looks = 1

    with closing(late_loop) as loop:
        ends(alarm, lambda: loop.run_until_complete(is_done()))

        assert loop.looks < 0
        assert loop.run_until_complete(asyncio.sleep(0.01, "the next")) == "the next"


@pytest.mark.parametrize("begins", [True, False])
def test_a_loop_that_was_hit_as_it_began_or_ended_runs_in_the_next_event(
    alarm: Alarm, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    said, hit = list[str](), list[object]()
    set_running_loop, hooks = asyncio.events._set_running_loop, sys.get_asyncgen_hooks()

    def is_set(running: asyncio.AbstractEventLoop | None) -> None:
        if begins:
            set_running_loop(running)
        if not hit and begins == (running is not None):
            hit.append(running)
            signal.raise_signal(SIGNAL)
        set_running_loop(running)

    async def batch() -> None:
        asyncio.ensure_future(late(said))  # noqa: RUF006, it is left behind

    monkeypatch.setattr(asyncio.events, "_set_running_loop", is_set)
    ends(alarm, lambda: loop.run_until_complete(batch()))

    assert len(hit) == 1
    assert not loop.is_running()
    assert not asyncio.all_tasks(loop)
    assert loop.run_until_complete(asyncio.sleep(0.01, "the next")) == "the next"
    if sys.version_info >= (3, 13):
        assert sys.get_asyncgen_hooks() == hooks
    assert asyncio.run(asyncio.sleep(0, "another")) == "another"


def test_a_task_that_was_made_and_is_not_waited_for_yet_never_begins(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    """It was hit as it had made one of what it was given."""
    said = list[str]()

    def makes(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], **given: Any
    ) -> asyncio.Task[None]:
        task = asyncio.Task(coroutine, loop=loop, **given)
        loop.set_task_factory(None)
        signal.raise_signal(SIGNAL)
        return task

    async def says() -> None:
        said.append("of the event before")

    loop.set_task_factory(cast("Any", makes))
    ends(alarm, lambda: loop.run_until_complete(says()))

    loop.run_until_complete(asyncio.sleep(0.01))
    assert not said


def test_so_it_is_where_something_else_runs_the_loop(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    """As nest_asyncio does, by a function of its own."""
    said = list[str]()

    def handler(event: object, context: object) -> None:
        tasks.append(loop.create_task(late(said)))
        loop.run_forever()

    def invoked() -> None:
        current.enter("an id", {})
        alarm.run(handler, {}, None)

    tasks = list[asyncio.Task[None]]()
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        copy_context().run(invoked)

    current.expect(1)
    assert tasks[0].cancelled()
    assert said == ["cleaned up"]


def test_of_a_loop_that_tells_nobody_what_it_waits_for_the_event_s_own_tasks_end(
    loop: asyncio.AbstractEventLoop, lasts: asyncio.Task[None]
) -> None:
    said = list[str]()

    def invoked() -> None:
        current.enter("an id", {})
        task = loop.create_task(late(said))
        loop.run_until_complete(asyncio.sleep(0))
        unfinished.end([loop, loop])
        assert task.cancelled()

    copy_context().run(invoked)

    current.expect(1)
    assert said == ["cleaned up"]
    if hasattr(lasts, "get_context"):
        assert asyncio.all_tasks(loop) == {lasts}


def test_a_loop_that_is_closed_is_let_be(loop: asyncio.AbstractEventLoop) -> None:
    loop.close()

    unfinished.end([loop])

    assert loop.is_closed()


@pytest.mark.parametrize("first", [["a", "b"], ["a", "blocks"]])
async def test_nothing_of_it_is_done_in_the_next_event(first: list[str]) -> None:
    async with running("lasting.handler", timeout=1.5) as sandbox:
        assert (await sandbox.ask({"records": first}))["errorType"] == "Runtime.DeadlineExceeded"
        assert await sandbox.ask({"records": []}) == []
        assert sandbox.function.starts == 1
