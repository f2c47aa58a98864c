"""Tasks: the outcome, start_task, run_task, callers (Elixir: task/supervisor_test).

A docstring names the matching case of Elixir's test or documentation.
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
from okibi.actors.names import name_table
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
from tests.support.task_supervisor import (
    TASKS,
    count_tasks,
    double,
    fail,
    start_task,
    task_supervisor,
    warnings_in,
)

# -- the spec


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"max_children": -1}, "max_children"), ({"shutdown": -1}, "shutdown")],
)
def test_the_error_of_a_wrong_field_names_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        TaskSupervisorSpec(**fields)

    assert refused.value.field == field


async def test_a_task_supervisor_runs_as_a_child(nursery: trio.Nursery) -> None:
    top = await supervise(
        nursery, SupervisorSpec([Child(TaskSupervisorSpec(), name=TASKS)]), path="/top"
    )

    assert (await start_task(double, 1)).path == "/top/tasks/double-1"
    await stop(top)


# -- the outcome


async def test_result_returns_the_functions_value() -> None:
    """async_nolink/3: spawns task under the supervisor"""
    async with task_supervisor() as tasks:
        task = await tasks.call(TaskSupervisor.start_task, double, 4, plus=1)

        assert_type(task, Task[int])
        assert task.path == "/tasks/double-1"
        assert await task.result() == 9
        assert task.done
        assert task.ref.reason is NORMAL
        assert await count_tasks() == Counts(0, 0, 0, 0)


async def test_result_raises_the_functions_exception_without_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """await/2: exits on error; async_nolink: the caller survives"""
    async with task_supervisor():
        task = await start_task(fail, 4)

        with pytest.raises(Boom) as raised:
            await task.result()

        assert task.ref.reason == crashed(raised.value)
    assert warnings_in(caplog) == []


async def test_a_result_may_be_taken_repeatedly_by_any_task(nursery: trio.Nursery) -> None:
    """Elixir: only the owner awaits, and only once; a second await times out."""

    async def take() -> None:
        taken.append(await good.result())

    taken: list[int] = []
    async with task_supervisor():
        good, bad = await start_task(double, 4), await start_task(fail, 4)
        await take()
        nursery.start_soon(take)
        await wait_all_tasks_blocked()

        assert taken == [8, 8]
        for _ in range(2):
            with pytest.raises(Boom):
                await bad.result()


@pytest.mark.parametrize("leaving", [Exit(), SystemExit(3), Exit(SHUTDOWN)])
async def test_result_raises_actor_exited_after_exit_or_system_exit(
    leaving: BaseException,
) -> None:
    """await/2: exits on exit, on normal too"""

    async def leave() -> None:
        raise leaving

    async with task_supervisor():
        task = await start_task(leave)

        with pytest.raises(ActorExited) as outcomes:
            await task.result()

        assert outcomes.value.reason is task.ref.reason
        assert outcomes.value.__cause__ is (leaving if isinstance(leaving, SystemExit) else None)


async def test_outcome_returns_a_value_or_an_error(autojump_clock: MockClock) -> None:
    async with task_supervisor():
        good, bad, slow = (
            await start_task(double, 4),
            await start_task(fail, 4),
            await start_task(trio.sleep, 9),
        )

        assert (await good.outcome()).unwrap() == 8
        with pytest.raises(Boom):
            (await bad.outcome()).unwrap()
        with pytest.raises(trio.WouldBlock):
            slow.outcome_nowait()
        with trio.move_on_after(1) as limit:
            await slow.outcome()
        assert limit.cancelled_caught
        assert repr(slow) == "<Task sleep() at /tasks/sleep-3, running>"
        assert repr(good) == "<Task double() at /tasks/double-1, done>"


async def test_a_cancelled_wait_leaves_the_task_running(autojump_clock: MockClock) -> None:
    """await/2: demonitors on timeout; yield/2 may be asked again"""
    async with task_supervisor():
        task = await start_task(trio.sleep, 10)

        for _ in range(2):
            with trio.move_on_after(3) as limit:
                await task.result()
            assert limit.cancelled_caught

        assert task.ref.alive
        await task.result()
        assert trio.current_time() == pytest.approx(10)


async def test_a_second_concurrent_wait_is_refused(nursery: trio.Nursery) -> None:
    async with task_supervisor():
        task = await start_task(trio.sleep_forever)
        with trio.CancelScope() as waits:
            async with trio.open_nursery() as inner:
                inner.start_soon(task.result)
                await wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await task.result()
                waits.cancel()


async def test_a_wait_cycle_between_actor_and_task_is_refused(
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
    async with task_supervisor():
        assert await boss.call(Boss.ask) == ("/tasks/back-1", "/boss", "/tasks/back-1")
    await stop(boss)


# -- start_task


async def test_start_task_is_refused_at_max_children() -> None:
    """async_nolink/3: raises when max_children is reached"""
    async with task_supervisor(max_children=1):
        first = await start_task(trio.sleep_forever)
        with pytest.raises(MaxChildren):
            await start_task(double, 4)
        await first.shutdown()
        assert await (await start_task(double, 4)).result() == 8


async def test_a_permanent_child_is_refused() -> None:
    """async_nolink needs restart: :temporary"""
    async with task_supervisor() as tasks:
        with pytest.raises(SpecError, match="a TaskSupervisor restarts no child"):
            await tasks.call(TaskSupervisor.start_child, Child(Idle))


async def test_a_task_does_not_start_after_a_cancelled_call(
    autojump_clock: MockClock,
) -> None:
    class Slow(Server):
        async def init(self) -> None:
            await trio.sleep(5)

    begun: list[int] = []

    async def note() -> None:
        begun.append(1)

    async with task_supervisor() as tasks:
        child = Child(Slow, restart=Restart.TEMPORARY)
        busy = await tasks.request(TaskSupervisor.start_child, child)
        with trio.move_on_after(1) as limit:
            await start_task(note)
        assert limit.cancelled_caught
        await busy.result()
        await wait_all_tasks_blocked()

        assert begun == []
        assert (await count_tasks()).specs == 1


async def test_callers_lists_the_nearest_caller_first(nursery: trio.Nursery) -> None:
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
    async with task_supervisor() as tasks:
        assert await boss.call(Boss.ask) == ("/tasks/outer-1", "/boss")
        assert await run_task(tasks, inner) == ()
        assert callers() == ()
    await stop(boss)


# -- run_task


async def test_run_task_returns_the_value_or_raises() -> None:
    async with task_supervisor() as tasks:
        assert_type(await run_task(tasks, double, 4), int)
        with pytest.raises(Boom):
            await run_task(TASKS, fail, 4)


async def test_cancelling_run_task_stops_the_task(autojump_clock: MockClock) -> None:
    ended: list[float] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    async with task_supervisor() as tasks:
        with trio.move_on_after(2):
            await run_task(tasks, wait)
        await wait_all_tasks_blocked()

        assert ended == [2]
        assert await count_tasks() == Counts(0, 0, 0, 0)


@pytest.mark.parametrize("function", [partial(double, 4), partial(fail, 4)])
def test_cancellation_at_every_step_of_run_task_leaves_nothing(function: Any) -> None:
    outcomes: list[str] = []

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            tasks = await supervise(nursery, TaskSupervisorSpec(), name=TASKS)
            with trio.CancelScope() as scope:
                try:
                    await run_task(TASKS, function)
                    outcomes.append("value")
                except Boom:
                    outcomes.append("boom")
                except ActorExited:
                    outcomes.append("exited")
            assert not scope.cancelled_caught
            await stop(tasks)

    async def check() -> None:
        assert name_table() == {}

    assert every_step(scenario, check) > 10
    assert set(outcomes) <= {"value", "boom", "exited"}


def test_a_kill_at_every_step_gives_one_outcome() -> None:
    """The supervisor is killed at each step of start, run and outcome."""
    outcomes: list[list[str]] = []

    async def scenario() -> None:
        mine: list[str] = []
        outcomes.append(mine)
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
        assert name_table() == {}
        assert len(outcomes[-1]) == 1, outcomes[-1]
        assert outcomes[-1][0] in ("8", "killed", "noproc")

    assert every_step(scenario, check, strike) > 10
