"""The thread of a plain handler: kept from event to event, and abandoned when one is late."""

import contextvars
import errno
import gc
import os
import resource
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

from runtime.thread import Bell, HandlerThread

VARIABLE = contextvars.ContextVar("VARIABLE", default=0)
LIMIT = 5.0


def ident() -> int:
    return threading.get_ident()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    """What a thread does is not the loop's to await."""
    with trio.fail_after(LIMIT):
        while not condition():
            await trio.testing.wait_all_tasks_blocked(0.001)


async def test_the_same_thread_serves_call_after_call(nursery: trio.Nursery) -> None:
    thread = HandlerThread(nursery)

    idents = {await thread.call(ident) for _ in range(3)}

    assert len(idents) == 1
    assert idents != {ident()}
    assert not thread.running
    nursery.cancel_scope.cancel()


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
async def test_what_a_call_raises_its_caller_gets_and_the_thread_goes_on(
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


async def test_what_a_call_gives_is_passed_on_as_it_is(nursery: trio.Nursery) -> None:
    async def coroutine() -> int:
        return 1

    made: Any = await HandlerThread(nursery).call(coroutine)

    assert await made == 1
    nursery.cancel_scope.cancel()


async def test_from_a_call_trio_is_reached_again_and_again(nursery: trio.Nursery) -> None:
    thread = HandlerThread(nursery)

    def act() -> str:
        trio.from_thread.check_cancelled()
        trio.from_thread.run(trio.lowlevel.checkpoint)
        return trio.from_thread.run_sync(lambda: trio.lowlevel.current_task().name)

    for _ in range(2):
        assert await thread.call(act)
    nursery.cancel_scope.cancel()


async def test_no_error_is_kept_in_a_circle(nursery: trio.Nursery) -> None:
    class Kept(Exception): ...

    def raises() -> None:
        raise Kept

    thread = HandlerThread(nursery)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Kept):
            await thread.call(raises)
        # Until it is in another call, it may still be leaving this one.
        await thread.call(ident)
        assert not any(isinstance(each, Kept) for each in gc.get_objects())
    finally:
        gc.enable()
    nursery.cancel_scope.cancel()


async def test_a_ring_that_is_nobody_s_ends_no_wait(nursery: trio.Nursery) -> None:
    """A child's that was forked in a handler: it has the pipe too."""
    thread, release = HandlerThread(nursery), threading.Event()

    def act() -> int:
        release.wait(LIMIT)
        return 7

    async def stray() -> None:
        for _ in range(3):
            thread._bell.ring()
            await trio.testing.wait_all_tasks_blocked()
        release.set()

    nursery.start_soon(stray)
    assert await thread.call(act) == 7
    nursery.cancel_scope.cancel()


class Late:
    """A call that goes on when its caller has been cancelled, until it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.told: list[type[BaseException]] = []
        self.ended = False
        self.scope = trio.CancelScope()

    def __call__(self) -> None:
        trio.from_thread.run_sync(self.scope.cancel)
        self.release.wait(LIMIT)
        try:
            trio.from_thread.check_cancelled()
        except trio.Cancelled as cancelled:
            self.told.append(type(cancelled))
        self.ended = True

    async def abandoned_by(self, thread: HandlerThread) -> None:
        with self.scope:
            try:
                await thread.call(self)
            finally:
                thread.abandon()
        assert self.scope.cancelled_caught


async def test_one_that_is_abandoned_runs_on_and_can_ask_whether_it_is(
    nursery: trio.Nursery,
) -> None:
    thread, late = HandlerThread(nursery), Late()
    await late.abandoned_by(thread)
    assert thread.running

    late.release.set()
    await until(lambda: late.ended and not thread.running)

    assert late.told == [trio.Cancelled]


async def test_one_that_is_abandoned_holds_no_descriptor_and_rings_nobody(
    nursery: trio.Nursery,
) -> None:
    thread, late = HandlerThread(nursery), Late()
    ends = thread._bell.ends
    await late.abandoned_by(thread)
    assert not any(map(is_open, ends))

    # Whatever gets these numbers next.
    others = os.pipe()
    assert set(others) == set(ends)
    late.release.set()
    await until(lambda: late.ended and not thread.running)
    os.set_blocking(others[0], False)
    with pytest.raises(BlockingIOError):
        os.read(others[0], 1)
    for end in others:
        os.close(end)


async def test_an_idle_thread_ends_with_its_nursery() -> None:
    async with trio.open_nursery() as nursery:
        thread = HandlerThread(nursery)
        await thread.call(ident)
        ends = thread._bell.ends
        del thread
        nursery.cancel_scope.cancel()

    await until(lambda: not any(map(is_open, ends)))


async def test_one_that_never_began_leaves_nothing_open() -> None:
    async with trio.open_nursery() as nursery:
        thread = HandlerThread(nursery)
        ends = thread._bell.ends
        del thread
        nursery.cancel_scope.cancel()

    await until(lambda: not any(map(is_open, ends)))


def test_a_bell_that_cannot_be_had_says_so_and_nothing_more() -> None:
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            Bell()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def test_a_bell_that_nobody_has_is_closed() -> None:
    bell = Bell()
    ends = bell.ends

    del bell

    assert not any(map(is_open, ends))
