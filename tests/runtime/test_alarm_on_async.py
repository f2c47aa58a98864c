"""The alarm ends an `async def` that holds the loop, and never hits trio's or okibi's own work."""

import contextlib
import gc
import json
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
import trio

from actors import Ref, Server, start
from runtime.alarm import SIGNAL, Alarm, handled_in
from runtime.context import Context
from runtime.delivery import Delivery
from runtime.handler import Awaited, Handler
from runtime.marshal import decoder_for
from runtime.worker import Worker
from tests.runtime.stage import SETTINGS, delivery, ledger_of

seen: list[Delivery | None] = []


def look() -> None:
    """What the alarm would see if it came here."""
    seen.append(handled_in(sys._getframe()))


def idle() -> None:
    for _ in range(30):
        pass


@attrs.define(eq=False)
class Stage:
    """A worker of a coroutine function, which is given one event after the other."""

    worker: Ref[Any]
    lane: Any

    async def give(self, left: float = 10.0) -> tuple[Delivery, Any]:
        """Have it handle an event, `left` seconds before that is due."""
        made = self.lane.delivery = delivery(due=trio.current_time() + left)
        assert made.assign(self.worker)
        self.worker.send_nowait((self.lane, made))
        while made.outcome is None:
            await trio.lowlevel.checkpoint()
        return made, json.loads(made.outcome.body)


async def stage(nursery: trio.Nursery, handler: Callable[..., Any]) -> Stage:
    ledger = ledger_of()
    make = partial(Awaited, handler)
    factory = partial(Worker, ledger, SETTINGS, make, decoder_for(Any), False)
    return Stage(await start(nursery, factory, path="/worker"), ledger.lanes[0])


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    seen.clear()
    with (alarm := Alarm()):
        yield alarm


class Counter(Server):
    """An actor beside."""

    seen = 0

    async def count(self) -> int:
        look()
        self.seen += 1
        return self.seen


# -- where it may raise


async def test_in_the_handler_s_own_code_it_may(nursery: trio.Nursery, alarm: Alarm) -> None:
    async def handler(event: object, context: Context) -> None:
        look()
        await trio.lowlevel.checkpoint()
        look()

    made, _ = await (await stage(nursery, handler)).give()

    assert seen == [made, made]


class Exits:
    """What would be left open if its end were cut."""

    def __enter__(self) -> None:
        look()

    def __exit__(self, *_: object) -> None:
        look()

    def __del__(self) -> None:
        look()


@contextlib.contextmanager
def managed() -> Iterator[None]:
    look()
    yield
    look()


async def by_trio() -> None:
    def give_up(_: object) -> trio.lowlevel.Abort:
        look()
        return trio.lowlevel.Abort.SUCCEEDED

    with trio.move_on_after(0):
        await trio.lowlevel.wait_task_rescheduled(give_up)


async def in_a_task() -> None:
    async def task() -> None:
        look()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)


async def in_an_actor() -> None:
    async with trio.open_nursery() as nursery:
        counter = await start(nursery, Counter)
        await counter.call(Counter.count)
        nursery.cancel_scope.cancel()


async def in_an_exit() -> None:
    with Exits():
        pass


async def in_a_manager() -> None:
    with managed():
        pass


@pytest.mark.parametrize("inside", [by_trio, in_a_task, in_an_actor, in_an_exit, in_a_manager])
async def test_in_anybody_else_s_work_it_may_not(
    inside: Callable[[], Any], nursery: trio.Nursery, alarm: Alarm
) -> None:
    async def handler(event: object, context: Context) -> None:
        await inside()

    await (await stage(nursery, handler)).give()

    assert seen
    assert set(seen) == {None}


async def test_in_the_init_of_an_instance_it_may_not(nursery: trio.Nursery, alarm: Alarm) -> None:
    class Looks(Handler[Any]):
        async def init(self) -> None:
            look()

        async def handle(self, event: object, context: Context) -> None: ...

    await start(nursery, partial(Worker, ledger_of(), SETTINGS, Looks, decoder_for(Any), True))

    assert seen == [None]


async def test_out_of_any_handler_it_may_not() -> None:
    assert handled_in(sys._getframe()) is None
    assert handled_in(None) is None


# -- what it does


async def test_a_late_handler_that_holds_the_loop_is_ended(
    nursery: trio.Nursery, alarm: Alarm
) -> None:
    async def handler(event: object, context: Context) -> None:
        time.sleep(5)  # noqa: ASYNC251, it is what the test is about

    threading.Timer(0.1, alarm.interrupt).start()
    began = time.monotonic()
    _, told = await (await stage(nursery, handler)).give(0.05)

    assert told["errorType"] == "Runtime.DeadlineExceeded"
    assert ", in handler" in told["stackTrace"][-1]
    assert time.monotonic() - began < 2


async def test_one_that_is_in_time_is_let_be(nursery: trio.Nursery, alarm: Alarm) -> None:
    async def handler(event: object, context: Context) -> str:
        signal.raise_signal(SIGNAL)
        return "in time"

    assert (await (await stage(nursery, handler)).give())[1] == "in time"


async def test_what_came_of_the_end_of_its_time_does_not_hide_it(
    nursery: trio.Nursery, alarm: Alarm
) -> None:
    async def beside() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("beside")

    async def handler(event: object, context: Context) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(beside)
                await trio.lowlevel.checkpoint()
                signal.raise_signal(SIGNAL)

    _, told = await (await stage(nursery, handler)).give(0.0)

    assert told["errorType"] == "Runtime.DeadlineExceeded"


@contextlib.asynccontextmanager
async def a_nursery() -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)
        yield nursery


async def all_kinds_of_work(counter: Ref[Counter]) -> None:
    """What keeps its books in trio and in okibi, with the handler's own code in between."""
    async with trio.open_nursery() as nursery:
        idle()
        nursery.start_soon(trio.sleep, 0)
    async with a_nursery() as nursery:
        idle()
        nursery.start_soon(trio.sleep, 0)
    async with anyio.create_task_group() as group:
        idle()
        group.start_soon(anyio.sleep, 0)
    sending, receiving = trio.open_memory_channel[int](1)
    async with sending, receiving:
        await sending.send(1)
        idle()
        await receiving.receive()
    with trio.move_on_after(1):
        idle()
        await trio.lowlevel.checkpoint()
    counter.cast_nowait(Counter.count)
    idle()
    await counter.call(Counter.count)


@contextlib.contextmanager
def rain(alarm: Alarm) -> Iterator[None]:
    """Signals from the kernel, at any moment: another thread would get its turn at few places."""
    # What earlier tests have left must not be found by the collector inside a handler: pytest has a
    # hook of Python code for what goes wrong there, and a signal into that is told of as an error.
    gc.collect()
    before = signal.signal(signal.SIGALRM, alarm._raise)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def test_at_whichever_moment_it_comes_trio_and_the_actors_stay_whole(alarm: Alarm) -> None:
    """Handlers that are late from the start, shielded, so that the alarm alone ends them."""
    rounds, late = 30, True
    async with trio.open_nursery() as nursery:
        counter = await start(nursery, Counter)

        async def handler(event: object, context: Context) -> str:
            with trio.CancelScope(shield=True):
                while late:
                    await all_kinds_of_work(counter)
            return "in time"

        at = await stage(nursery, handler)
        with rain(alarm):
            for _ in range(rounds):
                late = True
                assert (await at.give(0.0))[1]["errorType"] == "Runtime.DeadlineExceeded"
                late = False
                assert (await at.give())[1] == "in time"
        before = await counter.call(Counter.count)
        assert before > rounds
        assert await counter.call(Counter.count) == before + 1
        nursery.cancel_scope.cancel()
