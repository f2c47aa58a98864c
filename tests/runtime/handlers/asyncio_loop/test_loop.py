"""The asyncio loop in its thread: jobs, cancellation, end, and its actor."""

import _thread
import asyncio
import logging
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi import Cached
from okibi.actors import ActorExited, Name, Ref, Server, start
from okibi.actors.portals import PortalClosed
from okibi.runtime.handlers.asyncio_loop import loop as module
from okibi.runtime.handlers.asyncio_loop.from_asyncio import from_asyncio
from okibi.runtime.handlers.asyncio_loop.leftover_tasks import keep_running
from okibi.runtime.handlers.asyncio_loop.loop import AsyncioLoop, LoopEnded
from okibi.runtime.handlers.asyncio_loop.loop_actor import LoopActor
from okibi.supervisors import Child, Supervisor, SupervisorSpec
from tests.limits import HANG
from tests.support.doubles import ends_of_threads

COLOUR = ContextVar("colour", default="none")


async def loop_of_this_thread() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def started() -> AsyncioLoop:
    loop = AsyncioLoop()
    await loop.start()
    return loop


async def test_run_returns_the_value_or_raises_the_exception() -> None:
    loop, error = await started(), LookupError("mine")

    async def fails() -> None:
        raise error

    assert await loop.run(asyncio.sleep, 0, "slept") == "slept"
    with pytest.raises(LookupError) as caught:
        await loop.run(fails)
    assert caught.value is error
    await loop.close()


async def test_a_loop_without_a_thread_is_not_alive_and_can_start_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    loop = AsyncioLoop()
    with monkeypatch.context() as patched:
        patched.setattr(_thread, "start_new_thread", refused)
        with pytest.raises(LoopEnded) as caught:
            await loop.start()

    assert isinstance(caught.value.__cause__, RuntimeError)
    assert not loop.alive
    with trio.fail_after(HANG):
        await loop.close()
        await loop.start()
        assert await loop.run(asyncio.sleep, 0, "slept") == "slept"
        await loop.close()


async def test_a_job_runs_in_the_thread_with_the_caller_s_context() -> None:
    loop = await started()

    async def seen() -> tuple[str, str]:
        before = COLOUR.get()
        COLOUR.set("changed")
        return before, threading.current_thread().name

    COLOUR.set("red")
    assert await loop.run(seen) == ("red", "okibi asyncio")
    assert COLOUR.get() == "red"
    await loop.close()


async def test_a_log_handler_that_raises_does_not_block_the_result() -> None:
    loop, logger = await started(), logging.getLogger("okibi")

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no log today")

    async def leaves() -> str:
        held.append(asyncio.create_task(asyncio.sleep(60)))
        return "answer"

    held = list[asyncio.Task[None]]()
    answers = list[str]()
    told = trio.Event()

    async def ask() -> None:
        answers.append(await loop.run(leaves))
        told.set()

    raising = Raising()
    logger.addHandler(raising)
    try:
        with suppress(ExceptionGroup):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                with trio.move_on_after(5):
                    await told.wait()
                # Not a cancellation, which would itself wait for the end.
                await loop.close()
    finally:
        logger.removeHandler(raising)
    assert answers == ["answer"]


async def test_a_cancelled_run_cancels_the_job_and_waits_for_its_end(
    nursery: trio.Nursery,
) -> None:
    loop, said, begun = await started(), list[str](), threading.Event()

    async def cleans() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            said.append("clean")

    async def cancel_once_begun(scope: trio.CancelScope) -> None:
        await trio.to_thread.run_sync(begun.wait)
        scope.cancel()

    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_once_begun, scope)
        await loop.run(cleans)
    assert scope.cancelled_caught
    assert said == ["clean"]
    assert not loop.stuck
    await loop.close()


async def test_a_job_cancelled_before_its_begin_never_begins() -> None:
    loop, said = await started(), list[str]()

    async def speaks() -> None:
        said.append("begun")

    with trio.CancelScope() as scope:
        scope.cancel()
        await loop.run(speaks)
    assert scope.cancelled_caught
    assert said == []
    await loop.close()


async def test_a_job_that_cancels_itself_does_not_cancel_the_trio_task() -> None:
    loop = await started()

    async def gives_up() -> None:
        raise asyncio.CancelledError("of its own")

    with pytest.raises(asyncio.CancelledError, match="of its own"):
        await loop.run(gives_up)
    await loop.close()


async def test_a_blocked_loop_is_stuck_and_held_until_it_takes_the_cancellation() -> None:
    loop, busy, leave = await started(), threading.Event(), threading.Event()

    async def blocks() -> None:
        busy.set()
        leave.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.run, blocks)
        await trio.to_thread.run_sync(busy.wait)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
            assert loop.stuck
            assert not loop.look()
            with trio.fail_after(HANG):
                while not loop.look():  # noqa: ASYNC110, of a thread
                    await trio.sleep(0.01)
            leave.set()
    assert not loop.stuck
    assert not loop.look()
    await loop.close()


async def test_closing_the_loop_ends_its_jobs_with_loop_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = ends_of_threads(monkeypatch, module)
    loop = await started()

    async def runs() -> None:
        with pytest.raises(LoopEnded):
            await loop.run(asyncio.sleep, 60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(runs)
        await wait_all_tasks_blocked(0.01)
        await loop.close()
    assert not loop.alive
    (ended,) = ends
    assert await trio.to_thread.run_sync(ended.wait, 5)


async def test_a_closed_loop_can_be_started_again() -> None:
    loop = await started()
    first = await loop.run(loop_of_this_thread)
    await loop.close()
    await loop.close()
    assert first.is_closed()

    await loop.start()
    assert await loop.run(loop_of_this_thread) is not first
    await loop.close()


# -- the loop's actor


async def start_loop_actor(nursery: trio.Nursery) -> tuple[AsyncioLoop, Ref[Supervisor]]:
    loop = AsyncioLoop()
    child = Child(lambda: LoopActor(loop), id="asyncio")
    return loop, await start(nursery, lambda: Supervisor(SupervisorSpec([child])))


async def test_a_restarted_loop_actor_adopts_the_running_loop() -> None:
    async with trio.open_nursery() as nursery:
        loop = AsyncioLoop()
        first = await start(nursery, lambda: LoopActor(loop))
        same = await loop.run(loop_of_this_thread)
        first.kill()
        await first.wait()
        second = await start(nursery, lambda: LoopActor(loop))
        assert await loop.run(loop_of_this_thread) is same
        second.stop()
    assert not loop.alive


async def test_a_crash_of_the_loop_restarts_the_actor_with_a_new_loop() -> None:
    async def breaks() -> None:
        def fails(*_: object) -> None:
            raise OSError("no selector")

        asyncio.get_running_loop()._run_once = fails  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async with trio.open_nursery() as nursery:
        loop, supervisor = await start_loop_actor(nursery)
        first = await loop.run(loop_of_this_thread)
        with pytest.raises(LoopEnded) as caught:
            await loop.run(breaks)
        assert isinstance(caught.value.__cause__, OSError)
        # A job before the new loop's start waits for the new loop.
        assert await loop.run(loop_of_this_thread) is not first
        supervisor.stop()
    assert not loop.alive


# -- from the loop to actors


class Visits(Server):
    seen = 0

    async def visit(self, by: int) -> int:
        self.seen += by
        return self.seen

    async def crash(self) -> None:
        raise ValueError("no")

    async def never(self) -> None:
        await trio.sleep_forever()

    async def handle_info(self, message: object) -> None:
        self.seen = 100


VISITS = Name("visits", Visits)


async def test_an_abandoned_job_cleans_up_to_its_end(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    loop, may_end, gone, scope = await started(), asyncio.Event(), trio.Event(), trio.CancelScope()
    tasks = list[trio.lowlevel.Task]()

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await may_end.wait()
            raise LookupError("at its end")

    async def end() -> None:
        may_end.set()

    async def waits() -> None:
        tasks.append(trio.lowlevel.current_task())
        with scope:
            await loop.run(cleans_up)
        gone.set()

    nursery.start_soon(waits)
    await wait_all_tasks_blocked()
    # Everything that began earlier has had a step by then.
    await loop.run(asyncio.sleep, 0)
    assert loop.abandon(tasks[0]) is None
    scope.cancel()
    await loop.run(asyncio.sleep, 0)
    assert not gone.is_set()

    goes_on = loop.abandon(tasks[0])
    await gone.wait()
    assert goes_on is not None
    assert goes_on()

    await loop.run(end)
    with trio.fail_after(HANG):
        while goes_on():
            await trio.lowlevel.checkpoint()
    assert "an abandoned handler raised" in caplog.text
    await loop.close()


async def test_calls_casts_and_sends_reach_an_actor() -> None:
    async def fetch() -> int:
        return 7

    async def asks() -> int:
        await from_asyncio.cast(VISITS, Visits.visit, 1)
        assert await from_asyncio.call(VISITS, Visits.visit, by=2) == 3
        await from_asyncio.send(VISITS, "info")
        assert await from_asyncio.run(Cached(fetch, max_age=1).get) == 7
        return await from_asyncio.call(VISITS, Visits.visit, 1)

    loop = await started()
    async with trio.open_nursery() as nursery:
        visits = await start(nursery, Visits, name=VISITS)
        assert await loop.run(asks) == 101
        visits.stop()
    await loop.close()


async def test_a_call_from_the_loop_raises_the_actor_s_errors() -> None:
    async def asks() -> None:
        with pytest.raises(ActorExited) as caught:
            await from_asyncio.call(VISITS, Visits.crash)
        assert isinstance(caught.value.__cause__, ValueError)

    loop = await started()
    async with trio.open_nursery() as nursery:
        flags = SupervisorSpec([Child(Visits, name=VISITS)])
        supervisor = await start(nursery, lambda: Supervisor(flags))
        await loop.run(asks)
        supervisor.stop()
    await loop.close()


async def test_a_time_out_on_asyncio_cancels_the_call_on_trio() -> None:
    async def asks(visits: Ref[Visits]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await from_asyncio.call(visits, Visits.never)

    loop = await started()
    async with trio.open_nursery() as nursery:
        visits = await start(nursery, Visits)
        await loop.run(asks, visits)
        visits.stop()
    await loop.close()


def test_from_asyncio_without_a_tree_names_the_portal() -> None:
    async def asks() -> None:
        await from_asyncio.send(VISITS, "info")

    with pytest.raises(RuntimeError, match=r"use okibi\.actors\.Portal"):
        asyncio.run(asks())


def test_from_asyncio_after_the_run_raises_portal_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ends_of_threads(monkeypatch, module)
    errors: list[BaseException] = []

    async def asks() -> None:
        while True:
            try:
                await from_asyncio.send(VISITS, "info")
            except PortalClosed as error:
                errors.append(error)
                return
            except ActorExited:
                await asyncio.sleep(0)

    async def main() -> AsyncioLoop:
        loop = await started()

        async def leaves() -> None:
            keep_running(asyncio.create_task(asks()))

        await loop.run(leaves)
        return loop

    loop = trio.run(main)
    loop._closing = True
    while not errors:
        time.sleep(0.01)
    assert loop._loop is not None
    loop._loop.call_soon_threadsafe(loop._loop.stop)
    (ended,) = ends
    assert ended.wait(HANG)


def test_a_loop_without_a_default_executor_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    class Unknown:
        closed = False

        def shutdown_asyncgens(self) -> None: ...
        def run_until_complete(self, _: object) -> None: ...
        def close(self) -> None:
            self.closed = True

    unknown: Any = Unknown()
    module._close(unknown)

    assert unknown.closed
    assert caplog.records == []


def test_a_forked_child_ends_on_a_loop_without_asyncios_private_queue() -> None:
    """uvloop's loops have no `_ready`."""
    called: list[object] = []

    class Unknown:
        def call_soon(self, callback: object) -> None:
            called.append(callback)

    unknown: Any = Unknown()
    loop = AsyncioLoop()
    loop._loop, loop.ident = unknown, threading.get_ident()
    loop.after_fork_in_child()

    assert len(called) == 1
