"""The thread of a plain handler is kept from event to event, and abandoned at a deadline."""

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

from okibi.runtime.handlers.handler_thread import THREADS, HandlerThread
from tests.garbage import no_collector
from tests.limits import HANG
from tests.support.fdinfo import descriptors

VARIABLE = contextvars.ContextVar("VARIABLE", default=0)


def ident() -> int:
    return threading.get_ident()


async def until(condition: Callable[[], bool]) -> None:
    """Poll, because the loop cannot await a thread."""
    with trio.fail_after(HANG):
        while not condition():
            await trio.testing.wait_all_tasks_blocked(0.001)


async def test_the_same_thread_serves_call_after_call(nursery: trio.Nursery) -> None:
    thread = HandlerThread(nursery)

    idents = {await thread.call(ident) for _ in range(3)}

    assert len(idents) == 1
    assert idents != {ident()}
    assert not thread.running
    nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no loop is created from 3.14 on")
async def test_a_thread_keeps_one_asyncio_loop_from_call_to_call(
    nursery: trio.Nursery,
) -> None:
    thread, loops = HandlerThread(nursery), list[asyncio.AbstractEventLoop]()

    def act() -> int:
        loops.append(asyncio.get_event_loop())
        return loops[-1].run_until_complete(asyncio.sleep(0, len(loops)))

    assert [await thread.call(act), await thread.call(act)] == [1, 2]

    assert loops[0] is loops[1]
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await until(loops[0].is_closed)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="get_event_loop creates a loop before 3.14")
async def test_a_loop_set_on_the_main_thread_gives_each_thread_a_loop(
    nursery: trio.Nursery,
) -> None:
    main, loops = asyncio.new_event_loop(), list[asyncio.AbstractEventLoop]()

    def act() -> int:
        loops.append(asyncio.get_event_loop())
        return loops[-1].run_until_complete(asyncio.sleep(0, len(loops)))

    without = HandlerThread(nursery)
    asyncio.set_event_loop(main)
    try:
        thread = HandlerThread(nursery)
    finally:
        asyncio.set_event_loop(None)
        main.close()

    assert [await thread.call(act), await thread.call(act)] == [1, 2]
    with pytest.raises(RuntimeError, match="no current event loop"):
        await without.call(act)

    assert loops[0] is loops[1] is not main
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await until(loops[0].is_closed)


async def test_each_call_has_the_context_variables_of_its_caller(nursery: trio.Nursery) -> None:
    thread, seen = HandlerThread(nursery), list[object]()

    def act() -> int:
        value = VARIABLE.get()
        VARIABLE.set(99)
        return value

    for value in (1, 2):
        VARIABLE.set(value)
        seen.append(await thread.call(act))

    assert seen == [1, 2]
    assert VARIABLE.get() == 2
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "error",
    [KeyError("this"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()],
    ids=repr,
)
async def test_the_caller_gets_what_a_call_raises_and_the_thread_stays(
    error: BaseException, nursery: trio.Nursery
) -> None:
    thread = HandlerThread(nursery)
    before = await thread.call(ident)

    def raises() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await thread.call(raises)

    assert caught.value is error
    assert await thread.call(ident) == before
    nursery.cancel_scope.cancel()


async def test_the_result_of_a_call_is_returned_unchanged(nursery: trio.Nursery) -> None:
    async def coroutine() -> int:
        return 1

    made: Any = await HandlerThread(nursery).call(coroutine)

    assert await made == 1
    nursery.cancel_scope.cancel()


async def test_trio_from_thread_works_in_every_call(nursery: trio.Nursery) -> None:
    thread = HandlerThread(nursery)

    def act() -> str:
        trio.from_thread.check_cancelled()
        trio.from_thread.run(trio.lowlevel.checkpoint)
        return trio.from_thread.run_sync(lambda: trio.lowlevel.current_task().name)

    for _ in range(2):
        assert await thread.call(act)
    nursery.cancel_scope.cancel()


async def test_an_error_is_not_kept_in_a_reference_cycle(nursery: trio.Nursery) -> None:
    class Kept(Exception): ...

    def raises() -> None:
        raise Kept

    thread = HandlerThread(nursery)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Kept):
            await thread.call(raises)
        # The thread may still be returning from the call; another call ends that.
        await thread.call(ident)
        assert not any(isinstance(each, Kept) for each in gc.get_objects())
    finally:
        gc.enable()
    nursery.cancel_scope.cancel()


async def test_a_stray_report_does_not_end_the_wait(nursery: trio.Nursery) -> None:
    thread, release = HandlerThread(nursery), threading.Event()

    def act() -> int:
        release.wait(HANG)
        return 7

    async def stray() -> None:
        for _ in range(3):
            for _ in range(2):
                thread._thread_calls.report_end(thread)
            await trio.testing.wait_all_tasks_blocked()
        release.set()

    nursery.start_soon(stray)
    assert await thread.call(act) == 7
    nursery.cancel_scope.cancel()


class Late:
    """A call that continues after its caller's cancellation, until released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.cancelled: list[type[BaseException]] = []
        self.ended = False
        self.scope = trio.CancelScope()

    def __call__(self) -> None:
        trio.from_thread.run_sync(self.scope.cancel)
        self.release.wait(HANG)
        try:
            trio.from_thread.check_cancelled()
        except trio.Cancelled as cancelled:
            self.cancelled.append(type(cancelled))
        self.ended = True

    async def abandoned_by(self, thread: HandlerThread) -> None:
        with self.scope:
            try:
                await thread.call(self)
            finally:
                thread.abandon()
        assert self.scope.cancelled_caught


async def test_an_abandoned_call_runs_on_and_check_cancelled_raises(
    nursery: trio.Nursery,
) -> None:
    thread, late = HandlerThread(nursery), Late()
    await late.abandoned_by(thread)
    assert thread.running

    late.release.set()
    await until(lambda: late.ended and not thread.running)

    assert late.cancelled == [trio.Cancelled]


async def test_the_end_of_an_abandoned_call_wakes_no_task(nursery: trio.Nursery) -> None:
    thread, late = HandlerThread(nursery), Late()
    await late.abandoned_by(thread)

    with trio.move_on_after(0.05):
        late.release.set()
        # sleep_forever raises if the task is woken.
        await trio.sleep_forever()

    await until(lambda: late.ended and not thread.running)
    nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists descriptors so")
async def test_a_thread_holds_no_descriptor(nursery: trio.Nursery) -> None:
    await HandlerThread(nursery).call(ident)
    # Close the descriptors of earlier runs now.
    gc.collect()
    before = descriptors()

    threads, late = [HandlerThread(nursery) for _ in range(3)], Late()
    for thread in threads:
        await thread.call(ident)
    await late.abandoned_by(threads[0])

    assert descriptors() == before
    late.release.set()
    await until(lambda: late.ended and not threads[0].running)
    nursery.cancel_scope.cancel()


async def test_every_call_is_handed_out_by_thread_calls(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, handed_out = HandlerThread(nursery), list[object]()
    hand_out = thread._thread_calls.hand_out

    def noted(calls: Any, call: Any) -> None:
        handed_out.append(call)
        hand_out(calls, call)

    monkeypatch.setattr(thread._thread_calls, "hand_out", noted)
    for _ in range(3):
        await thread.call(ident)

    assert len(handed_out) == 3
    nursery.cancel_scope.cancel()


async def test_an_idle_thread_frees_the_event_of_its_last_call(nursery: trio.Nursery) -> None:
    class Event: ...

    def act(event: Event) -> None:
        del event

    thread, event = HandlerThread(nursery), Event()
    kept = weakref.ref(event)
    await thread.call(partial(act, event))
    del event

    await until(lambda: kept() is None)
    nursery.cancel_scope.cancel()


async def cancelled_at_once(thread: HandlerThread, act: Callable[[], object]) -> trio.CancelScope:
    """Cancel a call before it is handed out; return the cancel scope."""
    with trio.move_on_after(0) as scope:
        try:
            await thread.call(act)
        finally:
            thread.abandon()
    return scope


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that every thread waits for before its first call."""
    gate = threading.Event()
    monkeypatch.setattr(
        "okibi.runtime.handlers.handler_thread.remove_timer_slack", lambda: gate.wait(HANG)
    )
    return gate


async def test_a_call_cancelled_before_its_begin_never_begins(
    nursery: trio.Nursery, gate: threading.Event
) -> None:
    before = THREADS.borrowed_tokens
    thread, begun = HandlerThread(nursery), threading.Event()

    scope = await cancelled_at_once(thread, begun.set)

    assert scope.cancelled_caught
    assert not thread.running
    gate.set()
    await until(lambda: THREADS.borrowed_tokens == before)
    assert not begun.is_set()


async def test_a_thread_is_running_as_soon_as_a_call_is_given(
    nursery: trio.Nursery, gate: threading.Event
) -> None:
    thread = HandlerThread(nursery)

    nursery.start_soon(thread.call, ident)
    await trio.testing.wait_all_tasks_blocked()

    assert thread.running
    gate.set()
    await until(lambda: not thread.running)
    nursery.cancel_scope.cancel()


async def test_a_thread_abandoned_after_its_nursery_ends_with_its_call() -> None:
    before, late = THREADS.borrowed_tokens, Late()
    async with trio.open_nursery() as nursery:
        thread = HandlerThread(nursery)
        with late.scope:
            await thread.call(late)
        nursery.cancel_scope.cancel()

    thread.abandon()
    late.release.set()
    await until(lambda: THREADS.borrowed_tokens == before)

    assert late.ended


async def test_a_call_that_ends_as_it_is_handed_out_can_be_cancelled(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, begun = HandlerThread(nursery), threading.Event()
    await thread.call(ident)
    monkeypatch.setattr("okibi.runtime.handlers.thread_calls.yield_core", lambda: begun.wait(HANG))

    scope = await cancelled_at_once(thread, begun.set)

    assert begun.is_set()
    assert scope.cancelled_caught
    nursery.cancel_scope.cancel()


async def test_an_idle_thread_ends_with_its_nursery() -> None:
    before = THREADS.borrowed_tokens
    async with trio.open_nursery() as nursery:
        await HandlerThread(nursery).call(ident)
        assert THREADS.borrowed_tokens > before
        nursery.cancel_scope.cancel()

    await until(lambda: THREADS.borrowed_tokens <= before)


# Frozen objects, such as the threads of other tests, are not listed.
@pytest.mark.usefixtures(no_collector.__name__)
async def test_a_thread_that_never_began_is_freed() -> None:
    def those() -> list[HandlerThread]:
        gc.collect()
        return [each for each in gc.get_objects() if type(each) is HandlerThread]

    async with trio.open_nursery() as nursery:
        HandlerThread(nursery)
        assert len(those()) == 1
        nursery.cancel_scope.cancel()

    assert those() == []


async def test_many_calls_in_many_threads_all_return(
    nursery: trio.Nursery,
) -> None:
    done = [0] * 16

    async def calls(number: int) -> None:
        thread = HandlerThread(nursery)
        for count in range(200):
            assert await thread.call(partial(int, count)) == count
            done[number] += 1

    with trio.fail_after(60):
        async with trio.open_nursery() as callers:
            for number in range(len(done)):
                callers.start_soon(calls, number)

    assert done == [200] * 16
    nursery.cancel_scope.cancel()
