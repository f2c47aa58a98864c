"""The asyncio loop inside trio: jobs, cancellation, slices, end, and its actor."""

import asyncio
import gc
import inspect
import math
import re
import selectors
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any

import anyio.to_thread
import pytest
import sniffio
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi import Cached
from okibi.actors import (
    ActorExited,
    Name,
    Ref,
    Server,
    from_sync,
    from_thread,
    start,
    trio_internals,
)
from okibi.actors.portals import PortalClosed
from okibi.asyncio_loop import AsyncioLoop, LoopEnded, from_asyncio, on_asyncio, slices
from okibi.asyncio_loop import loop as module
from okibi.asyncio_loop.job import Job
from okibi.asyncio_loop.loop import loop_of_run
from okibi.asyncio_loop.loop_actor import LoopActor
from okibi.supervisors import Child, Supervisor, SupervisorSpec
from tests.limits import HANG

COLOUR = ContextVar("colour", default="none")


async def current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def started() -> AsyncioLoop:
    loop = AsyncioLoop()
    loop.start()
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


async def test_a_loop_can_be_closed_before_its_first_slice() -> None:
    loop = await started()
    with trio.CancelScope() as scope:
        scope.cancel()
        await loop.close()
    await wait_all_tasks_blocked()
    assert not loop.alive


async def test_a_closed_loop_can_be_started_again() -> None:
    loop = await started()
    first = await loop.run(current_loop)
    await loop.close()
    await loop.close()
    assert first.is_closed()

    loop.start()
    assert await loop.run(current_loop) is not first
    await loop.close()


async def test_a_job_runs_in_trio_s_thread_with_the_caller_s_context() -> None:
    loop = await started()

    async def seen() -> tuple[str, int]:
        before = COLOUR.get()
        COLOUR.set("changed")
        return before, threading.get_ident()

    COLOUR.set("red")
    assert await loop.run(seen) == ("red", threading.get_ident())
    assert COLOUR.get() == "red"
    await loop.close()


async def test_code_on_trio_knows_the_deadline_of_its_caller_through_asyncio(
    autojump_clock: MockClock,
) -> None:
    async def time_left() -> float:
        return trio.current_effective_deadline() - trio.current_time()

    async def ask() -> float:
        await asyncio.sleep(1)
        return await from_asyncio.run(time_left)

    with trio.fail_after(5):
        assert await on_asyncio(ask) == 4
        said = list[type[BaseException]]()

        async def wait() -> None:
            try:
                await from_asyncio.run(trio.sleep_forever)
            except BaseException as error:
                said.append(type(error))
                raise

        with trio.move_on_after(1):
            await on_asyncio(wait)
    assert said == [asyncio.CancelledError]
    assert await on_asyncio(ask) == math.inf


async def test_a_cancelled_run_cancels_the_job_and_waits_for_its_end() -> None:
    loop, said = await started(), list[str]()

    async def cleans() -> None:
        try:
            scope.cancel()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            said.append("clean")

    with trio.CancelScope() as scope:
        await loop.run(cleans)
    assert scope.cancelled_caught
    assert said == ["clean"]
    await loop.close()


async def test_closing_the_loop_ends_its_jobs_with_loop_ended() -> None:
    loop = await started()

    async def runs() -> None:
        with pytest.raises(LoopEnded):
            await loop.run(asyncio.sleep, 60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(runs)
        await wait_all_tasks_blocked()
        await loop.close()
    assert not loop.alive


async def test_a_cancelled_close_leaves_stubborn_tasks_behind() -> None:
    loop = await started()

    async def stubborn() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def leaves() -> None:
        left.append(asyncio.create_task(stubborn()))

    left = list[asyncio.Task[None]]()
    await loop.run(leaves)
    with trio.move_on_after(0.01) as scope:
        await loop.close()
    assert scope.cancelled_caught
    assert not loop.alive
    # Without asyncio's report of a pending task.
    left[0]._log_destroy_pending = False  # type: ignore[attr-defined]


# -- slices


async def test_trio_and_asyncio_share_the_thread_fairly() -> None:
    """Tasks that never wait, on either side, keep the other side waiting for a slice."""
    loop, steps, over = await started(), {"asyncio": 0, "trio": 0}, False

    async def spins() -> None:
        while not over:
            steps["asyncio"] += 1
            await asyncio.sleep(0)

    async with trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(loop.run, spins)
        while steps["trio"] < 100:
            steps["trio"] += 1
            await trio.lowlevel.checkpoint()
        assert steps["asyncio"] >= 100
        over = True
    await loop.close()


async def test_an_idle_loop_runs_no_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, slices = await started(), list[None]()
    begin_slice = loop.selector.begin_slice

    def counted(*args: Any, **options: Any) -> None:
        slices.append(None)
        begin_slice(*args, **options)

    receiving, sending = socket.socketpair()
    receiving.setblocking(False)

    async def receives() -> bytes:
        return await asyncio.get_running_loop().sock_recv(receiving, 10)

    with receiving, sending:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run, receives)
            await wait_all_tasks_blocked()
            monkeypatch.setattr(loop.selector, "begin_slice", counted)
            for _ in range(100):
                await trio.lowlevel.checkpoint()
            assert slices == []
            sending.send(b"data")
    assert slices
    await loop.close()


def test_a_sleep_on_asyncio_takes_virtual_time() -> None:
    async def main() -> float:
        loop = await started()
        before = trio.current_time()
        await loop.run(asyncio.sleep, 60)
        await loop.close()
        return trio.current_time() - before

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == pytest.approx(60, abs=0.1)


def test_a_trio_timer_ends_a_wait_on_asyncio_in_virtual_time() -> None:
    async def main() -> float:
        loop = await started()
        with trio.move_on_after(5):
            await loop.run(asyncio.sleep, 60)
        await loop.close()
        return trio.current_time()

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == pytest.approx(5, abs=0.1)


async def test_trio_s_functions_refuse_code_on_asyncio() -> None:
    loop = await started()

    async def crosses() -> None:
        await trio.sleep(1)

    with pytest.raises(RuntimeError, match="must be called from async context"):
        await loop.run(crosses)
    assert await loop.run(asyncio.sleep, 0, "slept") == "slept"
    await loop.close()


async def test_libraries_find_out_that_they_run_on_asyncio() -> None:
    async def library() -> str:
        return sniffio.current_async_library()

    loop = await started()
    assert await loop.run(library) == "asyncio"
    assert await library() == "trio"
    await loop.close()


async def test_a_callback_from_a_thread_wakes_the_loop() -> None:
    loop = await started()

    async def waits() -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        call = asyncio.get_running_loop().call_soon_threadsafe
        thread = threading.Thread(target=call, args=(future.set_result, "called"))
        thread.start()
        try:
            return await future
        finally:
            thread.join()

    assert await loop.run(waits) == "called"
    await loop.close()


async def test_executor_subprocess_and_generators_work() -> None:
    async def works() -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        number = await loop.run_in_executor(None, lambda: 7)
        process = await asyncio.create_subprocess_exec("echo", "hi", stdout=-1)
        return number, (await process.communicate())[0]

    loop = await started()
    assert await loop.run(works) == (7, b"hi\n")
    await loop.close()


async def test_asyncio_run_works_between_slices() -> None:
    loop = await started()
    await loop.run(asyncio.sleep, 0)
    # asyncio's own loop, in the same thread, as a plain `def` may run it.
    assert asyncio.run(asyncio.sleep(0, "inner")) == "inner"
    assert await loop.run(asyncio.sleep, 0, "slept") == "slept"
    await loop.close()


@pytest.mark.parametrize("known", [True, False])
async def test_the_loop_keeps_threads_of_anyio(
    monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if not known:
        # A release of Python without the callback: anyio's threads end with the job.
        monkeypatch.setattr(slices, "ROOT_CALLBACK", None)
        monkeypatch.setattr(module, "ROOT_CALLBACK", None)
    loop = await started()
    threads = [await loop.run(anyio.to_thread.run_sync, threading.current_thread) for _ in range(2)]
    assert (threads[0] is threads[1]) is known
    await loop.close()
    with trio.fail_after(HANG):
        while any(thread.is_alive() for thread in threads):
            await trio.lowlevel.checkpoint()


async def test_system_exit_and_stop_do_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    loop = await started()

    async def exits() -> None:
        raise SystemExit(3)

    async def beside() -> None:
        held.append(asyncio.create_task(exits()))
        await asyncio.sleep(0)

    async def stops() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)

    held = list[asyncio.Task[None]]()
    with pytest.raises(SystemExit):
        await loop.run(exits)
    await loop.run(beside)
    await loop.run(stops)
    assert "a background task raised SystemExit; the asyncio loop continues" in caplog.text
    with pytest.raises(SystemExit):
        held[0].result()
    await loop.close()


async def test_failed_cancelled_and_abandoned_jobs_leave_no_cycles() -> None:
    loop = await started()

    async def fails() -> None:
        raise LookupError("mine")

    async def once() -> None:
        with suppress(LookupError):
            await loop.run(fails)
        with trio.move_on_after(0.001):
            await loop.run(asyncio.sleep, 60)
        with suppress(LookupError):
            await loop.run(from_asyncio.run, trio_fails)
        await loop.run(asyncio.sleep, 0)

    async def trio_fails() -> None:
        raise LookupError("on trio")

    await once()
    gc.collect()
    gc.disable()
    try:
        await once()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        # Other tests leave types of ctypes.
        kinds = (asyncio.Future, BaseException, trio.lowlevel.Task, Job, FrameType)
        assert [each for each in gc.garbage if isinstance(each, kinds)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    await loop.close()


@pytest.mark.parametrize("known", [True, False])
async def test_call_first_calls_a_function_before_all_that_are_ready(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of asyncio without the name of its queue calls the function after them."""
    loop, called = await started(), list[str]()

    async def forks() -> None:
        asyncio.get_running_loop().call_soon(called.append, "ready")
        with monkeypatch.context() as patched:
            if not known:
                call_soon = asyncio.get_running_loop().call_soon
                unknown = SimpleNamespace(call_soon=call_soon, is_running=lambda: True)
                patched.setattr(loop, "loop", unknown)
            loop.call_first(lambda: called.append("first"))
        await asyncio.sleep(0)

    await loop.run(forks)
    assert called == (["first", "ready"] if known else ["ready", "first"])
    loop.call_first(lambda: called.append("outside asyncio"))
    assert len(called) == 2
    await loop.close()


# -- what cannot run


async def test_a_signal_handler_of_the_loop_is_refused_with_the_cure() -> None:
    async def adds() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)

    loop = await started()
    with pytest.raises(NotImplementedError, match=r"use signal\.signal"):
        await loop.run(adds)
    await loop.close()


async def test_an_unknown_trio_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_internals, "CONTEXT", None)
    with pytest.raises(LoopEnded, match=r"asyncio cannot run inside trio .*: use trio 0\.30"):
        AsyncioLoop().start()


async def test_a_system_without_a_descriptor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SliceSelector", selectors.SelectSelector)
    with pytest.raises(LoopEnded, match="its selector has no descriptor"):
        AsyncioLoop().start()


async def test_uvloop_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = type("EventLoopPolicy", (), {"__module__": "uvloop"})()
    monkeypatch.setitem(sys.modules, "uvloop", ModuleType("uvloop"))
    monkeypatch.setattr(asyncio, "get_event_loop_policy", lambda: policy)
    with pytest.raises(LoopEnded, match=r"remove uvloop\.install\(\)"):
        AsyncioLoop().start()


async def test_too_few_descriptors_are_an_error_and_a_later_start_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise OSError("too many open files")

    loop = AsyncioLoop()
    with monkeypatch.context() as patched:
        patched.setattr(module, "SliceLoop", refused)
        with pytest.raises(LoopEnded) as caught:
            loop.start()
    assert isinstance(caught.value.__cause__, OSError)
    assert not loop.alive
    await loop.close()
    loop.start()
    assert await loop.run(asyncio.sleep, 0, "slept") == "slept"
    await loop.close()


# -- without a loop of one's own


def test_on_asyncio_starts_the_loop_of_the_run_once() -> None:
    async def main() -> asyncio.AbstractEventLoop:
        first = await on_asyncio(current_loop)
        assert await on_asyncio(current_loop) is first
        return first

    first = trio.run(main)
    assert first.is_closed()
    assert trio.run(main) is not first


def test_the_end_of_the_run_cancels_tasks_and_closes_generators() -> None:
    said = list[str]()

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            said.append("task")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            said.append("generator")

    async def begins() -> None:
        held.append(asyncio.create_task(cleans_up()))
        held.append(generator := numbers())
        await anext(generator)

    held = list[object]()
    trio.run(on_asyncio, begins)
    assert said == ["task", "generator"]


def test_from_asyncio_at_the_end_of_the_run_raises_portal_closed() -> None:
    errors = list[BaseException]()

    async def asks() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                await from_asyncio.run(trio.sleep, 60)
            except PortalClosed as error:
                errors.append(error)

    async def begins() -> None:
        held.append(asyncio.create_task(asks()))

    held = list[object]()
    trio.run(on_asyncio, begins)
    assert len(errors) == 1


async def test_from_sync_reaches_actors_from_a_thread_of_asyncio() -> None:
    def counts() -> int:
        from_sync.cast(VISITS, Visits.visit, 1)
        return from_sync.call(VISITS, Visits.visit, 2)

    async with trio.open_nursery() as nursery:
        visits = await start(nursery, Visits, name=VISITS)
        assert await on_asyncio(asyncio.to_thread, counts) == 3
        visits.stop()


async def test_from_thread_does_not_reach_actors_from_a_thread_of_asyncio() -> None:
    def counts() -> int:
        return from_thread.call(VISITS, Visits.visit, 2)

    with pytest.raises(RuntimeError, match="create a Portal"):
        await on_asyncio(asyncio.to_thread, counts)


# -- the loop's actor


async def start_loop_actor(nursery: trio.Nursery) -> tuple[AsyncioLoop, Ref[Supervisor]]:
    loop = AsyncioLoop()
    child = Child(lambda: LoopActor(loop), id="asyncio")
    return loop, await start(nursery, lambda: Supervisor(SupervisorSpec([child])))


async def test_a_restarted_loop_actor_adopts_the_running_loop() -> None:
    async with trio.open_nursery() as nursery:
        loop = AsyncioLoop()
        first = await start(nursery, lambda: LoopActor(loop))
        same = await loop.run(current_loop)
        first.kill()
        await first.wait()
        second = await start(nursery, lambda: LoopActor(loop))
        assert await loop.run(current_loop) is same
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
        first = await loop.run(current_loop)
        with pytest.raises(LoopEnded) as caught:
            await loop.run(breaks)
        assert isinstance(caught.value.__cause__, OSError)
        # The actor and the next job start one new loop.
        assert await loop.run(current_loop) is not first
        supervisor.stop()
    assert not loop.alive


# -- one loop a run


async def test_a_second_loop_of_a_run_is_refused() -> None:
    loop = await started()
    with pytest.raises(RuntimeError, match="has an asyncio loop already"):
        AsyncioLoop().start()
    with pytest.raises(RuntimeError, match="has an asyncio loop already"):
        loop.start()
    assert await on_asyncio(current_loop) is loop.loop


async def test_a_job_starts_a_loop_that_does_not_run() -> None:
    loop = AsyncioLoop()
    first = await loop.run(current_loop)
    await loop.close()
    assert await loop.run(current_loop) is not first
    await loop.close()


async def test_on_asyncio_in_code_on_asyncio_is_refused_with_the_cure() -> None:
    with pytest.raises(RuntimeError, match="await the function itself"):
        await on_asyncio(on_asyncio, current_loop)


def test_a_start_at_the_end_of_the_run_leaves_no_loop() -> None:
    async def generates() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            with pytest.raises(LoopEnded, match="the run of trio is ending"):
                await on_asyncio(current_loop)
            refused.append(True)

    async def main() -> None:
        kept.append(generates())
        await anext(kept[0])

    kept, refused = list[AsyncIterator[int]](), list[bool]()
    trio.run(main)
    assert refused == [True]


# -- the shared wait


async def test_trio_finds_each_method_of_its_epoll() -> None:
    loop = await started()
    shared = loop._shared_wait
    if shared is None:
        pytest.skip("trio waits by itself here")
    source = inspect.getsource(sys.modules["trio._core._io_epoll"])
    for method in re.findall(r"_epoll\.(\w+)\(", source):
        assert callable(getattr(shared, method))


@pytest.mark.parametrize("in_slice", [False, True])
def test_an_exception_in_the_wait_ends_the_run_in_order(in_slice: bool) -> None:
    """A user's signal handler may raise one."""

    class GaveUp(BaseException):
        pass

    async def main() -> None:
        loop = await on_asyncio(current_loop)
        shared: Any = loop_of_run()._shared_wait
        if shared is None:
            pytest.skip("trio waits by itself here")
        poll = shared._poll_trio

        def give_up(*_: object) -> None:
            waits.append(shared._selector.waits)
            shared._poll_trio = poll
            raise GaveUp

        def prepare() -> None:
            shared._poll_trio = give_up

        async with trio.open_nursery() as nursery:
            nursery.start_soon(on_asyncio, cleans_up)
            await wait_all_tasks_blocked()
            if in_slice:
                loop.call_soon_threadsafe(prepare)
            else:
                prepare()

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(HANG)
        finally:
            said.append("clean")

    waits, said = list[bool](), list[str]()
    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(main)
    assert waits == [in_slice]
    assert said == ["clean"]
    # An exception that leaves trio's wait leaves the run open while its traceback is kept.
    assert caught.value.__traceback__ is not None
    assert not trio.lowlevel.in_trio_run()


def test_code_that_cleans_up_for_too_long_does_not_hold_the_end_of_the_run() -> None:
    async def cleans_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)

    async def leaves() -> None:
        left.append(asyncio.create_task(cleans_up()))

    left = list["asyncio.Task[None]"]()
    trio.run(on_asyncio, leaves, clock=MockClock(autojump_threshold=0))


async def test_a_job_that_asyncio_code_cancels_before_it_begins_ends() -> None:
    async def keeps_busy() -> None:
        # Beside the loop's root. Between two of its steps, the other trio task starts its job.
        while len(asyncio.all_tasks()) == 2:  # noqa: ASYNC110, a job that waits would not be first
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def starts() -> None:
        with pytest.raises(asyncio.CancelledError):
            await on_asyncio(asyncio.sleep, 60)
        ended.append(True)

    ended = list[bool]()
    with trio.fail_after(HANG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on_asyncio, keeps_busy)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(starts)
    assert ended == [True]


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
    assert "abandoned code on asyncio raised" in caplog.text
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
