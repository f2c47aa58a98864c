"""Tasks: one function run apart, its outcome told once (Elixir: task/supervisor_test).

Named by the rule; what Elixir's test or documentation calls it is in the docstring.
"""

from functools import partial
from typing import Any, assert_type

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NORMAL,
    SHUTDOWN,
    ActorExited,
    CallCycle,
    Exit,
    Server,
    crashed,
    start,
    stop,
)
from okibi.actors.names import names
from okibi.supervisors import (
    Child,
    Counts,
    MaxChildren,
    Restart,
    SpecError,
    SupervisorSpec,
    Task,
    TaskSupervisor,
    TaskSupervisorSpec,
    callers,
    run_task,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.support.child_stage import Boom
from tests.support.dynamic_supervisor import Idle
from tests.support.task_supervisor import TASKS, begin, counted, double, fail, said, some_tasks

# -- flags


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"max_children": -1}, "max_children"), ({"shutdown": -1}, "shutdown")],
)
def test_the_error_of_a_wrong_field_names_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        TaskSupervisorSpec(**fields)

    assert refused.value.field == field


async def test_a_task_supervisor_is_a_child_like_any_other(nursery: trio.Nursery) -> None:
    top = await supervise(
        nursery, SupervisorSpec([Child(TaskSupervisorSpec(), name=TASKS)]), path="/top"
    )

    assert (await begin(double, 1)).path == "/top/tasks/double-1"
    await stop(top)


# -- the outcome


async def test_a_value_is_given_to_whoever_awaits_the_task() -> None:
    """async_nolink/3: spawns task under the supervisor"""
    async with some_tasks() as tasks:
        task = await tasks.call(TaskSupervisor.start_task, double, 4, plus=1)

        assert_type(task, Task[int])
        assert task.path == "/tasks/double-1"
        assert await task.result() == 9
        assert task.done
        assert task.ref.reason is NORMAL
        assert await counted() == Counts(0, 0, 0, 0)


async def test_an_exception_is_raised_as_it_is_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """await/2: exits on error; async_nolink: the caller is not harmed"""
    async with some_tasks():
        task = await begin(fail, 4)

        with pytest.raises(Boom) as raised:
            await task.result()

        assert task.ref.reason == crashed(raised.value)
    assert said(caplog) == []


async def test_a_task_s_result_may_be_taken_again_and_by_anybody(nursery: trio.Nursery) -> None:
    """Elixir: only the owner awaits, and only once; a second await times out."""

    async def take() -> None:
        taken.append(await good.result())

    taken: list[int] = []
    async with some_tasks():
        good, bad = await begin(double, 4), await begin(fail, 4)
        await take()
        nursery.start_soon(take)
        await wait_all_tasks_blocked()

        assert taken == [8, 8]
        for _ in range(2):
            with pytest.raises(Boom):
                await bad.result()


@pytest.mark.parametrize("leaving", [Exit(), SystemExit(3), Exit(SHUTDOWN)])
async def test_a_function_that_leaves_otherwise_is_told_by_actor_exited(
    leaving: BaseException,
) -> None:
    """await/2: exits on exit, on normal too"""

    async def leave() -> None:
        raise leaving

    async with some_tasks():
        task = await begin(leave)

        with pytest.raises(ActorExited) as told:
            await task.result()

        assert told.value.reason is task.ref.reason
        assert told.value.__cause__ is (leaving if isinstance(leaving, SystemExit) else None)


async def test_an_outcome_can_be_had_as_a_value(autojump_clock: MockClock) -> None:
    async with some_tasks():
        good, bad, slow = await begin(double, 4), await begin(fail, 4), await begin(trio.sleep, 9)

        assert (await good.outcome()).unwrap() == 8
        with pytest.raises(Boom):
            (await bad.outcome()).unwrap()
        with pytest.raises(trio.WouldBlock):
            slow.outcome_nowait()
        with trio.move_on_after(1) as limit:
            await slow.outcome()
        assert limit.cancelled_caught
        assert repr(slow) == "<Task sleep() at /tasks/sleep-3, under way>"
        assert repr(good) == "<Task double() at /tasks/double-1, done>"


async def test_giving_up_does_not_end_the_task(autojump_clock: MockClock) -> None:
    """await/2: demonitors on timeout; yield/2 may be asked again"""
    async with some_tasks():
        task = await begin(trio.sleep, 10)

        for _ in range(2):
            with trio.move_on_after(3) as limit:
                await task.result()
            assert limit.cancelled_caught

        assert task.ref.alive
        await task.result()
        assert trio.current_time() == pytest.approx(10)


async def test_one_task_waits_for_an_outcome_at_a_time(nursery: trio.Nursery) -> None:
    async with some_tasks():
        task = await begin(trio.sleep_forever)
        with trio.CancelScope() as waits:
            async with trio.open_nursery() as inner:
                inner.start_soon(task.result)
                await wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await task.result()
                waits.cancel()


async def test_an_actor_that_waits_for_a_task_that_calls_it_is_told(
    nursery: trio.Nursery,
) -> None:
    class Boss(Server):
        async def ask(self) -> tuple[str, ...]:
            try:
                return await run_task(TASKS, back)
            except CallCycle as circle:
                return circle.paths

    async def back() -> tuple[str, ...]:
        await wait_all_tasks_blocked()
        return await boss.call(Boss.ask)

    boss = await start(nursery, Boss, path="/boss")
    async with some_tasks():
        assert await boss.call(Boss.ask) == ("/tasks/back-1", "/boss", "/tasks/back-1")
    await stop(boss)


# -- starting


async def test_more_than_max_children_are_refused() -> None:
    """async_nolink/3: raises when max_children is reached"""
    async with some_tasks(max_children=1):
        first = await begin(trio.sleep_forever)
        with pytest.raises(MaxChildren):
            await begin(double, 4)
        await first.shutdown()
        assert await (await begin(double, 4)).result() == 8


async def test_a_child_that_would_be_restarted_is_refused() -> None:
    """async_nolink needs restart: :temporary"""
    async with some_tasks() as tasks:
        with pytest.raises(SpecError, match="a TaskSupervisor restarts no child"):
            await tasks.call(TaskSupervisor.start_child, Child(Idle))


async def test_a_function_whose_caller_has_given_up_is_not_begun(
    autojump_clock: MockClock,
) -> None:
    class Slow(Server):
        async def init(self) -> None:
            await trio.sleep(5)

    begun: list[int] = []

    async def note() -> None:
        begun.append(1)

    async with some_tasks() as tasks:
        child = Child(Slow, restart=Restart.TEMPORARY)
        busy = await tasks.request(TaskSupervisor.start_child, child)
        with trio.move_on_after(1) as limit:
            await begin(note)
        assert limit.cancelled_caught
        await busy.result()
        await wait_all_tasks_blocked()

        assert begun == []
        assert (await counted()).specs == 1


async def test_the_callers_of_a_task_are_known_the_nearest_first(nursery: trio.Nursery) -> None:
    """$callers"""

    class Boss(Server):
        async def ask(self) -> tuple[str, ...]:
            return await run_task(TASKS, outer)

    async def outer() -> tuple[str, ...]:
        return await run_task(TASKS, inner)

    async def inner() -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        return callers()

    boss = await start(nursery, Boss, path="/boss")
    async with some_tasks() as tasks:
        assert await boss.call(Boss.ask) == ("/tasks/outer-1", "/boss")
        assert await run_task(tasks, inner) == ()
        assert callers() == ()
    await stop(boss)


# -- run_task


async def test_run_task_gives_the_value_or_raises_the_exception() -> None:
    async with some_tasks() as tasks:
        assert_type(await run_task(tasks, double, 4), int)
        with pytest.raises(Boom):
            await run_task(TASKS, fail, 4)


async def test_giving_up_run_task_ends_the_task(autojump_clock: MockClock) -> None:
    ended: list[float] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with some_tasks() as tasks:
        with trio.move_on_after(2):
            await run_task(tasks, wait)
        await wait_all_tasks_blocked()

        assert ended == [2]
        assert await counted() == Counts(0, 0, 0, 0)


@pytest.mark.parametrize("function", [partial(double, 4), partial(fail, 4)])
def test_cancelled_at_every_step_of_a_run_nothing_is_left_and_nobody_hangs(function: Any) -> None:
    told: list[str] = []

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            tasks = await supervise(nursery, TaskSupervisorSpec(), name=TASKS)
            with trio.CancelScope() as scope:
                try:
                    await run_task(TASKS, function)
                    told.append("value")
                except Boom:
                    told.append("boom")
                except ActorExited:
                    told.append("exited")
            assert not scope.cancelled_caught
            await stop(tasks)

    async def check() -> None:
        assert names() == {}

    assert every_step(scenario, check) > 10
    assert set(told) <= {"value", "boom", "exited"}


def test_killed_at_every_step_of_a_run_the_awaiter_is_told_once() -> None:
    """The kill of the supervisor falls on each step of start, run and outcome."""
    told: list[list[str]] = []

    async def scenario() -> None:
        mine: list[str] = []
        told.append(mine)
        async with trio.open_nursery() as nursery:
            tasks = await supervise(
                nursery, SupervisorSpec([Child(TaskSupervisorSpec(), name=TASKS)])
            )
            try:
                mine.append(str(await run_task(TASKS, double, 4)))
            except ActorExited as exited:
                mine.append(exited.reason.kind)
            await stop(tasks)

    def strike() -> None:
        ref = TASKS.whereis()
        if ref is not None:
            ref.kill()

    async def check() -> None:
        assert names() == {}
        assert len(told[-1]) == 1, told[-1]
        assert told[-1][0] in ("8", "killed", "noproc")

    assert every_step(scenario, check, strike) > 10
