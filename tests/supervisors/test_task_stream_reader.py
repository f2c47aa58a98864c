"""The reader of a TaskStream: leaves early, is cancelled, or loses the supervisor.

A docstring names the matching case of Elixir's test or documentation.
"""

import gc
import math
import weakref
from collections.abc import Callable, Iterator

import pytest
import trio
from outcome import Error, Value
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import ActorExited, Server
from okibi.actors.names import name_table
from okibi.supervisors import (
    Child,
    OnTimeout,
    Restart,
    SupervisorSpec,
    TaskStream,
    TaskSupervisor,
    TaskSupervisorSpec,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.garbage import no_collector
from tests.support.child_stage import Boom
from tests.support.task_supervisor import (
    TASKS,
    count_tasks,
    double,
    nap,
    task_supervisor,
    warnings_in,
)

# -- the reader


@pytest.mark.parametrize("leave", ["break", "raise", "cancel"])
async def test_leaving_early_stops_all_tasks_and_waits(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, leave: str
) -> None:
    """no leaked tasks; async_stream: shuts down unused tasks"""
    ended: list[float] = []

    async def tidy(seconds: float) -> None:
        try:
            await trio.sleep(seconds)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
            ended.append(trio.current_time())

    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, tidy, [1, 60, 60], max_concurrency=3)
        with pytest.RaisesGroup(Boom) if leave == "raise" else trio.CancelScope() as scope:
            async with trio.open_nursery(), stream as results:
                async for _ in results:
                    if leave == "break":
                        break
                    if leave == "raise":
                        raise Boom
                    assert isinstance(scope, trio.CancelScope)
                    scope.cancel()

        assert ended == pytest.approx([1.5, 2, 2])
        await wait_all_tasks_blocked()
        assert (await count_tasks()).specs == 0
    assert warnings_in(caplog) == []


async def test_a_cancelled_read_loses_no_item(autojump_clock: MockClock) -> None:
    """no leaked messages"""
    async with task_supervisor() as tasks:
        got: list[object] = []
        stream = TaskStream(tasks, nap, [3, 1, 2], max_concurrency=2)
        async with stream as results:
            while len(got) < 3:
                with trio.move_on_after(0.3):
                    got.append((await anext(results)).item)

    assert got == [3, 1, 2]


async def test_a_read_cancelled_at_a_busy_supervisor_loses_no_item(
    autojump_clock: MockClock,
) -> None:
    begun: list[int] = []

    class Slow(Server):
        async def init(self) -> None:
            await trio.sleep(5)

    async def note(number: int) -> int:
        begun.append(number)
        return await double(number)

    async with task_supervisor() as tasks:
        child = Child(Slow, restart=Restart.TEMPORARY)
        for wait in (10, 1):
            busy = await tasks.request(TaskSupervisor.start_child, child)
            async with TaskStream(tasks, note, [7], max_concurrency=2) as results:
                with trio.move_on_after(1) as limit:
                    await anext(results)
                assert limit.cancelled_caught
                with trio.move_on_after(wait - 0.5):
                    assert (await anext(results)).outcome == Value(14)
            await busy.result()
            await wait_all_tasks_blocked()

    # Once for the reader that read again; never for the reader that left.
    assert begun == [7]


async def test_a_stream_needs_its_block_and_one_reader(nursery: trio.Nursery) -> None:
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, nap, [math.inf], max_concurrency=1)
        with pytest.raises(RuntimeError) as refused:
            await anext(stream)
        assert str(refused.value) == (
            "enter the TaskStream before reading: async with TaskStream(...) as outcomes"
        )
        async with stream as results, trio.open_nursery() as inner:
            inner.start_soon(anext, results)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await anext(results)
            inner.cancel_scope.cancel()


async def test_the_reader_learns_of_a_killed_supervisor_immediately(
    autojump_clock: MockClock,
) -> None:
    async with (
        task_supervisor() as tasks,
        TaskStream(TASKS, nap, [60, 60], max_concurrency=1) as results,
    ):
        with trio.move_on_after(1):
            await anext(results)
        tasks.kill()

        item, outcome = await anext(results)

        assert isinstance(outcome, Error)
        assert isinstance(outcome.error, ActorExited)
        assert item == 60
        with pytest.raises(ActorExited):
            await anext(results)
        assert trio.current_time() == 1


# -- cancellation and kills at every step


def run_every_step(strike: Callable[[], object] | None, ordered: bool) -> int:
    """Cancel, or strike, at each step of a stream with a crash, a time-out and an early exit."""

    async def some(seconds: float) -> float:
        if seconds == 2:
            raise Boom
        return await nap(seconds)

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            top = await supervise(
                nursery, SupervisorSpec([Child(TaskSupervisorSpec(), name=TASKS)])
            )
            stream = TaskStream(
                TASKS,
                some,
                [1, 2, 60, 3, 60],
                max_concurrency=3,
                ordered=ordered,
                timeout=4,
                on_timeout=OnTimeout.KILL_TASK,
            )
            read = 0
            try:
                async with stream as results:
                    async for _ in results:
                        read += 1
                        if read == 4:
                            break
            except ActorExited:
                pass
            # Also after the supervisor was killed.
            assert not stream._unreturned
            top.stop()

    async def check() -> None:
        assert name_table() == {}

    return every_step(scenario, check, strike)


@pytest.mark.parametrize("ordered", [True, False])
def test_cancellation_at_every_step_leaves_no_task(ordered: bool) -> None:
    assert run_every_step(None, ordered) > 20


@pytest.mark.parametrize("ordered", [True, False])
def test_a_kill_at_every_step_does_not_hang_the_reader(ordered: bool) -> None:
    def strike() -> None:
        ref = TASKS.whereis()
        if ref is not None:
            ref.kill()

    assert run_every_step(strike, ordered) > 20


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("ordered", [True, False])
async def test_returned_items_are_released(ordered: bool) -> None:
    class Item:
        pass

    async def ignore(item: Item) -> None: ...

    kept: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for _ in range(20):
            item = Item()
            kept.append(weakref.ref(item))
            yield item
            del item

    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, ignore, items(), max_concurrency=2, ordered=ordered)
        async with stream as results:
            for _ in range(15):
                await anext(results)
            await wait_all_tasks_blocked()
            gc.collect()
            assert sum(item() is not None for item in kept) <= 3
